//! Gives each record a new key.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

/// The prefix of key-selecting nodes, which `group_by` and `to_stream` add too.
pub(crate) const KEY_SELECT: &str = "KSTREAM-KEY-SELECT-";

impl<K: Data, V: Data> KStream<K, V> {
    /// Gives each record a new key; the next grouping repartitions.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.select_key(|_, customer| *customer).to("by-customer", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("orders", utf8(), i64());
    /// input.pipe("order-1", 42, Timestamp::from_millis(0))?;
    /// let order = driver.output_topic("by-customer", i64(), i64()).read()?;
    /// assert_eq!(order.map(|r| r.key), Some(42));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn select_key<K2: Data>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K2, V>| {
            let key = select(&record.key, &record.value);
            ctx.forward(record.with_key(key))
        };
        self.step(KEY_SELECT, Changes::Keys, act)
    }
}
