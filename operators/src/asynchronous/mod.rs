//! Operators that call the outside: a future a record, many at a time, none beyond its batch.
//!
//! ```text
//!   map_async ──closure──> Call: an AsyncProcessor ──> the framework's node, executor and queue
//! ```
//!
//! # Invariants
//!
//! - Results go on as the results of their synchronous twins would: with the record's time, headers
//!   and position, in the records' order.
//! - Kafka Streams has none of these: their names follow its style and meet none of its own.

mod map;
mod map_values;
mod flat_map;
mod flat_map_values;
mod for_each;

use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;

use onceflow_framework::processor::{AsyncCalls, AsyncProcessor};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream, Types};

impl<K: Data + Eq + Hash + Send, V: Data + Send> KStream<K, V> {
    /// Appends a processor that is a function whose answer is a future.
    fn calling<K2: Data, V2: Data, Fut, I>(
        &self,
        prefix: &str,
        changes: Changes,
        act: impl Fn(Record<K, V>) -> Fut + Send + Sync + 'static,
        calls: AsyncCalls,
    ) -> KStream<K2, V2>
    where
        Fut: Future<Output = Result<I, Fault>> + Send + 'static,
        I: IntoIterator<Item = Record<K2, V2>> + Send + 'static,
    {
        let name = self.graph.name(self.next_name(), prefix);
        let call = Call {
            act,
            types: PhantomData,
        };
        self.append(name, changes, move |lowering, name| {
            lowering.async_processor(name, call, calls);
        })
    }
}

/// A function as an asynchronous processor.
struct Call<K, V, K2, V2, F> {
    act: F,
    types: Types<K, V, K2, V2>,
}

impl<K, V, K2, V2, F, Fut, I> AsyncProcessor for Call<K, V, K2, V2, F>
where
    K: Data + Eq + Hash + Send,
    V: Data + Send,
    K2: Data,
    V2: Data,
    F: Fn(Record<K, V>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<I, Fault>> + Send + 'static,
    I: IntoIterator<Item = Record<K2, V2>> + Send + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K2;
    type ValueOut = V2;
    type Results = I;

    fn call(&self, record: Record<K, V>) -> impl Future<Output = Result<I, Fault>> + Send {
        (self.act)(record)
    }
}
