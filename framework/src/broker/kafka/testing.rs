//! A broker for the tests of this folder, and short words for what they do with it.
//!
//! Without `ONCEFLOW_TEST_BOOTSTRAP` it is the embedded broker, one for all tests; with it, the
//! broker at that address, which all tests of the process share.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use onceflow_broker::EmbeddedBroker;

use super::changelogs::KafkaChangelogs;
use super::consumer::KafkaConsumer;
use super::native::Membership;
use super::producer::KafkaProducer;
use super::{ClientProperties, KafkaCluster};
use crate::broker::{
    BrokerError, ChangelogReader, Chunk, Cluster, Committed, ConsumerEvent, GroupConsumer,
    NewTopic, Producer, RecordQueue, Wake,
};
use crate::config::Guarantee;
use crate::processor::{OutgoingRecord, TopicId};
use crate::record::{Headers, Offset, TopicPartition};
use crate::time::{Clock, SystemClock, Timestamp};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a record is waited for that should not come.
pub(super) const QUIET: Duration = Duration::from_millis(300);

const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The address of the broker under test.
pub(super) fn bootstrap() -> String {
    static EMBEDDED: OnceLock<EmbeddedBroker> = OnceLock::new();
    env::var("ONCEFLOW_TEST_BOOTSTRAP").unwrap_or_else(|_unset| {
        let broker = EMBEDDED.get_or_init(|| EmbeddedBroker::start().unwrap());
        broker.bootstrap_servers().to_owned()
    })
}

/// A name that no other test uses, in this process or an earlier one on the same broker.
fn unique(label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (now, process) = (SystemClock::new().now().as_millis(), std::process::id());
    format!("{label}-{now}-{process}-{count}")
}

/// An application of the test's own.
pub(super) struct World {
    pub(super) cluster: KafkaCluster,
    /// The group and the transactional ids begin with it.
    pub(super) application: String,
}

impl World {
    pub(super) fn new(label: &str) -> Self {
        Self::with(label, |_| {})
    }

    pub(super) fn with(label: &str, change: impl FnOnce(&mut ClientProperties)) -> Self {
        let application = unique(label);
        let any = map(&[("bootstrap.servers", &bootstrap())]);
        let mut consumer = any.clone();
        consumer.extend(map(&[
            ("group.id", &application),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "200"),
        ]));
        let mut producer = any.clone();
        producer.extend(map(&[("transaction.timeout.ms", "30000")]));
        let mut properties = ClientProperties {
            consumer,
            producer,
            restore_consumer: any.clone(),
            admin: any,
            static_membership: false,
            tells_ends: false,
            guarantee: Guarantee::ExactlyOnceV2,
        };
        change(&mut properties);
        World {
            cluster: KafkaCluster::new(properties).unwrap(),
            application,
        }
    }

    pub(super) fn topic(&self, partitions: i32) -> Arc<str> {
        self.topic_with(partitions, &[])
    }

    pub(super) fn topic_with(&self, partitions: i32, config: &[(&str, &str)]) -> Arc<str> {
        let name: Arc<str> = unique("topic").into();
        // Records of 1970 are too old for any other retention.
        let mut config = map(config);
        config.extend(map(&[("retention.ms", "-1")]));
        let topic = NewTopic {
            name: Arc::clone(&name),
            partitions,
            replication_factor: 1,
            config,
        };
        self.cluster.create_topics(&[topic], PATIENCE).unwrap();
        name
    }

    /// A producer that is ready, with the topics registered by their index.
    pub(super) fn producer(&self, worker: &str, topics: &[&Arc<str>]) -> KafkaProducer {
        let id = format!("{}-{worker}", self.application);
        let mut producer = self.cluster.producer(&id).unwrap();
        resumed(|| producer.init_transactions(Duration::from_secs(1))).unwrap();
        for (index, topic) in (0..).zip(topics) {
            producer.register(index, topic).unwrap();
        }
        producer
    }

    pub(super) fn consumer(&self, member: &str) -> (KafkaConsumer, Arc<Wake>) {
        let wake = Arc::new(Wake::default());
        let consumer = self.cluster.consumer(member, &wake).unwrap();
        (consumer, wake)
    }

    /// A member that has everything, from offset 0.
    pub(super) fn sole_member(&self, topics: &[Arc<str>]) -> (KafkaConsumer, Vec<TopicPartition>) {
        let (mut consumer, _wake) = self.consumer("sole");
        consumer.subscribe(topics).unwrap();
        let partitions = assigned(&mut consumer);
        consumer.assign(&from_zero(&partitions)).unwrap();
        (consumer, partitions)
    }

    /// The committed values of a partition, up to its present high watermark: a commit is
    /// answered before all partitions have its markers.
    pub(super) fn committed_values(&self, partition: &TopicPartition) -> Vec<String> {
        let mut reader = self.cluster.changelogs().unwrap();
        let marks = resumed(|| reader.watermarks(std::slice::from_ref(partition), PATIENCE));
        let (_, high) = marks.unwrap()[0];
        reader.assign(&[(partition.clone(), Offset::ZERO)]).unwrap();
        read_to(&mut reader, high).0
    }
}

