//! What a topic holds, read from the beginning by a consumer that belongs to nobody.
//!
//! Two ends, because "all of it" means two things while transactions are open:
//!
//! ```text
//!   offsets   0 1 2 3 4 | 5 6 7 |
//!             committed   open
//!                       ^       ^
//!      last stable offset       high watermark
//!      visible(ReadCommitted)   visible(ReadUncommitted)
//!                               settled(): waits until read_committed gets here
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Mutex, PoisonError},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use crate::{
    clients::Isolation,
    cluster::{Cluster, unique},
    record::Record,
    wait::{Deadline, PATIENCE},
};

/// One wait for the next message.
const POLL_SLICE: std::time::Duration = std::time::Duration::from_millis(50);

impl Cluster {
    /// The records that a reader of this isolation can see now, by partition and offset.
    ///
    /// # Panics
    ///
    /// When the broker does not let a reader get to the end.
    #[must_use]
    pub fn visible(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let mut reader = Reader::open(self, topic, isolation);
        reader.read_until(|reader| reader.ended.len() == reader.partitions.len());
        let history = reader.history();
        self.readers.put_back(isolation, reader.consumer);
        history
    }

    /// The committed records up to the high watermark of this moment, by partition and offset;
    /// waits for transactions that are still open or whose markers are still being written.
    ///
    /// # Panics
    ///
    /// When a transaction stays open past the deadline.
    #[must_use]
    pub fn settled(&self, topic: &str) -> Vec<Record> {
        let mut reader = Reader::open(self, topic, Isolation::ReadCommitted);
        let ends: BTreeMap<i32, (i64, i64)> = reader
            .partitions
            .iter()
            .map(|p| (*p, self.watermarks(topic, *p, Isolation::ReadUncommitted)))
            .collect();
        reader.read_until(|reader| {
            ends.iter()
                .all(|(partition, (low, high))| low == high || reader.position(*partition) >= *high)
        });
        let history = reader.history();
        self.readers
            .put_back(Isolation::ReadCommitted, reader.consumer);
        history
    }
}

impl Cluster {
    /// The first offset of each partition, as a number: a client that does not know the leader yet
    /// waits half a second before it asks for "the beginning" again.
    pub(crate) fn beginnings(&self, topic: &str) -> TopicPartitionList {
        let mut beginnings = TopicPartitionList::new();
        for partition in self.partitions(topic) {
            let (low, _) = self.watermarks(topic, partition, Isolation::ReadUncommitted);
            beginnings
                .add_partition_offset(topic, partition, Offset::Offset(low))
                .expect("a watermark is an offset");
        }
        beginnings
    }
}

/// Consumers that nobody reads with: a new one takes a tenth of a second to go, so they are kept.
#[derive(Default)]
pub(crate) struct IdleReaders {
    read_committed: Mutex<Vec<BaseConsumer>>,
    read_uncommitted: Mutex<Vec<BaseConsumer>>,
}

impl IdleReaders {
    fn of(&self, isolation: Isolation) -> &Mutex<Vec<BaseConsumer>> {
        match isolation {
            Isolation::ReadCommitted => &self.read_committed,
            Isolation::ReadUncommitted => &self.read_uncommitted,
        }
    }

    fn take(&self, isolation: Isolation) -> Option<BaseConsumer> {
        let mut idle = self
            .of(isolation)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn put_back(&self, isolation: Isolation, consumer: BaseConsumer) {
        if consumer.unassign().is_ok() {
            let mut idle = self
                .of(isolation)
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            idle.push(consumer);
        }
    }
}

struct Reader {
    consumer: BaseConsumer,
    topic: String,
    partitions: Vec<i32>,
    ended: BTreeSet<i32>,
    records: Vec<Record>,
}

impl Reader {
    fn open(cluster: &Cluster, topic: &str, isolation: Isolation) -> Self {
        let consumer = cluster.readers.take(isolation).unwrap_or_else(|| {
            cluster
                .consumer_config(&unique("reader"), isolation)
                .set("enable.partition.eof", "true")
                .create()
                .expect("the reader's configuration is valid")
        });
        let partitions = cluster.partitions(topic);
        // A client looks for the leaders of a topic that is new to it once a second, unless asked.
        if let Err(error) = consumer.fetch_metadata(Some(topic), PATIENCE) {
            tracing::debug!(topic, %error, "the reader looks for leaders by itself");
        }
        consumer
            .assign(&cluster.beginnings(topic))
            .expect("an idle consumer takes an assignment");
        Self {
            consumer,
            topic: topic.to_owned(),
            partitions,
            ended: BTreeSet::new(),
            records: Vec::new(),
        }
    }

    fn read_until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Deadline::after(PATIENCE);
        while !done(self) {
            assert!(
                !deadline.passed(),
                "{} not read to its end within {PATIENCE:?}: {} records, ended {:?} of {:?}",
                self.topic,
                self.records.len(),
                self.ended,
                self.partitions,
            );
            self.take_one();
        }
    }

    fn take_one(&mut self) {
        match self.consumer.poll(POLL_SLICE) {
            None => {}
            Some(Ok(message)) => {
                let record = Record::from(&message);
                self.ended.remove(&record.partition);
                self.records.push(record);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.ended.insert(partition);
            }
            // A broker that is restarting: the deadline decides.
            Some(Err(error)) => tracing::debug!(topic = self.topic, %error, "reader goes on"),
        }
    }

    /// One past the last offset passed, control records included; negative before the first.
    fn position(&self, partition: i32) -> i64 {
        let positions = self
            .consumer
            .position()
            .expect("an assigned consumer has positions");
        positions
            .find_partition(&self.topic, partition)
            .and_then(|found| found.offset().to_raw())
            .unwrap_or(-1)
    }

    fn history(&mut self) -> Vec<Record> {
        let mut records = mem::take(&mut self.records);
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }
}
