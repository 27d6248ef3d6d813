//! Computes each row by a function that sees deletions too.

use super::derived::Nothing;
use crate::Data;
use crate::materialized::Materialized;
use crate::table::KTable;

impl<K: Data, V: Data> KTable<K, V> {
    /// Computes each row from the key and the value, which is `None` for a deleted row.
    ///
    /// Where Java takes a transformer with stores of its own, this takes a function.
    ///
    /// Nothing is dropped: what is null, late or out of order was settled by the table that it follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock
    ///     .transform_values(|_, left| Some(left.unwrap_or(0)))
    ///     .to_stream()
    ///     .to("left", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("stock", utf8(), nullable(i64()));
    /// for left in [Some(3), None] {
    ///     input.pipe("nuts", left, Timestamp::from_millis(0))?;
    /// }
    /// let left = driver.output_topic("left", utf8(), i64()).read_all()?;
    /// assert_eq!(left.iter().map(|r| r.value).collect::<Vec<_>>(), [3, 0]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn transform_values<V2: Data>(
        &self,
        transform: impl Fn(&K, Option<V>) -> Option<V2> + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.derive(TRANSFORM_VALUES, Nothing::HandedOn, None, transform)
    }

    /// As [`transform_values`](Self::transform_values), kept in a store if the [`Materialized`]
    /// names one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// stock.transform_values_with(|_, left| left, Materialized::as_store("left"));
    /// assert!(builder.build()?.describe().contains("(stores: [left])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn transform_values_with<V2: Data>(
        &self,
        transform: impl Fn(&K, Option<V>) -> Option<V2> + Send + Sync + 'static,
        materialized: Materialized<K, V2>,
    ) -> KTable<K, V2> {
        self.derive(
            TRANSFORM_VALUES,
            Nothing::HandedOn,
            Some(materialized),
            transform,
        )
    }
}

/// The prefix of the node; no index is taken for a store without a name.
const TRANSFORM_VALUES: &str = "KTABLE-TRANSFORMVALUES-";
