//! Joins a table with a table: the rows of one key make a row.

use super::table_meeting::Meeting;
use super::table_sides::TableJoin;
use crate::Data;
use crate::materialized::Materialized;
use crate::null::OrNull;
use crate::table::KTable;

impl<K: Data, V: Data> KTable<K, V> {
    /// Joins rows of the same key: there is a row where both tables have one.
    ///
    /// A change of either side changes the result, at the later of the two rows' times, with the
    /// headers of the change. The joiner answers a row, or an `Option` of one: `None` deletes.
    /// A row that is deleted is told even if the result had none, as in Kafka Streams. Changes
    /// that come out of order are applied as they come, but for those of a
    /// [versioned](Materialized::with_versions) table: they are dropped and counted (KIP-914).
    /// Neither side has null keys.
    ///
    /// A table that is on both sides changes both at once: an inner join then does not tell that a
    /// row is deleted, as in Kafka Streams. Map such a table instead.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// let worth: KTable<String, i64> = prices.join(&stock, |price, left| price * left);
    /// worth.to_stream().to("worth", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("prices", utf8(), i64()).pipe("nuts", 3, Timestamp::from_millis(5))?;
    /// let stock = driver.input_topic("stock", utf8(), nullable(i64()));
    /// stock.pipe("nuts", 20, Timestamp::from_millis(1))?;
    /// stock.pipe("nuts", None, Timestamp::from_millis(9))?;
    /// let worth = driver.output_topic("worth", utf8(), nullable(i64())).read_all()?;
    /// let worth: Vec<_> = worth.iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(worth, [(Some(60), 5), (None, 9)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(V, V2) -> R + Send + Sync + 'static,
    ) -> KTable<K, VR> {
        let join = move |l: Option<V>, r: Option<V2>| joiner(l?, r?).into_option();
        self.meet(other, Meeting::INNER, join, None)
    }

    /// As [`join`](Self::join), kept in a store.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// prices.join_with(&stock, |price, left| price * left, Materialized::as_store("worth"));
    /// assert!(builder.build()?.describe().contains("(stores: [worth])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join_with<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(V, V2) -> R + Send + Sync + 'static,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        let join = move |l: Option<V>, r: Option<V2>| joiner(l?, r?).into_option();
        self.meet(other, Meeting::INNER, join, Some(materialized))
    }

    /// Joins rows of the same key: there is a row where this table has one.
    ///
    /// As [`join`](Self::join), with `None` for a row that the other table does not have.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// let worth = |price, left: Option<i64>| price * left.unwrap_or(0);
    /// prices.left_join(&stock, worth).to_stream().to("worth", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("prices", utf8(), i64()).pipe("nuts", 3, Timestamp::from_millis(5))?;
    /// let worth = driver.output_topic("worth", utf8(), i64()).read()?;
    /// assert_eq!(worth.map(|r| r.value), Some(0));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(V, Option<V2>) -> R + Send + Sync + 'static,
    ) -> KTable<K, VR> {
        let join = move |l: Option<V>, r| joiner(l?, r).into_option();
        self.meet(other, Meeting::LEFT, join, None)
    }

    /// As [`left_join`](Self::left_join), kept in a store.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// let worth = |price, left: Option<i64>| price * left.unwrap_or(0);
    /// prices.left_join_with(&stock, worth, Materialized::as_store("worth"));
    /// assert!(builder.build()?.describe().contains("(stores: [worth])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join_with<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(V, Option<V2>) -> R + Send + Sync + 'static,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        let join = move |l: Option<V>, r| joiner(l?, r).into_option();
        self.meet(other, Meeting::LEFT, join, Some(materialized))
    }

    /// Joins rows of the same key: there is a row where either table has one.
    ///
    /// As [`join`](Self::join), with `None` for the row that one of the tables does not have.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let eu: KTable<String, i64> = builder.table("eu", Consumed::new());
    /// let us: KTable<String, i64> = builder.table("us", Consumed::new());
    /// let sum = |eu: Option<i64>, us: Option<i64>| eu.unwrap_or(0) + us.unwrap_or(0);
    /// eu.outer_join(&us, sum).to_stream().to("all", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for (topic, count) in [("us", 2), ("eu", 3)] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("k", count, Timestamp::from_millis(0))?;
    /// }
    /// let all = driver.output_topic("all", utf8(), i64()).read_all()?;
    /// assert_eq!(all.iter().map(|r| r.value).collect::<Vec<_>>(), [2, 5]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn outer_join<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(Option<V>, Option<V2>) -> R + Send + Sync + 'static,
    ) -> KTable<K, VR> {
        self.meet(other, Meeting::OUTER, either(joiner), None)
    }

    /// As [`outer_join`](Self::outer_join), kept in a store.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let eu: KTable<String, i64> = builder.table("eu", Consumed::new());
    /// let us: KTable<String, i64> = builder.table("us", Consumed::new());
    /// let sum = |eu: Option<i64>, us: Option<i64>| eu.unwrap_or(0) + us.unwrap_or(0);
    /// eu.outer_join_with(&us, sum, Materialized::as_store("all"));
    /// assert!(builder.build()?.describe().contains("(stores: [all])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn outer_join_with<V2: Data, VR: Data, R: OrNull<VR>>(
        &self,
        other: &KTable<K, V2>,
        joiner: impl Fn(Option<V>, Option<V2>) -> R + Send + Sync + 'static,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        self.meet(other, Meeting::OUTER, either(joiner), Some(materialized))
    }
}

/// Two rows that are not there make none.
fn either<V, V2, VR, R: OrNull<VR>>(
    joiner: impl Fn(Option<V>, Option<V2>) -> R + Send + Sync + 'static,
) -> impl TableJoin<V, V2, VR> {
    move |left: Option<V>, right: Option<V2>| match (&left, &right) {
        (None, None) => None,
        _ => joiner(left, right).into_option(),
    }
}
