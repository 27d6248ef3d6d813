//! Keeps the records that a predicate accepts, or those that it does not.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::names::FILTER;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Keeps the records for which `predicate` is true. Nulls reach it too.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let amounts = builder.stream("amounts", Consumed::<String, i64>::new());
    /// amounts.filter(|_, amount| *amount > 10).to("large", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("amounts", utf8(), i64());
    /// for amount in [5, 50] {
    ///     input.pipe("k", amount, Timestamp::from_millis(0))?;
    /// }
    /// let large = driver.output_topic("large", utf8(), i64()).read_all()?;
    /// assert_eq!(large.iter().map(|r| r.value).collect::<Vec<_>>(), [50]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.step(
            FILTER,
            Changes::Nothing,
            move |record: Record<K, V>, ctx: &mut Context<K, V>| {
                if predicate(&record.key, &record.value) {
                    ctx.forward(record)?;
                }
                Ok(())
            },
        )
    }

    /// Keeps the records for which `predicate` is false.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// words.filter_not(|_, word| word.is_empty()).to("non-empty", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for word in ["", "a"] {
    ///     input.pipe("k", word, Timestamp::from_millis(0))?;
    /// }
    /// let kept = driver.output_topic("non-empty", utf8(), utf8()).read_all()?;
    /// assert_eq!(kept.iter().map(|r| &*r.value).collect::<Vec<_>>(), ["a"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn filter_not(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.filter(move |key, value| !predicate(key, value))
    }
}
