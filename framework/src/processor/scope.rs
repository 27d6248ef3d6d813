//! What the nodes of one task share: time, position, stores, the road out.
//!
//! # Invariants
//!
//! - **One road out.** Sinks and changelogs emit through the [`Collector`] and nothing else.
//! - A scope belongs to one thread; its cells are borrowed for one statement at a time.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::call_queue::Origin;
use super::drops::TaskDrops;
use super::node_time::NodeTimes;
use super::outlet::Outlets;
use super::punctuation::Schedules;
use super::refusal::{InputCopy, SinkTopic};
use super::task_calls::TaskCalls;
use super::waiting::{Blamed, Obstacle};
use crate::error::{Error, ErrorKind};
use crate::handler::{Handlers, Isolation};
use crate::metrics::{DropReason, Drops};
use crate::record::{Headers, Offset, Position, TaskId, TopicPartition};
use crate::state::{Changelog, StoreSpec, TaskStore};
use crate::time::{Clock, Timestamp};

/// A topic that a collector has resolved once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicId(pub(crate) u32);

/// A record on its way out, as bytes.
#[derive(Debug)]
pub(crate) struct OutgoingRecord<'a> {
    pub(crate) topic: TopicId,
    /// None: by murmur2 of the key, a null key anywhere.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: &'a Headers,
}

/// Takes what a task emits: the producer of the worker, or a test's memory.
pub(crate) trait Collector: fmt::Debug {
    /// Resolves a topic, once per task and topic, not per record.
    fn topic(&self, name: &str) -> Result<TopicId, Error>;

    /// How many partitions a topic has.
    fn partitions(&self, topic: TopicId) -> Result<i32, Error>;

    /// Sends within the open transaction; delivery is known at its commit.
    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error>;

    /// Refuses what [`send`](Self::send) would refuse, as far as that is known without sending.
    fn check(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        let _ = record;
        Ok(())
    }

    /// Whether dead letters can be sent.
    fn takes_letters(&self) -> bool {
        true
    }
}

/// A store of the task with its description.
pub(crate) struct StoreSlot {
    pub(crate) spec: StoreSpec,
    pub(crate) store: Rc<RefCell<TaskStore>>,
    /// Where its writes are logged, if they are.
    pub(crate) changelog: Option<TopicId>,
}

/// The global stores of a worker, by name: any processor reads them, none of them writes.
#[derive(Default)]
pub(crate) struct GlobalStores(pub(crate) BTreeMap<Arc<str>, StoreSlot>);

impl fmt::Debug for GlobalStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// What the nodes of one task share.
pub(crate) struct TaskScope {
    pub(crate) task: TaskId,
    pub(crate) application_id: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) collector: Rc<dyn Collector>,
    pub(crate) handlers: Arc<Handlers>,
    /// What goes with a call that fails.
    pub(crate) isolation: Cell<Isolation>,
    /// Whom a failure is told of, if not of the record in process.
    pub(crate) blamed: RefCell<Option<Blamed>>,
    /// What made the attempt fail that is to be taken back, if it was not its record.
    pub(crate) obstacle: RefCell<Option<Obstacle>>,
    /// The topics of the task's sinks.
    pub(crate) sinks: RefCell<BTreeMap<TopicId, SinkTopic>>,
    pub(crate) stores: BTreeMap<Arc<str>, StoreSlot>,
    pub(crate) global_stores: Rc<GlobalStores>,
    /// The way to systems outside Kafka.
    pub(crate) outlets: Outlets,
    pub(crate) schedules: RefCell<Schedules>,
    /// The asynchronous calls of its nodes.
    pub(crate) calls: TaskCalls,
    /// What processors share beside stores; as short-lived as they are.
    pub(crate) shared: RefCell<BTreeMap<String, Rc<dyn Any>>>,
    /// The highest timestamp that the task has seen.
    pub(crate) stream_time: Cell<Timestamp>,
    /// The highest timestamp that each node has seen, of those that asked.
    pub(crate) node_times: NodeTimes,
    /// The timestamp of the record, or punctuation, in process: what changelog records carry.
    pub(crate) record_time: Cell<Timestamp>,
    /// The partition time before the record in process, told where there are calls.
    pub(crate) time_before: Cell<Timestamp>,
    /// The record that was dropped last.
    pub(crate) dropped_at: Cell<Option<(usize, Offset)>>,
    /// Whether processors are being initialised, outside any batch.
    pub(crate) initialising: Cell<bool>,
    /// The input topics, and which of them is being processed at which offset.
    pub(crate) inputs: Vec<Arc<str>>,
    /// The partition of the record in process: the task's, but where a task reads all of them.
    pub(crate) partition: Cell<i32>,
    pub(crate) at: Cell<Option<(usize, Offset)>>,
    /// What a handler would be shown of it, and which attempt at it this is.
    pub(crate) input: RefCell<InputCopy>,
    pub(crate) attempt: Cell<u32>,
    /// Whether what is in process could be processed once more.
    pub(crate) retries: Cell<bool>,
    /// The node whose user code panicked last.
    panicked: RefCell<Option<Arc<str>>>,
    drops: TaskDrops,
}

