//! Topics read back: followed while they grow, or whole once nobody writes any more.
//!
//! ```text
//!   offsets   0 1 2 3 4 | 5 6 7 |
//!             settled     open
//!                       ^       ^
//!      last stable offset       high watermark
//! ```
//!
//! # Invariants
//!
//! - Readers begin at the beginning and belong to no group: nothing is committed, nothing skipped.
//! - The whole of a topic is read once no transaction in it is open: what is hidden then was
//!   aborted, and stays hidden.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::Result;
use crate::clock::{Stopwatch, wait_until};
use crate::cluster::Cluster;
use crate::shutdown::Interrupt;

/// One wait for the next record.
const POLL_SLICE: Duration = Duration::from_millis(20);

/// How long the broker may take to say where a partition ends.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open transactions may take to end, and a topic to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// What a reader sees of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only what was committed: what Kafka's users read exactly-once results with.
    ReadCommitted,
    /// Everything that was written, aborted or not.
    ReadUncommitted,
}

impl Isolation {
    /// The value of `isolation.level`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// Follows topics as they grow, seeing only what is committed.
pub struct Tail {
    consumer: BaseConsumer,
}

impl Tail {
    /// Follows these topics from their beginning.
    ///
    /// # Errors
    ///
    /// When the broker does not know them.
    pub fn follow(cluster: &Cluster, topics: &[&str]) -> Result<Self> {
        let consumer = consumer(config(cluster, Isolation::ReadCommitted))?;
        assign(cluster, &consumer, topics)?;
        Ok(Tail { consumer })
    }

    /// Hands on what is new: waits for a first record at most `wait`, and takes `max` at most.
    ///
    /// Answers how many there were.
    ///
    /// # Errors
    ///
    /// When `take` refuses a record.
    pub fn read(
        &mut self,
        wait: Duration,
        max: usize,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<usize> {
        let mut taken = 0;
        while taken < max {
            let wait = if taken == 0 { wait } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    take(&message)?;
                    taken += 1;
                }
                // A broker that is away: whoever waits for records notices that none come.
                Some(Err(_)) => break,
            }
        }
        Ok(taken)
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail")
    }
}

/// Reads topics whole, with and without what was aborted.
pub struct Reader<'c> {
    cluster: &'c Cluster,
    interrupt: Interrupt,
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl<'c> Reader<'c> {
    /// A reader of the topics of a cluster, that stops where it is on an interrupt.
    ///
    /// # Errors
    ///
    /// When the client library refuses the configuration.
    pub fn open(cluster: &'c Cluster, interrupt: Interrupt) -> Result<Self> {
        let open = |isolation| {
            let mut config = config(cluster, isolation);
            config.set("enable.partition.eof", "true");
            consumer(config)
        };
        Ok(Reader {
            cluster,
            interrupt,
            committed: open(Isolation::ReadCommitted)?,
            uncommitted: open(Isolation::ReadUncommitted)?,
        })
    }

    /// Reads all of a topic, as of this moment, in the order of each partition; answers how many
    /// records there were.
    ///
    /// # Errors
    ///
    /// When a transaction stays open, the topic cannot be read to its end, `take` refuses a
    /// record, or the user does not want to wait.
    pub fn read_all(
        &self,
        topic: &str,
        isolation: Isolation,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<u64> {
        self.await_settled(topic)?;
        let consumer = match isolation {
            Isolation::ReadCommitted => &self.committed,
            Isolation::ReadUncommitted => &self.uncommitted,
        };
        let partitions = assign(self.cluster, consumer, &[topic])?;
        let (mut ended, mut records) = (BTreeSet::new(), 0);
        let reading = Stopwatch::start();
        while ended.len() < partitions {
            self.interrupt.check()?;
            match consumer.poll(POLL_SLICE) {
                Some(Ok(message)) => {
                    ended.remove(&message.partition());
                    take(&message)?;
                    records += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) if reading.elapsed() > READ_TIMEOUT => return Err(error.into()),
                None if reading.elapsed() > READ_TIMEOUT => {
                    let missing = partitions - ended.len();
                    return Err(format!("{missing} partitions of {topic} have no end").into());
                }
                Some(Err(_)) | None => {}
            }
        }
        // A fetch that waits for more would hold up the next question to the broker.
        consumer.unassign()?;
        Ok(records)
    }

    /// How many partitions of these topics end in an open transaction.
    ///
    /// # Errors
    ///
    /// When the broker does not say.
    pub fn open_partitions(&self, topics: &[&str]) -> Result<usize> {
        let mut open = 0;
        for topic in topics {
            for partition in self.cluster.partitions(topic)? {
                open += usize::from(self.is_open(topic, partition)?);
            }
        }
        Ok(open)
    }

    /// Whether any partition of a topic ends in an open transaction.
    ///
    /// # Errors
    ///
    /// When the broker does not say.
    pub fn has_open_transaction(&self, topic: &str) -> Result<bool> {
        for partition in self.cluster.partitions(topic)? {
            if self.is_open(topic, partition)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_open(&self, topic: &str, partition: i32) -> Result<bool> {
        let (_, stable) = (self.committed).fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
        let (_, high) = (self.uncommitted).fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
        Ok(stable < high)
    }

    fn await_settled(&self, topic: &str) -> Result<()> {
        let settled = || {
            self.interrupt.check()?;
            Ok(self.open_partitions(&[topic])? == 0)
        };
        if !wait_until(READ_TIMEOUT, settled)? {
            return Err(format!("a transaction in {topic} does not end").into());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.cluster.bootstrap_servers())
    }
}

fn config(cluster: &Cluster, isolation: Isolation) -> ClientConfig {
    let mut config = cluster.client_config();
    config
        .set("isolation.level", isolation.as_str())
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10");
    config
}

/// The client library wants the name of a group, though none is joined.
fn consumer(mut config: ClientConfig) -> Result<BaseConsumer> {
    let config = config.set("group.id", "onceflow-examples-reader");
    Ok(config.create()?)
}

/// Takes every partition of the topics from the beginning; answers how many there are.
fn assign(cluster: &Cluster, consumer: &BaseConsumer, topics: &[&str]) -> Result<usize> {
    let mut assignment = TopicPartitionList::new();
    for topic in topics {
        let partitions = cluster.partitions(topic)?;
        if partitions.is_empty() {
            return Err(format!("topic {topic} does not exist").into());
        }
        for partition in partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    Ok(assignment.count())
}
