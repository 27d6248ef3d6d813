//! What a partition remembers of its producers: epochs, sequence numbers, open transactions.
//!
//! # Invariants
//!
//! - **Check before append.** [`Producers::admit`] changes nothing; [`Producers::appended`] follows
//!   a batch that is in the log.
//! - **One open transaction per producer**, from the first transactional batch to the marker.
//! - **Bounded:** five batches a producer, [`PRODUCERS_MAX`] producers; an open one is never forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::batch::BatchHeader;
use crate::ErrorCode;

/// Batches of a producer in which a duplicate is recognised, as Kafka.
const BATCHES_REMEMBERED: usize = 5;
/// Producers remembered in a partition; beyond it the longest silent one is forgotten.
const PRODUCERS_MAX: usize = 10_000;

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: BTreeMap<i64, ProducerEntry>,
    /// First offset and producer of each open transaction: the first one bounds the stable log.
    open: BTreeSet<(i64, i64)>,
}

/// One producer as the partition knows it.
#[derive(Debug, Clone)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: i16,
    pub(crate) open_since: Option<i64>,
    pub(crate) last_timestamp: i64,
    batches: VecDeque<RememberedBatch>,
}

/// A batch that would be recognised if it came again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RememberedBatch {
    first_sequence: i32,
    last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) timestamp: i64,
}

/// What is to become of a batch that may be appended as far as its producer is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Admission {
    Append,
    /// The same batch is in the log already: answer as then.
    Duplicate(RememberedBatch),
}

impl ProducerEntry {
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<RememberedBatch> {
        let wanted = (header.base_sequence, header.last_sequence());
        self.batches
            .iter()
            .filter(|_| self.epoch == header.producer_epoch)
            .find(|batch| (batch.first_sequence, batch.last_sequence) == wanted)
            .copied()
    }
}

impl Producers {
    /// Decides on a client's batch that names a producer.
    ///
    /// # Errors
    ///
    /// `INVALID_PRODUCER_EPOCH` from a fenced producer, `OUT_OF_ORDER_SEQUENCE_NUMBER` over a gap,
    /// `INVALID_TXN_STATE` for a plain batch inside the producer's own transaction.
    pub(crate) fn admit(&self, header: &BatchHeader) -> Result<Admission, ErrorCode> {
        let Some(entry) = self.entries.get(&header.producer_id) else {
            return Ok(Admission::Append);
        };
        if let Some(duplicate) = entry.duplicate_of(header) {
            return Ok(Admission::Duplicate(duplicate));
        }
        if header.producer_epoch < entry.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let expected = if header.producer_epoch > entry.epoch {
            0
        } else {
            entry.last_sequence().checked_add(1).unwrap_or(0)
        };
        if header.base_sequence != expected {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        if entry.open_since.is_some() && !header.is_transactional() {
            return Err(ErrorCode::InvalidTxnState);
        }
        Ok(Admission::Append)
    }

    /// Notes an admitted batch, placed at its offset.
    pub(crate) fn appended(&mut self, header: &BatchHeader) {
        self.make_room(header.producer_id);
        let entry = self.entry(header.producer_id, header.producer_epoch);
        if entry.batches.len() == BATCHES_REMEMBERED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(RememberedBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
            timestamp: header.max_timestamp,
        });
        entry.last_timestamp = header.max_timestamp;
        if header.is_transactional() && entry.open_since.is_none() {
            entry.open_since = Some(header.base_offset);
            self.open.insert((header.base_offset, header.producer_id));
        }
    }

    /// Notes a marker: the transaction is over. Answers its first offset, if it wrote anything here.
    pub(crate) fn marked(&mut self, producer_id: i64, epoch: i16, now_ms: i64) -> Option<i64> {
        self.make_room(producer_id);
        let entry = self.entry(producer_id, epoch);
        entry.last_timestamp = now_ms;
        let first = entry.open_since.take()?;
        let was_open = self.open.remove(&(first, producer_id));
        assert!(
            was_open,
            "an open transaction of producer {producer_id} is in the index"
        );
        Some(first)
    }

    /// The first offset of the oldest open transaction.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open.first().map(|(offset, _)| *offset)
    }

    /// Whether the producer, in this epoch, has written into a transaction that has no marker yet.
    pub(crate) fn has_open(&self, producer_id: i64, epoch: i16) -> bool {
        let entry = self.entries.get(&producer_id);
        entry.is_some_and(|entry| entry.open_since.is_some() && entry.epoch == epoch)
    }

    /// All producers, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    fn entry(&mut self, producer_id: i64, epoch: i16) -> &mut ProducerEntry {
        let entry = self
            .entries
            .entry(producer_id)
            .or_insert_with(|| ProducerEntry {
                epoch,
                open_since: None,
                last_timestamp: -1,
                batches: VecDeque::new(),
            });
        if entry.epoch != epoch {
            // A new epoch counts from 0: a remembered batch of the old one is no duplicate.
            entry.epoch = epoch;
            entry.batches.clear();
        }
        entry
    }

    fn make_room(&mut self, for_id: i64) {
        if self.entries.len() < PRODUCERS_MAX || self.entries.contains_key(&for_id) {
            return;
        }
        let silent = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.open_since.is_none())
            .min_by_key(|(_, entry)| entry.last_timestamp)
            .map(|(id, _)| *id);
        if let Some(id) = silent {
            self.entries.remove(&id);
        }
    }
}
