//! Window and session stores, read from outside: what windowed tables are kept in.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::ask::{Asker, Door, wrong_store};
use super::error::QueryError;
use super::pages::Pages;
use crate::serde::{Serde, SerdeError, SharedSerde};
use crate::state::{
    Question, StoreKind, StoreSpec, ValueAndTimestamp, split_session_key, split_window_key,
};
use crate::time::Timestamp;
use crate::window::Window;

/// A window store of a running application: what [`App::window_store`](crate::App::window_store)
/// hands out. [The module](super) tells what is answered.
pub struct ReadOnlyWindowStore<K, V>(OfKey<K, V>);

/// A session store of a running application: what
/// [`App::session_store`](crate::App::session_store) hands out. [The module](super) tells what is
/// answered.
pub struct ReadOnlySessionStore<K, V>(OfKey<K, V>);

impl<K: 'static, V: 'static> ReadOnlyWindowStore<K, V> {
    pub(crate) fn open(door: &Door, name: &str) -> Result<Self, QueryError> {
        let kinds = [StoreKind::Window, StoreKind::TimestampedWindow];
        Ok(ReadOnlyWindowStore(OfKey::open(
            door, name, &kinds, "window",
        )?))
    }

    /// Asks this partition only, for keys that no default partitioner has put there, too.
    #[must_use]
    pub fn with_partition(mut self, partition: i32) -> Self {
        self.0.asker = self.0.asker.with_partition(partition);
        self
    }

    /// Waits at most this long for each answer (default: 5 s).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.asker = self.0.asker.with_timeout(timeout);
        self
    }

    /// Values of a key whose windows begin from `from` to `to`, both included, by start; what is
    /// past the retention is not among them.
    ///
    /// # Errors
    ///
    /// A [`QueryError`] for each reason not to know.
    pub async fn fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, V)>, QueryError> {
        let start = |key: &[u8]| split_window_key(key).1;
        self.0.fetch(key, (from, to), start).await
    }
}

impl<K: 'static, V: 'static> ReadOnlySessionStore<K, V> {
    pub(crate) fn open(door: &Door, name: &str) -> Result<Self, QueryError> {
        let kinds = [StoreKind::Session];
        Ok(ReadOnlySessionStore(OfKey::open(
            door, name, &kinds, "session",
        )?))
    }

    /// Asks this partition only, for keys that no default partitioner has put there, too.
    #[must_use]
    pub fn with_partition(mut self, partition: i32) -> Self {
        self.0.asker = self.0.asker.with_partition(partition);
        self
    }

    /// Waits at most this long for each answer (default: 5 s).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.asker = self.0.asker.with_timeout(timeout);
        self
    }

    /// Every session of a key that is not past the retention, by end.
    ///
    /// # Errors
    ///
    /// A [`QueryError`] for each reason not to know.
    pub async fn fetch(&self, key: &K) -> Result<Vec<(Window, V)>, QueryError> {
        let ever = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        let session = |key: &[u8]| split_session_key(key).1;
        self.0.fetch(key, ever, session).await
    }
}

/// What both read: windows of one key.
struct OfKey<K, V> {
    asker: Asker,
    key: SharedSerde<K>,
    value: Values<V>,
}

/// How stored values are read.
enum Values<V> {
    Plain(SharedSerde<V>),
    Timestamped(SharedSerde<ValueAndTimestamp<V>>),
}

impl<V: 'static> Values<V> {
    /// With the serde of its keys, if the store was built for these types.
    fn of<K: 'static>(spec: &StoreSpec) -> Option<(SharedSerde<K>, Self)> {
        if spec.kind == StoreKind::TimestampedWindow {
            let serdes = spec.serdes::<K, ValueAndTimestamp<V>>()?;
            let value = Values::Timestamped(serdes.value.clone());
            return Some((serdes.key.clone(), value));
        }
        let serdes = spec.serdes::<K, V>()?;
        Some((serdes.key.clone(), Values::Plain(serdes.value.clone())))
    }

    fn read(&self, bytes: &[u8]) -> Result<V, SerdeError> {
        match self {
            Values::Plain(serde) => serde.deserialize(Some(bytes)),
            Values::Timestamped(serde) => serde.deserialize(Some(bytes)).map(|row| row.value),
        }
    }
}

impl<K: 'static, V: 'static> OfKey<K, V> {
    fn open(
        door: &Door,
        name: &str,
        kinds: &[StoreKind],
        wanted: &str,
    ) -> Result<Self, QueryError> {
        let (spec, asker) = door.open(name)?;
        let is_wanted = kinds.contains(&spec.kind);
        let serdes = is_wanted.then(|| Values::of::<K>(spec)).flatten();
        let (key, value) = serdes.ok_or_else(|| wrong_store::<K, V>(spec, wanted))?;
        Ok(OfKey { asker, key, value })
    }

    async fn fetch<T>(
        &self,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        time_of: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<(T, V)>, QueryError> {
        let key = self.asker.key_bytes(&self.key, key)?;
        let question = Question::Fetch {
            key: Bytes::copy_from_slice(&key),
            from,
            to,
            behind: None,
        };
        let mut pages = Pages::of_key(self.asker.clone(), &key, question);
        let mut found = Vec::new();
        while let Some((key, stored)) = pages.next().await? {
            found.push((time_of(&key), self.asker.read(self.value.read(&stored))?));
        }
        Ok(found)
    }
}

impl<K, V> Clone for OfKey<K, V> {
    fn clone(&self) -> Self {
        OfKey {
            asker: self.asker.clone(),
            key: self.key.clone(),
            value: match &self.value {
                Values::Plain(serde) => Values::Plain(serde.clone()),
                Values::Timestamped(serde) => Values::Timestamped(serde.clone()),
            },
        }
    }
}

impl<K, V> Clone for ReadOnlyWindowStore<K, V> {
    fn clone(&self) -> Self {
        ReadOnlyWindowStore(self.0.clone())
    }
}

impl<K, V> Clone for ReadOnlySessionStore<K, V> {
    fn clone(&self) -> Self {
        ReadOnlySessionStore(self.0.clone())
    }
}

impl<K, V> fmt::Debug for ReadOnlyWindowStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadOnlyWindowStore({})", self.0.asker.store)
    }
}

impl<K, V> fmt::Debug for ReadOnlySessionStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadOnlySessionStore({})", self.0.asker.store)
    }
}
