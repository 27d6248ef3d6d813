//! Windowed entries, divided by time into segments that expire as a whole.
//!
//! ```text
//!   stored key    segment (8) ‖ changelog key
//!   window        key ‖ start (8) ‖ sequence (4)      segment = start / interval
//!   session       key ‖ end (8) ‖ start (8)           segment = end / interval
//! ```
//!
//! # Invariants
//!
//! - Stored keys are ordered by segment first, so a scan visits segments one after the other.
//! - A segment goes once its last entry is past the retention; what is past it in a live segment
//!   is hidden by the views, so the interval changes no answer.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::memory::MemoryStore;
use super::store::{ByteStore, Entry, KeyRange};
use crate::error::{Error, ErrorKind};

/// Bytes of the segment's number before the changelog key.
pub(super) const SEGMENT_BYTES: usize = 8;

/// Kafka Streams' shortest segment.
const SEGMENT_MS_MIN: i64 = 60_000;

/// Which of its times a windowed key is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentedKey {
    /// `key ‖ start ‖ sequence`, by start.
    Window,
    /// `key ‖ end ‖ start`, by end.
    Session,
}

impl SegmentedKey {
    /// Bytes from the beginning of the time to the end of the key.
    pub(super) const fn suffix_bytes(self) -> usize {
        match self {
            SegmentedKey::Window => 12,
            SegmentedKey::Session => 16,
        }
    }
}

/// How the entries of a windowed store are divided, and when they expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segments {
    pub(crate) key: SegmentedKey,
    pub(crate) retention_ms: i64,
    pub(crate) interval_ms: i64,
}

impl Segments {
    /// With Kafka Streams' interval: half the retention, at least a minute.
    pub(crate) fn new(key: SegmentedKey, retention_ms: i64) -> Self {
        Segments {
            key,
            retention_ms,
            interval_ms: (retention_ms / 2).max(SEGMENT_MS_MIN),
        }
    }

    pub(super) fn segment_of(&self, time_ms: i64) -> i64 {
        time_ms.max(0) / self.interval_ms
    }

    /// The time by which a changelog key, or a stored one, is divided.
    pub(super) fn time_of(&self, key: &[u8]) -> Option<i64> {
        let at = key.len().checked_sub(self.key.suffix_bytes())?;
        let (time, _) = key[at..].split_first_chunk::<8>()?;
        Some(i64::from_be_bytes(*time))
    }

    /// The highest time that is expired, given the highest time that was put.
    pub(super) fn expired_ms(&self, observed_ms: i64) -> i64 {
        observed_ms.saturating_sub(self.retention_ms)
    }

    /// The lowest time that is kept.
    pub(super) fn kept_from_ms(&self, observed_ms: i64) -> i64 {
        let expired = self.expired_ms(observed_ms);
        match self.key {
            SegmentedKey::Window => expired.saturating_add(1),
            // A session at the very edge can still be merged with, though it is not read any more.
            SegmentedKey::Session => expired,
        }
    }

    /// What the store calls an entry of the changelog, and its time.
    pub(super) fn stored_key(&self, changelog_key: &[u8]) -> Result<(Bytes, i64), Error> {
        let time = self.time_of(changelog_key).filter(|time| *time >= 0);
        let Some(time) = time else {
            let message = format!(
                "a changelog key of {} bytes has no window; did something else write to this \
                 topic?",
                changelog_key.len()
            );
            return Err(Error::new(ErrorKind::Store, message));
        };
        let mut key = Vec::with_capacity(SEGMENT_BYTES + changelog_key.len());
        key.extend_from_slice(&self.segment_of(time).to_be_bytes());
        key.extend_from_slice(changelog_key);
        Ok((Bytes::from(key), time))
    }
}

/// Where a segment begins among the stored keys.
pub(super) fn segment_start(segment: i64) -> Bytes {
    Bytes::copy_from_slice(&segment.to_be_bytes())
}

/// The segment of a stored key.
pub(super) fn segment_of_key(key: &[u8]) -> i64 {
    let segment = key.first_chunk::<SEGMENT_BYTES>();
    i64::from_be_bytes(*segment.expect("stored keys begin with their segment"))
}

/// A store for each segment, dropped when it is expired.
#[derive(Debug)]
pub(crate) struct SegmentedStore {
    segments: Segments,
    stores: BTreeMap<i64, MemoryStore>,
    /// The highest time that was put.
    observed_ms: i64,
}

impl SegmentedStore {
    pub(crate) fn new(segments: Segments) -> Self {
        SegmentedStore {
            segments,
            stores: BTreeMap::new(),
            observed_ms: i64::MIN,
        }
    }

