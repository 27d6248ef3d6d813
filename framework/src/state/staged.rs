//! Writes of the open batch, laid over a committed store that has no room for them itself.
//!
//! # Invariants
//!
//! - A read sees the last staged write of its key, else the committed value.
//! - A scan is the scan of the store as it would be after `apply`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::store::{ByteStore, Entry, KeyRange};
use crate::error::Error;

/// An ordered overlay: `None` hides a committed entry.
#[derive(Debug, Default)]
pub(crate) struct StagedWrites {
    writes: BTreeMap<Bytes, Option<Bytes>>,
}

/// Which way a scan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Reverse,
}

impl StagedWrites {
    /// Stages a put, or a deletion.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let value = value.map(Bytes::copy_from_slice);
        self.writes.insert(Bytes::copy_from_slice(key), value);
    }

    /// The value of a key, through the overlay.
    pub(crate) fn get(
        &self,
        committed: &dyn ByteStore,
        key: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        match self.writes.get(key) {
            Some(staged) => Ok(staged.clone()),
            None => committed.get(key),
        }
    }

    /// The next `entries_max` entries of a range, through the overlay.
    pub(crate) fn scan(
        &self,
        committed: &dyn ByteStore,
        range: &KeyRange,
        direction: Direction,
        entries_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        // Staged deletions can hide committed entries, so as many more must be fetched.
        let staged = self.staged_in(range, direction);
        let hidden = staged.iter().filter(|(_, value)| value.is_none()).count();
        let fetch = entries_max.saturating_add(hidden);
        let below = match direction {
            Direction::Forward => committed.scan(range, fetch)?,
            Direction::Reverse => committed.scan_reverse(range, fetch)?,
        };
        Ok(merge(below, &staged, direction, entries_max))
    }

    fn staged_in(&self, range: &KeyRange, direction: Direction) -> Vec<(&Bytes, &Option<Bytes>)> {
        let staged = self.writes.range((range.from.clone(), range.to.clone()));
        match direction {
            Direction::Forward => staged.collect(),
            Direction::Reverse => staged.rev().collect(),
        }
    }

    /// Hands over all writes in key order and is empty again.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + use<> {
        std::mem::take(&mut self.writes).into_iter()
    }

    /// Forgets all writes.
    pub(crate) fn discard(&mut self) {
        self.writes.clear();
    }

    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Merges two sorted runs; on equal keys the staged one wins, and `None` removes.
fn merge(
    below: Vec<Entry>,
    staged: &[(&Bytes, &Option<Bytes>)],
    direction: Direction,
    entries_max: usize,
) -> Vec<Entry> {
    let precedes = |left: &Bytes, right: &Bytes| match direction {
        Direction::Forward => left < right,
        Direction::Reverse => left > right,
    };
    let mut merged = Vec::with_capacity(entries_max.min(below.len() + staged.len()));
    let mut below = below.into_iter().peekable();
    let mut staged = staged.iter().peekable();
    while merged.len() < entries_max {
        let staged_first = match (below.peek(), staged.peek()) {
            (None, None) => break,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some((key, _)), Some((over, _))) => !precedes(key, over),
        };
        if !staged_first {
            merged.extend(below.next());
            continue;
        }
        let Some((key, value)) = staged.next() else {
            break;
        };
        below.next_if(|(hidden, _)| hidden == *key);
        if let Some(value) = value {
            merged.push(((*key).clone(), value.clone()));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::memory::MemoryStore;
    use super::*;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    #[derive(Debug, Clone)]
    enum Step {
        Put(Vec<u8>, Vec<u8>),
        Delete(Vec<u8>),
        Apply,
        Discard,
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7f, 0xff]), 0..3)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (key(), prop::collection::vec(any::<u8>(), 0..2)).prop_map(|(k, v)| Step::Put(k, v)),
            3 => key().prop_map(Step::Delete),
            1 => Just(Step::Apply),
            1 => Just(Step::Discard),
        ]
    }

    fn play(steps: Vec<Step>) -> (MemoryStore, StagedWrites, Model) {
        let (mut store, mut staged) = (MemoryStore::new(), StagedWrites::default());
        let (mut visible, mut durable) = (Model::new(), Model::new());
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    staged.put(&key, Some(&value));
                    visible.insert(key, value);
                }
                Step::Delete(key) => {
                    visible.remove(&key);
                    staged.put(&key, None);
                }
                Step::Apply => {
                    durable = visible.clone();
                    store.apply(&mut staged.take()).unwrap();
                }
                Step::Discard => {
                    visible = durable.clone();
                    staged.discard();
                }
            }
        }
        (store, staged, visible)
    }

    proptest! {
        #[test]
        fn reads_and_scans_through_the_overlay_equal_a_plain_map(
            steps in prop::collection::vec(step(), 0..60),
            from in key(), to in key(), limit in 1usize..6,
        ) {
            let (store, staged, model) = play(steps);
            for key in model.keys().chain([&from, &to]) {
                let got = staged.get(&store, key).unwrap().map(|v| v.to_vec());
                prop_assert_eq!(got, model.get(key).cloned());
            }
            let range = KeyRange::inclusive(from.clone().into(), to.clone().into());
            let mut expected: Vec<Entry> = model
                .iter()
                .filter(|(key, _)| **key >= from && **key <= to)
                .map(|(k, v)| (k.clone().into(), v.clone().into()))
                .collect();
            let forward = staged.scan(&store, &range, Direction::Forward, limit).unwrap();
            prop_assert_eq!(&forward[..], &expected[..limit.min(expected.len())]);
            expected.reverse();
            let reverse = staged.scan(&store, &range, Direction::Reverse, limit).unwrap();
            prop_assert_eq!(&reverse[..], &expected[..limit.min(expected.len())]);
        }

        #[test]
        fn a_prefix_scan_finds_exactly_the_keys_with_the_prefix(
            steps in prop::collection::vec(step(), 0..60), prefix in key(),
        ) {
            let (store, staged, model) = play(steps);
            let range = KeyRange::prefix(prefix.clone().into());
            let found = staged.scan(&store, &range, Direction::Forward, usize::MAX).unwrap();
            let found: Vec<Vec<u8>> = found.into_iter().map(|(key, _)| key.to_vec()).collect();
            let expected: Vec<Vec<u8>> =
                model.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
