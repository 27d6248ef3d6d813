//! One partition's log: batches in offset order, what is stable of it, what was aborted.
//!
//! ```text
//!  start            last stable offset        end = high watermark
//!    |  committed, aborted  |  open transactions   |
//!    [batch][batch][marker] [batch][batch][batch]  .
//! ```
//!
//! # Invariants
//!
//! - **The end is the high watermark:** one node, so what is written is replicated.
//! - **The stable offset never goes back**, and no open transaction lies below it.
//! - **Batches ascend and do not overlap.** Compaction and record deletion leave gaps, never doubles.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use self::batch::{BatchHeader, ControlAt};
use self::producers::{Admission, Producers};
use crate::ErrorCode;

pub(crate) mod batch;
pub(crate) mod records;
pub(crate) mod producers;
pub(crate) mod compaction;
#[cfg(test)]
mod tests;

/// The codec with the highest number: zstd.
const CODEC_MAX: i16 = 4;

/// The only leader epoch: one node, which never hands a partition over.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// A partition's records and what readers need to know about them.
#[derive(Debug, Default)]
pub(crate) struct Log {
    batches: VecDeque<StoredBatch>,
    start: i64,
    end: i64,
    bytes: usize,
    pub(crate) producers: Producers,
    aborted: Vec<AbortedTransaction>,
}

/// A batch as it goes out to readers, with the fields that are asked for often.
#[derive(Debug, Clone)]
pub(crate) struct StoredBatch {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
}

/// An entry of the aborted index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) marker_offset: i64,
}

/// What the topic's settings say about appending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendRules {
    pub(crate) message_bytes_max: usize,
    pub(crate) log_append_time: bool,
    pub(crate) compacted: bool,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) timestamp_before_max_ms: i64,
}

/// Where a produced batch is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// −1 where the producer's own timestamps were kept.
    pub(crate) append_time_ms: i64,
}

/// A timestamp and the offset that it was found at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimedOffset {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
}

/// A read's limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimits {
    pub(crate) from: i64,
    /// The first offset that may not be read.
    pub(crate) until: i64,
    pub(crate) bytes_max: usize,
    /// Whether one batch is returned even if it alone is larger than `bytes_max`: without it
    /// a reader could never pass a large batch.
    pub(crate) at_least_one: bool,
}

/// What was read, and where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    pub(crate) next: i64,
}

impl Log {
    pub(crate) fn start_offset(&self) -> i64 {
        self.start
    }

    pub(crate) fn end_offset(&self) -> i64 {
        self.end
    }

    /// The first offset that a read-committed reader must not see yet.
    pub(crate) fn stable_offset(&self) -> i64 {
        self.producers.first_open_offset().unwrap_or(self.end)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a client's batch.
    ///
    /// # Errors
    ///
    /// What Apache Kafka answers for the same bytes.
    pub(crate) fn append(
        &mut self,
        bytes: &Bytes,
        rules: &AppendRules,
        now_ms: i64,
    ) -> Result<Appended, ErrorCode> {
        let header = admissible(bytes, rules, now_ms)?;
        if header.has_producer()
            && let Admission::Duplicate(known) = self.producers.admit(&header)?
        {
            return Ok(Appended {
                base_offset: known.base_offset,
                append_time_ms: known.timestamp,
            });
        }
        let mut placed = batch::placed(bytes, self.end, LEADER_EPOCH);
        let mut header = BatchHeader {
            base_offset: self.end,
            ..header
        };
        if rules.log_append_time {
            batch::stamp_append_time(&mut placed, &header, now_ms);
            header = BatchHeader::parse(&placed).expect("a stamped batch keeps its shape");
        }
        if header.has_producer() {
            self.producers.appended(&header);
        }
        let base_offset = header.base_offset;
        self.push(StoredBatch {
            header,
            bytes: placed.freeze(),
        });
        let append_time_ms = if rules.log_append_time { now_ms } else { -1 };
        Ok(Appended {
            base_offset,
            append_time_ms,
        })
    }

    /// Ends a transaction here: writes its marker and, if it is aborted, indexes what to skip.
    pub(crate) fn mark(&mut self, producer_id: i64, epoch: i16, commit: bool, now_ms: i64) {
        let stable_before = self.stable_offset();
        let marker_offset = self.end;
        let at = ControlAt {
            offset: marker_offset,
            leader_epoch: LEADER_EPOCH,
            now_ms,
        };
        let bytes = batch::control_batch(at, producer_id, epoch, commit);
        let header = BatchHeader::parse(&bytes).expect("a control batch has a header");
        self.push(StoredBatch { header, bytes });
        let first = self.producers.marked(producer_id, epoch, now_ms);
        if let Some(first_offset) = first.filter(|_| !commit) {
            self.aborted.push(AbortedTransaction {
                producer_id,
                first_offset,
                marker_offset,
            });
        }
        assert!(
            self.stable_offset() >= stable_before,
            "a marker only ever moves the stable offset on"
        );
    }

    /// Whole batches from the one that holds `limits.from`, as one block of bytes.
    pub(crate) fn read(&self, limits: ReadLimits) -> Read {
        let batches = self.readable(limits);
        let next = batches
            .last()
            .map_or(limits.from, |batch| batch.header.last_offset() + 1);
        let bytes = match batches.as_slice() {
            [] => Bytes::new(),
            [one] => one.bytes.clone(),
            many => {
                let size = many.iter().map(|batch| batch.bytes.len()).sum();
                let mut block = BytesMut::with_capacity(size);
                many.iter()
                    .for_each(|batch| block.extend_from_slice(&batch.bytes));
                block.freeze()
            }
        };
        Read { bytes, next }
    }

    /// How many bytes lie between an offset and `until`, counted no further than `enough`.
    pub(crate) fn readable_bytes(&self, from: i64, until: i64, enough: usize) -> usize {
        let mut bytes = 0;
        for batch in self.batches.range(self.index_of(from)..) {
            if batch.header.base_offset >= until || bytes >= enough {
                break;
            }
            bytes += batch.bytes.len();
        }
        bytes
    }

    /// The transactions that a reader of `from..until` has to skip.
    pub(crate) fn aborted_between(&self, from: i64, until: i64) -> Vec<AbortedTransaction> {
        // Markers ascend in the index, so everything before the first one at `from` is behind.
        let first = self
            .aborted
            .partition_point(|entry| entry.marker_offset < from);
        let mut entries: Vec<_> = self.aborted[first..]
            .iter()
            .filter(|entry| entry.first_offset < until)
            .copied()
            .collect();
        entries.sort_by_key(|entry| entry.first_offset);
        entries
    }

    /// Deletes the records below `offset`; −1 is the high watermark. Answers the new start.
    ///
    /// # Errors
    ///
    /// `OFFSET_OUT_OF_RANGE` above the high watermark.
    pub(crate) fn delete_before(&mut self, offset: i64) -> Result<i64, ErrorCode> {
        let offset = if offset == -1 { self.end } else { offset };
        if offset < 0 || offset > self.end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.start = self.start.max(offset);
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.header.last_offset() < self.start)
        {
            let gone = self.batches.pop_front();
            self.bytes -= gone.map_or(0, |batch| batch.bytes.len());
        }
        let start = self.start;
        self.aborted.retain(|entry| entry.marker_offset >= start);
        Ok(self.start)
    }

