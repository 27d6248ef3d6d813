//! The typed view of a store whose values carry the time of their last update: every table's.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::builder::StoreSerdes;
use super::changelog::{Changelog, NO_HEADERS};
use super::cursor::Cursor;
use super::raw_store::{Buffer, RawStore};
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::{TIMESTAMP_BYTES, TaskStore, begin_timestamped};
use crate::error::Error;
use crate::record::Headers;
use crate::serde::{Encoded, SharedSerde};
use crate::time::Timestamp;

/// A value and the timestamp of the record that set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// When it was set.
    pub timestamp: Timestamp,
}

/// A key-value store whose values carry a timestamp: what
/// [`Context::timestamped_key_value_store`] hands out, and what every table is kept in.
///
/// [`Context::timestamped_key_value_store`]: crate::processor::Context::timestamped_key_value_store
pub struct TimestampedKeyValueStore<K, V> {
    raw: RawStore<K>,
    value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> TimestampedKeyValueStore<K, V> {
    pub(crate) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        serdes: &StoreSerdes<K, V>,
    ) -> Self {
        TimestampedKeyValueStore {
            raw: RawStore::new(store, log, serdes.key.clone()),
            value: serdes.value.clone(),
        }
    }

    /// The value of a key and when it was set.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore, ValueAndTimestamp};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// stock.put(&"nut".to_owned(), Some(&3), at(7))?;
    /// let nuts = ValueAndTimestamp { value: 3, timestamp: at(7) };
    /// assert_eq!(stock.get(&"nut".to_owned())?, Some(nuts));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        self.row(key)?.get()
    }

    /// The row of a key, to be read and then written without finding it twice.
    ///
    /// ```
    /// # use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::state::TimestampedKeyValueStore;
    /// use onceflow_framework::{Error, Timestamp};
    ///
    /// /// Adds to the sum of a key.
    /// fn add(
    ///     sums: &TimestampedKeyValueStore<String, i64>,
    ///     key: &String,
    ///     value: i64,
    ///     now: Timestamp,
    /// ) -> Result<(), Error> {
    ///     let row = sums.row(key)?;
    ///     let sum = row.get()?.map_or(0, |row| row.value);
    ///     row.put(Some(&(sum + value)), now)
    /// }
    /// # let _ = add;
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized.
    pub fn row(&self, key: &K) -> Result<Row<'_, K, V>, Error> {
        let key = self.raw.key(key)?;
        Ok(Row { store: self, key })
    }

    /// Sets the value of a key as of `timestamp`; `None`, or a value that is null to its serde,
    /// deletes.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// let nut = "nut".to_owned();
    /// stock.put(&nut, Some(&3), at(7))?;
    /// stock.put(&nut, None, at(8))?;
    /// assert_eq!(stock.get(&nut)?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, key: &K, value: Option<&V>, timestamp: Timestamp) -> Result<(), Error> {
        self.row(key)?.put(value, timestamp)
    }

    /// Sets the value of a key that has none, and answers the row that it has already.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// let nut = "nut".to_owned();
    /// assert_eq!(stock.put_if_absent(&nut, &3, at(7))?, None);
    /// let present = stock.put_if_absent(&nut, &5, at(8))?;
    /// assert_eq!(present.map(|row| (row.value, row.timestamp)), Some((3, at(7))));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn put_if_absent(
        &self,
        key: &K,
        value: &V,
        timestamp: Timestamp,
    ) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let row = self.row(key)?;
        let present = row.get()?;
        if present.is_none() {
            row.put(Some(value), timestamp)?;
        }
        Ok(present)
    }

    /// Removes a key, at the time of the record in process, and answers the row that it had.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// let nut = "nut".to_owned();
    /// stock.put(&nut, Some(&3), at(7))?;
    /// assert_eq!(stock.delete(&nut)?.map(|row| row.value), Some(3));
    /// assert_eq!(stock.get(&nut)?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn delete(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let row = self.row(key)?;
        let present = row.get()?;
        row.put(None, Timestamp::NONE)?;
        Ok(present)
    }

    /// Entries from `from` to `to`, both included, in the order of the serialized keys.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), Some(&pieces), at(0))?;
    /// }
    /// let found = stock.range(&"a".to_owned(), &"nut".to_owned())?;
    /// let pieces: Result<Vec<i64>, _> = found.map(|entry| entry.map(|(_, row)| row.value)).collect();
    /// assert_eq!(pieces?, [1, 2]);
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
    ) -> Result<impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V>, Error>
    {
        let range = self.raw.range_of(from, to)?;
        Ok(self.typed(self.raw.cursor(range, Direction::Forward)))
    }

    /// As [`range`](Self::range), from the last key to the first.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), Some(&pieces), at(0))?;
    /// }
    /// let found = stock.reverse_range(&"a".to_owned(), &"nut".to_owned())?;
    /// let pieces: Result<Vec<i64>, _> = found.map(|entry| entry.map(|(_, row)| row.value)).collect();
    /// assert_eq!(pieces?, [2, 1]);
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
    ) -> Result<impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V>, Error>
    {
        let range = self.raw.range_of(from, to)?;
        Ok(self.typed(self.raw.cursor(range, Direction::Reverse)))
    }

    /// Every entry, in the order of the serialized keys.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), Some(&pieces), at(0))?;
    /// }
    /// let found = stock.all();
    /// let pieces: Result<Vec<i64>, _> = found.map(|entry| entry.map(|(_, row)| row.value)).collect();
    /// assert_eq!(pieces?, [1, 2, 3]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all(
        &self,
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Forward))
    }

    /// Every entry, from the last key to the first.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// for (article, pieces) in [("bolt", 1), ("nut", 2), ("screw", 3)] {
    ///     stock.put(&article.to_owned(), Some(&pieces), at(0))?;
    /// }
    /// let found = stock.reverse_all();
    /// let pieces: Result<Vec<i64>, _> = found.map(|entry| entry.map(|(_, row)| row.value)).collect();
    /// assert_eq!(pieces?, [3, 2, 1]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn reverse_all(
        &self,
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Reverse))
    }

    /// Entries whose serialized key begins with `prefix`.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// for article in ["nut-m3", "nut-m4", "screw-m3"] {
    ///     stock.put(&article.to_owned(), Some(&1), at(0))?;
    /// }
    /// assert_eq!(stock.prefix_scan(b"nut-").count(), 2);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn prefix_scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        self.typed(self.raw.cursor(range, Direction::Forward))
    }

    /// How many entries were committed; the open batch is not counted.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let at = Timestamp::from_millis;
    /// stock.put(&"nut".to_owned(), Some(&3), at(0))?;
    /// assert_eq!(stock.approximate_entries(), 0);
    /// stores.commit()?;
    /// assert_eq!(stock.approximate_entries(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn approximate_entries(&self) -> u64 {
        self.raw.store.borrow().approximate_entries()
    }

    fn typed(
        &self,
        mut cursor: Cursor,
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        let (raw, value) = (self.raw.clone(), self.value.clone());
        std::iter::from_fn(move || {
            let read = |(key, bytes)| Ok((raw.read(&raw.key, key)?, decode(&raw, &value, bytes)?));
            Some(cursor.next()?.and_then(read))
        })
    }
}