pub(super) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

pub(super) fn from_zero(partitions: &[TopicPartition]) -> Vec<(TopicPartition, Offset)> {
    let start = |partition: &TopicPartition| (partition.clone(), Offset::ZERO);
    partitions.iter().map(start).collect()
}

/// Looks again and again until there is an answer.
pub(super) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    let pause = Wake::default();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(clock.elapsed() < PATIENCE, "not in time: {what}");
        pause.sleep(LOOK_INTERVAL);
    }
}

/// Looks for that long; what was seen, if anything.
pub(super) fn meanwhile<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = SystemClock::new();
    let pause = Wake::default();
    while clock.elapsed() < time {
        if let Some(answer) = look() {
            return Some(answer);
        }
        pause.sleep(LOOK_INTERVAL);
    }
    None
}

/// Repeats a call while it asks for that.
pub(super) fn resumed<T>(
    mut call: impl FnMut() -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    eventually("a call that is done", || match call() {
        Err(error) if error.is_passing() => None,
        outcome => Some(outcome),
    })
}

pub(super) fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let clock = SystemClock::new();
    let answer = call();
    (answer, clock.elapsed())
}

pub(super) fn assigned(consumer: &mut KafkaConsumer) -> Vec<TopicPartition> {
    eventually("an assignment", || match consumer.poll().unwrap() {
        Some(ConsumerEvent::Assigned(partitions)) => Some(partitions),
        Some(event) => panic!("{event:?} instead of an assignment"),
        None => None,
    })
}

pub(super) fn send(
    producer: &mut KafkaProducer,
    partition: i32,
    value: &str,
) -> Result<(), BrokerError> {
    static NO_HEADERS: Headers = Headers::new();
    producer.send(&OutgoingRecord {
        topic: TopicId(0),
        partition: Some(partition),
        key: Some(value.as_bytes()),
        value: Some(value.as_bytes()),
        timestamp: Timestamp::from_millis(1_000),
        headers: &NO_HEADERS,
    })
}

pub(super) fn commit(producer: &mut KafkaProducer) -> Result<(), BrokerError> {
    eventually("a flush", || {
        let flushed = producer.flush(Duration::from_millis(50)).unwrap();
        flushed.then_some(())
    });
    resumed(|| producer.commit(Duration::from_secs(1)))
}

pub(super) fn abort(producer: &mut KafkaProducer) -> Result<(), BrokerError> {
    resumed(|| producer.abort(Duration::from_secs(1)))
}

/// One committed transaction with these values.
pub(super) fn publish(producer: &mut KafkaProducer, partition: i32, values: &[&str]) {
    producer.begin().unwrap();
    for value in values {
        send(producer, partition, value).unwrap();
    }
    commit(producer).unwrap();
}

pub(super) fn offset_of(partition: &TopicPartition, offset: i64) -> (TopicPartition, Committed) {
    let committed = Committed {
        offset: Offset::new(offset),
        metadata: format!("batch {offset}"),
    };
    (partition.clone(), committed)
}

pub(super) fn group_of(consumer: &KafkaConsumer) -> Membership {
    consumer.group().expect("a member")
}

/// Waits until the partition with this index has given so many records; their values.
pub(super) fn fetched(consumer: &mut KafkaConsumer, index: usize, count: usize) -> Vec<String> {
    let mut queue = RecordQueue::default();
    eventually("records", || {
        let records_max = count - queue.ahead();
        consumer.fetch(index, records_max, &mut queue).unwrap();
        (queue.ahead() >= count).then_some(())
    });
    values(&mut queue)
}

pub(super) fn values(queue: &mut RecordQueue) -> Vec<String> {
    let mut values = Vec::new();
    while let Some(record) = queue.head() {
        let value = record.value.unwrap_or_default();
        values.push(String::from_utf8_lossy(value).into_owned());
        queue.advance();
    }
    values
}

/// Reads a partition until its end is at least there; the values, and where the end is.
pub(super) fn read_to(reader: &mut KafkaChangelogs, least: Offset) -> (Vec<String>, Offset) {
    let mut values = Vec::new();
    let end = eventually("the end of a changelog", || {
        let mut end = None;
        let read = reader.read(QUIET, 100, &mut |chunk| {
            match chunk {
                Chunk::Record { record, .. } => {
                    let value = record.value.unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                Chunk::End { offset, .. } if offset >= least => end = Some(offset),
                Chunk::End { .. } => {}
            }
            Ok(())
        });
        read.unwrap();
        end
    });
    (values, end)
}
