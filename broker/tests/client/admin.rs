//! The admin client.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use onceflow_broker::EmbeddedBroker;
use rdkafka::Offset;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::support::{config, producer, read, send_all};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn admin(broker: &EmbeddedBroker) -> AdminClient<DefaultClientContext> {
    config(broker).create().unwrap()
}

/// Gives a topic more partitions.
pub(crate) fn grow(broker: &EmbeddedBroker, topic: &str, count: usize) {
    let grown = wait(
        admin(broker).create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new()),
    );
    grown.unwrap()[0].as_ref().unwrap();
}

#[test]
fn topics_are_created_grown_and_deleted() {
    let broker = EmbeddedBroker::builder()
        .default_partitions(5)
        .auto_create_topics(false)
        .start()
        .unwrap();
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let fixed = || TopicReplication::Fixed(1);
    let topics = [
        NewTopic::new("a", 3, fixed()),
        NewTopic::new("b", -1, TopicReplication::Fixed(-1)),
        NewTopic::new("bad name", 1, fixed()),
        NewTopic::new("wide", 1, TopicReplication::Fixed(3)),
        NewTopic::new("odd", 1, fixed()).set("no.such.setting", "1"),
    ];
    let created = wait(admin.create_topics(&topics, &options)).unwrap();
    let codes: Vec<_> = created
        .iter()
        .map(|result| result.as_ref().err().map(|(_, code)| *code))
        .collect();
    let expected = [
        None,
        None,
        Some(RDKafkaErrorCode::InvalidTopic),
        Some(RDKafkaErrorCode::InvalidReplicationFactor),
        Some(RDKafkaErrorCode::InvalidConfig),
    ];
    assert_eq!(codes, expected);
    assert_eq!(
        (broker.partition_count("a"), broker.partition_count("b")),
        (Some(3), Some(5))
    );
    let again = wait(admin.create_topics(&[NewTopic::new("a", 3, fixed())], &options)).unwrap();
    assert_eq!(
        again[0],
        Err(("a".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))
    );
    grow(&broker, "a", 7);
    assert_eq!(broker.partition_count("a"), Some(7));
    let shrunk = wait(admin.create_partitions(&[NewPartitions::new("a", 2)], &options)).unwrap();
    assert_eq!(
        shrunk[0],
        Err(("a".to_owned(), RDKafkaErrorCode::InvalidPartitions))
    );
    let deleted = wait(admin.delete_topics(&["a", "unknown"], &options)).unwrap();
    assert_eq!(deleted[0], Ok("a".to_owned()));
    assert_eq!(
        deleted[1],
        Err((
            "unknown".to_owned(),
            RDKafkaErrorCode::UnknownTopicOrPartition
        ))
    );
    assert_eq!(broker.topics(), ["b"]);
}

#[test]
fn topic_settings_are_kept_and_told() {
    let broker = EmbeddedBroker::start().unwrap();
    broker
        .create_topic_with("t", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let told = |name: &str| {
        let described =
            wait(admin.describe_configs(&[ResourceSpecifier::Topic("t")], &options)).unwrap();
        let entries = described[0].as_ref().unwrap().entry_map();
        let entry = entries[name];
        (
            entry.value.clone().unwrap(),
            format!("{:?}", entry.source),
            entry.is_default,
        )
    };
    assert_eq!(
        told("cleanup.policy"),
        ("compact".to_owned(), "DynamicTopic".to_owned(), false)
    );
    assert_eq!(
        told("retention.ms"),
        ("604800000".to_owned(), "Default".to_owned(), true)
    );
    let change = AlterConfig::new(ResourceSpecifier::Topic("t")).set("retention.ms", "1000");
    wait(admin.alter_configs(&[change], &options)).unwrap()[0]
        .as_ref()
        .unwrap();
    assert_eq!(
        told("retention.ms"),
        ("1000".to_owned(), "DynamicTopic".to_owned(), false)
    );
    assert_eq!(
        told("cleanup.policy").0,
        "delete",
        "altering replaces what was set before"
    );
    let unknown =
        wait(admin.describe_configs(&[ResourceSpecifier::Topic("unknown")], &options)).unwrap();
    assert!(
        unknown[0].as_ref().unwrap().entries.is_empty(),
        "rdkafka keeps the error to itself"
    );
    let brokers = wait(admin.describe_configs(&[ResourceSpecifier::Broker(1)], &options)).unwrap();
    assert!(brokers[0].as_ref().unwrap().get("num.partitions").is_some());
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().unwrap();
    send_all(&producer(&broker), "t", &["a", "b", "c"]);
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset("t", 0, Offset::Offset(2))
        .unwrap();
    let deleted = wait(admin(&broker).delete_records(&before, &AdminOptions::new())).unwrap();
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(2));
    assert_eq!(broker.offsets("t", 0), Some((2, 3, 3)));
    assert_eq!(read(&broker, "t", "read_uncommitted", 1), ["c"]);
}

#[test]
fn groups_are_deleted_when_nobody_is_in_them() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().unwrap();
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let unknown = wait(admin.delete_groups(&["g"], &options)).unwrap();
    assert_eq!(
        unknown[0],
        Err(("g".to_owned(), RDKafkaErrorCode::GroupIdNotFound))
    );
    let member = crate::support::member(&broker, "g", &[]);
    rdkafka::consumer::Consumer::subscribe(&member, &["t"]).unwrap();
    crate::support::poll_until(&[&member], |members, _| {
        crate::support::assigned(members[0]) == 1
    });
    let full = wait(admin.delete_groups(&["g"], &options)).unwrap();
    assert_eq!(
        full[0],
        Err(("g".to_owned(), RDKafkaErrorCode::NonEmptyGroup))
    );
    drop(member);
    assert_eq!(
        wait(admin.delete_groups(&["g"], &options)).unwrap()[0],
        Ok("g".to_owned())
    );
}
