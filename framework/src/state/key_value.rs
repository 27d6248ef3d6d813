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
    /// Whether a put may have another entry forgotten.
    forgets: bool,
}

impl<K: 'static, V: 'static> KeyValueStore<K, V> {
    pub(crate) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        serdes: &StoreSerdes<K, V>,
    ) -> Self {
        let forgets = store.borrow().forgets();
        KeyValueStore {
            forgets,
            raw: RawStore::new(store, log, serdes.key.clone()),
            value: serdes.value.clone(),
        }
    }

    /// The value of a key.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// stock.put(&"nut".to_owned(), &3)?;
    /// assert_eq!(stock.get(&"nut".to_owned())?, Some(3));
    /// assert_eq!(stock.get(&"bolt".to_owned())?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        self.read(&self.raw.key(key)?)
    }

    /// Writes the value of a key; a value that is null to its serde deletes.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// stock.put(&nut, &3)?;
    /// stock.put(&nut, &5)?;
    /// assert_eq!(stock.get(&nut)?, Some(5));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, key: &K, value: &V) -> Result<(), Error> {
        self.write(&self.raw.key(key)?, value)
    }

    /// Writes the value of a key that has none, and answers the value that it has already.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// assert_eq!(stock.put_if_absent(&nut, &3)?, None);
    /// assert_eq!(stock.put_if_absent(&nut, &5)?, Some(3));
    /// assert_eq!(stock.get(&nut)?, Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
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
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// stock.put(&nut, &3)?;
    /// assert_eq!(stock.delete(&nut)?, Some(3));
    /// assert_eq!(stock.delete(&nut)?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
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
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), &pieces)?;
    /// }
    /// let found = stock.range(&"a".to_owned(), &"nut".to_owned())?;
    /// let found = found.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(found, [("bolt".to_owned(), 1), ("nut".to_owned(), 2)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
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
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), &pieces)?;
    /// }
    /// let found = stock.reverse_range(&"a".to_owned(), &"nut".to_owned())?;
    /// let found = found.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(found, [("nut".to_owned(), 2), ("bolt".to_owned(), 1)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
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
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), &pieces)?;
    /// }
    /// let pieces: Result<Vec<i64>, _> = stock.all().map(|entry| entry.map(|(_, n)| n)).collect();
    /// assert_eq!(pieces?, [1, 2, 3]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Forward))
    }

    /// Every entry, from the last key to the first.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), &pieces)?;
    /// }
    /// let pieces: Result<Vec<i64>, _> = stock.reverse_all().map(|entry| entry.map(|(_, n)| n)).collect();
    /// assert_eq!(pieces?, [3, 2, 1]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn reverse_all(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Reverse))
    }

    /// Entries whose serialized key begins with `prefix`.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// for article in ["nut-m3", "nut-m4", "screw-m3"] {
    ///     stock.put(&article.to_owned(), &1)?;
    /// }
    /// assert_eq!(stock.prefix_scan(b"nut-").count(), 2);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn prefix_scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(K, V), Error>> + use<K, V> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        self.typed(self.raw.cursor(range, Direction::Forward))
    }

    /// How many entries were committed; the open batch is not counted.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// stock.put(&"nut".to_owned(), &3)?;
    /// assert_eq!(stock.approximate_entries(), 0);
    /// stores.commit()?;
    /// assert_eq!(stock.approximate_entries(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
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
        if self.forgets && bytes.is_some() {
            self.log_forgotten(key)?;
        }
        self.raw.put(key, bytes, bytes, None)
    }

    /// Logs that an entry is deleted, where there is no room for it beside this one.
    fn log_forgotten(&self, key: &[u8]) -> Result<(), Error> {
        let forgotten = self.raw.store.borrow().forgotten_for(key);
        forgotten.map_or(Ok(()), |key| self.raw.log.send(&key, None, None))
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
