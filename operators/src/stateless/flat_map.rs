//! Turns each record into any number of records with new keys.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Turns each record into any number of records; the next grouping repartitions.
    ///
    /// They leave in order, each with the timestamp and the headers of the record.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let transfers = builder.stream("transfers", Consumed::<String, i64>::new());
    /// transfers
    ///     .flat_map(|pair, amount| {
    ///         let (from, to) = pair.split_once('>').unwrap_or(("", &pair));
    ///         [(from.to_owned(), -amount), (to.to_owned(), amount)]
    ///     })
    ///     .to("postings", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("transfers", utf8(), i64());
    /// input.pipe("ada>bob", 5, Timestamp::from_millis(0))?;
    /// let postings = driver.output_topic("postings", utf8(), i64()).read_all()?;
    /// let postings: Vec<_> = postings.iter().map(|r| (&*r.key, r.value)).collect();
    /// assert_eq!(postings, [("ada", -5), ("bob", 5)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)>>(
        &self,
        map: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let act = move |record: Record<K, V>, ctx: &mut Context<K2, V2>| {
            for (key, value) in map(record.key, record.value) {
                ctx.forward(Record {
                    key,
                    value,
                    timestamp: record.timestamp,
                    headers: record.headers.clone(),
                })?;
            }
            Ok(())
        };
        self.step("KSTREAM-FLATMAP-", Changes::Keys, act)
    }
}
