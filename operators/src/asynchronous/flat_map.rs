//! Turns each record into the records that a call answers.

use std::future::Future;
use std::hash::Hash;

use onceflow_framework::processor::AsyncCalls;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Turns each record into any number of records, as a call answers; the next grouping
    /// repartitions.
    ///
    /// They leave in order, each with the timestamp and the headers of the record. Order,
    /// guarantees and failures are those of [`map_async`](Self::map_async).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// /// Stands for a client of a service.
    /// async fn friends_of(who: &str) -> Result<Vec<String>, std::io::Error> {
    ///     Ok(if who == "ada" { vec!["bob".to_owned(), "eve".to_owned()] } else { Vec::new() })
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let news = builder.stream("news", Consumed::<String, String>::new());
    /// news.flat_map_async(
    ///     |who, what| async move {
    ///         let friends = friends_of(&who).await?.into_iter();
    ///         Ok(friends.map(|friend| (friend, what.clone())).collect::<Vec<_>>())
    ///     },
    ///     AsyncCalls::new(),
    /// )
    /// .to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let news = driver.input_topic("news", utf8(), utf8());
    /// news.pipe("ada", "moved", Timestamp::from_millis(0))?;
    /// news.pipe("bob", "left", Timestamp::from_millis(1))?;
    /// let told = driver.output_topic("told", utf8(), utf8()).read_key_values()?;
    /// let told: Vec<_> = told.iter().map(|(friend, what)| (&**friend, &**what)).collect();
    /// assert_eq!(told, [("bob", "moved"), ("eve", "moved")]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map_async<K2: Data + Send, V2: Data + Send, Fut, I>(
        &self,
        map: impl Fn(K, V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K2, V2>
    where
        Fut: Future<Output = Result<I, Fault>> + Send + 'static,
        I: IntoIterator<Item = (K2, V2)>,
    {
        let act = move |record: Record<K, V>| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            let mapped = map(record.key, record.value);
            async move {
                let mapped = mapped.await?.into_iter();
                let records = mapped.map(|(key, value)| Record {
                    key,
                    value,
                    timestamp,
                    headers: headers.clone(),
                });
                Ok(records.collect::<Vec<_>>())
            }
        };
        self.calling("KSTREAM-FLATMAP-ASYNC-", Changes::Keys, act, calls)
    }
}
