//! Turns each record into any number of records with the same key.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Turns each value into any number of values; the key stays, so nothing is repartitioned.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream("lines", Consumed::<String, String>::new());
    /// lines
    ///     .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    ///     .to("words", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("lines", utf8(), utf8());
    /// input.pipe("k", "to be", Timestamp::from_millis(0))?;
    /// let words = driver.output_topic("words", utf8(), utf8()).read_all()?;
    /// assert_eq!(words.iter().map(|r| &*r.value).collect::<Vec<_>>(), ["to", "be"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map_values<V2: Data, I: IntoIterator<Item = V2>>(
        &self,
        map: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.flat_map_values_with_key(move |_, value| map(value))
    }

    /// Turns each value into any number of values by a function that sees the key.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let counts = builder.stream("counts", Consumed::<String, i64>::new());
    /// counts.flat_map_values_with_key(|key, n| vec![key.clone(); n as usize]).to("out", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("counts", utf8(), i64()).pipe("a", 2, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("out", utf8(), utf8()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map_values_with_key<V2: Data, I: IntoIterator<Item = V2>>(
        &self,
        map: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K, V2>| {
            for value in map(&record.key, record.value) {
                ctx.forward(Record {
                    key: record.key.clone(),
                    value,
                    timestamp: record.timestamp,
                    headers: record.headers.clone(),
                })?;
            }
            Ok(())
        };
        self.step("KSTREAM-FLATMAPVALUES-", Changes::Values, act)
    }
}
