//! Clients and small steps that the tests share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceflow_broker::EmbeddedBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
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
            Some(message) => messages.extend(received(message)),
            None if messages.len() < count => {
                panic!("only {} of {count} messages came", messages.len())
            }
            None => idle += 1,
        }
    }
    messages
}

/// The message; none for an error that goes away by itself.
fn received(message: KafkaResult<BorrowedMessage<'_>>) -> Option<OwnedMessage> {
    let passing = [
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::BrokerTransportFailure,
    ];
    match message {
        Err(error)
            if error
                .rdkafka_error_code()
                .is_some_and(|code| passing.contains(&code)) =>
        {
            None
        }
        message => Some(message.unwrap().detach()),
    }
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

/// Collects what became of the messages.
#[derive(Default)]
pub(crate) struct Deliveries {
    errors: Mutex<Vec<RDKafkaErrorCode>>,
}

impl Deliveries {
    pub(crate) fn errors(&self) -> Vec<RDKafkaErrorCode> {
        self.errors.lock().unwrap().clone()
    }
}

/// Hands delivery reports to [`Deliveries`].
pub(crate) struct Reports(Arc<Deliveries>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            self.0
                .errors
                .lock()
                .unwrap()
                .extend(error.rdkafka_error_code());
        }
    }
}

pub(crate) fn reporting(
    broker: &EmbeddedBroker,
    deliveries: &Arc<Deliveries>,
) -> BaseProducer<Reports> {
    config(broker)
        .create_with_context(Reports(Arc::clone(deliveries)))
        .unwrap()
}

/// A member of a group, with short but legal time-outs.
pub(crate) fn member(
    broker: &EmbeddedBroker,
    group: &str,
    settings: &[(&str, &str)],
) -> BaseConsumer {
    let mut config = config(broker);
    config
        .set("group.id", group)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "100")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "range")
        .set("fetch.wait.max.ms", "50");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Polls all members until `done`, collecting what they read.
pub(crate) fn poll_until(
    members: &[&BaseConsumer],
    mut done: impl FnMut(&[&BaseConsumer], &[OwnedMessage]) -> bool,
) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    let mut left = PATIENCE;
    while !done(members, &messages) {
        for member in members {
            if let Some(message) = member.poll(GLANCE) {
                messages.extend(received(message));
            }
        }
        left = left
            .checked_sub(Duration::from_millis(10))
            .expect("it happens in time");
    }
    messages
}

/// How many partitions a member has.
pub(crate) fn assigned(member: &BaseConsumer) -> usize {
    member.assignment().unwrap().count()
}
