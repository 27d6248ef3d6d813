//! Keeps the rows that a predicate accepts, or those that it does not.

use super::derived::Nothing;
use crate::Data;
use crate::materialized::Materialized;
use crate::table::KTable;

/// The prefix of the node.
const FILTER: &str = "KTABLE-FILTER-";

impl<K: Data, V: Data> KTable<K, V> {
    /// Keeps the rows for which `predicate` is true; a row that no longer passes is deleted.
    ///
    /// A row that never passed is deleted too, unless old values are known, as in Kafka Streams.
    ///
    /// Nothing is dropped: what is null, late or out of order was settled by the table that it follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock.filter(|_, left| *left < 5).to_stream().to("scarce", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("stock", utf8(), i64());
    /// for left in [3, 9] {
    ///     input.pipe("nuts", left, Timestamp::from_millis(0))?;
    /// }
    /// let scarce = driver.output_topic("scarce", utf8(), nullable(i64())).read_all()?;
    /// assert_eq!(scarce.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(3), None]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.filter_into(predicate, None)
    }

    /// As [`filter`](Self::filter), kept in a store if the [`Materialized`] names one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock.filter_with(|_, left| *left < 5, Materialized::as_store("scarce"));
    /// assert!(builder.build()?.describe().contains("(stores: [scarce])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        self.filter_into(predicate, Some(materialized))
    }

    /// Keeps the rows for which `predicate` is false.
    ///
    /// Nothing is dropped: what is null, late or out of order was settled by the table that it follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock.filter_not(|_, left| *left == 0).to_stream().to("available", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("stock", utf8(), i64()).pipe("nuts", 0, Timestamp::from_millis(0))?;
    /// let available = driver.output_topic("available", utf8(), nullable(i64())).read()?;
    /// assert_eq!(available.map(|r| r.value), Some(None));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_not(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// As [`filter_not`](Self::filter_not), kept in a store if the [`Materialized`] names one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock.filter_not_with(|_, left| *left == 0, Materialized::as_store("available"));
    /// assert!(builder.build()?.describe().contains("(stores: [available])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_not_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        self.filter_with(move |key, value| !predicate(key, value), materialized)
    }

    fn filter_into(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Option<Materialized<K, V>>,
    ) -> KTable<K, V> {
        self.take_index_of_unnamed(FILTER, materialized.as_ref());
        self.derive(
            FILTER,
            Nothing::Swallowed,
            materialized,
            move |key, value| value.filter(|value| predicate(key, value)),
        )
    }
}
