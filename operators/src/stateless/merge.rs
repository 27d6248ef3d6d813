//! One stream of two.

use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::optimize::Role;
use crate::stream::{KStream, Step};

impl<K: Data, V: Data> KStream<K, V> {
    /// The records of this stream and of `other`, without an order between the two.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let eu = builder.stream("orders-eu", Consumed::<String, i64>::new());
    /// let us = builder.stream("orders-us", Consumed::<String, i64>::new());
    /// eu.merge(&us).to("orders", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for topic in ["orders-eu", "orders-us"] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("a", 1, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output_topic("orders", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let name = self.graph.name(self.next_name(), "KSTREAM-MERGE-");
        let output = Arc::clone(&name);
        let mut parents = vec![self.node];
        parents.extend(self.graph.own(&other.graph, other.node, &other.name));
        let node = self
            .graph
            .add(Arc::clone(&name), &parents, move |lowering| {
                let pass = |record: Record<K, V>, ctx: &mut Context<K, V>| ctx.forward(record);
                lowering.processor(&output, Step::supplier(pass));
            });
        self.graph.set_role(node, Role::Merges);
        let rekeyed = self.rekeyed || other.rekeyed;
        KStream::new(self.graph.clone(), node, name, rekeyed)
    }
}
