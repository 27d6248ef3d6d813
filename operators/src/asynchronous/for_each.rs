//! Ends a stream in a call.

use std::future::Future;
use std::hash::Hash;

use onceflow_framework::processor::AsyncCalls;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Makes a call for each record, which goes no further.
    ///
    /// A record's offset is committed only after its call has succeeded, so each call is made at
    /// least once: again when it is retried, and when its batch is aborted and replayed. Order and
    /// failures are those of [`map_async`](Self::map_async).
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use onceflow::prelude::*;
    ///
    /// let sent = Arc::new(Mutex::new(Vec::new()));
    /// let outbox = Arc::clone(&sent);
    /// let builder = StreamsBuilder::new();
    /// builder.stream("mails", Consumed::<String, String>::new()).for_each_async(
    ///     move |to, text| {
    ///         let outbox = Arc::clone(&outbox);
    ///         async move {
    ///             outbox.lock().unwrap().push(format!("{to}: {text}"));
    ///             Ok(())
    ///         }
    ///     },
    ///     AsyncCalls::new(),
    /// );
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let mails = driver.input_topic("mails", utf8(), utf8());
    /// mails.pipe("ada", "hello", Timestamp::from_millis(0))?;
    /// assert_eq!(*sent.lock().unwrap(), ["ada: hello"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn for_each_async<Fut>(
        &self,
        act: impl Fn(K, V) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) where
        Fut: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let act = move |record: Record<K, V>| {
            let acted = act(record.key, record.value);
            async move { acted.await.map(|()| None::<Record<(), ()>>) }
        };
        self.calling("KSTREAM-FOREACH-ASYNC-", Changes::Nothing, act, calls);
    }
}
