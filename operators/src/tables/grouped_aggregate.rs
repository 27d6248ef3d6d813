//! Folds the values of each group into a row of another type.

use super::grouped::KGroupedTable;
use super::grouped_update::Fold;
use crate::Data;
use crate::materialized::Materialized;
use crate::names::TABLE_AGGREGATE;
use crate::table::KTable;

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// Folds the values of each group into a row: `add` takes one in, `subtract` takes one out.
    ///
    /// A row that is null to its serde is deleted, and begins again as `init` says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let scores: KTable<String, String> = builder.table("scores", Consumed::new());
    /// scores
    ///     .group_by(|who, score| (who[..1].to_owned(), score), Grouped::new())
    ///     .aggregate(
    ///         || 0,
    ///         |_, score, sum| sum + score.len() as i64,
    ///         |_, score, sum| sum - score.len() as i64,
    ///         Materialized::as_store("lengths"),
    ///     )
    ///     .to_stream()
    ///     .to("lengths", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("scores", utf8(), nullable(utf8()));
    /// for score in [Some("***".to_owned()), Some("*".to_owned()), None] {
    ///     input.pipe("ada", score, Timestamp::from_millis(0))?;
    /// }
    /// let lengths = driver.output_topic("lengths", utf8(), i64()).read_all()?;
    /// assert_eq!(lengths.iter().map(|r| r.value).collect::<Vec<_>>(), [3, 1, 0]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let fold = Fold {
            add: move |key: &K, value: V, row: Option<A>| {
                Some(add(key, value, row.unwrap_or_else(&init)))
            },
            subtract: move |key: &K, value: V, row: A| Some(subtract(key, value, row)),
        };
        self.fold(TABLE_AGGREGATE, materialized, fold)
    }
}