    /// The first record with a timestamp of at least `timestamp`.
    pub(crate) fn first_at_or_after(&self, timestamp: i64) -> Option<TimedOffset> {
        self.batches
            .iter()
            .filter(|batch| batch.header.max_timestamp >= timestamp)
            .find_map(|batch| records::first_at_or_after(batch, timestamp, self.start))
    }

    /// The first record with the highest timestamp of the log.
    pub(crate) fn latest_timestamp(&self) -> Option<TimedOffset> {
        let highest = self
            .batches
            .iter()
            .map(|batch| batch.header.max_timestamp)
            .max()?;
        self.first_at_or_after(highest)
    }

    fn readable(&self, limits: ReadLimits) -> Vec<&StoredBatch> {
        let mut picked = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.range(self.index_of(limits.from)..) {
            let fits = bytes + batch.bytes.len() <= limits.bytes_max;
            let first = picked.is_empty() && limits.at_least_one;
            if batch.header.base_offset >= limits.until || !(fits || first) {
                break;
            }
            bytes += batch.bytes.len();
            picked.push(batch);
        }
        picked
    }

    /// The first batch that ends at or after `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.header.last_offset() < offset)
    }

    fn push(&mut self, batch: StoredBatch) {
        assert_eq!(
            batch.header.base_offset, self.end,
            "batches follow one another"
        );
        self.end = batch.header.last_offset() + 1;
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
    }
}

/// The checks on a client's batch that need nothing of the log.
fn admissible(bytes: &Bytes, rules: &AppendRules, now_ms: i64) -> Result<BatchHeader, ErrorCode> {
    let header = BatchHeader::parse(bytes)?;
    if header.base_offset != 0 {
        return Err(ErrorCode::InvalidRecord);
    }
    if bytes.len() > rules.message_bytes_max {
        return Err(ErrorCode::MessageTooLarge);
    }
    if !batch::checksum_holds(bytes) {
        return Err(ErrorCode::CorruptMessage);
    }
    if header.compression() > CODEC_MAX {
        return Err(ErrorCode::UnknownServerError);
    }
    let counted =
        header.records > 0 && header.last_offset_delta.checked_add(1) == Some(header.records);
    let sequenced = header.base_sequence >= 0 && header.producer_epoch >= 0;
    if header.is_control() || !counted || (header.has_producer() && !sequenced) {
        return Err(ErrorCode::InvalidRecord);
    }
    if !rules.log_append_time {
        let ahead_ms = header.max_timestamp.saturating_sub(now_ms);
        let behind_ms = now_ms.saturating_sub(header.base_timestamp);
        if ahead_ms > rules.timestamp_after_max_ms || behind_ms > rules.timestamp_before_max_ms {
            return Err(ErrorCode::InvalidTimestamp);
        }
    }
    if rules.compacted && records::some_key_is_missing(&header, bytes) {
        return Err(ErrorCode::InvalidRecord);
    }
    Ok(header)
}
