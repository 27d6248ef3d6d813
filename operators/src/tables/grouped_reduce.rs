//! Combines the values of each group into one of the same type.

use super::grouped::KGroupedTable;
use super::grouped_update::Fold;
use crate::Data;
use crate::materialized::Materialized;
use crate::null::OrNull;
use crate::table::KTable;

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// Combines the values of each group: `add` takes one in, `subtract` takes one out.
    ///
    /// Both get the row first, then the value, and answer the row or an `Option` of it. The first
    /// value of a group is its row.
    ///
    /// Changes are applied in the order in which they come; what is null is in no group, as
    /// [`KTable::group_by`](crate::KTable::group_by) says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let salaries: KTable<String, i64> = builder.table("salaries", Consumed::new());
    /// salaries
    ///     .group_by(|who, salary| (who[..1].to_owned(), salary), Grouped::new())
    ///     .reduce(|sum, more| sum + more, |sum, less| sum - less)
    ///     .to_stream()
    ///     .to("sums", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("salaries", utf8(), i64());
    /// for (who, salary) in [("ada", 10), ("ann", 5), ("ada", 20)] {
    ///     input.pipe(who, salary, Timestamp::from_millis(0))?;
    /// }
    /// let sums = driver.output_topic("sums", utf8(), i64()).read_all()?;
    /// assert_eq!(sums.iter().map(|r| r.value).collect::<Vec<_>>(), [10, 15, 25]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce<R: OrNull<V>, S: OrNull<V>>(
        &self,
        add: impl Fn(V, V) -> R + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> S + Send + Sync + 'static,
    ) -> KTable<K, V> {
        let (key, value) = (self.grouped.key.clone(), self.grouped.value.clone());
        self.reduce_with(add, subtract, Materialized::with(key, value))
    }

    /// As [`reduce`](Self::reduce), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let salaries: KTable<String, i64> = builder.table("salaries", Consumed::new());
    /// salaries
    ///     .group_by(|who, salary| (who[..1].to_owned(), salary), Grouped::new())
    ///     .reduce_with(|sum, more| sum + more, |sum, less| sum - less, Materialized::as_store("sums"));
    /// assert!(builder.build()?.describe().contains("(stores: [sums])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce_with<R: OrNull<V>, S: OrNull<V>>(
        &self,
        add: impl Fn(V, V) -> R + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> S + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        let fold = Fold {
            add: move |_: &K, value: V, row: Option<V>| match row {
                Some(row) => add(row, value).into_option(),
                None => Some(value),
            },
            subtract: move |_: &K, value: V, row: V| subtract(row, value).into_option(),
        };
        self.fold("KTABLE-REDUCE-", materialized, fold)
    }
}
