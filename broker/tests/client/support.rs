//! Clients and small steps that the tests share.

use std::time::Duration;

use onceflow_broker::EmbeddedBroker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Long enough for anything that is going to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Short enough to look again.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

pub(crate) fn config(broker: &EmbeddedBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .set("retry.backoff.ms", "5");
    config
}

pub(crate) fn producer(broker: &EmbeddedBroker) -> BaseProducer {
    config(broker).set("linger.ms", "1").create().unwrap()
}

pub(crate) fn transactional(broker: &EmbeddedBroker, id: &str) -> BaseProducer {
    let producer = transactional_uninitialised(broker, id, 60_000);
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

pub(crate) fn transactional_uninitialised(
    broker: &EmbeddedBroker,
    id: &str,
    timeout_ms: u32,
) -> BaseProducer {
    config(broker)
        .set("linger.ms", "1")
        .set("transactional.id", id)
        .set("client.id", id)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        .create()
        .unwrap()
}

pub(crate) fn send(producer: &BaseProducer, topic: &str, partition: i32, payload: &str) {
    let record = BaseRecord::<str, str>::to(topic)
        .partition(partition)
        .payload(payload)
        .key("k");
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

pub(crate) fn send_all(producer: &BaseProducer, topic: &str, payloads: &[&str]) {
    payloads
        .iter()
        .for_each(|payload| send(producer, topic, 0, payload));
    producer.flush(PATIENCE).unwrap();
}

/// A consumer of all partitions from the beginning, without a group's assignment.
pub(crate) fn reader(broker: &EmbeddedBroker, topic: &str, isolation: &str) -> BaseConsumer {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "50")
        .create()
        .unwrap();
    let count = broker.partition_count(topic).unwrap();
    let mut partitions = TopicPartitionList::new();
    for index in 0..i32::try_from(count).unwrap() {
        partitions
            .add_partition_offset(topic, index, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&partitions).unwrap();
    consumer
}

/// Polls until `count` messages have come, then a little longer to see that no more do.
pub(crate) fn take(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    let mut idle = 0;
    while idle < 6 {
        match consumer.poll(if messages.len() < count {
            PATIENCE
        } else {
            GLANCE
        }) {
            Some(message) => messages.push(message.unwrap().detach()),
            None if messages.len() < count => {
                panic!("only {} of {count} messages came", messages.len())
            }
            None => idle += 1,
        }
    }
    messages
}

pub(crate) fn payloads(messages: &[OwnedMessage]) -> Vec<String> {
    messages
        .iter()
        .map(|message| String::from_utf8(message.payload().unwrap().to_vec()).unwrap())
        .collect()
}

/// All payloads of a topic as a reader of this isolation level sees them.
pub(crate) fn read(
    broker: &EmbeddedBroker,
    topic: &str,
    isolation: &str,
    count: usize,
) -> Vec<String> {
    payloads(&take(&reader(broker, topic, isolation), count))
}
