//! The typed view of a plain key-value store.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::builder::StoreSerdes;
use super::changelog::Changelog;
use super::cursor::Cursor;
use super::raw_store::RawStore;
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::TaskStore;
use crate::error::Error;
use crate::serde::{Encoded, SharedSerde};

/// A key-value store of a task: what [`Context::key_value_store`] hands out.
///
/// Writes are visible to this task at once, and to nobody else before the batch is committed.
/// Keys are ordered by their serialized bytes, as in Kafka Streams.
///
/// [`Context::key_value_store`]: crate::processor::Context::key_value_store
pub struct KeyValueStore<K, V> {
    raw: RawStore<K>,
    value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> KeyValueStore<K, V> {
    pub(crate) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        serdes: &StoreSerdes<K, V>,
    ) -> Self {
        KeyValueStore {
            raw: RawStore::new(store, log, serdes.key.clone()),
            value: serdes.value.clone(),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        self.read(&self.raw.key(key)?)
    }

    /// Writes the value of a key; a value that is null to its serde deletes.
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, key: &K, value: &V) -> Result<(), Error> {
        self.write(&self.raw.key(key)?, value)
    }

    /// Writes the value of a key that has none, and answers the value that it has already.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn put_if_absent(&self, key: &K, value: &V) -> Result<Option<V>, Error> {
        let key = self.raw.key(key)?;
        let present = self.read(&key)?;
        if present.is_none() {
            self.write(&key, value)?;
        }
        Ok(present)
    }

    /// Removes a key and answers the value that it had.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn delete(&self, key: &K) -> Result<Option<V>, Error> {
        let key = self.raw.key(key)?;
        let present = self.read(&key)?;
        self.raw.put(&key, None, None, None)?;
        Ok(present)
    }

    /// Entries from `from` to `to`, both included, in the order of the serialized keys.
    ///
    /// The scan fetches slices, so it sees writes made behind its back further on.
    ///
    /// # Errors
    ///
    /// When a bound cannot be serialized; each step can fail on its own.
    pub fn range(
        &self,
        from: &K,
        to: &K,
    ) -> Result<impl Iterator<Item = Result<(K, V), Error>> + use<K, V>, Error> {
        let range = self.raw.range_of(from, to)?;
        Ok(self.typed(self.raw.cursor(range, Direction::Forward)))
    }

    /// As [`range`](Self::range), from the last key to the first.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn reverse_range(
        &self,
        from: &K,
        to: &K,
    ) -> Result<impl Iterator<Item = Result<(K, V), Error>> + use<K, V>, Error> {
        let range = self.raw.range_of(from, to)?;
        Ok(self.typed(self.raw.cursor(range, Direction::Reverse)))
    }

    /// Every entry, in the order of the serialized keys.
    pub fn all(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Forward))
    }

    /// Every entry, from the last key to the first.
    pub fn reverse_all(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Reverse))
    }

    /// Entries whose serialized key begins with `prefix`.
    pub fn prefix_scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        self.typed(self.raw.cursor(range, Direction::Forward))
    }

    /// How many entries were committed; the open batch is not counted.
    #[must_use]
    pub fn approximate_entries(&self) -> u64 {
        self.raw.store.borrow().approximate_entries()
    }

    fn read(&self, key: &[u8]) -> Result<Option<V>, Error> {
        self.raw.get(key, |bytes| self.raw.read(&self.value, bytes))
    }

    fn write(&self, key: &[u8], value: &V) -> Result<(), Error> {
        let mut bytes = self.raw.value_buffer();
        let written = self.raw.write(&self.value, value, &mut bytes)?;
        let bytes = (written == Encoded::Bytes).then_some(&bytes[..]);
        self.raw.put(key, bytes, bytes, None)
    }

    fn typed(&self, mut cursor: Cursor) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        let (raw, value) = (self.raw.clone(), self.value.clone());
        std::iter::from_fn(move || {
            let read = |(key, bytes)| Ok((raw.read(&raw.key, key)?, raw.read(&value, bytes)?));
            Some(cursor.next()?.and_then(read))
        })
    }
}

impl<K, V> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyValueStore({})", self.raw.log.store())
    }
}
