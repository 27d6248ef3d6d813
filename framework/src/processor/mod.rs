//! What an operator implements, and what it is given: the Processor API.
//!
//! ```text
//!   SourceNode ──Record<K, V>──> ProcessorNode<P> ──> ... ──> SinkNode ──bytes──> Collector
//!   (deserialize)                 P::process(record, ctx)      (serialize, partition)
//!                                        │ ctx.forward
//! ```
//!
//! # Invariants
//!
//! - One virtual call an edge; a record is moved, and cloned only where the graph forks.
//! - A processor lives on one thread and sees one record at a time.
//! - After an abort every processor of the task is built anew: what it keeps in its own fields
//!   is lost, what it keeps in a store goes back to the last commit.

mod context;
mod stores;
mod drops;
mod scope;
mod outbox;
mod waiting;
mod refusal;
mod punctuation;
mod node_time;
mod node;
mod guard;
mod async_calls;
mod executor;
mod call_queue;
#[cfg(test)]
mod call_queue_tests;
mod task_calls;
mod async_node;
mod source;
mod sink;
mod partition;
mod fixed_key;
pub mod external;
mod outlet;

pub use async_calls::{AsyncCalls, Backoff};
pub use async_node::AsyncProcessor;
pub use context::Context;
pub use fixed_key::{FixedKeyContext, FixedKeyProcessor, FixedKeyRecord};
pub use node_time::NodeTime;
pub use partition::{Partitioner, Partitions, murmur2};
pub use punctuation::{Punctuation, PunctuationKind};
pub use stores::ConnectedStores;
pub use waiting::WaitingRecord;

pub use crate::handler::{OnBadRecord, OnFailedRecord, OnRefusedOutput};
pub(crate) use async_node::AsyncNode;
pub(crate) use call_queue::{Origin, Until};
pub(crate) use executor::Executor;
pub(crate) use fixed_key::FixedKeyAdapter;
pub(crate) use guard::Guarded;
pub(crate) use node::{Children, Lifecycle, Link, ProcessorNode, Receive};
pub(crate) use outbox::Outbox;
pub(crate) use outlet::ExternalNode;
pub(crate) use partition::partition_of_key;
pub(crate) use punctuation::Schedules;
pub(crate) use refusal::{InputCopy, SinkTopic, is_of_the_record};
pub(crate) use scope::{
    Collector, GlobalStores, OutgoingRecord, StoreLog, StoreSlot, TaskScope, TopicId,
};
pub(crate) use sink::{SinkNode, SinkTarget, TopicExtractor};
pub(crate) use source::{Ingest, Passed, Prepared, SourceNode};
pub(crate) use task_calls::{CallSettings, TaskCalls};

use crate::error::Fault;
use crate::record::Record;
use crate::time::Timestamp;

/// A user's step in a topology: takes records of one type, forwards records of another.
///
/// Built once per task by the supplier given to the topology, and again after an abort.
///
/// ```
/// use onceflow_framework::processor::{Context, Processor};
/// use onceflow_framework::{Fault, Record};
///
/// /// Forwards each word of a line.
/// struct Words;
///
/// impl Processor for Words {
///     type KeyIn = String;
///     type ValueIn = String;
///     type KeyOut = String;
///     type ValueOut = String;
///
///     fn process(
///         &mut self,
///         line: Record<String, String>,
///         ctx: &mut Context<String, String>,
///     ) -> Result<(), Fault> {
///         for word in line.value.split_whitespace() {
///             ctx.forward(Record::new(line.key.clone(), word.to_owned(), line.timestamp))?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Processor: 'static {
    /// The key type it takes.
    type KeyIn: 'static;
    /// The value type it takes.
    type ValueIn: 'static;
    /// The key type it forwards.
    type KeyOut: Clone + 'static;
    /// The value type it forwards.
    type ValueOut: Clone + 'static;

    /// Whether it is a function of its record: keeps nothing from one to the next, neither in a
    /// field nor in a store, schedules nothing, and holds nothing back for a commit.
    ///
    /// Calls of an asynchronous operator go on while a batch is committed if all between it and its
    /// source is of that kind.
    const STATELESS: bool = false;

    /// Called once before the first record: fetch stores, schedule punctuations.
    ///
    /// No transaction is open, so nothing can be forwarded and no store written here; and the
    /// processors downstream may not have been initialised yet.
    ///
    /// # Errors
    ///
    /// Stops the application: a store that is not connected, say.
    fn init(&mut self, ctx: &mut Context<Self::KeyOut, Self::ValueOut>) -> Result<(), Fault> {
        let _ = ctx;
        Ok(())
    }

    /// Called for each record.
    ///
    /// # Errors
    ///
    /// Aborts the batch, with all records in it, and stops the application at this record, unless
    /// [a handler](crate::handler) says otherwise; a panic does the same. Of a fault that is
    /// [transient](Fault::transient) the record is processed again first, as often as is allowed.
    fn process(
        &mut self,
        record: Record<Self::KeyIn, Self::ValueIn>,
        ctx: &mut Context<Self::KeyOut, Self::ValueOut>,
    ) -> Result<(), Fault>;

    /// Called when a punctuation that [`Context::schedule`] set up is due.
    ///
    /// # Errors
    ///
    /// As [`process`](Processor::process).
    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: Timestamp,
        ctx: &mut Context<Self::KeyOut, Self::ValueOut>,
    ) -> Result<(), Fault> {
        let _ = (punctuation, timestamp, ctx);
        Ok(())
    }

    /// Called before each commit: forwards what was held back, so that several updates of one batch
    /// are told as one. Only once for each commit, processors of a task in their order.
    ///
    /// # Errors
    ///
    /// As [`process`](Processor::process).
    fn flush(&mut self, ctx: &mut Context<Self::KeyOut, Self::ValueOut>) -> Result<(), Fault> {
        let _ = ctx;
        Ok(())
    }

    /// Called when the task is closed cleanly; nothing can be forwarded any more.
    fn close(&mut self) {}
}
