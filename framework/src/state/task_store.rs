//! One store of one task: the committed bytes, the open batch over them, the way to the changelog.
//!
//! # Invariants
//!
//! - Every put of a logged store sends exactly one changelog record, in order.
//! - [`apply`](TaskStore::apply) follows a commit, [`discard`](TaskStore::discard) an abort.

use bytes::Bytes;

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
}

impl TaskStore {
    pub(crate) fn new(committed: Box<dyn ByteStore>, format: ChangelogFormat) -> Self {
        TaskStore {
            committed,
            staged: StagedWrites::default(),
            format,
        }
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
        if self.staged.len() == 0 {
            return Ok(());
        }
        self.committed.apply(&mut self.staged.take())
    }

    /// Forgets the batch, after the broker has aborted it.
    pub(crate) fn discard(&mut self) {
        self.staged.discard();
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
        let mut writes = records.map(|(key, value, timestamp)| {
            let value = value.map(|value| format.to_store(value, timestamp));
            (Bytes::copy_from_slice(key), value)
        });
        self.committed.apply(&mut writes)
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
