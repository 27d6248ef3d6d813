//! What the runtime needs of Kafka, as traits: a group consumer, a transactional producer, a
//! reader of changelogs, an admin.
//!
//! ```text
//!   Cluster ──┬── GroupConsumer   events (assigned, revoked), records per partition, offsets
//!             ├── Producer        one transaction at a time, resumable commit and abort; or none,
//!             │                   where the guarantee asks for none
//!             ├── ChangelogReader read_committed records from the start of a changelog
//!             └── topics          look up, create, trim
//! ```
//!
//! # Invariants
//!
//! - `kafka` is the only module that names rdkafka.
//! - Calls block for at most the time they are given; a call that did not finish in time says
//!   [`Verdict::Retriable`] and is resumed by making it again.
//! - Rebalances are events that the worker answers, never callbacks: between an event and the
//!   answer the consumer is not polled and the group waits.

mod queue;
pub(crate) mod kafka;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use queue::RecordQueue;

use crate::error::{Error, ErrorKind, Recovery};
use crate::processor::OutgoingRecord;
use crate::record::{Offset, RawRecord, TopicPartition};
use crate::topology::OffsetReset;

/// What a failed call leaves behind, and so what may be called next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not finished in time: make the same call again, never the opposite one.
    Retriable,
    /// The local queue is full: let the producer work, then send again.
    QueueFull,
    /// The transaction cannot commit any more; it can be aborted.
    Abortable,
    /// Somebody took over the transactional id, or the transaction timed out: the producer is
    /// closed for good.
    Fenced,
    /// The producer, or the consumer, is closed for good; the outcome of a commit is unknown.
    Fatal,
    /// Asking again cannot help: a missing topic, a refused authorization, a record too large.
    Refused,
}

/// An answer of the broker, or of the client, that is not the one hoped for.
#[derive(Debug, Clone)]
pub(crate) struct BrokerError {
    pub(crate) verdict: Verdict,
    /// Kafka's name of the error, such as `UNKNOWN_TOPIC_OR_PART`.
    pub(crate) code: String,
    /// What was tried and what was answered, for a person.
    pub(crate) message: String,
}

impl BrokerError {
    /// Whether the same call may succeed if it is simply made again.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.verdict, Verdict::Retriable | Verdict::QueueFull)
    }

    /// The framework's error: what was tried goes before the broker's words.
    pub(crate) fn into_error(self, tried: impl fmt::Display) -> Error {
        let (kind, recovery) = match self.verdict {
            Verdict::Retriable => (ErrorKind::Unreachable, Recovery::Replay),
            Verdict::QueueFull | Verdict::Abortable => (ErrorKind::Broker, Recovery::Replay),
            Verdict::Fenced => (ErrorKind::Fenced, Recovery::Restore),
            Verdict::Fatal => (ErrorKind::Broker, Recovery::Restore),
            Verdict::Refused => (ErrorKind::Broker, Recovery::Stop),
        };
        Error::new(kind, format!("{tried}: {self}")).recover_by(recovery)
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for BrokerError {}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewTopic {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: i32,
    /// −1: the broker's default.
    pub(crate) replication_factor: i32,
    pub(crate) config: BTreeMap<String, String>,
}

/// A Kafka cluster: makes clients, and knows topics. Shared by all workers.
pub(crate) trait Cluster: Send + Sync + 'static {
    type Consumer: GroupConsumer<Group = Self::Group>;
    type Producer: Producer<Group = Self::Group>;
    type Changelogs: ChangelogReader;
    /// What ties a transaction to a membership: member, generation.
    type Group;

    /// A consumer of the application's group; `wake` is rung when it has an event or a record.
    /// `member` is the worker's stable name: the static member id where that is configured.
    fn consumer(&self, member: &str, wake: &Arc<Wake>) -> Result<Self::Consumer, Error>;

    /// A producer of the configured guarantee, known by this name: the transactional id where it
    /// has transactions. [`Producer::init_transactions`] follows.
    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, Error>;

    fn changelogs(&self) -> Result<Self::Changelogs, Error>;

    /// The names of all topics.
    fn topics(&self, timeout: Duration) -> Result<Vec<Arc<str>>, BrokerError>;

    /// The partition counts of those topics that exist.
    fn partition_counts(
        &self,
        topics: &[Arc<str>],
        timeout: Duration,
    ) -> Result<BTreeMap<Arc<str>, i32>, BrokerError>;

    /// Creates topics and waits until they can be used; one that exists already is no error.
    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), BrokerError>;

    /// Whether every partition of these topics has a leader that knows it is one. The first batch
    /// that an idempotent producer sends to a partition must not be refused while the second is
    /// taken: a broker that knows nothing of the producer takes the repeated first for a duplicate.
    fn are_led(&self, topics: &[Arc<str>], timeout: Duration) -> Result<bool, BrokerError>;

    /// Deletes records below these offsets.
    fn delete_records(
        &self,
        below: &[(TopicPartition, Offset)],
        timeout: Duration,
    ) -> Result<(), BrokerError>;
}

/// What a group consumer has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsumerEvent {
    /// The group gave these partitions: answer with [`GroupConsumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// The group takes all partitions back: answer with [`GroupConsumer::unassign`].
    /// Lost: somebody else may have them already, so nothing can be committed.
    Revoked { lost: bool },
}

/// The offset that a group has committed for a partition, and the string beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Offset,
    pub(crate) metadata: String,
}