/// The place of one key in a store: what [`TimestampedKeyValueStore::row`] finds.
pub struct Row<'s, K, V> {
    store: &'s TimestampedKeyValueStore<K, V>,
    key: Buffer<'s>,
}

impl<K: 'static, V: 'static> Row<'_, K, V> {
    /// As [`TimestampedKeyValueStore::get`].
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// assert_eq!(row.get()?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the stored bytes cannot be read.
    pub fn get(&self) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let TimestampedKeyValueStore { raw, value } = self.store;
        raw.get(&self.key, |bytes| decode(raw, value, bytes))
    }

    /// As [`TimestampedKeyValueStore::put`].
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// row.put(Some(&3), Timestamp::from_millis(7))?;
    /// assert_eq!(row.get()?.map(|nuts| nuts.value), Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the value cannot be serialized or the changelog record cannot be sent.
    pub fn put(&self, value: Option<&V>, timestamp: Timestamp) -> Result<(), Error> {
        self.put_with_headers(value, timestamp, &NO_HEADERS)
    }

    /// As [`put`](Self::put), with headers in the changelog, as Kafka Streams logs the subscriptions
    /// of a foreign-key join.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// let mut headers = onceflow_framework::Headers::new();
    /// headers.push("origin", Some(b"count"));
    /// row.put_with_headers(Some(&3), Timestamp::from_millis(7), &headers)?;
    /// assert_eq!(row.get()?.map(|nuts| nuts.value), Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_with_headers(
        &self,
        value: Option<&V>,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Result<(), Error> {
        let raw = &self.store.raw;
        let mut stored = raw.value_buffer();
        let encoded = self.encode(value, timestamp, &mut stored)?;
        if encoded == Encoded::Bytes && headers.is_empty() && raw.store.borrow().logs_at_close() {
            raw.log.check()?;
            raw.store.borrow_mut().put_unlogged(&self.key, &stored);
            return Ok(());
        }
        let (stored, logged, logged_at) = match encoded {
            Encoded::Bytes => {
                let logged = &stored[TIMESTAMP_BYTES..];
                (Some(&stored[..]), Some(logged), Some(timestamp))
            }
            // Logged at the time of the record being processed, as Kafka Streams does.
            Encoded::Null => (None, None, None),
        };
        raw.log.send_with(&self.key, logged, logged_at, headers)?;
        raw.store.borrow_mut().put(&self.key, stored);
        Ok(())
    }

    /// As [`put`](Self::put), but for the changelog: a [`log`](Self::log) before the commit is owed.
    /// Answers how many bytes are stored.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// let bytes = row.stage(Some(&3), Timestamp::from_millis(7))?;
    /// assert_eq!(bytes, 16); // a timestamp and the number
    /// row.log(Timestamp::from_millis(7), &onceflow_framework::Headers::new())?;
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the value cannot be serialized.
    pub fn stage(&self, value: Option<&V>, timestamp: Timestamp) -> Result<usize, Error> {
        let raw = &self.store.raw;
        let mut stored = raw.value_buffer();
        let bytes = match self.encode(value, timestamp, &mut stored)? {
            Encoded::Bytes => Some(&stored[..]),
            Encoded::Null => None,
        };
        raw.store.borrow_mut().put(&self.key, bytes);
        Ok(bytes.map_or(0, <[u8]>::len))
    }

    /// Logs what the row holds: once for any number of [`stage`](Self::stage)s. That it is deleted
    /// is logged as of `deleted_at`, with these headers.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// row.stage(Some(&3), Timestamp::from_millis(7))?;
    /// row.stage(Some(&4), Timestamp::from_millis(8))?;
    /// row.log(Timestamp::from_millis(8), &onceflow_framework::Headers::new())?; // one record for both
    /// assert_eq!(row.get()?.map(|nuts| nuts.value), Some(4));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the changelog record cannot be sent.
    pub fn log(&self, deleted_at: Timestamp, headers: &Headers) -> Result<(), Error> {
        let raw = &self.store.raw;
        let send = |stored: Option<&[u8]>| match stored.and_then(<[u8]>::split_first_chunk) {
            Some((at, value)) => {
                let at = Timestamp::from_millis(i64::from_be_bytes(*at));
                raw.log.send(&self.key, Some(value), Some(at))
            }
            None => raw
                .log
                .send_with(&self.key, None, Some(deleted_at), headers),
        };
        raw.store.borrow().get(&self.key, send)?
    }

    /// The key as it is stored.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// let nut = "nut".to_owned();
    /// let row = stock.row(&nut)?;
    /// assert_eq!(row.key_bytes(), b"nut");
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    fn encode(
        &self,
        value: Option<&V>,
        timestamp: Timestamp,
        stored: &mut Vec<u8>,
    ) -> Result<Encoded, Error> {
        begin_timestamped(timestamp, stored);
        match value {
            Some(value) => self.store.raw.write(&self.store.value, value, stored),
            None => Ok(Encoded::Null),
        }
    }
}

impl<K, V> fmt::Debug for Row<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({:?} of {:?})", &self.key[..], self.store)
    }
}

fn decode<K: 'static, V: 'static>(
    raw: &RawStore<K>,
    value: &SharedSerde<V>,
    bytes: &[u8],
) -> Result<ValueAndTimestamp<V>, Error> {
    let Some((timestamp, bytes)) = bytes.split_first_chunk::<TIMESTAMP_BYTES>() else {
        let length = bytes.len();
        return Err(raw.log.error(&format!(
            "a stored value of {length} bytes has no timestamp"
        )));
    };
    let timestamp = Timestamp::from_millis(i64::from_be_bytes(*timestamp));
    Ok(ValueAndTimestamp {
        value: raw.read(value, bytes)?,
        timestamp,
    })
}

impl<K, V> fmt::Debug for TimestampedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimestampedKeyValueStore({})", self.raw.log.store())
    }
}
