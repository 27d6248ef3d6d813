//! What an application counts: every record that was dropped, by node and reason, and every worker
//! that was replaced.
//!
//! # Invariants
//!
//! - A drop is counted once the batch that dropped the record is committed: a replay does not
//!   count it twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why a record went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The operator needs a key and there was none.
    NullKey,
    /// The operator needs a value and there was none.
    NullValue,
    /// The record came after its window, or its version, had closed.
    Late,
    /// The bytes could not be read and the handler said to go on.
    Deserialization,
    /// Processing failed and the handler said to go on.
    Processing,
    /// An output could not be written or was refused, and the handler said to go on.
    Production,
    /// The timestamp extractor answered with a negative timestamp.
    NegativeTimestamp,
    /// The partitioner named no partition.
    NoPartition,
    /// A store refused what is past its retention.
    Expired,
    /// A record of the same id went through before.
    Duplicate,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::NullKey => "null key",
            DropReason::NullValue => "null value",
            DropReason::Late => "late",
            DropReason::Deserialization => "undeserializable",
            DropReason::Processing => "processing failed",
            DropReason::Production => "output refused",
            DropReason::NegativeTimestamp => "negative timestamp",
            DropReason::NoPartition => "no partition",
            DropReason::Expired => "expired",
            DropReason::Duplicate => "duplicate",
        })
    }
}

/// Drops by the name of the node and the reason.
pub type Drops = BTreeMap<(String, DropReason), u64>;

/// The counters of one application, shared by its workers.
#[derive(Debug, Default)]
pub struct Metrics {
    drops: Mutex<Drops>,
    replaced_workers: AtomicU64,
}

impl Metrics {
    /// Records dropped so far, by node and reason.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.drops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Records dropped so far, all together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.drops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .sum()
    }

    /// Workers replaced so far, by the word of the handler of uncaught errors.
    #[must_use]
    pub fn replaced_workers(&self) -> u64 {
        self.replaced_workers.load(Ordering::Relaxed)
    }

    pub(crate) fn add_replaced_worker(&self) {
        self.replaced_workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what a committed batch dropped.
    pub(crate) fn add_drops(&self, batch: Drops) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, count) in batch {
            *drops.entry(at).or_default() += count;
        }
    }
}
