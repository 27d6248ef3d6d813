//! Compaction: of the records with one key below the stable offset, the last one stays.
//!
//! # Invariants
//!
//! - **Offsets and headers stay as they were:** a surviving record's bytes are copied, not encoded anew.
//! - **Nothing at or above the stable offset is touched**, so an open transaction can still abort.
//! - **Aborted records go, markers stay:** dropping an abort marker under a reader would end its skipping late.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::batch::{assemble, uncompressed};
use super::records::{RawRecord, records};
use super::{LEADER_EPOCH, Log, StoredBatch};

impl Log {
    /// Compacts the stable part of the log. Tombstones older than `tombstones_before_ms` go too.
    pub(crate) fn compact(&mut self, tombstones_before_ms: i64) {
        let stable = self.stable_offset();
        let latest = self.latest_by_key(stable);
        let mut kept = VecDeque::with_capacity(self.batches.len());
        for batch in std::mem::take(&mut self.batches) {
            let beyond = batch.header.last_offset() >= stable;
            if beyond || batch.header.is_control() {
                kept.push_back(batch);
                continue;
            }
            let survives = |record: &RawRecord| {
                let newest = record
                    .key
                    .as_ref()
                    .is_none_or(|key| latest.get(key) == Some(&record.offset));
                newest && !(record.value.is_none() && record.timestamp < tombstones_before_ms)
            };
            kept.extend(self.rewritten(batch, survives));
        }
        self.bytes = kept.iter().map(|batch| batch.bytes.len()).sum();
        self.batches = kept;
    }

    fn latest_by_key(&self, stable: i64) -> BTreeMap<Bytes, i64> {
        let mut latest = BTreeMap::new();
        for batch in self
            .batches
            .iter()
            .filter(|batch| !batch.header.is_control())
        {
            if batch.header.last_offset() >= stable || self.was_aborted(batch) {
                continue;
            }
            for record in records(&batch.header, &batch.bytes).unwrap_or_default() {
                if let Some(key) = record.key {
                    latest.insert(key, record.offset);
                }
            }
        }
        latest
    }

    fn rewritten(
        &self,
        batch: StoredBatch,
        survives: impl Fn(&RawRecord) -> bool,
    ) -> Option<StoredBatch> {
        if self.was_aborted(&batch) {
            return None;
        }
        // A batch that cannot be read stays whole: better too much than a lost record.
        let Some(all) = records(&batch.header, &batch.bytes) else {
            return Some(batch);
        };
        let kept: Vec<_> = all.iter().filter(|record| survives(record)).collect();
        if kept.len() == all.len() {
            return Some(batch);
        }
        let count = i32::try_from(kept.len()).ok().filter(|count| *count > 0)?;
        let mut block = BytesMut::new();
        kept.iter()
            .for_each(|record| block.extend_from_slice(&record.raw));
        let header = uncompressed(&batch.header, count);
        Some(StoredBatch {
            header,
            bytes: assemble(&header, LEADER_EPOCH, &block),
        })
    }

    fn was_aborted(&self, batch: &StoredBatch) -> bool {
        let header = &batch.header;
        header.is_transactional()
            && self.aborted.iter().any(|entry| {
                entry.producer_id == header.producer_id
                    && (entry.first_offset..entry.marker_offset).contains(&header.base_offset)
            })
    }
}
