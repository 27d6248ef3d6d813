//! Replaces key and value of each record.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Replaces key and value of each record; the next grouping repartitions.
    ///
    /// Prefer [`map_values`](Self::map_values) where the key stays.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let visits = builder.stream("visits", Consumed::<String, i64>::new());
    /// visits.map(|user, page| (page, user)).to("by-page", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("visits", utf8(), i64());
    /// input.pipe("ada", 7, Timestamp::from_millis(1))?;
    /// let visit = driver.output_topic("by-page", i64(), utf8()).read()?;
    /// assert_eq!(visit, Some(Record::new(7, "ada".to_owned(), Timestamp::from_millis(1))));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map<K2: Data, V2: Data>(
        &self,
        map: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K2, V2>| {
            let (key, value) = map(record.key, record.value);
            ctx.forward(Record {
                key,
                value,
                timestamp: record.timestamp,
                headers: record.headers,
            })
        };
        self.step("KSTREAM-MAP-", Changes::Keys, act)
    }
}
