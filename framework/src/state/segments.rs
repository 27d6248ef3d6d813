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
//! - What somebody who is behind may still need goes later: when the slowest is past it, too, or
//!   when it is held for as long as it may be.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::memory::MemoryStore;
use super::staged::Direction;
use super::store::{ByteStore, KeyRange, View};
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
    /// How much longer entries are held for those who are behind.
    pub(crate) held_ms: i64,
    pub(crate) interval_ms: i64,
}

impl Segments {
    /// With Kafka Streams' interval: half the retention, at least a minute.
    pub(crate) fn new(key: SegmentedKey, retention_ms: i64) -> Self {
        Segments {
            key,
            retention_ms,
            held_ms: 0,
            interval_ms: (retention_ms / 2).max(SEGMENT_MS_MIN),
        }
    }

    /// As they are for those who are behind: what is held for them is kept, and read.
    pub(super) fn with_held(self) -> Self {
        Segments {
            retention_ms: self.retention_ms.saturating_add(self.held_ms),
            held_ms: 0,
            ..self
        }
    }

    /// The highest time that nobody needs any more, given the highest time that was put, and the
    /// time of the slowest who reads.
    fn done_ms(&self, observed_ms: i64, slowest_ms: i64) -> i64 {
        let for_all = self.expired_ms(observed_ms.min(slowest_ms));
        for_all.max(self.with_held().expired_ms(observed_ms))
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

    /// The number that tells an entry of the changelog from its duplicates, 0 where there are none.
    pub(super) fn sequence_of(&self, changelog_key: &[u8]) -> i32 {
        match (self.key, changelog_key.last_chunk::<4>()) {
            (SegmentedKey::Window, Some(sequence)) => i32::from_be_bytes(*sequence),
            _ => 0,
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

/// A store for each segment, dropped when it is expired. Within it keys are the changelog's.
#[derive(Debug)]
pub(crate) struct SegmentedStore {
    segments: Segments,
    stores: BTreeMap<i64, MemoryStore>,
    /// The highest time that was put.
    observed_ms: i64,
    /// The same with the open batch.
    staged_observed_ms: i64,
    /// The time of the slowest who reads, if entries are held for those who are behind.
    slowest_ms: i64,
}

impl SegmentedStore {
    pub(crate) fn new(segments: Segments) -> Self {
        SegmentedStore {
            segments,
            stores: BTreeMap::new(),
            observed_ms: i64::MIN,
            staged_observed_ms: i64::MIN,
            slowest_ms: i64::MIN,
        }
    }

    /// From the next commit on, what the slowest who reads is done with may go.
    pub(super) fn needed_at(&mut self, slowest_ms: i64) {
        self.slowest_ms = slowest_ms;
    }

    /// The value of a stored key as the open batch sees it.
    pub(super) fn staged_or_committed(&self, key: &[u8]) -> Option<&[u8]> {
        let (segment, key) = split_segment(key);
        self.stores.get(&segment)?.staged_or_committed(key)
    }

    /// The value of a stored key without the open batch.
    pub(super) fn committed(&self, key: &[u8]) -> Option<&[u8]> {
        let (segment, key) = split_segment(key);
        self.stores.get(&segment)?.committed(key)
    }

    /// Stages a put, or a deletion, of a stored key.
    pub(super) fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        let time = self.segments.time_of(key).unwrap_or(i64::MIN);
        self.staged_observed_ms = self.staged_observed_ms.max(time);
        self.store_of(key, |store, key| store.stage(key, value));
    }

    /// Makes what is staged the committed state; segments that are expired by it go.
    pub(super) fn commit_staged(&mut self) {
        self.stores
            .values_mut()
            .for_each(MemoryStore::commit_staged);
        self.observed_ms = self.staged_observed_ms;
        self.expire();
    }

    /// Forgets what is staged.
    pub(super) fn discard_staged(&mut self) {
        self.stores
            .values_mut()
            .for_each(MemoryStore::discard_staged);
        self.staged_observed_ms = self.observed_ms;
    }

    /// Whether the open batch has written nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.stores.values().all(MemoryStore::is_clean)
    }

    /// Writes a stored key past the open batch.
    pub(super) fn write_committed(&mut self, key: &[u8], value: Option<&[u8]>) {
        let time = self.segments.time_of(key).unwrap_or(i64::MIN);
        self.observed_ms = self.observed_ms.max(time);
        self.staged_observed_ms = self.staged_observed_ms.max(time);
        self.store_of(key, |store, key| store.write_committed(key, value));
        self.expire();
    }

    /// Shows the first `entries_max` entries of a range of stored keys, in a direction: the
    /// changelog's key, and the value.
    pub(super) fn scan_as(
        &self,
        (view, range): (View, &KeyRange),
        direction: Direction,
        entries_max: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let mut missing = entries_max;
        let mut show = |(segment, store): (&i64, &MemoryStore)| {
            if let Some(range) = range_within(*segment, range) {
                store.scan_as((view, &range), direction, missing, &mut |key, value| {
                    missing -= 1;
                    each(key, value);
                });
            }
            missing > 0
        };
        let mut stores = self.stores.range(self.between(range));
        match direction {
            Direction::Forward => stores.all(&mut show),
            Direction::Reverse => stores.rev().all(&mut show),
        };
    }

    pub(super) fn approximate_entries(&self) -> u64 {
        let stores = self.stores.values();
        stores.map(ByteStore::approximate_entries).sum()
    }

    fn store_of(&mut self, key: &[u8], write: impl FnOnce(&mut MemoryStore, &[u8])) {
        let (segment, key) = split_segment(key);
        write(self.stores.entry(segment).or_default(), key);
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
        let last_done = self.segments.done_ms(self.observed_ms, self.slowest_ms);
        if last_done < 0 {
            return;
        }
        // The segment of the last entry that is done with may hold younger ones.
        let oldest_live = self.segments.segment_of(last_done);
        while let Some(oldest) = self.stores.first_entry() {
            if *oldest.key() >= oldest_live {
                return;
            }
            drop(oldest.remove());
        }
    }
}

/// The segment of a stored key, and the key within it.
fn split_segment(key: &[u8]) -> (i64, &[u8]) {
    (segment_of_key(key), &key[SEGMENT_BYTES..])
}

/// What of a range of stored keys lies in a segment, by the keys within it.
fn range_within(segment: i64, range: &KeyRange) -> Option<KeyRange> {
    use Bound::{Excluded, Included, Unbounded};
    let start = segment.to_be_bytes();
    let within = |key: &Bytes| key.starts_with(&start).then(|| key.slice(SEGMENT_BYTES..));
    let from = match &range.from {
        Included(key) if within(key).is_some() => Included(within(key)?),
        Excluded(key) if within(key).is_some() => Excluded(within(key)?),
        Included(key) | Excluded(key) if key[..] > start[..] => return None,
        _ => Unbounded,
    };
    let to = match &range.to {
        Included(key) if within(key).is_some() => Included(within(key)?),
        Excluded(key) if within(key).is_some() => Excluded(within(key)?),
        Included(key) | Excluded(key) if key[..] < start[..] => return None,
        _ => Unbounded,
    };
    Some(KeyRange { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Segments = Segments {
        key: SegmentedKey::Window,
        retention_ms: 100,
        held_ms: 0,
        interval_ms: 10,
    };

    fn entry(key: &str, start: i64) -> (Bytes, Option<Bytes>) {
        let mut bytes = key.as_bytes().to_vec();
        bytes.extend_from_slice(&start.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let (key, _) = HOURLY.stored_key(&bytes).unwrap();
        (key, Some(Bytes::copy_from_slice(&start.to_be_bytes())))
    }

    fn commit(store: &mut SegmentedStore, writes: &[(Bytes, Option<Bytes>)]) {
        for (key, value) in writes {
            store.stage(key, value.as_deref());
        }
        store.commit_staged();
    }

    fn scan(
        store: &SegmentedStore,
        range: &KeyRange,
        direction: Direction,
        entries_max: usize,
    ) -> Vec<i64> {
        let mut starts = Vec::new();
        store.scan_as(
            (View::Task, range),
            direction,
            entries_max,
            &mut |key, _| {
                starts.push(HOURLY.time_of(key).unwrap());
            },
        );
        starts
    }

    fn starts(store: &SegmentedStore) -> Vec<i64> {
        scan(store, &KeyRange::ALL, Direction::Forward, usize::MAX)
    }

    #[test]
    fn a_segment_goes_when_its_last_entry_is_past_the_retention() {
        let mut store = SegmentedStore::new(HOURLY);
        commit(&mut store, &[entry("a", 0), entry("a", 9), entry("a", 10)]);
        commit(&mut store, &[entry("b", 109)]);
        assert_eq!(starts(&store), [0, 9, 10, 109]); // 9 has just expired, 10 has not
        commit(&mut store, &[entry("b", 110)]);
        assert_eq!(starts(&store), [10, 109, 110]);
    }

    #[test]
    fn a_segment_is_held_for_the_slowest_but_not_for_ever() {
        let mut store = SegmentedStore::new(Segments {
            held_ms: 1000,
            ..HOURLY
        });
        commit(&mut store, &[entry("a", 0), entry("b", 500)]);
        assert_eq!(starts(&store), [0, 500]); // nobody has said how far the slowest is
        store.needed_at(109);
        commit(&mut store, &[entry("b", 501)]);
        assert_eq!(starts(&store), [0, 500, 501]);
        store.needed_at(110);
        commit(&mut store, &[entry("b", 502)]);
        assert_eq!(starts(&store), [500, 501, 502]);
        store.needed_at(-1);
        commit(&mut store, &[entry("b", 1609)]);
        assert_eq!(starts(&store), [500, 501, 502, 1609]);
        commit(&mut store, &[entry("b", 1610)]);
        assert_eq!(starts(&store), [1609, 1610]);
    }

    #[test]
    fn a_batch_expires_segments_once_it_is_committed() {
        let mut store = SegmentedStore::new(HOURLY);
        commit(&mut store, &[entry("a", 0)]);
        for _ in 0..2 {
            let (key, value) = entry("b", 200);
            store.stage(&key, value.as_deref());
            assert_eq!(starts(&store), [0, 200]);
            store.discard_staged();
            assert_eq!(starts(&store), [0]);
            commit(&mut store, &[entry("a", 1)]);
            store.stage(&entry("a", 1).0, None);
            store.commit_staged();
        }
        commit(&mut store, &[entry("b", 200)]);
        assert_eq!(starts(&store), [200]);
    }

    #[test]
    fn a_scan_runs_through_segments_in_order_and_stops_at_its_limit() {
        let mut store = SegmentedStore::new(HOURLY);
        commit(&mut store, &[entry("a", 25), entry("b", 3), entry("a", 14)]);
        assert_eq!(starts(&store), [3, 14, 25]);
        let two = scan(&store, &KeyRange::ALL, Direction::Reverse, 2);
        assert_eq!(two, [25, 14]);
        let (from, _) = entry("a", 14);
        let range = KeyRange::inclusive(from.clone(), from);
        assert_eq!(scan(&store, &range, Direction::Forward, 9), [14]);
    }

    #[test]
    fn a_range_may_begin_and_end_within_segments_or_between_them() {
        let mut store = SegmentedStore::new(HOURLY);
        let keys: Vec<(Bytes, Option<Bytes>)> = [0, 5, 9, 14, 25, 47]
            .iter()
            .flat_map(|start| [entry("a", *start), entry("b", *start)])
            .collect();
        commit(&mut store, &keys);
        let mut edges: Vec<Bytes> = keys.iter().map(|(key, _)| key.clone()).collect();
        edges.extend((0..6).map(segment_start));
        edges.extend([
            Bytes::new(),
            Bytes::from_static(&[0; 3]),
            Bytes::from_static(&[1]),
        ]);
        for from in &edges {
            for to in &edges {
                let range = KeyRange {
                    from: Bound::Excluded(from.clone()),
                    to: Bound::Excluded(to.clone()),
                };
                let mut sorted: Vec<&Bytes> = keys.iter().map(|(key, _)| key).collect();
                sorted.sort();
                sorted.retain(|key| from < *key && *key < to);
                let expected: Vec<_> = sorted.iter().map(|k| HOURLY.time_of(k).unwrap()).collect();
                let found = scan(&store, &range, Direction::Forward, usize::MAX);
                assert_eq!(found, expected, "{range:?}");
            }
        }
    }

    #[test]
    fn a_changelog_key_without_a_window_is_an_error() {
        assert!(HOURLY.stored_key(b"12345678901").is_err());
        assert!(HOURLY.stored_key(&[0xff; 12]).is_err());
    }
}
