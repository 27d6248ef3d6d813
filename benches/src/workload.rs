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
//! | `join` | `left_join_table` with a table of as many rows as there are keys, in memory: the row's number takes the place of the other key |
//!
//! To add one: a variant here with its place in [`Expected`], an arm in `onceflow_worker.rs`,
//! `handwritten/stages.rs` and `Peer.java`, and its bounds in `compare/targets.rs`.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Bytes of a value.
pub const VALUE_BYTES: usize = 100;

/// Bytes of a row of the table.
pub const ROW_BYTES: usize = 8;

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
    /// Looks up the row of the key.
    Join,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 4] = [
        Workload::Map,
        Workload::Count,
        Workload::Repartition,
        Workload::Join,
    ];

    /// Records processed for so many of input, over all sub-topologies and inputs.
    #[must_use]
    pub fn processed(self, records: u64, table_rows: u64) -> u64 {
        match self {
            Workload::Map | Workload::Count => records,
            Workload::Repartition => 2 * records,
            Workload::Join => records + table_rows,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Workload::Map => "map",
            Workload::Count => "count",
            Workload::Repartition => "repartition",
            Workload::Join => "join",
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
    /// Lose some of it.
    AtMostOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtLeastOnce => "at-least-once",
            Guarantee::AtMostOnce => "at-most-once",
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

/// The row of a key in the table that `join` looks up.
#[must_use]
pub fn row(key: i64) -> [u8; ROW_BYTES] {
    key.wrapping_mul(7).wrapping_add(1).to_be_bytes()
}

/// What `join` makes of a record and the row of its key; without one, it stays as it is.
pub fn join_in_place(value: &mut [u8], row: &[u8]) {
    if let (Some(start), Ok(row)) = (value.first_chunk_mut(), <[u8; ROW_BYTES]>::try_from(row)) {
        *start = row;
    }
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

/// The part of an output that is compared. Whether a record met its row, or came before it, is a
/// matter of which partition was fetched first: what it became is checked by [`is_joined`].
#[must_use]
pub fn shown(workload: Workload, value: &[u8]) -> &[u8] {
    match workload {
        Workload::Join => value.get(ROW_BYTES..).unwrap_or_default(),
        Workload::Map | Workload::Count | Workload::Repartition => value,
    }
}

/// Whether an output of `join` holds the row of its key.
#[must_use]
pub fn is_joined(key: &[u8], value: &[u8]) -> bool {
    let key = key.first_chunk().copied().map(i64::from_be_bytes);
    key.is_some_and(|key| value.starts_with(&row(key)))
}

/// What each workload must make of the records that it is shown.
#[derive(Debug, Default)]
pub struct Expected {
    map: Fingerprint,
    count: Counted,
    repartition: Counted,
    join: Fingerprint,
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
        self.join.add(&key.to_be_bytes(), &value[ROW_BYTES..]);
    }

    /// The right output of a workload, as [`shown`] shows it.
    #[must_use]
    pub fn output(&self, workload: Workload) -> Fingerprint {
        match workload {
            Workload::Map => self.map,
            Workload::Count => self.count.output,
            Workload::Repartition => self.repartition.output,
            Workload::Join => self.join,
        }
    }
}
