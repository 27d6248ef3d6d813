//! Replaces the value of each record by what a call answers; the key stays.

use std::future::Future;
use std::hash::Hash;

use onceflow_framework::processor::AsyncCalls;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Replaces the value of each record by what a call answers; the key stays, so nothing is
    /// repartitioned.
    ///
    /// Order, guarantees and failures are those of [`map_async`](Self::map_async).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let amounts = builder.stream("amounts", Consumed::<String, i64>::new());
    /// amounts
    ///     .map_values_async(
    ///         |cents| async move {
    ///             tokio::time::sleep(Duration::from_millis(2)).await; // a rate is looked up
    ///             Ok(cents * 2)
    ///         },
    ///         AsyncCalls::new(),
    ///     )
    ///     .to("converted", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("amounts", utf8(), i64()).pipe("k", 21, Timestamp::from_millis(0))?;
    /// let converted = driver.output_topic("converted", utf8(), i64()).read_key_values()?;
    /// assert_eq!(converted, [("k".to_owned(), 42)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values_async<V2: Data + Send, Fut>(
        &self,
        map: impl Fn(V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K, V2>
    where
        Fut: Future<Output = Result<V2, Fault>> + Send + 'static,
    {
        self.map_values_with_key_async(move |_, value| map(value), calls)
    }

    /// Replaces the value of each record by what a call that is told the key answers.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let ages = builder.stream("ages", Consumed::<String, i64>::new());
    /// ages.map_values_with_key_async(
    ///     |name, age| async move { Ok(format!("{name} is {age}")) },
    ///     AsyncCalls::new(),
    /// )
    /// .to("said", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("ages", utf8(), i64()).pipe("ada", 36, Timestamp::from_millis(0))?;
    /// let said = driver.output_topic("said", utf8(), utf8()).read()?;
    /// assert_eq!(said.map(|r| r.value), Some("ada is 36".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_values_with_key_async<V2: Data + Send, Fut>(
        &self,
        map: impl Fn(K, V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K, V2>
    where
        Fut: Future<Output = Result<V2, Fault>> + Send + 'static,
    {
        let act = move |record: Record<K, V>| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            let key = record.key.clone();
            let mapped = map(record.key, record.value);
            async move {
                let value = mapped.await?;
                Ok([Record {
                    key,
                    value,
                    timestamp,
                    headers,
                }])
            }
        };
        self.calling("KSTREAM-MAPVALUES-ASYNC-", Changes::Values, act, calls)
    }
}
