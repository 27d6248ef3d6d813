//! Turns each record into records of its key with the values that a call answers.

use std::future::Future;
use std::hash::Hash;

use onceflow_framework::processor::AsyncCalls;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Turns each value into any number of values, as a call answers; the key stays, so nothing is
    /// repartitioned.
    ///
    /// Order, guarantees and failures are those of [`map_async`](Self::map_async).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream("lines", Consumed::<String, String>::new());
    /// lines
    ///     .flat_map_values_async(
    ///         |line| async move {
    ///             Ok(line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    ///         },
    ///         AsyncCalls::new(),
    ///     )
    ///     .to("words", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("lines", utf8(), utf8());
    /// input.pipe("k", "to be", Timestamp::from_millis(0))?;
    /// let words = driver.output_topic("words", utf8(), utf8()).read_all()?;
    /// assert_eq!(words.iter().map(|r| &*r.value).collect::<Vec<_>>(), ["to", "be"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map_values_async<V2: Data + Send, Fut, I>(
        &self,
        map: impl Fn(V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K, V2>
    where
        Fut: Future<Output = Result<I, Fault>> + Send + 'static,
        I: IntoIterator<Item = V2>,
    {
        self.flat_map_values_with_key_async(move |_, value| map(value), calls)
    }

    /// Turns each value into any number of values by a call that is told the key.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let counts = builder.stream("counts", Consumed::<String, i64>::new());
    /// counts
    ///     .flat_map_values_with_key_async(
    ///         |key, n| async move { Ok(vec![key; n as usize]) },
    ///         AsyncCalls::new(),
    ///     )
    ///     .to("out", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("counts", utf8(), i64()).pipe("a", 2, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("out", utf8(), utf8()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map_values_with_key_async<V2: Data + Send, Fut, I>(
        &self,
        map: impl Fn(K, V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K, V2>
    where
        Fut: Future<Output = Result<I, Fault>> + Send + 'static,
        I: IntoIterator<Item = V2>,
    {
        let act = move |record: Record<K, V>| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            let key = record.key.clone();
            let mapped = map(record.key, record.value);
            async move {
                let mapped = mapped.await?.into_iter();
                let records = mapped.map(|value| Record {
                    key: key.clone(),
                    value,
                    timestamp,
                    headers: headers.clone(),
                });
                Ok(records.collect::<Vec<_>>())
            }
        };
        self.calling("KSTREAM-FLATMAPVALUES-ASYNC-", Changes::Values, act, calls)
    }
}
