//! Counts the records of each key.

use onceflow_framework::serde::i64;

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
    /// Counts the records of each key; those with a null key or value do not count.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// clicks.group_by_key(Grouped::new()).count().to_stream().to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [5, 3] {
    ///     input.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
    /// let counts: Vec<_> = counts.iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(counts, [(1, 5), (2, 5)]); // a row's time does not go back
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count(&self) -> KTable<K, i64> {
        let materialized = Materialized::with(self.grouped.key.clone(), i64());
        self.count_into(materialized)
    }

    /// As [`count`](Self::count), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// clicks.group_by_key(Grouped::new()).count_with(Materialized::as_store("click-counts"));
    /// assert!(builder.build()?.describe().contains("(stores: [click-counts])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        if materialized.store_name().is_none() {
            // Kafka Streams takes an index here that it does not use.
            self.graph.generate(STREAM_AGGREGATE);
        }
        self.count_into(materialized)
    }

    fn count_into(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.update_by(STREAM_AGGREGATE, materialized, |_, _, count| {
            Some(count.unwrap_or(0) + 1)
        })
        .with_initial(|_| Some(0))
    }
}
