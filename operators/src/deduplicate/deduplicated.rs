//! How a stream is deduplicated: `Deduplicated`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};
use onceflow_framework::state::StoreBuilder;

/// How a stream is deduplicated: the span of time, the serde of ids, how late records may be.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let hour = Duration::from_secs(3_600);
/// let by_text = Deduplicated::<String>::within(hour)
///     .with_grace(Duration::from_secs(60))
///     .with_name("orders-seen");
/// let by_serde = Deduplicated::with(uuid(), hour).with_logging_disabled();
/// # let _ = (by_text, by_serde);
/// ```
pub struct Deduplicated<I> {
    pub(super) id: SharedSerde<I>,
    pub(super) span: Duration,
    pub(super) name: Option<Arc<str>>,
    grace: Option<Duration>,
    logged: bool,
    changelog_config: Vec<(String, String)>,
}

impl<I: 'static> Deduplicated<I> {
    /// Records of one id are repeats if they are no further apart than this; ids have the default
    /// serde of their type.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// orders.deduplicate_by_key(Deduplicated::<String>::within(minute)).to("new", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for at in [0, 60_000, 120_001] {
    ///     orders.pipe("o-1", 30, Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("new", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn within(span: Duration) -> Self
    where
        I: DefaultSerde,
    {
        Deduplicated::with(I::default_serde(), span)
    }

    /// As [`within`](Self::within), with this serde of ids.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let hour = Duration::from_secs(3600);
    /// let by_amount = Deduplicated::with(i64(), hour);
    /// orders.deduplicate(|_, cents| *cents, by_amount).to("new", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for who in ["ada", "bob"] {
    ///     orders.pipe(who, 30, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output_topic("new", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(id: impl Serde<Item = I>, span: Duration) -> Self {
        Deduplicated {
            id: SharedSerde::new(id),
            span,
            name: None,
            grace: None,
            logged: true,
            changelog_config: Vec::new(),
        }
    }

    /// How far behind the stream time a record may be and still be looked at (default: the span).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let hour = Duration::from_secs(3600);
    /// let prompt = Deduplicated::<String>::within(hour).with_grace(Duration::from_secs(1));
    /// orders.deduplicate_by_key(prompt).to("new", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// orders.pipe("o-2", 30, Timestamp::from_millis(2_000))?;
    /// orders.pipe("o-1", 30, Timestamp::from_millis(500))?; // later than the grace allows
    /// assert_eq!(driver.output_topic("new", utf8(), i64()).read_all()?.len(), 1);
    /// assert_eq!(driver.dropped_total(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Names the store of ids.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let seen = Deduplicated::<String>::within(Duration::from_secs(60)).with_name("seen");
    /// orders.deduplicate_by_key(seen).to("new", Produced::new());
    /// assert!(builder.build()?.internal_topics("shop")[0].starts_with("shop-seen"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Keeps no changelog: what went through is forgotten when the task moves.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// let forgetful = Deduplicated::<String>::within(minute).with_logging_disabled();
    /// orders.deduplicate_by_key(forgetful).to("new", Produced::new());
    /// assert!(builder.build()?.internal_topics("shop").is_empty());
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sets a topic configuration of the changelog, by Kafka's name.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let seen = Deduplicated::<String>::within(Duration::from_secs(60));
    /// let seen = seen.with_changelog_config("segment.ms", "600000");
    /// orders.deduplicate_by_key(seen).to("new", Produced::new());
    /// assert_eq!(builder.build()?.internal_topics("shop").len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_changelog_config(mut self, name: &str, value: &str) -> Self {
        let entry = (name.to_owned(), value.to_owned());
        self.changelog_config.push(entry);
        self
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace.unwrap_or(self.span)
    }

    /// A record that is as late as it may be can repeat one that is a span earlier still.
    pub(super) fn retention(&self) -> Duration {
        let after = self.grace().saturating_add(Duration::from_millis(1));
        self.span.saturating_add(after)
    }

    /// A store, logged as it says.
    pub(super) fn configure<V: 'static>(&self, store: StoreBuilder<I, V>) -> StoreBuilder<I, V> {
        let config = self.changelog_config.iter();
        let store = config.fold(store, |store, (k, v)| store.with_changelog_config(k, v));
        match self.logged {
            true => store,
            false => store.with_logging_disabled(),
        }
    }
}

impl<I> Clone for Deduplicated<I> {
    fn clone(&self) -> Self {
        Deduplicated {
            id: self.id.clone(),
            span: self.span,
            name: self.name.clone(),
            grace: self.grace,
            logged: self.logged,
            changelog_config: self.changelog_config.clone(),
        }
    }
}

impl<I> fmt::Debug for Deduplicated<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicated")
            .field("id", &self.id)
            .field("span", &self.span)
            .field("name", &self.name)
            .field("grace", &self.grace)
            .field("logged", &self.logged)
            .field("changelog_config", &self.changelog_config)
            .finish()
    }
}
