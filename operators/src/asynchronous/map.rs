//! Replaces key and value of each record by what a call answers.

use std::future::Future;
use std::hash::Hash;

use onceflow_framework::processor::AsyncCalls;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Replaces key and value of each record by what a call answers; the next grouping
    /// repartitions.
    ///
    /// The task goes on with other records meanwhile, as far as [`AsyncCalls`] says. Results go on
    /// in the order of their records, with their times and headers, and a batch closes only when
    /// its calls are done: results reach stores and outputs exactly once. The calls themselves are
    /// made at least once: again when one fails and is retried, and when a batch is aborted and
    /// replayed.
    ///
    /// A call that fails, panics or takes too long after its last retry fails its record, as a
    /// processor that fails does: the application stops and names the node and the position, or,
    /// with `processing.exception.handler=continue`, counts it and goes on without its results.
    /// What the record did before the call stays then, as it would if a topic lay between.
    ///
    /// It has no counterpart in Kafka Streams, which calls the outside one record at a time.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// /// Stands for a client of a service.
    /// async fn country_of(city: &str) -> Result<String, std::io::Error> {
    ///     Ok(if city == "Porto" { "Portugal" } else { "elsewhere" }.to_owned())
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let trips = builder.stream("trips", Consumed::<String, String>::new());
    /// trips
    ///     .map_async(
    ///         |who, city| async move { Ok((country_of(&city).await?, who)) },
    ///         AsyncCalls::new().max_in_flight(16),
    ///     )
    ///     .to("visitors", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let trips = driver.input_topic("trips", utf8(), utf8());
    /// trips.pipe("ada", "Porto", Timestamp::from_millis(3))?;
    /// let visitor = driver.output_topic("visitors", utf8(), utf8()).read()?;
    /// let expected = Record::new("Portugal".to_owned(), "ada".to_owned(), Timestamp::from_millis(3));
    /// assert_eq!(visitor, Some(expected));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn map_async<K2: Data + Send, V2: Data + Send, Fut>(
        &self,
        map: impl Fn(K, V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K2, V2>
    where
        Fut: Future<Output = Result<(K2, V2), Fault>> + Send + 'static,
    {
        let act = move |record: Record<K, V>| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            let mapped = map(record.key, record.value);
            async move {
                let (key, value) = mapped.await?;
                Ok([Record {
                    key,
                    value,
                    timestamp,
                    headers,
                }])
            }
        };
        self.calling("KSTREAM-MAP-ASYNC-", Changes::Keys, act, calls)
    }
}
