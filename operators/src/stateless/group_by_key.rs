//! Groups a stream by the key that it has.

use crate::Data;
use crate::grouped::{Grouped, KGroupedStream};
use crate::null::OrNull;
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Groups records by their key, to be aggregated; adds no node.
    ///
    /// If the key was changed upstream, the aggregation repartitions first, with these serdes. Of
    /// a stream of `Option`s the grouping carries what is inside (see [`OrNull`]).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.group_by_key(Grouped::new()).count().to_stream().to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("orders", utf8(), i64());
    /// for amount in [3, 4] {
    ///     input.pipe("ada", amount, Timestamp::from_millis(0))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
    /// assert_eq!(counts.iter().map(|r| r.value).collect::<Vec<_>>(), [1, 2]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn group_by_key<KG, VG>(&self, grouped: Grouped<KG, VG>) -> KGroupedStream<KG, VG, K, V>
    where
        KG: Data,
        VG: Data,
        K: OrNull<KG>,
        V: OrNull<VG>,
    {
        KGroupedStream::new(self, grouped)
    }
}
