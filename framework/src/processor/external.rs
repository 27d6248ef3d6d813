//! A system outside Kafka at the end of a stream: what a sink has to do, and what it may rely on.
//!
//! ```text
//!   open ──> claims the positions of the task's inputs, says how far the system is
//!     └─> row, row, row ...      as records are processed; kept in the task, taken back if one fails
//!           └─> commit(rows, positions)      one transaction of the system, then Kafka's commit
//! ```
//!
//! # The contract
//!
//! **What is idempotent.** A sink that answers [`Applied::UpTo`] keeps positions in the same
//! transaction as the rows; a row below them is never given to it again. One that answers
//! [`Applied::Unknown`] gets rows again after a crash, and its writes must not mind.
//!
//! **What is fenced.** Opening claims the positions for this task and whoever held them before is
//! refused from then on ([`ExternalFault::Fenced`]): it is a zombie, and joins its group anew. A
//! sink without positions fences nothing.
//!
//! **What a replay looks like.** The system commits first, so that it is ahead of Kafka by at most
//! the batch whose Kafka transaction failed. That batch is processed once more: stores, changelogs
//! and outputs of the first time were aborted. Its rows are left out. So both sides hold each record
//! once **if what a record writes is decided by the record and by what came before it in its task**:
//! a row must not depend on the wall clock, on chance, or on where a batch ends. Rows that are
//! decided by batches (those of a table with a record cache) belong in upserts. Rows that a
//! punctuation makes have no position, and a sink with positions refuses them.
//!
//! Rows are visible before the Kafka outputs of their batch are. Two sinks of one task are not one
//! transaction: each is exactly once by itself.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Fault;
use crate::record::{Offset, Position, Record, TaskId, TopicPartition};

/// Writes records to a system outside Kafka; the [module](self) states the contract.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use onceflow_framework::processor::external::{
///     Applied, ExternalBatch, ExternalFault, ExternalSession, ExternalSink, ExternalTask,
/// };
/// use onceflow_framework::serde::{i64, utf8};
/// use onceflow_framework::test_driver::TestDriver;
/// use onceflow_framework::topology::{Consumed, TopologyBuilder};
/// use onceflow_framework::{Fault, Record, Timestamp};
///
/// /// Appends to a list, which keeps no positions: at least once.
/// #[derive(Clone, Default)]
/// struct List(Arc<Mutex<Vec<String>>>);
///
/// impl ExternalSink<String, i64> for List {
///     type Session = List;
///
///     fn open(&self, _: &ExternalTask) -> Result<(List, Applied), ExternalFault> {
///         Ok((self.clone(), Applied::Unknown))
///     }
/// }
///
/// impl ExternalSession<String, i64> for List {
///     type Row = String;
///
///     fn row(&mut self, record: &Record<String, i64>) -> Result<String, Fault> {
///         Ok(format!("{}={}", record.key, record.value))
///     }
///
///     fn commit(
///         &mut self,
///         batch: &ExternalBatch<'_, String>,
///         _within: Duration,
///     ) -> Result<(), ExternalFault> {
///         self.0.lock().unwrap().extend(batch.rows.iter().map(|row| row.row.clone()));
///         Ok(())
///     }
/// }
///
/// let list = List::default();
/// let mut builder = TopologyBuilder::new();
/// let orders = builder.add_source("in", ["orders"], Consumed::<String, i64>::new());
/// builder.add_external_sink("list", list.clone(), &[&orders]);
///
/// let driver = TestDriver::new(builder.build()?)?;
/// let orders = driver.input_topic("orders", utf8(), i64());
/// orders.pipe("tea", 3, Timestamp::from_millis(0))?;
/// assert_eq!(*list.0.lock().unwrap(), ["tea=3"]);
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
pub trait ExternalSink<K, V>: Send + Sync + 'static {
    /// The way of one task to the system.
    type Session: ExternalSession<K, V>;

    /// Opens the way of a task, claims its positions and answers how far the system is. Called on
    /// the worker's thread before the first record, and again when partitions come back.
    ///
    /// # Errors
    ///
    /// Stops the application. It may wait for a system that is away, but not for as long as
    /// `max.poll.interval.ms`.
    fn open(&self, task: &ExternalTask) -> Result<(Self::Session, Applied), ExternalFault>;
}

/// The way of one task to an external system.
pub trait ExternalSession<K, V>: 'static {
    /// What a record becomes, ready to be written.
    type Row: 'static;

    /// Makes the row of a record; nothing is written yet.
    ///
    /// # Errors
    ///
    /// As those of [`Processor::process`](super::Processor::process): they are the record's.
    fn row(&mut self, record: &Record<K, V>) -> Result<Self::Row, Fault>;

    /// Writes the rows of a batch, and its positions if the sink keeps any, in one transaction that
    /// is durable when this returns. A session that was not answered finds out how the transaction
    /// ended before it tries again.
    ///
    /// # Errors
    ///
    /// The fault says what the worker does next; it must return one within about `within`, which
    /// leaves Kafka's transaction the time to be committed.
    fn commit(
        &mut self,
        batch: &ExternalBatch<'_, Self::Row>,
        within: Duration,
    ) -> Result<(), ExternalFault>;
}

/// Whose rows a session writes.
#[derive(Debug, Clone)]
pub struct ExternalTask {
    /// The application.
    pub application_id: Arc<str>,
    /// The sink's name in the topology: with the application it is what positions are known by.
    pub sink: Arc<str>,
    /// The task.
    pub task: TaskId,
    /// The partitions that it reads.
    pub inputs: Vec<TopicPartition>,
}

/// How far an external system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It keeps no positions: rows may come again.
    Unknown,
    /// It holds the rows of everything below these positions; a partition that is not among them
    /// has none.
    UpTo(Vec<AppliedPosition>),
}

/// How far an external system is with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPosition {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The first offset whose rows it does not hold.
    pub next: Offset,
    /// Offsets below `next` whose rows it refused: they were given up, and are again in a replay.
    pub given_up: Vec<Offset>,
}

/// What a batch writes.
#[derive(Debug)]
pub struct ExternalBatch<'a, R> {
    /// At least one row, in the order in which they were made.
    pub rows: &'a [ExternalRow<R>],
    /// Where every input of the task is after the batch.
    pub positions: &'a [AppliedPosition],
}

/// A row, and the input record that it comes from.
#[derive(Debug, Clone)]
pub struct ExternalRow<R> {
    /// What is written.
    pub row: R,
    /// The record; none for what a punctuation made.
    pub position: Option<Position>,
}

/// Why something failed outside.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What an external system could not do, and what follows.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExternalFault {
    /// It is away, or too slow: the batch is aborted and tried again, until `task.timeout.ms` has
    /// passed.
    Unreachable(Cause),
    /// It holds more than the session knew: an earlier commit that was not answered had gone through.
    /// Nothing was written now; the batch is processed again, without the rows below these
    /// positions.
    Ahead(Vec<AppliedPosition>),
    /// Somebody else has claimed the positions, nothing was written: the tasks are dropped, and the
    /// worker joins its group anew.
    Fenced(Cause),
    /// Nothing was written because of these rows, known by their index in the batch. Their records
    /// stop the application, or are given up, as `processing.exception.handler` says.
    Refused(Vec<(usize, Cause)>),
    /// Nothing was written because of a row that the system does not name. The application stops, or,
    /// where that handler goes on, the batch is committed in halves until the record is found.
    RefusedBatch(Cause),
    /// Nothing was written, and trying again is of no use: the application stops.
    Failed(Cause),
}