/// A member of the application's group, reading with `read_committed`.
pub(crate) trait GroupConsumer {
    type Group;

    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), BrokerError>;

    /// The next event, without waiting. Keeps the membership alive.
    fn poll(&mut self) -> Result<Option<ConsumerEvent>, BrokerError>;

    /// Starts reading. Partitions are known by their index in this list from now on.
    /// A first offset that retention has deleted surfaces as [`Verdict::Refused`] in `fetch`.
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError>;

    /// Stops reading all partitions.
    fn unassign(&mut self) -> Result<(), BrokerError>;

    /// Moves up to `records_max` fetched records of a partition into `queue`, without waiting, and
    /// tells it of an end that was reached (if the cluster was made to tell). Answers how many. Only the first record that arrives in an empty partition rings: whoever
    /// sleeps has fetched until fewer came than asked for, or wants no more for now.
    fn fetch(
        &mut self,
        partition: usize,
        records_max: usize,
        queue: &mut RecordQueue,
    ) -> Result<usize, BrokerError>;

    /// The high watermark of a partition, as the broker said when it last answered with records or
    /// without: nothing is asked. What it says from before a record was fetched is out of date.
    fn watermark(&self, partition: usize) -> Option<Offset>;

    /// The membership as it is now, to be fetched for each commit; none if there is no
    /// membership that the broker would check (before joining, or after the assignment was lost).
    fn group(&self) -> Option<Self::Group>;

    /// Whether the assignment was lost without a word from the group.
    fn assignment_lost(&self) -> bool;

    /// Commits offsets without a transaction, checked against the membership.
    ///
    /// [`Verdict::Retriable`]: refused for now, nothing was committed. [`Verdict::Fenced`]: the
    /// group has gone on without this member. [`Verdict::Fatal`]: not answered within `timeout`, so
    /// it may be committed, now or any time before this consumer is closed.
    fn commit(
        &self,
        offsets: &[(TopicPartition, Committed)],
        timeout: Duration,
    ) -> Result<(), BrokerError>;

    /// The group's offsets once no transaction over them is open, in the order asked.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError>;

    /// The offset that a reset means now: the oldest, or the last stable one.
    ///
    /// The worker refuses `OffsetReset::None` itself.
    fn reset_offset(
        &mut self,
        partition: &TopicPartition,
        reset: OffsetReset,
        timeout: Duration,
    ) -> Result<Offset, BrokerError>;

    /// Leaves the group (a static member only closes).
    fn close(self);
}

/// A producer: one transaction at a time, or without transactions what was sent since `begin`.
///
/// Without transactions `init_transactions` and `begin` ask nothing of the broker, `send_offsets`
/// and `commit` are not called, and `abort` waits until nothing is on its way any more.
pub(crate) trait Producer {
    type Group;

    /// Fences and finishes what an earlier producer of this id left; resumable.
    fn init_transactions(&mut self, timeout: Duration) -> Result<(), BrokerError>;

    fn begin(&mut self) -> Result<(), BrokerError>;

    /// Makes a topic known under an index of the caller's; asked once per topic and producer.
    fn register(&mut self, index: u32, topic: &str) -> Result<(), BrokerError>;

    /// Refuses what [`send`](Self::send) would refuse for its size.
    fn check(&self, record: &OutgoingRecord<'_>) -> Result<(), BrokerError> {
        let _ = record;
        Ok(())
    }

    /// Queues a record of the open transaction; `record.topic` is a registered index.
    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<(), BrokerError>;

    /// Adds the consumed offsets, with metadata, to the transaction. Each call is new.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        group: &Self::Group,
        timeout: Duration,
    ) -> Result<(), BrokerError>;

    /// Delivers what is queued for at most `slice`; answers whether nothing is left.
    fn flush(&mut self, slice: Duration) -> Result<bool, BrokerError>;

    /// Resumable: after [`Verdict::Retriable`] commit again, never abort.
    fn commit(&mut self, timeout: Duration) -> Result<(), BrokerError>;

    /// Resumable: after [`Verdict::Retriable`] abort again. Without transactions what was sent
    /// stays sent.
    fn abort(&mut self, timeout: Duration) -> Result<(), BrokerError>;

    /// Serves what the client has to tell, without waiting.
    fn poll(&mut self);

    /// Why the producer is closed for good, if it is.
    fn fatal_error(&self) -> Option<BrokerError>;

    /// The first reason why a record of the open transaction was not delivered, in the broker's
    /// words with topic and partition: commit itself only says that some were not.
    fn delivery_error(&mut self) -> Option<BrokerError>;
}

/// What a changelog reader reads.
#[derive(Debug)]
pub(crate) enum Chunk<'a> {
    /// A record of the partition with this index.
    Record {
        partition: usize,
        record: RawRecord<'a>,
    },
    /// The partition was read up to this offset, which is the end for a `read_committed` reader.
    End { partition: usize, offset: Offset },
}

/// Reads changelogs with `read_committed`, outside any group.
pub(crate) trait ChangelogReader {
    /// First offset and high watermark of each partition: the watermark counts open transactions.
    fn watermarks(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<(Offset, Offset)>, BrokerError>;

    /// Replaces what is read. Partitions are known by their index in this list from now on.
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError>;

    /// Hands over what was fetched, waiting at most `timeout` for the first chunk. Answers how
    /// many records. `End` is repeated whenever the end moves.
    fn read(
        &mut self,
        timeout: Duration,
        records_max: usize,
        sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error>;
}

/// A bell: clients and the application's handle ring it, the worker sleeps on it.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake {
    /// Wakes the sleeper, now or at its next sleep.
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Sleeps until it is rung, at most `timeout`.
    pub(crate) fn sleep(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = self.bell.wait_timeout_while(rung, timeout, |rung| !*rung);
        *slept.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
