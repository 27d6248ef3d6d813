//! Topics of a comparison: made, filled, read back and removed.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::Failure;
use crate::os;
use crate::workload::{Expected, Fingerprint, Records, Workload, is_joined, row, shown};

/// How long a broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes and removes topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When there is no client to be had.
    pub fn new(bootstrap_servers: &str) -> Result<Self, Failure> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("log_level", "3")
            .create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Admin { client, runtime })
    }

    /// Whether a broker answers.
    #[must_use]
    pub fn is_served(&self, patience: Duration) -> bool {
        let metadata = self.client.inner().fetch_metadata(None, patience);
        metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    ///
    /// When there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<i32, Failure> {
        let metadata = self.client.inner().fetch_metadata(Some(topic), TIMEOUT)?;
        let count = metadata
            .topics()
            .first()
            .map_or(0, |found| found.partitions().len());
        match count {
            0 => Err(format!("there is no topic {topic}").into()),
            count => Ok(i32::try_from(count)?),
        }
    }

    /// Creates a topic, unless it is there.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub fn create(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let created = self
            .runtime
            .block_on(self.client.create_topics([&new], &options))?;
        for result in created {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(format!("topic {topic}: {code}").into()),
            }
        }
        // Created is not yet known: metadata follows.
        let deadline = os::now() + TIMEOUT;
        while self.partitions(topic).is_err() {
            if os::now() > deadline {
                return Err(format!("topic {topic} was created and does not appear").into());
            }
            os::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Removes every topic but the broker's own and those to keep.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub fn remove_all_but(&self, keep: &[&str]) -> Result<(), Failure> {
        let metadata = self.client.inner().fetch_metadata(None, TIMEOUT)?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        let gone: Vec<&str> = names
            .filter(|name| !name.starts_with("__") && !keep.contains(name))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let _removed = self
            .runtime
            .block_on(self.client.delete_topics(&gone, &options))?;
        Ok(())
    }
}

/// A producer for loading: Java's partitioner, large batches, or none for latency.
///
/// # Errors
///
/// When there is no client to be had.
pub fn loader(bootstrap_servers: &str, linger_ms: u32) -> Result<BaseProducer, Failure> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", linger_ms.to_string())
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "1000000")
        .set("delivery.report.only.error", "true")
        .create()?;
    Ok(producer)
}

/// Queues a record, waiting while the queue is full.
///
/// # Errors
///
/// When it is refused for another reason.
pub fn send(producer: &BaseProducer, topic: &str, key: i64, value: &[u8]) -> Result<(), Failure> {
    let key = key.to_be_bytes();
    let mut record = BaseRecord::to(topic).key(&key[..]).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Fills a topic with records over so many keys; answers what workloads must make of them.
///
/// # Errors
///
/// When a record is not delivered.
pub fn load(
    bootstrap_servers: &str,
    topic: &str,
    records: u64,
    keys: u64,
) -> Result<Expected, Failure> {
    let producer = loader(bootstrap_servers, 50)?;
    let mut expected = Expected::default();
    let mut source = Records::new(keys);
    for number in 0..records {
        let (key, value) = source.next(Duration::from_nanos(number));
        expected.add(key, value);
        send(&producer, topic, key, value)?;
    }
    producer.flush(TIMEOUT)?;
    Ok(expected)
}

/// Fills a topic with the rows that `join` looks up, one a key.
///
/// # Errors
///
/// When a record is not delivered.
pub fn load_table(bootstrap_servers: &str, topic: &str, keys: u64) -> Result<(), Failure> {
    let producer = loader(bootstrap_servers, 50)?;
    for key in 0..keys {
        let key = key.cast_signed();
        send(&producer, topic, key, &row(key))?;
    }
    Ok(producer.flush(TIMEOUT)?)
}

/// Reads all that is committed in a topic; answers also how many records are joined, for `join`.
///
/// # Errors
///
/// When the broker does not serve it.
pub fn fingerprint(
    bootstrap_servers: &str,
    topic: &str,
    partitions: i32,
    workload: Workload,
) -> Result<(Fingerprint, u64), Failure> {
    let mut joined = 0;
    let consumer = reader(bootstrap_servers, topic, partitions, Offset::Beginning)?;
    let mut fingerprint = Fingerprint::default();
    let mut open = partitions;
    let mut heard = os::now();
    while open > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let (key, value) = (message.key(), message.payload());
                let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
                fingerprint.add(key, shown(workload, value));
                joined += u64::from(workload == Workload::Join && is_joined(key, value));
                heard = os::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error.into()),
            None if os::now() > heard + TIMEOUT => return Err("the output cannot be read".into()),
            None => {}
        }
    }
    Ok((fingerprint, joined))
}

/// A reader of all committed records of a topic, outside any group.
///
/// # Errors
///
/// When there is no client to be had.
pub fn reader(
    bootstrap_servers: &str,
    topic: &str,
    partitions: i32,
    from: Offset,
) -> Result<BaseConsumer, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "onceflow-benches-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}
