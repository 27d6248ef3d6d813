//! How a table is kept: `Materialized`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::topology::{Consumed, TopicName, TopologyBuilder};

use crate::Data;
use crate::lowering::Lowering;

/// The store of a table: its name, serdes and changelog.
///
/// A store with a name can be read from outside and keeps its changelog topic when the topology
/// changes around it; one without gets a generated name, if it is needed at all.
///
/// ```
/// use onceflow::prelude::*;
///
/// let by_name: Materialized<String, i64> = Materialized::as_store("totals");
/// let by_serdes = Materialized::with(utf8(), i64()).with_name("totals").with_logging_disabled();
/// assert_eq!(by_name.store_name(), by_serdes.store_name());
/// ```
pub struct Materialized<K, V> {
    name: Option<Arc<str>>,
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    logged: bool,
    cached: bool,
    changelog_config: BTreeMap<String, String>,
    /// The topic that the table is a copy of, and how it is read, if it needs no changelog.
    copied: Option<Copied<K, V>>,
    retention: Option<Duration>,
}

/// A topic, and how it is read.
type Copied<K, V> = (TopicName, Consumed<Option<K>, Option<V>>);

impl<K: 'static, V: 'static> Materialized<K, V> {
    /// A store without a name of its own, with the default serdes of the types.
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Materialized::with(K::default_serde(), V::default_serde())
    }

    /// A store of that name, with the default serdes of the types (`Materialized.as` in Java).
    #[must_use]
    pub fn as_store(name: impl Into<String>) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Materialized::new().with_name(name)
    }

    /// A store without a name of its own, with these serdes.
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Materialized {
            name: None,
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            logged: true,
            cached: true,
            changelog_config: BTreeMap::new(),
            copied: None,
            retention: None,
        }
    }

    /// Names the store.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Keeps no changelog: the table is gone when its task moves or the process ends.
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Tells every update, also where the topology is built with
    /// [`with_cache_bytes`](crate::BuildOptions::with_cache_bytes).
    #[must_use]
    pub fn with_caching_disabled(mut self) -> Self {
        self.cached = false;
        self
    }

    /// Sets a topic configuration of the changelog, by Kafka's name.
    #[must_use]
    pub fn with_changelog_config(mut self, name: &str, value: &str) -> Self {
        self.changelog_config
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// Keeps the windows of a windowed table readable for that long behind stream time, instead of
    /// just until they close. No window is updated for longer: that is what grace is for.
    ///
    /// A retention that is shorter than windows stay open is reported when the topology is built.
    /// Tables without windows have none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let readable_for_a_day: Materialized<String, i64> = Materialized::as_store("clicks").with_retention(day);
    /// # let _ = readable_for_a_day;
    /// ```
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    pub(crate) fn retention(&self) -> Option<Duration> {
        self.retention
    }

    /// The name given, if any.
    #[must_use]
    pub fn store_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn shared_name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// How much of its changes are held back, of what the topology allows.
    pub(crate) fn cache_bytes_max(&self, lowering: &Lowering<'_>) -> Option<usize> {
        lowering.cache_bytes_max.filter(|_| self.cached)
    }

    /// Has the table restored from its topic, unless it was not to be restored at all.
    pub(crate) fn copied_from(
        mut self,
        topic: &str,
        consumed: &Consumed<Option<K>, Option<V>>,
    ) -> Self {
        let copied = (TopicName::from(topic), consumed.clone());
        self.copied = self.logged.then_some(copied);
        self
    }

    /// Adds the table's store, under the name that it got, to its processor.
    pub(crate) fn add_store(&self, topology: &mut TopologyBuilder, name: &Arc<str>, processor: &str)
    where
        K: Data,
        V: Data,
    {
        let store = self.store(name);
        match &self.copied {
            Some((topic, consumed)) => {
                topology.add_source_store(store, topic.clone(), consumed, &[processor]);
            }
            None => topology.add_state_store(store, &[processor]),
        }
    }

    fn store(&self, name: &Arc<str>) -> StoreBuilder<K, V> {
        let (key, value) = (self.key.clone(), self.value.clone());
        let store = StoreBuilder::timestamped_key_value(&**name, key, value);
        self.configure(store)
    }

    /// The changelog of a store, as asked for.
    pub(crate) fn configure<R: 'static>(&self, store: StoreBuilder<K, R>) -> StoreBuilder<K, R> {
        let config = self.changelog_config.iter();
        let store = config.fold(store, |store, (k, v)| store.with_changelog_config(k, v));
        if self.logged {
            store
        } else {
            store.with_logging_disabled()
        }
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Materialized<K, V> {
    fn default() -> Self {
        Materialized::new()
    }
}

impl<K, V> Clone for Materialized<K, V> {
    fn clone(&self) -> Self {
        Materialized {
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            logged: self.logged,
            cached: self.cached,
            changelog_config: self.changelog_config.clone(),
            copied: self.copied.clone(),
            retention: self.retention,
        }
    }
}

impl<K, V> fmt::Debug for Materialized<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materialized")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("value", &self.value)
            .field("logged", &self.logged)
            .field("changelog_config", &self.changelog_config)
            .finish()
    }
}
