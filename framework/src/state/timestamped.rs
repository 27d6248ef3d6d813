//! The typed view of a store whose values carry the time of their last update: every table's.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::builder::StoreSerdes;
use super::changelog::Changelog;
use super::key_value::{Cursor, RawStore};
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::{ChangelogFormat, TaskStore};
use crate::error::Error;
use crate::serde::SharedSerde;
use crate::time::Timestamp;

/// Bytes of the timestamp before each stored value.
const TIMESTAMP_BYTES: usize = 8;

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
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let bytes = self.raw.get(key)?;
        bytes
            .map(|bytes| decode(&self.raw, &self.value, &bytes))
            .transpose()
    }

    /// Sets the value of a key as of `timestamp`; `None`, or a value that is null to its serde,
    /// deletes.
    ///
    /// # Errors
    ///
    /// When key or value cannot be serialized, or the changelog record cannot be sent.
    pub fn put(&self, key: &K, value: Option<&V>, timestamp: Timestamp) -> Result<(), Error> {
        let bytes = match value {
            Some(value) => self.raw.write(&self.value, value)?,
            None => None,
        };
        let stored = bytes
            .as_ref()
            .map(|b| ChangelogFormat::Timestamped.to_store(b, timestamp));
        // A tombstone is logged at the time of the record being processed, as Kafka Streams does.
        let logged_at = bytes.is_some().then_some(timestamp);
        self.raw.put_as(key, stored, bytes.as_deref(), logged_at)
    }

    /// Entries from `from` to `to`, both included, in the order of the serialized keys.
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

    /// Every entry, in the order of the serialized keys.
    pub fn all(
        &self,
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        self.typed(self.raw.cursor(KeyRange::ALL, Direction::Forward))
    }

    /// Entries whose serialized key begins with `prefix`.
    pub fn prefix_scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        self.typed(self.raw.cursor(range, Direction::Forward))
    }

    /// How many entries were committed; the open batch is not counted.
    #[must_use]
    pub fn approximate_entries(&self) -> u64 {
        self.raw.store.borrow().approximate_entries()
    }

    fn typed(
        &self,
        cursor: Cursor,
    ) -> impl Iterator<Item = Result<(K, ValueAndTimestamp<V>), Error>> + use<K, V> {
        let (raw, value) = (self.raw.clone(), self.value.clone());
        cursor.map(move |entry| {
            let (key, bytes) = entry?;
            Ok((raw.read(&raw.key, &key)?, decode(&raw, &value, &bytes)?))
        })
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
