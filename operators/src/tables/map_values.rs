//! Replaces the value of each row.

use super::derived::Nothing;
use crate::Data;
use crate::materialized::Materialized;
use crate::table::KTable;

/// The prefix of the node.
const MAP_VALUES: &str = "KTABLE-MAPVALUES-";

impl<K: Data, V: Data> KTable<K, V> {
    /// Replaces the value of each row.
    ///
    /// Nothing is dropped: what is null, late or out of order was settled by the table that it follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let cents: KTable<String, i64> = builder.table("cents", Consumed::new());
    /// cents.map_values(|cents| cents / 100).to_stream().to("euros", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("cents", utf8(), i64()).pipe("a", 250, Timestamp::from_millis(0))?;
    /// let euros = driver.output_topic("euros", utf8(), i64()).read()?;
    /// assert_eq!(euros.map(|r| r.value), Some(2));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values<V2: Data>(
        &self,
        map: impl Fn(V) -> V2 + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.map_values_into(move |_, value| Some(map(value)), None)
    }

    /// As [`map_values`](Self::map_values), kept in a store if the [`Materialized`] names one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let cents: KTable<String, i64> = builder.table("cents", Consumed::new());
    /// cents.map_values_with(|cents| cents / 100, Materialized::as_store("euros"));
    /// assert!(builder.build()?.describe().contains("(stores: [euros])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values_with<V2: Data>(
        &self,
        map: impl Fn(V) -> V2 + Send + Sync + 'static,
        materialized: Materialized<K, V2>,
    ) -> KTable<K, V2> {
        self.map_values_into(move |_, value| Some(map(value)), Some(materialized))
    }

    /// Replaces the value of each row by a function that sees the key, or deletes the row by
    /// answering `None`.
    ///
    /// Java's `mapValues` with a mapper that may answer null.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts: KTable<String, String> = builder.table("texts", Consumed::new());
    /// texts
    ///     .filter_map_values(|_, text| text.parse::<i64>().ok())
    ///     .to_stream()
    ///     .to("numbers", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("texts", utf8(), utf8());
    /// for text in ["12", "twelve"] {
    ///     input.pipe("a", text, Timestamp::from_millis(0))?;
    /// }
    /// let numbers = driver.output_topic("numbers", utf8(), nullable(i64())).read_all()?;
    /// assert_eq!(numbers.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(12), None]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_map_values<V2: Data>(
        &self,
        map: impl Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.map_values_into(map, None)
    }

    /// As [`filter_map_values`](Self::filter_map_values), kept in a store if the
    /// [`Materialized`] names one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts: KTable<String, String> = builder.table("texts", Consumed::new());
    /// texts.filter_map_values_with(|_, text| text.parse::<i64>().ok(), Materialized::as_store("numbers"));
    /// assert!(builder.build()?.describe().contains("(stores: [numbers])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_map_values_with<V2: Data>(
        &self,
        map: impl Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
        materialized: Materialized<K, V2>,
    ) -> KTable<K, V2> {
        self.map_values_into(map, Some(materialized))
    }

    fn map_values_into<V2: Data>(
        &self,
        map: impl Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
        materialized: Option<Materialized<K, V2>>,
    ) -> KTable<K, V2> {
        self.take_index_of_unnamed(MAP_VALUES, materialized.as_ref());
        self.derive(
            MAP_VALUES,
            Nothing::HandedOn,
            materialized,
            move |key, value| value.and_then(|value| map(key, value)),
        )
    }
}