    /// The numbers of the segments that a range of stored keys can touch.
    fn between(&self, range: &KeyRange) -> (Bound<i64>, Bound<i64>) {
        let bound = |bound: &Bound<Bytes>, edge: i64| match bound {
            Bound::Included(key) | Bound::Excluded(key) if key.len() >= SEGMENT_BYTES => {
                segment_of_key(key)
            }
            _ => edge,
        };
        let (from, to) = (bound(&range.from, i64::MIN), bound(&range.to, i64::MAX));
        (Bound::Included(from), Bound::Included(to.max(from)))
    }

    fn expire(&mut self) {
        let last_expired = self.segments.expired_ms(self.observed_ms);
        if last_expired < 0 {
            return;
        }
        // The segment of the last expired entry may hold younger ones.
        let oldest_live = self.segments.segment_of(last_expired);
        while let Some(oldest) = self.stores.first_entry() {
            if *oldest.key() >= oldest_live {
                return;
            }
            drop(oldest.remove());
        }
    }
}

impl ByteStore for SegmentedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.stores.get(&segment_of_key(key)) {
            Some(store) => store.get(key),
            None => Ok(None),
        }
    }

    fn scan(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for (_, store) in self.stores.range(self.between(range)) {
            let missing = entries_max - entries.len();
            entries.append(&mut store.scan(range, missing)?);
            if entries.len() == entries_max {
                break;
            }
        }
        Ok(entries)
    }

    fn scan_reverse(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for (_, store) in self.stores.range(self.between(range)).rev() {
            let missing = entries_max - entries.len();
            entries.append(&mut store.scan_reverse(range, missing)?);
            if entries.len() == entries_max {
                break;
            }
        }
        Ok(entries)
    }

    fn apply(
        &mut self,
        writes: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
    ) -> Result<(), Error> {
        for (key, value) in writes {
            let time = self.segments.time_of(&key);
            self.observed_ms = self.observed_ms.max(time.unwrap_or(i64::MIN));
            let store = self.stores.entry(segment_of_key(&key)).or_default();
            store.apply(&mut std::iter::once((key, value)))?;
        }
        self.expire();
        Ok(())
    }

    fn approximate_entries(&self) -> u64 {
        self.stores
            .values()
            .map(ByteStore::approximate_entries)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Segments = Segments {
        key: SegmentedKey::Window,
        retention_ms: 100,
        interval_ms: 10,
    };

    fn entry(key: &str, start: i64) -> (Bytes, Option<Bytes>) {
        let mut bytes = key.as_bytes().to_vec();
        bytes.extend_from_slice(&start.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let (key, _) = HOURLY.stored_key(&bytes).unwrap();
        (key, Some(Bytes::copy_from_slice(&start.to_be_bytes())))
    }

    fn starts(store: &SegmentedStore) -> Vec<i64> {
        let entries = store.scan(&KeyRange::ALL, usize::MAX).unwrap();
        let starts = entries.iter().map(|(key, _)| HOURLY.time_of(key).unwrap());
        starts.collect()
    }

    #[test]
    fn a_segment_goes_when_its_last_entry_is_past_the_retention() {
        let mut store = SegmentedStore::new(HOURLY);
        let writes = [entry("a", 0), entry("a", 9), entry("a", 10)];
        store.apply(&mut writes.into_iter()).unwrap();
        store.apply(&mut [entry("b", 109)].into_iter()).unwrap();
        assert_eq!(starts(&store), [0, 9, 10, 109]); // 9 has just expired, 10 has not
        store.apply(&mut [entry("b", 110)].into_iter()).unwrap();
        assert_eq!(starts(&store), [10, 109, 110]);
    }

    #[test]
    fn a_scan_runs_through_segments_in_order_and_stops_at_its_limit() {
        let mut store = SegmentedStore::new(HOURLY);
        let writes = [entry("a", 25), entry("b", 3), entry("a", 14)];
        store.apply(&mut writes.into_iter()).unwrap();
        assert_eq!(starts(&store), [3, 14, 25]);
        let two = store.scan_reverse(&KeyRange::ALL, 2).unwrap();
        let two: Vec<_> = two.iter().map(|(key, _)| HOURLY.time_of(key)).collect();
        assert_eq!(two, [Some(25), Some(14)]);
        let (from, _) = entry("a", 14);
        let range = KeyRange::inclusive(from.clone(), from);
        assert_eq!(store.scan(&range, 9).unwrap().len(), 1);
    }

    #[test]
    fn a_changelog_key_without_a_window_is_an_error() {
        assert!(HOURLY.stored_key(b"12345678901").is_err());
        assert!(HOURLY.stored_key(&[0xff; 12]).is_err());
    }
}
