//! Replaces the value of each record; the key stays, so nothing is repartitioned.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Replaces the value of each record.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// words.map_values(|word| word.to_uppercase()).to("loud", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// input.pipe("k", "hello", Timestamp::from_millis(0))?;
    /// let loud = driver.output_topic("loud", utf8(), utf8()).read()?;
    /// assert_eq!(loud.map(|r| r.value), Some("HELLO".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values<V2: Data>(
        &self,
        map: impl Fn(V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.map_values_with_key(move |_, value| map(value))
    }

    /// Replaces the value of each record by a function that sees the key.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let ages = builder.stream("ages", Consumed::<String, i64>::new());
    /// ages.map_values_with_key(|name, age| format!("{name} is {age}")).to("said", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("ages", utf8(), i64());
    /// input.pipe("ada", 36, Timestamp::from_millis(0))?;
    /// let said = driver.output_topic("said", utf8(), utf8()).read()?;
    /// assert_eq!(said.map(|r| r.value), Some("ada is 36".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values_with_key<V2: Data>(
        &self,
        map: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K, V2>| {
            let value = map(&record.key, record.value);
            ctx.forward(Record {
                key: record.key,
                value,
                timestamp: record.timestamp,
                headers: record.headers,
            })
        };
        self.step("KSTREAM-MAPVALUES-", Changes::Values, act)
    }
}
