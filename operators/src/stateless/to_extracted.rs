//! Writes each record of a stream to the topic that it names.

use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::topology::Produced;

use crate::Data;
use crate::names::SINK;
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Writes each record to the topic that `extract` answers; it must exist.
    ///
    /// Java's `to` with a `TopicNameExtractor`.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.to_extracted(|order| format!("orders-{}", order.key), Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("eu", 1, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("orders-eu", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn to_extracted(
        &self,
        extract: impl Fn(&Record<K, V>) -> String + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) {
        let name = self.graph.name(produced.name().or(self.next_name()), SINK);
        let sink = Arc::clone(&name);
        self.graph.add(name, &[self.node], move |lowering| {
            lowering.extracted_sink(&sink, extract, produced);
        });
    }
}
