//! The workloads, as data: what goes in, and what must come out.
//!
//! A record is a key of 8 bytes and a value of 100. The value begins with another key, for
//! workloads that change the key, and the moment it was made, for measuring latency.
//!
//! | workload | onceflow's words |
//! |---|---|
//! | `map` | `map_values`: the last byte grows by one |
//! | `count` | `group_by_key().count()`, a store in memory; every update goes out |
//! | `repartition` | `select_key` to the key in the value, then `count`: two sub-topologies |

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Bytes of a value.
pub const VALUE_BYTES: usize = 100;

/// Where the moment of making stands in a value.
const MOMENT: std::ops::Range<usize> = 8..16;

/// What is done with each record.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Changes the value.
    Map,
    /// Counts by key.
    Count,
    /// Changes the key, then counts by it.
    Repartition,
}

impl Workload {
    /// Records processed for one record of input, over all sub-topologies.
    #[must_use]
    pub fn stages(self) -> u64 {
        match self {
            Workload::Map | Workload::Count => 1,
            Workload::Repartition => 2,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Workload::Map => "map",
            Workload::Count => "count",
            Workload::Repartition => "repartition",
        })
    }
}

/// What a failure may do to the output.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Nothing: outputs, state and offsets are one transaction.
    ExactlyOnce,
    /// Repeat some of it.
    AtLeastOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtLeastOnce => "at-least-once",
        })
    }
}

/// What `map` does to a value.
pub fn map_in_place(value: &mut [u8]) {
    if let Some(last) = value.last_mut() {
        *last = last.wrapping_add(1);
    }
}

/// The other key of a record, for workloads that change it.
#[must_use]
pub fn other_key(value: &[u8]) -> i64 {
    value
        .first_chunk()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// When the record was made.
#[must_use]
pub fn moment(value: &[u8]) -> Option<Duration> {
    let nanos = value.get(MOMENT)?.try_into().ok()?;
    Some(Duration::from_nanos(u64::from_be_bytes(nanos)))
}

/// A source of records: the same seed gives the same ones.
#[derive(Debug)]
pub struct Records {
    state: u64,
    keys: u64,
    value: [u8; VALUE_BYTES],
}

impl Records {
    /// Records over so many keys, spread evenly.
    #[must_use]
    pub fn new(keys: u64) -> Self {
        let mut records = Records {
            state: 0x9e37_79b9_7f4a_7c15,
            keys,
            value: [0; VALUE_BYTES],
        };
        for byte in &mut records.value {
            *byte = random(&mut records.state).to_be_bytes()[0];
        }
        records
    }

    /// The next key and value, made at `moment`.
    pub fn next(&mut self, moment: Duration) -> (i64, &[u8; VALUE_BYTES]) {
        let key = self.key();
        let other = self.key();
        self.value[..8].copy_from_slice(&other.to_be_bytes());
        let nanos = u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
        self.value[MOMENT].copy_from_slice(&nanos.to_be_bytes());
        self.value[16..24].copy_from_slice(&self.state.to_be_bytes());
        (key, &self.value)
    }

    fn key(&mut self) -> i64 {
        (random(&mut self.state) % self.keys).cast_signed()
    }
}

/// Xorshift: good enough to spread keys.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Tells two outputs apart, whatever order their partitions are read in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many records.
    pub records: u64,
    sum: u64,
}

impl Fingerprint {
    /// Takes one more record in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        value.hash(&mut hasher);
        self.records += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// What each workload must make of the records that it is shown.
#[derive(Debug, Default)]
pub struct Expected {
    map: Fingerprint,
    count: Counted,
    repartition: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    counts: HashMap<i64, i64>,
    output: Fingerprint,
}

impl Counted {
    fn add(&mut self, key: i64) {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        self.output.add(&key.to_be_bytes(), &count.to_be_bytes());
    }
}

impl Expected {
    /// One more record of input.
    pub fn add(&mut self, key: i64, value: &[u8]) {
        let mut mapped = value.to_vec();
        map_in_place(&mut mapped);
        self.map.add(&key.to_be_bytes(), &mapped);
        self.count.add(key);
        self.repartition.add(other_key(value));
    }

    /// The right output of a workload.
    #[must_use]
    pub fn output(&self, workload: Workload) -> Fingerprint {
        match workload {
            Workload::Map => self.map,
            Workload::Count => self.count.output,
            Workload::Repartition => self.repartition.output,
        }
    }
}
