//! Makes a stream of a table's changes.

use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::change::Change;
use crate::stream::{KStream, Step};
use crate::table::KTable;

impl<K: Data, V: Data> KTable<K, V> {
    /// The changes of the table: each record is the new value of a row, or `None` if it is deleted.
    ///
    /// Nothing is dropped: what is null, late or out of order was settled by the table that it follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
    /// let changes: KStream<String, Option<i64>> = stock.to_stream();
    /// changes.to("changes", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("stock", utf8(), nullable(i64()));
    /// for left in [Some(3), None] {
    ///     input.pipe("nuts", left, Timestamp::from_millis(0))?;
    /// }
    /// let changes = driver.output_topic("changes", utf8(), nullable(i64())).read_all()?;
    /// assert_eq!(changes.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(3), None]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        let name = self.graph.name(self.next_name(), "KTABLE-TOSTREAM-");
        let output = Arc::clone(&name);
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                let unwrap = |record: Record<K, Change<V>>, ctx: &mut Context<K, Option<V>>| {
                    ctx.forward(Record {
                        key: record.key,
                        value: record.value.new,
                        timestamp: record.timestamp,
                        headers: record.headers,
                    })
                };
                lowering.processor(&output, Step::supplier(unwrap));
            });
        KStream::new(self.graph.clone(), node, name, false)
    }
}
