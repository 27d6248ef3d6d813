//! Combines the values of each key into one of the same type.

use crate::Data;
use crate::grouped::KGroupedStream;
use crate::materialized::Materialized;
use crate::names::STREAM_REDUCE;
use crate::null::OrNull;
use crate::table::KTable;

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    /// Combines each value with what the values before it gave; the first is taken as it is.
    ///
    /// The function gets the row first, then the value. It answers the new row, or an `Option` of
    /// it: `None` deletes the row.
    ///
    /// Records with a null key or value are dropped and counted. One out of order is folded in as it
    /// comes, and the row keeps the latest time; none is late.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bids = builder.stream("bids", Consumed::<String, i64>::new());
    /// bids.group_by_key(Grouped::new()).reduce(i64::max).to_stream().to("highest", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("bids", utf8(), i64());
    /// for bid in [3, 9, 4] {
    ///     input.pipe("vase", bid, Timestamp::from_millis(0))?;
    /// }
    /// let highest = driver.output_topic("highest", utf8(), i64()).read_all()?;
    /// assert_eq!(highest.iter().map(|r| r.value).collect::<Vec<_>>(), [3, 9, 9]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce<R: OrNull<V>>(
        &self,
        combine: impl Fn(V, V) -> R + Send + Sync + 'static,
    ) -> KTable<K, V> {
        let (key, value) = (self.grouped.key.clone(), self.grouped.value.clone());
        self.reduce_with(combine, Materialized::with(key, value))
    }

    /// As [`reduce`](Self::reduce), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let payments = builder.stream("payments", Consumed::<String, i64>::new());
    /// let sum = |row: i64, value: i64| row.checked_add(value); // an overflow deletes the row
    /// payments.group_by_key(Grouped::new()).reduce_with(sum, Materialized::as_store("balances"));
    /// assert!(builder.build()?.describe().contains("(stores: [balances])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce_with<R: OrNull<V>>(
        &self,
        combine: impl Fn(V, V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        self.update_by(
            STREAM_REDUCE,
            materialized,
            move |_, value, row| match row {
                Some(row) => combine(row, value).into_option(),
                None => Some(value),
            },
        )
    }
}
