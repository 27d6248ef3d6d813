//! How tables are joined by a foreign key: `TableJoined`.

use std::fmt;
use std::sync::Arc;

use onceflow_framework::processor::Partitions;
use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};

/// How tables are joined by a foreign key: the serdes of both, and a name.
///
/// `K` and `V` are the left table's, `KO` and `VO` the right one's: all of them cross a topic. The
/// name is that of the join's nodes, stores and topics.
///
/// ```
/// use onceflow::prelude::*;
///
/// let named: TableJoined<String, i64, String, String> =
///     TableJoined::new().with_name("orders-with-customers");
/// let by_serdes = TableJoined::with((utf8(), i64()), (utf8(), utf8()));
/// # let _ = (named, by_serdes);
/// ```
pub struct TableJoined<K, V, KO, VO> {
    pub(super) key: SharedSerde<K>,
    pub(super) value: SharedSerde<V>,
    pub(super) foreign_key: SharedSerde<KO>,
    pub(super) foreign_value: SharedSerde<VO>,
    pub(super) name: Option<Arc<str>>,
    pub(super) foreign_partitions: Option<ForeignPartitions<KO>>,
}

/// Which partition of so many has the right row of a key.
pub(super) type ForeignPartitions<KO> = Arc<dyn Fn(&KO, i32) -> Partitions + Send + Sync>;

impl<K: 'static, V: 'static, KO: 'static, VO: 'static> TableJoined<K, V, KO, VO> {
    /// With the default serdes of the types.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let joined = TableJoined::new();
    /// let by_customer = orders.on_foreign_key(&homes, |_, who| who.clone(), joined);
    /// let cities: KTable<i64, String> = by_customer.join(|_, city| city, Materialized::new());
    /// assert_eq!(cities.queryable_store_name(), None);
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
        KO: DefaultSerde,
        VO: DefaultSerde,
    {
        TableJoined::with(
            (K::default_serde(), V::default_serde()),
            (KO::default_serde(), VO::default_serde()),
        )
    }

    /// With these serdes of keys and values: of the left table, and of the right one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let joined = TableJoined::with((i64(), utf8()), (utf8(), utf8()));
    /// let by_customer = orders.on_foreign_key(&homes, |_, who| who.clone(), joined);
    /// let cities: KTable<i64, String> = by_customer.join(|_, city| city, Materialized::new());
    /// assert_eq!(cities.queryable_store_name(), None);
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(
        left: (impl Serde<Item = K>, impl Serde<Item = V>),
        right: (impl Serde<Item = KO>, impl Serde<Item = VO>),
    ) -> Self {
        TableJoined {
            key: SharedSerde::new(left.0),
            value: SharedSerde::new(left.1),
            foreign_key: SharedSerde::new(right.0),
            foreign_value: SharedSerde::new(right.1),
            name: None,
            foreign_partitions: None,
        }
    }

    /// Names the join.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let joined = TableJoined::new().with_name("homes-of-orders");
    /// let by_customer = orders.on_foreign_key(&homes, |_, who| who.clone(), joined);
    /// let cities: KTable<i64, String> = by_customer.join(|_, city| city, Materialized::new());
    /// assert_eq!(cities.name(), "homes-of-orders-result");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Says in which partition of the right table's topic, of so many, the row of a key is; needed
    /// where that is not murmur2 of the key (`withOtherPartitioner` in Java, KIP-775).
    ///
    /// How the left table is partitioned need not be said: an answer goes back to the partition
    /// that asked.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live, all in the last partition.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let in_last = |_: &String, partitions| Partitions::One(partitions - 1);
    /// let joined = TableJoined::new().with_other_partitioner(in_last);
    /// orders
    ///     .on_foreign_key(&homes, |_, who| who.clone(), joined)
    ///     .join(|_, city| city, Materialized::new())
    ///     .to_stream()
    ///     .to("destinations", Produced::new());
    ///
    /// let driver = TestDriver::builder(builder.build()?)
    ///     .partitions("orders", 3)
    ///     .partitions("homes", 3)
    ///     .build()?;
    /// let oslo = Record::new("ada".to_owned(), "Oslo".to_owned(), Timestamp::from_millis(0));
    /// driver.input_topic("homes", utf8(), utf8()).pipe_to_partition(2, oslo)?;
    /// let orders = driver.input_topic("orders", i64(), utf8());
    /// for order in 0..6 {
    ///     orders.pipe(order, "ada", Timestamp::from_millis(1))?;
    /// }
    /// let destinations = driver.output_topic("destinations", i64(), utf8()).read_all()?;
    /// assert_eq!(destinations.len(), 6);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_other_partitioner(
        mut self,
        partitions: impl Fn(&KO, i32) -> Partitions + Send + Sync + 'static,
    ) -> Self {
        self.foreign_partitions = Some(Arc::new(partitions));
        self
    }
}

impl<K, V, KO, VO> Default for TableJoined<K, V, KO, VO>
where
    K: DefaultSerde,
    V: DefaultSerde,
    KO: DefaultSerde,
    VO: DefaultSerde,
{
    fn default() -> Self {
        TableJoined::new()
    }
}

impl<K, V, KO, VO> Clone for TableJoined<K, V, KO, VO> {
    fn clone(&self) -> Self {
        TableJoined {
            key: self.key.clone(),
            value: self.value.clone(),
            foreign_key: self.foreign_key.clone(),
            foreign_value: self.foreign_value.clone(),
            name: self.name.clone(),
            foreign_partitions: self.foreign_partitions.as_ref().map(Arc::clone),
        }
    }
}

impl<K, V, KO, VO> fmt::Debug for TableJoined<K, V, KO, VO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableJoined")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("foreign_key", &self.foreign_key)
            .field("foreign_value", &self.foreign_value)
            .field("name", &self.name)
            .finish()
    }
}
