//! Looks at each record in passing.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Calls `look` with each record and passes it on unchanged.
    ///
    /// It runs again for a record whose batch is aborted and replayed.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// use onceflow::prelude::*;
    ///
    /// let seen = Arc::new(AtomicUsize::new(0));
    /// let count = Arc::clone(&seen);
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders
    ///     .peek(move |_, _| {
    ///         count.fetch_add(1, Ordering::Relaxed);
    ///     })
    ///     .to("copy", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 1, Timestamp::from_millis(0))?;
    /// assert_eq!(seen.load(Ordering::Relaxed), 1);
    /// assert_eq!(driver.output_topic("copy", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> KStream<K, V> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K, V>| {
            look(&record.key, &record.value);
            ctx.forward(record)
        };
        self.step("KSTREAM-PEEK-", Changes::Nothing, act)
    }
}
