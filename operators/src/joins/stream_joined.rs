//! How two streams are joined: `StreamJoined`.

use std::fmt;
use std::sync::Arc;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};
use onceflow_framework::state::StoreBuilder;

/// How two streams are joined: the serdes of both, and names.
///
/// The name is that of the join's nodes and repartition topics; the stores have one of their own,
/// or generated ones, which change when the topology does.
///
/// ```
/// use onceflow::prelude::*;
///
/// let named: StreamJoined<String, i64, String> =
///     StreamJoined::new().with_name("paid-orders").with_store_name("paid-orders");
/// let by_serdes = StreamJoined::with(utf8(), i64(), utf8()).with_logging_disabled();
/// # let _ = (named, by_serdes);
/// ```
pub struct StreamJoined<K, V1, V2> {
    pub(super) key: SharedSerde<K>,
    pub(super) left: SharedSerde<V1>,
    pub(super) right: SharedSerde<V2>,
    pub(super) name: Option<Arc<str>>,
    pub(super) store: Option<Arc<str>>,
    logged: bool,
    changelog_config: Vec<(String, String)>,
}

impl<K: 'static, V1: 'static, V2: 'static> StreamJoined<K, V1, V2> {
    /// With the default serdes of the types.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// orders.join(&payments, missing, soon, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// driver.input_topic("payments", utf8(), i64()).pipe("ada", 20, Timestamp::from_millis(1))?;
    /// let missing = driver.output_topic("missing", utf8(), i64()).read_key_values()?;
    /// assert_eq!(missing, [("ada".to_owned(), 10)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V1: DefaultSerde,
        V2: DefaultSerde,
    {
        StreamJoined::with(K::default_serde(), V1::default_serde(), V2::default_serde())
    }

    /// With these serdes: of the key, of the left and of the right values.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// let joined = StreamJoined::with(utf8(), i64(), i64());
    /// orders.join(&payments, missing, soon, joined).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// driver.input_topic("payments", utf8(), i64()).pipe("ada", 20, Timestamp::from_millis(1))?;
    /// let missing = driver.output_topic("missing", utf8(), i64()).read_key_values()?;
    /// assert_eq!(missing, [("ada".to_owned(), 10)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(
        key: impl Serde<Item = K>,
        left: impl Serde<Item = V1>,
        right: impl Serde<Item = V2>,
    ) -> Self {
        StreamJoined {
            key: SharedSerde::new(key),
            left: SharedSerde::new(left),
            right: SharedSerde::new(right),
            name: None,
            store: None,
            logged: true,
            changelog_config: Vec::new(),
        }
    }

    /// Names the join.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// let joined = StreamJoined::new().with_name("paid");
    /// assert_eq!(orders.join(&payments, missing, soon, joined).name(), "paid-merge");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Names its stores: `<name>-this-join-store` and so on.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// let joined = StreamJoined::new().with_store_name("paid");
    /// orders.join(&payments, missing, soon, joined);
    /// let topics = builder.build()?.internal_topics("shop");
    /// let [this, other] = ["shop-paid-this-join-store-changelog", "shop-paid-other-join-store-changelog"];
    /// assert_eq!(topics, [other, this]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_store_name(mut self, name: impl Into<String>) -> Self {
        self.store = Some(Arc::from(name.into()));
        self
    }

    /// Keeps no changelogs: what waits for its match is gone when the task moves.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// let joined = StreamJoined::new().with_logging_disabled();
    /// orders.join(&payments, missing, soon, joined);
    /// assert!(builder.build()?.internal_topics("shop").is_empty());
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sets a topic configuration of the changelogs, by Kafka's name.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let soon = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: i64, paid: i64| due - paid;
    /// let joined = StreamJoined::new().with_changelog_config("segment.ms", "600000");
    /// orders.join(&payments, missing, soon, joined);
    /// assert_eq!(builder.build()?.internal_topics("shop").len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_changelog_config(mut self, name: &str, value: &str) -> Self {
        let entry = (name.to_owned(), value.to_owned());
        self.changelog_config.push(entry);
        self
    }

    /// A store of the join, logged as it says.
    pub(super) fn store<SK: 'static, SV: 'static>(
        &self,
        store: StoreBuilder<SK, SV>,
    ) -> StoreBuilder<SK, SV> {
        let config = self.changelog_config.iter();
        let store = config.fold(store, |store, (k, v)| store.with_changelog_config(k, v));
        match self.logged {
            true => store,
            false => store.with_logging_disabled(),
        }
    }
}

impl<K: DefaultSerde, V1: DefaultSerde, V2: DefaultSerde> Default for StreamJoined<K, V1, V2> {
    fn default() -> Self {
        StreamJoined::new()
    }
}

impl<K, V1, V2> Clone for StreamJoined<K, V1, V2> {
    fn clone(&self) -> Self {
        StreamJoined {
            key: self.key.clone(),
            left: self.left.clone(),
            right: self.right.clone(),
            name: self.name.clone(),
            store: self.store.clone(),
            logged: self.logged,
            changelog_config: self.changelog_config.clone(),
        }
    }
}

impl<K, V1, V2> fmt::Debug for StreamJoined<K, V1, V2> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamJoined")
            .field("key", &self.key)
            .field("left", &self.left)
            .field("right", &self.right)
            .field("name", &self.name)
            .field("store", &self.store)
            .field("logged", &self.logged)
            .field("changelog_config", &self.changelog_config)
            .finish()
    }
}
