//! Sets a header of every record.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Gives every record a header of that name, in place of those that it has; `None` takes them off.
    ///
    /// Kafka Streams has no such operator: the node is named as its `processValues` is. Null keys
    /// and values are seen; no repartitioning follows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("orders", Consumed::<String, i64>::new())
    ///     .set_header("size", |_, amount| Some(if *amount < 100 { "small" } else { "large" }))
    ///     .to("sized", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 5, Timestamp::from_millis(0))?;
    /// let sized = driver.output_topic("sized", utf8(), i64()).read()?.expect("one order");
    /// let size = sized.headers.last("size").and_then(|header| header.value.as_deref());
    /// assert_eq!(size, Some(&b"small"[..]));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn set_header<B: AsRef<[u8]>>(
        &self,
        name: impl Into<String>,
        value: impl Fn(&K, &V) -> Option<B> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let header = name.into();
        let act = move |mut record: Record<K, V>, ctx: &mut Context<K, V>| {
            let value = value(&record.key, &record.value);
            record.headers.remove(&header);
            if let Some(value) = value {
                record.headers.push(&header, Some(value.as_ref()));
            }
            ctx.forward(record)
        };
        self.step("KSTREAM-PROCESSVALUES-", Changes::Nothing, act)
    }
}
