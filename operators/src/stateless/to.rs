//! Writes a stream to a topic.

use std::sync::Arc;

use onceflow_framework::topology::{Produced, TopicName};

use crate::Data;
use crate::names::SINK;
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Writes each record to `topic`, which must exist.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.to("copy", Produced::with(utf8(), i64()).with_name("copier"));
    ///
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Sink: copier (topic: copy)"));
    /// let driver = TestDriver::new(topology)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 1, Timestamp::from_millis(3))?;
    /// let copy = driver.output_topic("copy", utf8(), i64()).read()?;
    /// assert_eq!(copy, Some(Record::new("a".to_owned(), 1, Timestamp::from_millis(3))));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn to(&self, topic: &str, produced: Produced<K, V>) {
        let name = self.graph.name(produced.name().or(self.next_name()), SINK);
        let (topic, sink) = (TopicName::external(topic), Arc::clone(&name));
        self.graph.add(name, &[self.node], move |lowering| {
            lowering.sink(&sink, topic, produced);
        });
    }
}
