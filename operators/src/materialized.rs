//! How a table is kept: `Materialized`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::topology::{Consumed, TopicName, TopologyBuilder};

use crate::Data;
use crate::graph::Graph;
use crate::lowering::Lowering;
use crate::store_type::StoreType;
use crate::table_store::{Kept, Rows};

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
    /// Whose answers it gives, if not those of the whole topology.
    store_type: Option<StoreType>,
    /// How far back its versions go, if they are kept.
    history: Option<Duration>,
    /// How many rows there is room for; any number if none.
    lru_entries_max: Option<usize>,
}

/// A topic, and how it is read.
type Copied<K, V> = (TopicName, Consumed<Option<K>, Option<V>>);

impl<K: 'static, V: 'static> Materialized<K, V> {
    /// A store without a name of its own, with the default serdes of the types.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), Materialized::new());
    /// assert_eq!(prices.queryable_store_name(), None);
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Materialized::with(K::default_serde(), V::default_serde())
    }

    /// A store of that name, with the default serdes of the types (`Materialized.as` in Java).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let kept = Materialized::as_store("price-list");
    /// let prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), kept);
    /// assert_eq!(prices.queryable_store_name(), Some("price-list"));
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn as_store(name: impl Into<String>) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Materialized::new().with_name(name)
    }

    /// A store without a name of its own, with these serdes.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let by_serdes = Materialized::with(utf8(), i64());
    /// assert_eq!(by_serdes.store_name(), None);
    /// ```
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
            store_type: None,
            history: None,
            lru_entries_max: None,
        }
    }

    /// A versioned store of that name, with the default serdes of the types: as
    /// [`with_versions`](Self::with_versions).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let versions = Materialized::as_versioned("prices", hour);
    /// let prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), versions);
    /// orders
    ///     .join_table(&prices, |pieces, price| pieces * price, Joined::new())
    ///     .to("sums", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let at = Timestamp::from_millis;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// prices.pipe("nut", 3, at(10))?;
    /// prices.pipe("nut", 5, at(20))?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("nut", 2, at(15))?;
    /// let sum = driver.output_topic("sums", utf8(), i64()).read()?;
    /// assert_eq!(sum.map(|r| r.value), Some(6)); // the price as of the order
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn as_versioned(name: impl Into<String>, history_retention: Duration) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Materialized::new().with_versions(name, history_retention)
    }

    /// Keeps all versions of a row in a versioned store of that name, so that it can be read as of
    /// a time, as far behind the latest one as the history retention (KIP-889, KIP-914).
    ///
    /// Updates may come in any order of their times: one that is older than the latest version of
    /// its row goes into the history and is told to the next operator; joins with tables and
    /// groupings of tables skip it, for the row is what it was. One that is past the history is
    /// dropped and counted. A stream that is joined with the table meets the row as of its
    /// record's time. Nothing of it is held back
    /// ([`with_cache_bytes`](crate::BuildOptions::with_cache_bytes)).
    ///
    /// What is made of it row by row without a store has versions, too. A table in windows and a
    /// global table cannot have them: that is reported when the topology is built.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let prices = Materialized::with(utf8(), i64()).with_versions("prices", day);
    /// assert_eq!(prices.store_name(), Some("prices"));
    /// ```
    #[must_use]
    pub fn with_versions(mut self, name: impl Into<String>, history_retention: Duration) -> Self {
        self.history = Some(history_retention);
        self.lru_entries_max = None;
        self.with_name(name)
    }

    /// Keeps so many rows at most, as Kafka Streams' `Stores.lruMap` does: where one more is put, the
    /// one that was longest neither read nor written is forgotten. Downstream is not told: a row that
    /// is forgotten and comes back is a new one. Nothing is held back
    /// ([`with_cache_bytes`](crate::BuildOptions::with_cache_bytes)), and no versions are kept. A
    /// table in windows cannot have it: that is reported when the topology is built.
    ///
    /// After a restore a row is as old as its last write, however often it was read since.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// let recent = Materialized::as_store("recent").with_lru_entries_max(2);
    /// words.group_by_key(Grouped::new()).count_with(recent);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for (at, word) in (1..).zip(["to", "be", "to", "or"]) {
    ///     input.pipe(word, "", Timestamp::from_millis(at))?;
    /// }
    /// let recent = driver.timestamped_key_value_store::<String, i64>("recent")?.all()?;
    /// assert_eq!(recent.iter().map(|(word, _)| &**word).collect::<Vec<_>>(), ["or", "to"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_lru_entries_max(mut self, entries_max: usize) -> Self {
        self.lru_entries_max = Some(entries_max.max(1));
        self.history = None;
        self
    }

    /// Names the store.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let kept = Materialized::with(utf8(), i64()).with_name("prices");
    /// assert_eq!(kept.store_name(), Some("prices"));
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Keeps no changelog: the table is gone when its task moves or the process ends.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let lost = Materialized::as_store("price-list").with_logging_disabled();
    /// let _prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), lost);
    /// assert!(builder.build()?.internal_topics("shop").is_empty());
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Tells every update, also where the topology is built with
    /// [`with_cache_bytes`](crate::BuildOptions::with_cache_bytes).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let at_once = Materialized::new().with_caching_disabled();
    /// let counts = orders.group_by_key(Grouped::new()).count_with(at_once);
    /// counts.to_stream().to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build_with(&BuildOptions::new().with_cache_bytes(1_000))?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// orders.pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("counts", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_caching_disabled(mut self) -> Self {
        self.cached = false;
        self
    }

    /// Sets a topic configuration of the changelog, by Kafka's name.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let kept = Materialized::as_store("price-list").with_changelog_config("segment.ms", "600000");
    /// let _prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), kept);
    /// assert_eq!(builder.build()?.internal_topics("shop"), ["shop-price-list-changelog"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
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

    /// Has the table's store answer as that one of Kafka Streams, whatever the topology is
    /// [built with](crate::BuildOptions::with_store_type) (KIP-591).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let as_on_disk: Materialized<String, i64> =
    ///     Materialized::as_store("clicks").with_store_type(StoreType::RocksDb);
    /// # let _ = as_on_disk;
    /// ```
    #[must_use]
    pub fn with_store_type(mut self, store_type: StoreType) -> Self {
        self.store_type = Some(store_type);
        self
    }

    /// Whose answers its store gives.
    pub(crate) fn store_type(&self, lowering: &Lowering<'_>) -> StoreType {
        self.store_type.unwrap_or(lowering.store_type)
    }

    /// How far back the table's rows can be read as of a time; none without versions.
    pub(crate) fn history(&self) -> Option<Duration> {
        self.history
    }

    pub(crate) fn retention(&self) -> Option<Duration> {
        self.retention
    }

    /// The name given, if any.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let unnamed: Materialized<String, i64> = Materialized::new();
    /// assert_eq!(unnamed.store_name(), None);
    /// assert_eq!(unnamed.with_name("prices").store_name(), Some("prices"));
    /// ```
    #[must_use]
    pub fn store_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn shared_name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// What its store keeps, and how much of its changes are held back, of what the topology allows.
    pub(crate) fn kept(&self, lowering: &Lowering<'_>) -> Kept {
        let rows = match (self.history, self.cache_bytes_max(lowering)) {
            (Some(_), _) => Rows::Versions,
            (None, Some(bytes_max)) => Rows::HeldBack { bytes_max },
            (None, None) => Rows::Latest,
        };
        let logged_headers = lowering.logged_headers;
        Kept {
            rows,
            logged_headers,
        }
    }

    /// How much of its changes are held back, of what the topology allows.
    pub(crate) fn cache_bytes_max(&self, lowering: &Lowering<'_>) -> Option<usize> {
        // What is held back might be forgotten by the time that it is told.
        let is_cached = self.cached && self.lru_entries_max.is_none();
        lowering.cache_bytes_max.filter(|_| is_cached)
    }

    /// Notes, for `build` to tell, that a table in windows has no versions.
    pub(crate) fn check_windowed(&self, graph: &Graph, name: &str) {
        if self.history.is_some() {
            graph.problem(format!("{name}: a table in windows cannot be versioned"));
        }
        if self.lru_entries_max.is_some() {
            graph.problem(format!("{name}: a table in windows forgets by time only"));
        }
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
        let store = match self.history {
            Some(history) => StoreBuilder::versioned_key_value(&**name, history, key, value),
            None => StoreBuilder::timestamped_key_value(&**name, key, value),
        };
        let store = match self.lru_entries_max {
            Some(entries_max) => store.with_lru_entries_max(entries_max),
            None => store,
        };
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
            store_type: self.store_type,
            history: self.history,
            lru_entries_max: self.lru_entries_max,
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
            .field("history", &self.history)
            .finish()
    }
}
