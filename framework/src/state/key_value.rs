//! The typed view of a plain key-value store.

use std::cell::RefCell;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;

use super::builder::StoreSerdes;
use super::changelog::Changelog;
use super::staged::Direction;
use super::store::{Entry, KeyRange};
use super::task_store::TaskStore;
use crate::error::Error;
use crate::serde::{Encoded, Serde, SharedSerde};
use crate::time::Timestamp;

/// How many entries a scan fetches at a time: a scan never holds the whole store in memory.
const SCAN_SLICE_ENTRIES: usize = 256;

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
        let bytes = self.raw.get(key)?;
        bytes
            .map(|bytes| self.raw.read(&self.value, &bytes))
            .transpose()
    }

    /// Writes the value of a key; a value that is null to its serde deletes.
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, key: &K, value: &V) -> Result<(), Error> {
        let bytes = self.raw.write(&self.value, value)?;
        self.raw.put(key, bytes)
    }

    /// Writes the value of a key that has none, and answers the value that it has already.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn put_if_absent(&self, key: &K, value: &V) -> Result<Option<V>, Error> {
        let present = self.get(key)?;
        if present.is_none() {
            self.put(key, value)?;
        }
        Ok(present)
    }

    /// Removes a key and answers the value that it had.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn delete(&self, key: &K) -> Result<Option<V>, Error> {
        let present = self.get(key)?;
        self.raw.put(key, None)?;
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

    fn typed(&self, cursor: Cursor) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        let (raw, value) = (self.raw.clone(), self.value.clone());
        cursor.map(move |entry| {
            let (key, bytes) = entry?;
            Ok((raw.read(&raw.key, &key)?, raw.read(&value, &bytes)?))
        })
    }
}

impl<K, V> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyValueStore({})", self.raw.log.store())
    }
}

/// What typed views share: keys through their serde, values as bytes, the changelog.
pub(super) struct RawStore<K> {
    pub(super) store: Rc<RefCell<TaskStore>>,
    pub(super) log: Rc<dyn Changelog>,
    pub(super) key: SharedSerde<K>,
}

impl<K> Clone for RawStore<K> {
    fn clone(&self) -> Self {
        RawStore {
            store: Rc::clone(&self.store),
            log: Rc::clone(&self.log),
            key: self.key.clone(),
        }
    }
}

impl<K: 'static> RawStore<K> {
    pub(super) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        key: SharedSerde<K>,
    ) -> Self {
        RawStore { store, log, key }
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<Bytes>, Error> {
        let key = self.key_bytes(key)?;
        self.store.borrow().get(&key)
    }

    /// Stages a write and logs it with the timestamp of the record being processed.
    fn put(&self, key: &K, value: Option<Vec<u8>>) -> Result<(), Error> {
        let key = self.key_bytes(key)?;
        self.log.send(&key, value.as_deref(), None)?;
        self.store.borrow_mut().put(key, value.map(Bytes::from));
        Ok(())
    }

    /// Stages `stored` and logs `logged` with a timestamp of its own.
    pub(super) fn put_as(
        &self,
        key: &K,
        stored: Option<Bytes>,
        logged: Option<&[u8]>,
        timestamp: Option<Timestamp>,
    ) -> Result<(), Error> {
        let key = self.key_bytes(key)?;
        self.log.send(&key, logged, timestamp)?;
        self.store.borrow_mut().put(key, stored);
        Ok(())
    }

    fn key_bytes(&self, key: &K) -> Result<Bytes, Error> {
        let bytes = self.write(&self.key, key)?;
        bytes
            .map(Bytes::from)
            .ok_or_else(|| self.log.error("a store has no entry for a null key"))
    }

    pub(super) fn write<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        value: &T,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        match serde.serialize(value, &mut bytes) {
            Ok(Encoded::Bytes) => Ok(Some(bytes)),
            Ok(Encoded::Null) => Ok(None),
            Err(error) => Err(self
                .log
                .error("cannot serialize for the store")
                .because(error)),
        }
    }

    pub(super) fn read<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        bytes: &[u8],
    ) -> Result<T, Error> {
        let value = serde.deserialize(Some(bytes));
        value.map_err(|error| {
            let remedy = "cannot read what the store holds; was its serde changed?";
            self.log.error(remedy).because(error)
        })
    }

    pub(super) fn range_of(&self, from: &K, to: &K) -> Result<KeyRange, Error> {
        Ok(KeyRange::inclusive(
            self.key_bytes(from)?,
            self.key_bytes(to)?,
        ))
    }

    pub(super) fn cursor(&self, range: KeyRange, direction: Direction) -> Cursor {
        Cursor {
            store: Rc::clone(&self.store),
            rest: Some(range),
            direction,
            slice: Vec::new().into_iter(),
        }
    }
}

/// A scan in slices that holds no borrow of the store between steps.
pub(super) struct Cursor {
    store: Rc<RefCell<TaskStore>>,
    /// What is still to be fetched; none once the last slice came back short.
    rest: Option<KeyRange>,
    direction: Direction,
    slice: std::vec::IntoIter<Entry>,
}

impl Iterator for Cursor {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.slice.next() {
            return Some(Ok(entry));
        }
        let range = self.rest.take()?;
        let slice = self
            .store
            .borrow()
            .scan(&range, self.direction, SCAN_SLICE_ENTRIES);
        let slice = match slice {
            Ok(slice) => slice,
            Err(error) => return Some(Err(error)),
        };
        if let Some((last, _)) = slice.last().filter(|_| slice.len() == SCAN_SLICE_ENTRIES) {
            let seen = Bound::Excluded(last.clone());
            self.rest = Some(match self.direction {
                Direction::Forward => KeyRange {
                    from: seen,
                    to: range.to,
                },
                Direction::Reverse => KeyRange {
                    from: range.from,
                    to: seen,
                },
            });
        }
        self.slice = slice.into_iter();
        self.slice.next().map(Ok)
    }
}
