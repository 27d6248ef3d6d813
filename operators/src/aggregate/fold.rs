//! Folds the values of each key into a row of another type.

use std::sync::Arc;

use crate::Data;
use crate::grouped::KGroupedStream;
use crate::materialized::Materialized;
use crate::names::STREAM_AGGREGATE;
use crate::null::OrNull;
use crate::table::KTable;

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    /// Folds each value into its key's row, which begins as `init` says.
    ///
    /// A row that is null to its serde is deleted: for rows that end, aggregate `Option`s with a
    /// `nullable` serde.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// words
    ///     .group_by_key(Grouped::new())
    ///     .aggregate(|| 0, |_, word, chars| chars + word.len() as i64, Materialized::as_store("chars"))
    ///     .to_stream()
    ///     .to("chars-so-far", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for word in ["to", "be"] {
    ///     input.pipe("k", word, Timestamp::from_millis(0))?;
    /// }
    /// let chars = driver.output_topic("chars-so-far", utf8(), i64()).read_all()?;
    /// assert_eq!(chars.iter().map(|r| r.value).collect::<Vec<_>>(), [2, 4]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        fold: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let init = Arc::new(init);
        let initial = Arc::clone(&init);
        self.update_by(STREAM_AGGREGATE, materialized, move |key, value, row| {
            Some(fold(key, value, row.unwrap_or_else(|| init())))
        })
        .with_initial(move |_| Some(initial()))
    }
}
