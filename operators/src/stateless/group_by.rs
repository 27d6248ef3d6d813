//! Groups a stream by a key that a function selects.

use crate::Data;
use crate::grouped::{Grouped, KGroupedStream};
use crate::null::OrNull;
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Groups records by the key that `select` answers; the aggregation repartitions first.
    ///
    /// The same as [`select_key`](Self::select_key) and [`group_by_key`](Self::group_by_key).
    ///
    /// Records with a null key are dropped and counted before the repartition topic, those with a null
    /// value by the aggregation.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// words
    ///     .group_by(|_, word| word.len() as i64, Grouped::with(i64(), utf8()))
    ///     .count()
    ///     .to_stream()
    ///     .to("lengths", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for word in ["to", "be"] {
    ///     input.pipe("k", word, Timestamp::from_millis(0))?;
    /// }
    /// let lengths = driver.output_topic("lengths", i64(), i64()).read_all()?;
    /// assert_eq!(lengths.iter().map(|r| (r.key, r.value)).collect::<Vec<_>>(), [(2, 1), (2, 2)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn group_by<K2, KG, VG>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
        grouped: Grouped<KG, VG>,
    ) -> KGroupedStream<KG, VG, K2, V>
    where
        K2: Data + OrNull<KG>,
        KG: Data,
        VG: Data,
        V: OrNull<VG>,
    {
        let name = grouped.name.as_deref().or(self.next_name());
        let source = match name {
            Some(name) => self.named(name),
            None => self.clone(),
        };
        source.select_key(select).group_by_key(grouped)
    }
}
