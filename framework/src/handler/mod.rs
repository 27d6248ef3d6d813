//! Handlers: what becomes of a record that cannot be read, processed or sent.
//!
//! ```text
//!   input ──> deserialize ──> process ──> serialize, send
//!                 │              │              │         each failure, with where and what
//!                 v              v              v
//!             an ExceptionHandler of its own ──┬── Resume  without it; dead letters in its transaction
//!                                              ├── Retry   after a pause, as often as [`Retry`] allows
//!                                              └── Fail    the application stops at its position
//! ```
//!
//! They are Kafka Streams' `DeserializationExceptionHandler`, `ProcessingExceptionHandler` (KIP-1033)
//! and `ProductionExceptionHandler`, with the dead letters of KIP-1034. Unlike there, nothing stays of
//! a record that is given up, unless [`FailureScope::Node`] says so, a handler may ask for another
//! attempt at each of the three, and one that panics has said `Fail`.
//!
//! # Invariants
//!
//! - A handler decides on a record, never on a transaction: what brokers and stores say is not asked.
//! - It is asked once nothing of the record stands any more, so that whatever it answers can be done;
//!   under [`FailureScope::Node`] it is asked in the middle of the record, and cannot have it again.
//! - What it answers ends somewhere: attempts have a limit, and after the last one `Retry` is `Fail`.

mod context;
mod letter;
mod choice;
mod extent;
mod retry;
mod uncaught;
mod consult;

pub use choice::{OnBadRecord, OnFailedRecord, OnRefusedOutput};
pub use context::{ErrorContext, RefusedOutput, Stage};
pub use extent::FailureScope;
pub use letter::DeadLetter;
pub use retry::Retry;
pub use uncaught::UncaughtResponse;

pub(crate) use consult::{Answer, Failed, Handlers};
pub(crate) use extent::Isolation;
pub(crate) use uncaught::UncaughtHandler;

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The application stops, with the error; the batch is aborted.
    Fail,
    /// It goes on without the record, or without the output, which is counted as dropped. The dead
    /// letters are written in the transaction that consumes the record.
    Resume(Vec<DeadLetter>),
    /// The record is processed again after a pause: see [`Retry`]. After the last attempt it is
    /// `Fail`, and so it is in a punctuation, which comes again by itself, and for the result of an
    /// asynchronous call, which has retries of its own.
    Retry,
}

impl Response {
    /// Goes on without the record, leaving one dead letter if there is one to leave.
    #[must_use]
    pub fn resume_with(letter: impl IntoIterator<Item = DeadLetter>) -> Self {
        Response::Resume(letter.into_iter().collect())
    }
}

/// Decides what becomes of a record that cannot be read, processed or sent.
///
/// A closure is one, and so are [`OnBadRecord`], [`OnFailedRecord`] and [`OnRefusedOutput`]. It is
/// called on the thread of a worker, between two records: one that waits for long delays them, and one
/// that panics has said [`Response::Fail`], with both causes in the error.
///
/// ```
/// use onceflow_framework::handler::{ErrorContext, Response};
/// use onceflow_framework::processor::{Context, Processor};
/// use onceflow_framework::test_driver::TestDriver;
/// use onceflow_framework::topology::{Consumed, TopologyBuilder};
/// use onceflow_framework::{serde, Fault, Record, Timestamp};
///
/// struct Pay;
///
/// impl Processor for Pay {
///     type KeyIn = String;
///     type ValueIn = i64;
///     type KeyOut = String;
///     type ValueOut = i64;
///
///     fn process(&mut self, r: Record<String, i64>, _: &mut Context<String, i64>) -> Result<(), Fault> {
///         match r.value {
///             amount if amount < 0 => Err(Fault::message("a negative amount")),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let payments = builder.add_source("in", ["payments"], Consumed::<String, i64>::new());
/// builder.add_processor("pay", || Pay, &[&payments]);
///
/// let driver = TestDriver::builder(builder.build()?)
///     .on_failed_record(|failure: &ErrorContext<'_>| {
///         // A topic of dead letters for each node that fails.
///         let node = failure.node().unwrap_or("unknown");
///         Response::resume_with(failure.dead_letter(&format!("dead-{node}")))
///     })
///     .build()?;
/// let payments = driver.input_topic("payments", serde::utf8(), serde::i64());
/// payments.pipe("ann", -5, Timestamp::from_millis(7))?;
/// let dead = driver.output_topic("dead-pay", serde::utf8(), serde::i64());
/// assert_eq!(dead.read()?.map(|letter| (letter.key, letter.value)), Some(("ann".to_owned(), -5)));
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
pub trait ExceptionHandler: Send + Sync + 'static {
    /// Decides on one failure.
    fn handle(&self, failure: &ErrorContext<'_>) -> Response;

    /// Whether every answer is [`Response::Fail`]: nothing is held back then for the sake of another.
    fn only_fails(&self) -> bool {
        false
    }

    /// What it is called in errors.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }
}

impl<F> ExceptionHandler for F
where
    F: Fn(&ErrorContext<'_>) -> Response + Send + Sync + 'static,
{
    fn handle(&self, failure: &ErrorContext<'_>) -> Response {
        self(failure)
    }
}
