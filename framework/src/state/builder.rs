//! A store as part of a topology: its name, kind, serdes, engine and changelog.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::memory::MemoryStore;
use super::store::ByteStore;
use super::task_store::{ChangelogFormat, TaskStore};
use crate::serde::{Serde, SharedSerde};

/// Which typed view a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// [`KeyValueStore`](super::KeyValueStore).
    KeyValue,
    /// [`TimestampedKeyValueStore`](super::TimestampedKeyValueStore).
    TimestampedKeyValue,
}

/// Describes a store to a topology.
///
/// ```
/// use onceflow_framework::serde;
/// use onceflow_framework::state::StoreBuilder;
///
/// let balances = StoreBuilder::key_value("balances", serde::utf8(), serde::i64())
///     .with_changelog_config("max.message.bytes", "2097152");
/// assert_eq!(balances.name(), "balances");
/// ```
pub struct StoreBuilder<K, V> {
    name: String,
    kind: StoreKind,
    logged: bool,
    changelog_config: BTreeMap<String, String>,
    serdes: StoreSerdes<K, V>,
}

pub(crate) struct StoreSerdes<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> StoreBuilder<K, V> {
    /// A plain key-value store in memory, logged to a compacted changelog topic.
    pub fn key_value(
        name: impl Into<String>,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        StoreBuilder::new(name.into(), StoreKind::KeyValue, key, value)
    }

    /// A key-value store in memory whose values carry a timestamp, as tables are kept.
    pub fn timestamped_key_value(
        name: impl Into<String>,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        StoreBuilder::new(name.into(), StoreKind::TimestampedKeyValue, key, value)
    }

    fn new(
        name: String,
        kind: StoreKind,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let serdes = StoreSerdes {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
        };
        StoreBuilder {
            name,
            kind,
            logged: true,
            changelog_config: BTreeMap::new(),
            serdes,
        }
    }

    /// Keeps no changelog: the state is gone when the task moves or the process ends.
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sets a topic configuration of the changelog, by Kafka's name.
    #[must_use]
    pub fn with_changelog_config(mut self, name: &str, value: &str) -> Self {
        self.changelog_config
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// The store's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_spec(self) -> StoreSpec {
        StoreSpec {
            name: Arc::from(self.name),
            kind: self.kind,
            logged: self.logged,
            changelog_config: self.changelog_config,
            serdes: Arc::new(self.serdes),
        }
    }
}

impl<K, V> fmt::Debug for StoreBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoreBuilder({}, {:?}, logged: {})",
            self.name, self.kind, self.logged
        )
    }
}

/// A store of a built topology, without its types.
#[derive(Clone)]
pub(crate) struct StoreSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    pub(crate) logged: bool,
    pub(crate) changelog_config: BTreeMap<String, String>,
    /// A [`StoreSerdes`] of the store's types.
    serdes: Arc<dyn Any + Send + Sync>,
}

impl StoreSpec {
    /// An empty store for one task.
    pub(crate) fn create(&self) -> TaskStore {
        let engine: Box<dyn ByteStore> = Box::new(MemoryStore::new());
        let format = match self.kind {
            StoreKind::KeyValue => ChangelogFormat::Plain,
            StoreKind::TimestampedKeyValue => ChangelogFormat::Timestamped,
        };
        TaskStore::new(engine, format)
    }

    /// The full name of its changelog topic, if it is logged.
    pub(crate) fn changelog_topic(&self, application_id: &str) -> Option<Arc<str>> {
        self.logged
            .then(|| Arc::from(format!("{application_id}-{}-changelog", self.name)))
    }

    /// The serdes, if the store was built with these types.
    pub(crate) fn serdes<K: 'static, V: 'static>(&self) -> Option<&StoreSerdes<K, V>> {
        self.serdes.downcast_ref()
    }
}

impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoreSpec({}, {:?}, logged: {})",
            self.name, self.kind, self.logged
        )
    }
}
