//! Key-value stores, read from outside: what tables are kept in.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::ask::{Asker, Door, wrong_store};
use super::error::QueryError;
use super::pages::Pages;
use crate::serde::{Serde, SharedSerde};
use crate::state::{Answer, KeyRange, Question, StoreKind, ValueAndTimestamp};
use crate::time::Timestamp;

/// Bytes of the timestamp before each value of a timestamped store.
const TIMESTAMP_BYTES: usize = 8;

/// A key-value store of a running application: what [`App::store`](crate::App::store) hands out.
///
/// It is cheap to clone, and outlives what it reads: once the application has ended it answers
/// that it has. [The module](super) tells what is answered.
pub struct ReadOnlyKeyValueStore<K, V> {
    asker: Asker,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    is_timestamped: bool,
}

impl<K: 'static, V: 'static> ReadOnlyKeyValueStore<K, V> {
    pub(crate) fn open(door: &Door, name: &str) -> Result<Self, QueryError> {
        let (spec, asker) = door.open(name)?;
        let serdes = match spec.kind {
            StoreKind::KeyValue | StoreKind::TimestampedKeyValue => spec.serdes::<K, V>(),
            _ => None,
        };
        let serdes = serdes.ok_or_else(|| wrong_store::<K, V>(spec, "key-value"))?;
        Ok(ReadOnlyKeyValueStore {
            asker,
            key: serdes.key.clone(),
            value: serdes.value.clone(),
            is_timestamped: spec.kind == StoreKind::TimestampedKeyValue,
        })
    }

    /// Asks this partition only, for keys that no default partitioner has put there, too.
    #[must_use]
    pub fn with_partition(mut self, partition: i32) -> Self {
        self.asker = self.asker.with_partition(partition);
        self
    }

    /// Waits at most this long for each answer (default: 5 s).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.asker = self.asker.with_timeout(timeout);
        self
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// A [`QueryError`] for each reason not to know.
    pub async fn get(&self, key: &K) -> Result<Option<V>, QueryError> {
        let found = self.get_bytes(key).await?;
        found
            .map(|bytes| self.split(&bytes))
            .transpose()?
            .map_or(Ok(None), |(value, _timestamp)| Ok(Some(value)))
    }

    /// The value of a key, and the timestamp of the record that set it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`QueryError::WrongStore`] when the store keeps no timestamps.
    pub async fn get_with_timestamp(
        &self,
        key: &K,
    ) -> Result<Option<ValueAndTimestamp<V>>, QueryError> {
        let Some(bytes) = self.get_bytes(key).await? else {
            return Ok(None);
        };
        let (value, timestamp) = self.split(&bytes)?;
        let timestamp = timestamp.ok_or_else(|| QueryError::WrongStore {
            store: (*self.asker.store).to_owned(),
            message: "keeps no timestamps; ask for the value alone, or make it a timestamped one"
                .to_owned(),
        })?;
        Ok(Some(ValueAndTimestamp { value, timestamp }))
    }

    /// Entries from `from` to `to`, both included, of the partitions that are here: in the order of
    /// the serialized keys within each.
    ///
    /// # Errors
    ///
    /// When a bound cannot be serialized; each step can fail on its own.
    pub fn range(&self, from: &K, to: &K) -> Result<Entries<K, V>, QueryError> {
        let bytes = |key: &K| self.asker.key_bytes(&self.key, key).map(Bytes::from);
        Ok(self.scan(KeyRange::inclusive(bytes(from)?, bytes(to)?)))
    }

    /// Every entry of the partitions that are here, in the order of the serialized keys within each.
    #[must_use]
    pub fn all(&self) -> Entries<K, V> {
        self.scan(KeyRange::ALL)
    }

    /// How many entries the partitions that are here have.
    ///
    /// # Errors
    ///
    /// A [`QueryError`] for each reason not to know.
    pub async fn approximate_entries(&self) -> Result<u64, QueryError> {
        let mut entries = 0;
        for place in self.asker.places()? {
            let Answer::Count(count) = self.asker.ask(place, Question::Count).await? else {
                unreachable!("a question for a count is answered with one");
            };
            entries += count;
        }
        Ok(entries)
    }

    /// The partition of a key, by Kafka's default partitioner (Kafka Streams:
    /// `queryMetadataForKey`); none for a global store, of which every worker has all.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized.
    pub fn partition_of(&self, key: &K) -> Result<Option<i32>, QueryError> {
        let key = self.asker.key_bytes(&self.key, key)?;
        Ok(self.asker.partition_of(&key))
    }

    /// The partitions that are in this process, and restored; empty for a global store.
    #[must_use]
    pub fn partitions_here(&self) -> Vec<i32> {
        self.asker.here()
    }

    /// How many partitions the store has; none for a global store.
    #[must_use]
    pub fn partition_count(&self) -> Option<i32> {
        self.asker.partitions()
    }

    async fn get_bytes(&self, key: &K) -> Result<Option<Bytes>, QueryError> {
        let key = self.asker.key_bytes(&self.key, key)?;
        let task = self.asker.task_of(&key);
        let key = Bytes::from(key);
        let Answer::Value(value) = self.asker.ask(task, Question::Get { key }).await? else {
            unreachable!("a question for a value is answered with one");
        };
        Ok(value)
    }

    /// A stored value, and the time before it.
    fn split(&self, stored: &[u8]) -> Result<(V, Option<Timestamp>), QueryError> {
        let split = match self.is_timestamped {
            true => stored.split_first_chunk::<TIMESTAMP_BYTES>(),
            false => None,
        };
        let (timestamp, bytes) = match split {
            Some((time, value)) => {
                let time = Timestamp::from_millis(i64::from_be_bytes(*time));
                (Some(time), value)
            }
            None => (None, stored),
        };
        let value = self.value.deserialize(Some(bytes));
        Ok((self.asker.read(value)?, timestamp))
    }

    fn scan(&self, range: KeyRange) -> Entries<K, V> {
        let question = Question::Scan { range };
        Entries {
            pages: Pages::of_all(self.asker.clone(), question),
            store: self.clone(),
        }
    }
}

impl<K, V> Clone for ReadOnlyKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        ReadOnlyKeyValueStore {
            asker: self.asker.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            is_timestamped: self.is_timestamped,
        }
    }
}

impl<K, V> fmt::Debug for ReadOnlyKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadOnlyKeyValueStore({})", self.asker.store)
    }
}

/// Entries of a store, as they come: in slices, so that neither side holds all of them.
pub struct Entries<K, V> {
    pages: Pages,
    store: ReadOnlyKeyValueStore<K, V>,
}

impl<K: 'static, V: 'static> Entries<K, V> {
    /// The next entry; none after the last.
    ///
    /// # Errors
    ///
    /// A [`QueryError`] for each reason not to know; there may be entries behind it.
    pub async fn next(&mut self) -> Result<Option<(K, V)>, QueryError> {
        let Some((key, stored)) = self.pages.next().await? else {
            return Ok(None);
        };
        let store = &self.store;
        let key = store.asker.read(store.key.deserialize(Some(&key)))?;
        let (value, _timestamp) = store.split(&stored)?;
        Ok(Some((key, value)))
    }

    /// All that are left: hold no more of a large store than there is memory for.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn collect(mut self) -> Result<Vec<(K, V)>, QueryError> {
        let mut all = Vec::new();
        while let Some(entry) = self.next().await? {
            all.push(entry);
        }
        Ok(all)
    }
}

impl<K, V> fmt::Debug for Entries<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({})", self.store.asker.store)
    }
}
