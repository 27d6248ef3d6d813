//! Sends a stream through a topic of the application's own.

use std::sync::Arc;

use crate::Data;
use crate::repartition::{RepartitionNames, Repartitioned, add_asked_repartition};
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Sends the stream through a repartition topic, now: to have records of one key in one place,
    /// or to work with more tasks than the input has partitions.
    ///
    /// Records with a null key are dropped; Kafka Streams does not count them, we do.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders
    ///     .repartition(Repartitioned::new().with_name("spread").with_partitions(4))
    ///     .to("copy", Produced::new());
    ///
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Sink: spread-repartition-sink (topic: spread-repartition)"));
    /// let driver = TestDriver::new(topology)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 1, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("copy", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> KStream<K, V> {
        let given = repartitioned.name.as_deref().or(self.next_name());
        let prefix = self.graph.name_if_needed(given, "KSTREAM-REPARTITION-");
        let names = RepartitionNames::take(&self.graph, &prefix);
        let name = Arc::clone(&names.source);
        let Repartitioned {
            partitions,
            produced,
            ..
        } = repartitioned;
        let node = add_asked_repartition(&self.graph, self.node, names, partitions, produced);
        KStream::new(self.graph.clone(), node, name, false)
    }
}
