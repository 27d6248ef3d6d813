//! A step that calls the outside without holding up its task, and the node that runs it.
//!
//! ```text
//!   record ──> start: the task goes on with other records
//!                └── executor: try, time-out, pause, try again ──> result
//!   next record, or commit <── deliver: forwarded as of the record that caused it
//! ```
//!
//! # Invariants
//!
//! - A result goes on with the position and the stream time of its record, whenever that is.
//! - A batch holds the results of all calls of its records: they are in its transaction.

use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::async_calls::AsyncCalls;
use super::call_queue::CallQueue;
use super::context::Context;
use super::node::{Lifecycle, Receive};
use super::punctuation::Punctuation;
use crate::error::{Error, ErrorKind, Fault, panic_text};
use crate::record::Record;
use crate::time::Timestamp;

/// A step that asks a service, a database, a file: one call a record, many at a time.
///
/// One value of it serves all tasks, so it keeps no state but what is `Sync`. How calls are bounded
/// and repeated is told by [`AsyncCalls`]; see
/// [`add_async_processor`](crate::TopologyBuilder::add_async_processor) for an example.
///
/// What a call does to the outside is not part of the transaction: it happens again when a batch is
/// aborted and replayed, or when the call is retried. Its results are: they reach stores and outputs
/// exactly once. Give the outside the record's position or id if it must tell a repeated call.
pub trait AsyncProcessor: Send + Sync + 'static {
    /// The key type it takes.
    type KeyIn: Clone + Eq + Hash + Send + 'static;
    /// The value type it takes.
    type ValueIn: Clone + Send + 'static;
    /// The key type it forwards.
    type KeyOut: Clone + 'static;
    /// The value type it forwards.
    type ValueOut: Clone + 'static;
    /// What a call answers: any number of records.
    type Results: IntoIterator<Item = Record<Self::KeyOut, Self::ValueOut>> + Send + 'static;

    /// Called for each record, on a tokio runtime.
    ///
    /// # Errors
    ///
    /// After the last try, as [`Processor::process`](super::Processor::process) at that record.
    fn call(
        &self,
        record: Record<Self::KeyIn, Self::ValueIn>,
    ) -> impl Future<Output = Result<Self::Results, Fault>> + Send;
}

/// A step that makes calls, in its place.
pub(crate) struct AsyncNode<P: AsyncProcessor> {
    processor: Arc<P>,
    policy: AsyncCalls,
    context: Context<P::KeyOut, P::ValueOut>,
    /// None before `init`.
    calls: Option<Rc<CallQueue<P::KeyIn, P::Results>>>,
}

impl<P: AsyncProcessor> AsyncNode<P> {
    pub(crate) fn new(
        processor: Arc<P>,
        policy: AsyncCalls,
        context: Context<P::KeyOut, P::ValueOut>,
    ) -> Self {
        AsyncNode {
            processor,
            policy,
            context,
            calls: None,
        }
    }

    fn calls(&self) -> &CallQueue<P::KeyIn, P::Results> {
        self.calls.as_ref().expect("init comes before any record")
    }
}

impl<P: AsyncProcessor> Receive<P::KeyIn, P::ValueIn> for AsyncNode<P> {
    fn receive(&mut self, record: Record<P::KeyIn, P::ValueIn>) -> Result<(), Fault> {
        let key = record.key.clone();
        let processor = Arc::clone(&self.processor);
        let call = tries(processor, self.policy.clone(), record);
        self.calls().start(key, self.context.origin(), call);
        Ok(())
    }
}

impl<P: AsyncProcessor> Lifecycle for AsyncNode<P> {
    fn init(&mut self) -> Result<(), Error> {
        let calls = self.context.calls(&self.policy);
        let calls = calls.map_err(|error| error.at_node(self.context.node()))?;
        self.calls = Some(calls);
        Ok(())
    }

    fn punctuate(&mut self, _: Punctuation, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    /// The task has taken all results before.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Error> {
        let Some(result) = self.calls().take() else {
            return Ok(());
        };
        let forward = |records: P::Results| {
            let mut records = records.into_iter();
            records.try_for_each(|record| self.context.forward(record))
        };
        let delivered = result.map_err(Fault::from).and_then(forward);
        delivered.map_err(|fault| {
            let error = fault.into_error(self.context.node());
            match self.context.position() {
                Some(position) => error.at(position),
                None => error,
            }
        })
    }

    fn close(&mut self) {}
}

/// Why a try has no result.
enum Failure {
    Fault(Fault),
    Panic(String),
    Elapsed,
}

/// Calls until it succeeds, or the last try has failed.
async fn tries<P: AsyncProcessor>(
    processor: Arc<P>,
    policy: AsyncCalls,
    record: Record<P::KeyIn, P::ValueIn>,
) -> Result<P::Results, Error> {
    for retry in 0..policy.retries {
        if let Ok(results) = one_try(&*processor, policy.timeout, record.clone()).await {
            return Ok(results);
        }
        pause(policy.backoff.pause(retry)).await;
    }
    let last = one_try(&*processor, policy.timeout, record).await;
    last.map_err(|failure| failure.into_error(&policy))
}

async fn one_try<P: AsyncProcessor>(
    processor: &P,
    timeout: Duration,
    record: Record<P::KeyIn, P::ValueIn>,
) -> Result<P::Results, Failure> {
    let call = async { processor.call(record).await };
    let call = AssertUnwindSafe(tokio::time::timeout(timeout, call)).catch_unwind();
    match call.await {
        Ok(Ok(result)) => result.map_err(Failure::Fault),
        Ok(Err(_elapsed)) => Err(Failure::Elapsed),
        Err(panic) => Err(Failure::Panic(panic_text(&*panic))),
    }
}

async fn pause(span: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a call waits on its own runtime, whose time the test driver does not turn"
    )]
    tokio::time::sleep(span).await;
}

impl Failure {
    fn into_error(self, policy: &AsyncCalls) -> Error {
        let tries = match policy.retries {
            0 => String::new(),
            retries => format!(", the last of {} tries", u64::from(retries) + 1),
        };
        let error = |what: String| Error::new(ErrorKind::Processing, what);
        match self {
            Failure::Fault(fault) => {
                fault.into_error_saying(|| format!("an asynchronous call failed{tries}"))
            }
            Failure::Panic(text) => error(format!("an asynchronous call panicked{tries}: {text}")),
            Failure::Elapsed => {
                let timeout = policy.timeout;
                error(format!(
                    "an asynchronous call took longer than {timeout:?}{tries}"
                ))
            }
        }
    }
}
