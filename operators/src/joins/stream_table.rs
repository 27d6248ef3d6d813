//! Joins a stream with a table: each record looks the row of its key up.

use super::joined::Joined;
use super::partitioned::NullKeys;
use crate::Data;
use crate::null::OrNull;
use crate::stream::KStream;
use crate::table::KTable;

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each record with the row of its key; a record without one goes no further.
    ///
    /// Only the stream triggers: a change of the table joins with what comes after it. The result
    /// has the record's time and headers. A record with a null key or value is dropped and
    /// counted. Records that come out of order meet the row as it is now, or, if the table is
    /// [versioned](crate::Materialized::with_versions), as it was at their time; they may also
    /// [wait](Joined::with_grace_period) for it (KIP-923).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// orders
    ///     .join_table(&homes, |cents, city| format!("{cents} to {city}"), Joined::new())
    ///     .to("shipments", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("homes", utf8(), utf8()).pipe("ada", "Oslo", Timestamp::from_millis(0))?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for who in ["ada", "bob"] {
    ///     orders.pipe(who, 995, Timestamp::from_millis(1))?;
    /// }
    /// let shipments = driver.output_topic("shipments", utf8(), utf8()).read_key_values()?;
    /// assert_eq!(shipments, [("ada".to_owned(), "995 to Oslo".to_owned())]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join_table<KT, VT, VS, VR>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(VS, VT) -> VR + Send + Sync + 'static,
        joined: Joined<KT, VS>,
    ) -> KStream<K, VR>
    where
        KT: Data,
        VT: Data,
        VS: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        self.join_table_with_key(table, move |_, left, right| joiner(left, right), joined)
    }

    /// As [`join_table`](Self::join_table), by a function that sees the key.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let label = |who: &String, _cents, city| format!("{who}, {city}");
    /// orders.join_table_with_key(&homes, label, Joined::new()).to("labels", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("homes", utf8(), utf8()).pipe("ada", "Oslo", Timestamp::from_millis(0))?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 995, Timestamp::from_millis(1))?;
    /// let label = driver.output_topic("labels", utf8(), utf8()).read()?;
    /// assert_eq!(label.map(|r| r.value), Some("ada, Oslo".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join_table_with_key<KT, VT, VS, VR>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(&K, VS, VT) -> VR + Send + Sync + 'static,
        joined: Joined<KT, VS>,
    ) -> KStream<K, VR>
    where
        KT: Data,
        VT: Data,
        VS: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let join = move |key: &K, left, right: Option<VT>| Some(joiner(key, left, right?));
        self.look_up(table, join, joined, NullKeys::Dropped)
    }

    /// Joins each record with the row of its key, or with `None` if there is none.
    ///
    /// As [`join_table`](Self::join_table), but a record with a null key is joined with `None`.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let label = |cents, city: Option<String>| {
    ///     format!("{cents} to {}", city.as_deref().unwrap_or("the shop"))
    /// };
    /// orders.left_join_table(&homes, label, Joined::new()).to("shipments", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("bob", 5, Timestamp::from_millis(1))?;
    /// let shipment = driver.output_topic("shipments", utf8(), utf8()).read()?;
    /// assert_eq!(shipment.map(|r| r.value), Some("5 to the shop".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join_table<KT, VT, VS, VR>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(VS, Option<VT>) -> VR + Send + Sync + 'static,
        joined: Joined<KT, VS>,
    ) -> KStream<K, VR>
    where
        KT: Data,
        VT: Data,
        VS: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        self.left_join_table_with_key(table, move |_, left, right| joiner(left, right), joined)
    }

    /// As [`left_join_table`](Self::left_join_table), by a function that sees the key.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let label = |who: &String, _cents, city: Option<String>| city.unwrap_or(who.clone());
    /// orders.left_join_table_with_key(&homes, label, Joined::new()).to("labels", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("bob", 5, Timestamp::from_millis(1))?;
    /// let label = driver.output_topic("labels", utf8(), utf8()).read()?;
    /// assert_eq!(label.map(|r| r.value), Some("bob".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join_table_with_key<KT, VT, VS, VR>(
        &self,
        table: &KTable<KT, VT>,
        joiner: impl Fn(&K, VS, Option<VT>) -> VR + Send + Sync + 'static,
        joined: Joined<KT, VS>,
    ) -> KStream<K, VR>
    where
        KT: Data,
        VT: Data,
        VS: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let join = move |key: &K, left, right| Some(joiner(key, left, right));
        self.look_up(table, join, joined, NullKeys::Joined)
    }
}
