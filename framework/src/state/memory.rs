//! The store in memory: an ordered map, restored from its changelog on start.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::store::{ByteStore, Entry, KeyRange};
use crate::error::Error;

/// An ordered map in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: BTreeMap<Bytes, Bytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }
}

impl ByteStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.entries.get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries.range((range.from.clone(), range.to.clone()));
        Ok(entries.take(entries_max).map(owned).collect())
    }

    fn scan_reverse(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries.range((range.from.clone(), range.to.clone()));
        Ok(entries.rev().take(entries_max).map(owned).collect())
    }

    fn apply(
        &mut self,
        writes: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
    ) -> Result<(), Error> {
        for (key, value) in writes {
            match value {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
        Ok(())
    }

    fn approximate_entries(&self) -> u64 {
        self.entries.len() as u64
    }
}

fn owned((key, value): (&Bytes, &Bytes)) -> Entry {
    (key.clone(), value.clone())
}
