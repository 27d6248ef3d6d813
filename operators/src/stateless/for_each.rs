//! Ends a stream in a function.

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Calls `act` with each record, which goes no further.
    ///
    /// What it does to the outside world is not part of the transaction: it happens again for a
    /// record whose batch is aborted and replayed.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use onceflow::prelude::*;
    ///
    /// let seen = Arc::new(Mutex::new(Vec::new()));
    /// let list = Arc::clone(&seen);
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("orders", Consumed::<String, i64>::new())
    ///     .for_each(move |order, amount| list.lock().unwrap().push((order, amount)));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 1, Timestamp::from_millis(0))?;
    /// assert_eq!(*seen.lock().unwrap(), [("a".to_owned(), 1)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn for_each(&self, act: impl Fn(K, V) + Send + Sync + 'static) {
        let act = move |record: Record<K, V>, _ctx: &mut Context<(), ()>| {
            act(record.key, record.value);
            Ok(())
        };
        self.step("KSTREAM-FOREACH-", Changes::Nothing, act);
    }
}
