//! One store of one task: the committed bytes, the open batch over them, the way to the changelog.
//!
//! # Invariants
//!
//! - Every put of a logged store sends exactly one changelog record, in order.
//! - [`apply`](TaskStore::apply) follows a commit, [`discard`](TaskStore::discard) an abort.

use bytes::Bytes;

use super::segments::Segments;
use super::staged::{Direction, StagedWrites};
use super::store::{ByteStore, Entry, KeyRange};
use crate::error::Error;
use crate::time::Timestamp;

/// How the value of a changelog record becomes the value in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangelogFormat {
    /// The same bytes.
    Plain,
    /// The store puts the record's timestamp (8 bytes, big-endian) before the value.
    Timestamped,
}

impl ChangelogFormat {
    /// What a store holds for a changelog record.
    pub(crate) fn to_store(self, value: &[u8], timestamp: Timestamp) -> Bytes {
        match self {
            ChangelogFormat::Plain => Bytes::copy_from_slice(value),
            ChangelogFormat::Timestamped => {
                let mut stored = Vec::with_capacity(8 + value.len());
                stored.extend_from_slice(&timestamp.as_millis().to_be_bytes());
                stored.extend_from_slice(value);
                Bytes::from(stored)
            }
        }
    }
}

/// A store as its task sees it.
#[derive(Debug)]
pub(crate) struct TaskStore {
    committed: Box<dyn ByteStore>,
    staged: StagedWrites,
    format: ChangelogFormat,
    /// How keys are divided by time; none in a key-value store.
    segments: Option<Segments>,
    progress: Progress,
    committed_progress: Progress,
}

/// How far a windowed store has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The highest time that was put: what is too far behind it is expired.
    observed_ms: i64,
    /// The last number that told duplicates apart.
    sequence: i32,
}

impl Progress {
    const NONE: Progress = Progress {
        observed_ms: -1,
        sequence: 0,
    };

    fn observe(&mut self, time_ms: i64) {
        self.observed_ms = self.observed_ms.max(time_ms);
    }
}

impl TaskStore {
    pub(crate) fn new(committed: Box<dyn ByteStore>, format: ChangelogFormat) -> Self {
        TaskStore {
            committed,
            staged: StagedWrites::default(),
            format,
            segments: None,
            progress: Progress::NONE,
            committed_progress: Progress::NONE,
        }
    }

    /// A store whose keys are divided by time.
    pub(crate) fn segmented(
        committed: Box<dyn ByteStore>,
        format: ChangelogFormat,
        segments: Segments,
    ) -> Self {
        TaskStore {
            segments: Some(segments),
            ..TaskStore::new(committed, format)
        }
    }

    /// The highest time that was put, -1 before the first.
    pub(crate) fn observed_ms(&self) -> i64 {
        self.progress.observed_ms
    }

    /// Notes the time of a put.
    pub(crate) fn observe(&mut self, time_ms: i64) {
        self.progress.observe(time_ms);
    }

    /// The next number that tells duplicates apart, from 1 on; it wraps to 0.
    pub(crate) fn next_sequence(&mut self) -> i32 {
        self.progress.sequence = self.progress.sequence.wrapping_add(1) & i32::MAX;
        self.progress.sequence
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.staged.get(&*self.committed, key)
    }

    /// Stages a write; the caller sends the changelog record.
    pub(crate) fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        self.staged.put(key, value);
    }

    pub(crate) fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        entries_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.staged
            .scan(&*self.committed, range, direction, entries_max)
    }

    pub(crate) fn approximate_entries(&self) -> u64 {
        self.committed.approximate_entries()
    }

    /// Makes the batch durable, after the broker has committed it.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        self.committed_progress = self.progress;
        if self.staged.len() == 0 {
            return Ok(());
        }
        self.committed.apply(&mut self.staged.take())
    }

    /// Forgets the batch, after the broker has aborted it.
    pub(crate) fn discard(&mut self) {
        self.staged.discard();
        self.progress = self.committed_progress;
    }

    /// Takes over changelog records, oldest first: they are committed by definition.
    pub(crate) fn restore<'r>(
        &mut self,
        records: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>, Timestamp)>,
    ) -> Result<(), Error> {
        assert_eq!(
            self.staged.len(),
            0,
            "a store is restored before its task runs"
        );
        let format = self.format;
        let (segments, progress) = (self.segments, &mut self.progress);
        let mut unreadable = None;
        let mut writes = records.filter_map(|(key, value, timestamp)| {
            let value = value.map(|value| format.to_store(value, timestamp));
            let Some(segments) = segments else {
                return Some((Bytes::copy_from_slice(key), value));
            };
            match segments.stored_key(key) {
                Ok((stored, time_ms)) => {
                    progress.observe(time_ms);
                    if let Some((_, sequence)) = key.split_last_chunk::<4>() {
                        progress.sequence = progress.sequence.max(i32::from_be_bytes(*sequence));
                    }
                    Some((stored, value))
                }
                Err(error) => {
                    unreadable.get_or_insert(error);
                    None
                }
            }
        });
        self.committed.apply(&mut writes)?;
        self.committed_progress = self.progress;
        unreadable.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    #[test]
    fn a_restored_timestamped_entry_equals_the_one_that_was_written() {
        let mut store = TaskStore::new(Box::new(MemoryStore::new()), ChangelogFormat::Timestamped);
        let records = [(&b"k"[..], Some(&b"v"[..]), Timestamp::from_millis(258))];
        store.restore(records.into_iter()).unwrap();
        let stored = store.get(b"k").unwrap().unwrap();
        assert_eq!(&stored[..], b"\0\0\0\0\0\0\x01\x02v");
    }

    #[test]
    fn replaying_a_changelog_twice_converges() {
        type Logged = (&'static [u8], Option<&'static [u8]>, Timestamp);
        let log: [Logged; 3] = [
            (b"a", Some(b"1"), Timestamp::NONE),
            (b"b", Some(b"2"), Timestamp::NONE),
            (b"a", None, Timestamp::NONE),
        ];
        let mut store = TaskStore::new(Box::new(MemoryStore::new()), ChangelogFormat::Plain);
        store.restore(log.into_iter()).unwrap();
        store.restore(log.into_iter()).unwrap();
        assert_eq!(store.get(b"a").unwrap(), None);
        assert_eq!(store.get(b"b").unwrap(), Some(Bytes::from_static(b"2")));
    }

    #[test]
    fn an_aborted_batch_leaves_no_trace() {
        let mut store = TaskStore::new(Box::new(MemoryStore::new()), ChangelogFormat::Plain);
        store.put(Bytes::from_static(b"a"), Some(Bytes::from_static(b"1")));
        store.apply().unwrap();
        store.put(Bytes::from_static(b"a"), Some(Bytes::from_static(b"2")));
        store.discard();
        assert_eq!(store.get(b"a").unwrap(), Some(Bytes::from_static(b"1")));
    }
}
