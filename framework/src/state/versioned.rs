//! The typed view of a versioned store: what a key's value was at a time (KIP-889).
//!
//! # Invariants
//!
//! - Every put is logged as it is, at its own time, those that are refused too, as in Kafka
//!   Streams: a restore takes and refuses the same ones.
//! - How far back the store reads is how far back it writes: the grace period is the history.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::builder::StoreSerdes;
use super::changelog::Changelog;
use super::history::{History, Version};
use super::raw_store::{Buffer, RawStore};
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::TaskStore;
use crate::error::Error;
use crate::serde::{Encoded, SharedSerde};
use crate::time::Timestamp;

/// A version of a value: from when on, and until when it was valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when on it is valid: the time it was put with.
    pub timestamp: Timestamp,
    /// When it was replaced or deleted; none if it is the latest.
    pub valid_to: Option<Timestamp>,
}

/// What became of a put into a versioned store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionPut {
    /// It is the latest version of its key.
    Latest,
    /// There was a later version already: it is valid until then.
    ValidUntil(Timestamp),
    /// It is past the history retention: refused and counted.
    Refused,
}

/// A key-value store that knows what a value was at a time: what
/// [`Context::versioned_key_value_store`] hands out.
///
/// Puts may come in any order of their times. How far behind the highest time that was put the
/// store can be read, and written, is its history retention; the latest value of a key stays,
/// however old.
///
/// Otherwise than in Kafka Streams, which keeps old versions in segments, all versions of a key lie
/// together: a put costs as much as there are versions within the retention. What is past it is
/// given up with the next put of the same key.
///
/// [`Context::versioned_key_value_store`]: crate::processor::Context::versioned_key_value_store
pub struct VersionedKeyValueStore<K, V> {
    raw: RawStore<K>,
    value: SharedSerde<V>,
    retention_ms: i64,
}

impl<K: 'static, V: 'static> VersionedKeyValueStore<K, V> {
    pub(crate) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        serdes: &StoreSerdes<K, V>,
        retention_ms: i64,
    ) -> Self {
        VersionedKeyValueStore {
            raw: RawStore::new(store, log, serdes.key.clone()),
            value: serdes.value.clone(),
            retention_ms,
        }
    }

    /// The latest value of a key.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let history = Duration::from_millis(100);
    /// let prices = StoreBuilder::versioned_key_value("prices", history, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let (nut, at) = ("nut".to_owned(), Timestamp::from_millis);
    /// prices.put(&nut, Some(&5), at(20))?;
    /// prices.put(&nut, Some(&3), at(10))?; // out of order: it goes into the history
    /// assert_eq!(prices.get(&nut)?.map(|latest| latest.value), Some(5));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>, Error> {
        self.row(key)?.get()
    }

    /// The value that a key had at a time; none if that is past the history retention, unless the
    /// latest value is as old.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let history = Duration::from_millis(100);
    /// let prices = StoreBuilder::versioned_key_value("prices", history, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let (nut, at) = ("nut".to_owned(), Timestamp::from_millis);
    /// prices.put(&nut, Some(&3), at(10))?;
    /// prices.put(&nut, Some(&5), at(20))?;
    /// let price = |time| Ok::<_, onceflow_framework::Error>(prices.get_as_of(&nut, at(time))?.map(|p| p.value));
    /// assert_eq!([price(9)?, price(15)?, price(25)?], [None, Some(3), Some(5)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_as_of(&self, key: &K, time: Timestamp) -> Result<Option<VersionedRecord<V>>, Error> {
        self.read_as_of(&self.raw.key(key)?, time.as_millis())
    }

    /// The versions of a key, to be read and then written without serializing the key twice.
    ///
    /// ```
    /// # use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::state::{VersionPut, VersionedKeyValueStore};
    /// use onceflow_framework::{Error, Timestamp};
    ///
    /// /// Raises a price from a time on.
    /// fn raise(
    ///     prices: &VersionedKeyValueStore<String, i64>,
    ///     article: &String,
    ///     by: i64,
    ///     from: Timestamp,
    /// ) -> Result<VersionPut, Error> {
    ///     let row = prices.row(article)?;
    ///     let price = row.get()?.map_or(0, |latest| latest.value);
    ///     row.put(Some(&(price + by)), from)
    /// }
    /// # let _ = raise;
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized.
    pub fn row(&self, key: &K) -> Result<VersionedRow<'_, K, V>, Error> {
        let key = self.raw.key(key)?;
        Ok(VersionedRow { store: self, key })
    }

    /// Sets the value of a key from a time on, until that of the next version; `None`, or a value
    /// that is null to its serde, deletes it from then on.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionPut, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let history = Duration::from_millis(100);
    /// let prices = StoreBuilder::versioned_key_value("prices", history, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let (nut, at) = ("nut".to_owned(), Timestamp::from_millis);
    /// assert_eq!(prices.put(&nut, Some(&5), at(200))?, VersionPut::Latest);
    /// assert_eq!(prices.put(&nut, Some(&3), at(150))?, VersionPut::ValidUntil(at(200)));
    /// assert_eq!(prices.put(&nut, Some(&2), at(50))?, VersionPut::Refused); // past the history
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(
        &self,
        key: &K,
        value: Option<&V>,
        timestamp: Timestamp,
    ) -> Result<VersionPut, Error> {
        self.row(key)?.put(value, timestamp)
    }

    /// Deletes a key from a time on, and answers the value that it had then.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let history = Duration::from_millis(100);
    /// let prices = StoreBuilder::versioned_key_value("prices", history, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let (nut, at) = ("nut".to_owned(), Timestamp::from_millis);
    /// prices.put(&nut, Some(&3), at(10))?;
    /// assert_eq!(prices.delete(&nut, at(20))?.map(|was| was.value), Some(3));
    /// assert_eq!(prices.get(&nut)?, None);
    /// assert_eq!(prices.get_as_of(&nut, at(15))?.map(|was| was.value), Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn delete(
        &self,
        key: &K,
        timestamp: Timestamp,
    ) -> Result<Option<VersionedRecord<V>>, Error> {
        let present = self.get_as_of(key, timestamp)?;
        match self.put(key, None, timestamp)? {
            VersionPut::Refused => Ok(None),
            VersionPut::Latest | VersionPut::ValidUntil(_) => Ok(present),
        }
    }

    /// Every version that can be read, by key and time.
    pub(crate) fn versions(&self) -> Result<Vec<(K, VersionedRecord<V>)>, Error> {
        let oldest = self.oldest_ms();
        let mut found = Vec::new();
        let mut cursor = self.raw.cursor(KeyRange::ALL, Direction::Forward);
        while let Some(entry) = cursor.next() {
            let (key, history) = entry?;
            for (version, next) in History::of(history) {
                if next.is_none_or(|next| next > oldest)
                    && let Some(version) = self.typed(version, next)?
                {
                    found.push((self.raw.read(&self.raw.key, key)?, version));
                }
            }
        }
        Ok(found)
    }

    fn read_as_of(&self, key: &[u8], time_ms: i64) -> Result<Option<VersionedRecord<V>>, Error> {
        let is_expired = time_ms < self.oldest_ms();
        let read = |history: &[u8]| match History::of(history).at(time_ms) {
            Some((version, next)) if next.is_none() || !is_expired => self.typed(version, next),
            _ => Ok(None),
        };
        Ok(self.raw.get(key, read)?.flatten())
    }

    fn oldest_ms(&self) -> i64 {
        let observed = self.raw.store.borrow().observed_ms();
        observed.saturating_sub(self.retention_ms)
    }

    fn typed(
        &self,
        version: Version<'_>,
        next: Option<i64>,
    ) -> Result<Option<VersionedRecord<V>>, Error> {
        let Some(value) = version.value else {
            return Ok(None);
        };
        Ok(Some(VersionedRecord {
            value: self.raw.read(&self.value, value)?,
            timestamp: Timestamp::from_millis(version.from_ms),
            valid_to: next.map(Timestamp::from_millis),
        }))
    }
}

