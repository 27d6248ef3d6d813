//! Writes a stream to a system outside Kafka.

use std::sync::Arc;

use onceflow_framework::processor::external::ExternalSink;

use crate::stream::KStream;
use crate::{Data, Named};

impl<K: Data, V: Data> KStream<K, V> {
    /// Writes each record to a system outside Kafka, such as a database.
    ///
    /// Rows are written in batches, one transaction of the system for each, before the batch is
    /// committed to Kafka. Whether each comes exactly once or at least once is the sink's; what it
    /// rests on is stated by [`external`](onceflow_framework::processor::external).
    ///
    /// The name has to be given and to stay: the system knows its positions by it, and under another
    /// one it begins anew.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    /// use onceflow::processor::external::{
    ///     Applied, ExternalBatch, ExternalFault, ExternalSession, ExternalSink, ExternalTask,
    /// };
    ///
    /// /// Sums up, and keeps no positions: at least once.
    /// #[derive(Clone, Default)]
    /// struct Total(Arc<Mutex<i64>>);
    ///
    /// impl ExternalSink<String, i64> for Total {
    ///     type Session = Total;
    ///
    ///     fn open(&self, _: &ExternalTask) -> Result<(Total, Applied), ExternalFault> {
    ///         Ok((self.clone(), Applied::Unknown))
    ///     }
    /// }
    ///
    /// impl ExternalSession<String, i64> for Total {
    ///     type Row = i64;
    ///
    ///     fn row(&mut self, record: &Record<String, i64>) -> Result<i64, Fault> {
    ///         Ok(record.value)
    ///     }
    ///
    ///     fn commit(
    ///         &mut self,
    ///         batch: &ExternalBatch<'_, i64>,
    ///         _within: Duration,
    ///     ) -> Result<(), ExternalFault> {
    ///         *self.0.lock().unwrap() += batch.rows.iter().map(|row| row.row).sum::<i64>();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let total = Total::default();
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.to_external("total", total.clone());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// orders.pipe("tea", 3, Timestamp::from_millis(0))?;
    /// orders.pipe("coffee", 4, Timestamp::from_millis(1))?;
    /// assert_eq!(*total.0.lock().unwrap(), 7);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn to_external(&self, name: impl Into<Named>, sink: impl ExternalSink<K, V>) {
        let name = name.into().into_name();
        self.graph.check(&name);
        let sink_name = Arc::clone(&name);
        self.graph.add(name, &[self.node], move |lowering| {
            lowering.external_sink(&sink_name, sink);
        });
    }
}
