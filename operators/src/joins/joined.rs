//! How a stream is joined with a table: `Joined`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};

/// How a stream is joined with a table: the serdes of the stream, and a name.
///
/// The serdes are for the repartition topic that is made if the stream's key was changed, and for
/// records that wait; the name is that of the topic, `<application>-<name>-repartition`, and of the
/// join.
///
/// ```
/// use onceflow::prelude::*;
///
/// let by_serdes = Joined::with(utf8(), i64()).with_name("with-customer");
/// let same_types: Joined<String, i64> = Joined::new();
/// # let _ = (by_serdes, same_types);
/// ```
pub struct Joined<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) grace: Option<Duration>,
}

impl<K: 'static, V: 'static> Joined<K, V> {
    /// With the default serdes of the types.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// orders.join_table(&prices, |n, price| n * price, Joined::new()).to("sums", Produced::new());
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Joined::with(K::default_serde(), V::default_serde())
    }

    /// With these serdes.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let joined = Joined::with(utf8(), i64());
    /// orders.join_table(&prices, |n: i64, price| n * price, joined).to("sums", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("prices", utf8(), i64()).pipe("nut", 3, Timestamp::from_millis(0))?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("nut", 7, Timestamp::from_millis(1))?;
    /// let sums = driver.output_topic("sums", utf8(), i64()).read_key_values()?;
    /// assert_eq!(sums, [("nut".to_owned(), 21)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Joined {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            name: None,
            grace: None,
        }
    }

    /// Names the join (`Joined.as` in Java).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let joined = Joined::new().with_name("priced");
    /// assert_eq!(orders.join_table(&prices, |n: i64, price| n * price, joined).name(), "priced");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Lets each record wait until stream time is that far ahead of it, so that the row it meets is
    /// there although it came later (KIP-923).
    ///
    /// The table must be versioned, with a history at least as long: a record meets the row as of
    /// its own time, whenever that came. Records leave in the order of their times, then keys; one
    /// that comes after the others of its time have left is joined at once. What waits is kept in a
    /// store of its own, `<name of the join>-Buffer`. In a left join a record without a key does not
    /// wait, where Kafka Streams fails. Only the records of the stream move its time: the last ones
    /// wait until others come.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let (hour, ten) = (Duration::from_secs(3600), Duration::from_millis(10));
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let versions = Materialized::as_versioned("prices", hour);
    /// let prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), versions);
    /// orders
    ///     .join_table(&prices, |pieces, price| pieces * price, Joined::new().with_grace_period(ten))
    ///     .to("sums", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let at = Timestamp::from_millis;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// orders.pipe("nut", 2, at(15))?;
    /// // It comes later, but it was the price by then.
    /// driver.input_topic("prices", utf8(), i64()).pipe("nut", 3, at(12))?;
    /// orders.pipe("nut", 1, at(25))?;
    /// let sums = driver.output_topic("sums", utf8(), i64()).read_all()?;
    /// let sums: Vec<_> = sums.iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(sums, [(6, 15)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_grace_period(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Joined<K, V> {
    fn default() -> Self {
        Joined::new()
    }
}

impl<K, V> Clone for Joined<K, V> {
    fn clone(&self) -> Self {
        Joined {
            key: self.key.clone(),
            value: self.value.clone(),
            name: self.name.clone(),
            grace: self.grace,
        }
    }
}

impl<K, V> fmt::Debug for Joined<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("name", &self.name)
            .field("grace", &self.grace)
            .finish()
    }
}