/// The versions of one key: what [`VersionedKeyValueStore::row`] finds.
pub struct VersionedRow<'s, K, V> {
    store: &'s VersionedKeyValueStore<K, V>,
    key: Buffer<'s>,
}

impl<K: 'static, V: 'static> VersionedRow<'_, K, V> {
    /// As [`VersionedKeyValueStore::get`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let prices = StoreBuilder::versioned_key_value("prices", hour, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let nut = "nut".to_owned();
    /// let row = prices.row(&nut)?;
    /// assert_eq!(row.get()?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the stored bytes cannot be read.
    pub fn get(&self) -> Result<Option<VersionedRecord<V>>, Error> {
        self.store.read_as_of(&self.key, i64::MAX)
    }

    /// As [`VersionedKeyValueStore::put`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, VersionPut, VersionedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let prices = StoreBuilder::versioned_key_value("prices", hour, utf8(), i64());
    /// let stores = TestStores::new().with(prices);
    /// let prices: VersionedKeyValueStore<String, i64> = stores.open().versioned_key_value("prices")?;
    /// let nut = "nut".to_owned();
    /// let row = prices.row(&nut)?;
    /// assert_eq!(row.put(Some(&3), Timestamp::from_millis(7))?, VersionPut::Latest);
    /// assert_eq!(row.get()?.map(|latest| latest.value), Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, value: Option<&V>, timestamp: Timestamp) -> Result<VersionPut, Error> {
        let raw = &self.store.raw;
        let mut bytes = raw.value_buffer();
        let written = match value {
            Some(value) => raw.write(&self.store.value, value, &mut bytes)?,
            None => Encoded::Null,
        };
        let value = (written == Encoded::Bytes).then_some(&bytes[..]);
        raw.log.send(&self.key, value, Some(timestamp))?;
        let version = Version {
            from_ms: timestamp.as_millis(),
            value,
        };
        let put = raw.store.borrow_mut().put_version(&self.key, version)?;
        if put == VersionPut::Refused {
            raw.log.refused();
        }
        Ok(put)
    }
}

impl<K, V> fmt::Debug for VersionedRow<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionedRow({:?} of {:?})", &self.key[..], self.store)
    }
}

impl<K, V> fmt::Debug for VersionedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionedKeyValueStore({})", self.raw.log.store())
    }
}