impl TaskScope {
    pub(crate) fn new(
        task: TaskId,
        application_id: Arc<str>,
        clock: Arc<dyn Clock>,
        collector: Rc<dyn Collector>,
    ) -> Self {
        TaskScope {
            task,
            application_id,
            clock,
            collector,
            handlers: Arc::default(),
            isolation: Cell::new(Isolation::Batch),
            blamed: RefCell::default(),
            obstacle: RefCell::default(),
            sinks: RefCell::default(),
            stores: BTreeMap::new(),
            global_stores: Rc::default(),
            outlets: Outlets::default(),
            schedules: RefCell::new(Schedules::default()),
            calls: TaskCalls::default(),
            shared: RefCell::default(),
            stream_time: Cell::new(Timestamp::NONE),
            node_times: NodeTimes::default(),
            record_time: Cell::new(Timestamp::NONE),
            time_before: Cell::new(Timestamp::NONE),
            dropped_at: Cell::new(None),
            initialising: Cell::new(false),
            inputs: Vec::new(),
            partition: Cell::new(task.partition),
            at: Cell::new(None),
            input: RefCell::default(),
            attempt: Cell::new(1),
            retries: Cell::new(true),
            panicked: RefCell::new(None),
            drops: TaskDrops::default(),
        }
    }

    /// Notes the node from which a panic comes; the nodes that called it hear of it later.
    pub(crate) fn panics(&self, node: &Arc<str>) {
        self.panicked
            .borrow_mut()
            .get_or_insert_with(|| Arc::clone(node));
    }

    /// The node that the last panic came from, if user code of a processor did it.
    pub(crate) fn take_panicked(&self) -> Option<Arc<str>> {
        self.panicked.borrow_mut().take()
    }

    /// A record is there that may be the latest.
    #[inline]
    pub(crate) fn reach(&self, timestamp: Timestamp) {
        self.stream_time.set(self.stream_time.get().max(timestamp));
    }

    /// Names the node and the record at which user code panicked.
    pub(crate) fn blame_panic(&self, error: Error) -> Error {
        let error = match self.take_panicked() {
            Some(node) => error.at_node(&node),
            None => error,
        };
        match self.position() {
            Some(position) => error.at(position),
            None => error,
        }
    }

    /// Refuses to emit what no batch would hold.
    #[inline]
    pub(crate) fn check_batch(&self) -> Result<(), Error> {
        match self.initialising.get() {
            false => Ok(()),
            true => Err(Self::no_batch()),
        }
    }

    #[cold]
    fn no_batch() -> Error {
        let message = "records can be forwarded and stores written only while a record or a \
                       punctuation is processed, not in init";
        Error::new(ErrorKind::Processing, message)
    }

