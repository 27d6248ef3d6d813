//! Counts the rows of each group.

use onceflow_framework::serde::i64;

use super::grouped::KGroupedTable;
use super::grouped_update::Fold;
use crate::Data;
use crate::materialized::Materialized;
use crate::names::TABLE_AGGREGATE;
use crate::table::KTable;

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// Counts the rows of each group; one that loses its last row counts 0.
    ///
    /// See [`KTable::group_by`] for an example that runs.
    ///
    /// Changes are applied in the order in which they come; what is null is in no group, as
    /// [`KTable::group_by`](crate::KTable::group_by) says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// let inhabitants: KTable<String, i64> =
    ///     homes.group_by(|who, city| (city, who.clone()), Grouped::new()).count();
    /// # let _ = inhabitants;
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count(&self) -> KTable<K, i64> {
        self.count_with(Materialized::with(self.grouped.key.clone(), i64()))
    }

    /// As [`count`](Self::count), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// homes
    ///     .group_by(|who, city| (city, who.clone()), Grouped::new())
    ///     .count_with(Materialized::as_store("inhabitants"));
    /// assert!(builder.build()?.describe().contains("(stores: [inhabitants])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        let fold = Fold {
            add: |_: &K, _: V, count: Option<i64>| Some(count.unwrap_or(0) + 1),
            subtract: |_: &K, _: V, count: i64| Some(count - 1),
        };
        self.fold(TABLE_AGGREGATE, materialized, fold)
    }
}