    /// Where the record in process was read; none in a punctuation.
    pub(crate) fn position(&self) -> Option<Position> {
        let (input, offset) = self.at.get()?;
        let topic = Arc::clone(&self.inputs[input]);
        let topic_partition = TopicPartition {
            topic,
            partition: self.partition.get(),
        };
        Some(Position {
            topic_partition,
            offset,
        })
    }

    /// What the task is at: whatever it starts now belongs there.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            at: self.at.get(),
            stream_time: self.stream_time.get(),
            time_before: self.time_before.get(),
        }
    }

    /// Goes to where the task was when it started something; answers what it was at till now.
    pub(crate) fn return_to(&self, origin: Origin) -> Origin {
        Origin {
            at: self.at.replace(origin.at),
            stream_time: self.stream_time.replace(origin.stream_time),
            time_before: self.time_before.replace(origin.time_before),
        }
    }

    /// Notes that a record ends here.
    pub(crate) fn dropped(&self, node: &str, reason: DropReason) {
        self.dropped_at.set(self.at.get());
        if let Some(silent) = self.count_drop(node, reason) {
            let position = self.position().map(|position| position.to_string());
            tracing::warn!(task = %self.task, node, %reason, position, silent, "record dropped");
        }
    }

    /// Notes that a record, or an output, ends here because it failed; the error has its position.
    pub(crate) fn given_up(&self, node: &str, reason: DropReason, error: &Error) {
        if let Some(silent) = self.count_drop(node, reason) {
            tracing::warn!(task = %self.task, node, %reason, %error, silent, "given up");
        }
    }

    fn count_drop(&self, node: &str, reason: DropReason) -> Option<u64> {
        self.drops.count(node, reason, || self.clock.elapsed())
    }

    /// The drops of the batch, which is then counted or thrown away.
    pub(crate) fn take_drops(&self) -> Drops {
        self.drops.take()
    }
}

impl fmt::Debug for TaskScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskScope({})", self.task)
    }
}

/// The way of a global store's readers: they change nothing.
pub(crate) struct ReadOnlyLog {
    pub(crate) store: Arc<str>,
    pub(crate) scope: Rc<TaskScope>,
}

impl Changelog for ReadOnlyLog {
    fn store(&self) -> &str {
        &self.store
    }

    fn position(&self) -> Option<Position> {
        self.scope.position()
    }

    fn send_with(
        &self,
        _key: &[u8],
        _value: Option<&[u8]>,
        _timestamp: Option<Timestamp>,
        _headers: &Headers,
    ) -> Result<(), Error> {
        let why = "a global store is read-only but to the processor that fills it; write to the \
                   topic that it is filled from";
        Err(self.error(why))
    }

    fn refused(&self) {
        self.scope.dropped(&self.store, DropReason::Expired);
    }
}

/// A store's way to its changelog topic.
pub(crate) struct StoreLog {
    pub(crate) store: Arc<str>,
    pub(crate) scope: Rc<TaskScope>,
    pub(crate) topic: Option<TopicId>,
}

impl StoreLog {
    /// Where a write stays though its record fails, a store must not go on without its changelog.
    #[cold]
    fn unlogged(&self, error: Error) -> Error {
        match self.scope.isolation.get() {
            Isolation::Batch | Isolation::Record => error,
            Isolation::Call => error.settled(),
        }
    }
}

impl Changelog for StoreLog {
    fn store(&self) -> &str {
        &self.store
    }

    fn check(&self) -> Result<(), Error> {
        self.scope.check_batch()
    }

    fn position(&self) -> Option<Position> {
        self.scope.position()
    }

    fn send_with(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
        headers: &Headers,
    ) -> Result<(), Error> {
        self.scope.check_batch()?;
        let Some(topic) = self.topic else {
            return Ok(());
        };
        let sent = self.scope.collector.send(&OutgoingRecord {
            topic,
            partition: Some(self.scope.task.partition),
            key: Some(key),
            value,
            timestamp: timestamp.unwrap_or(self.scope.record_time.get()),
            headers,
        });
        sent.map_err(|error| self.unlogged(error))
    }

    fn refused(&self) {
        self.scope.dropped(&self.store, DropReason::Expired);
    }
}
