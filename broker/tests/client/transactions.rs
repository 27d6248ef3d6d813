//! Transactions with the real client.

use std::time::Duration;

use onceflow_broker::{ApiKey, EmbeddedBroker};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::support::{
    PATIENCE, assigned, config, member, payloads, poll_until, producer, read, reader, send,
    send_all, take, transactional, transactional_uninitialised,
};

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::builder()
        .topic("t", 1)
        .transaction_sweep_interval(Duration::from_millis(50))
        .start()
        .unwrap()
}

fn is_fenced(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => {
            error.is_fatal() && error.code() == RDKafkaErrorCode::Fenced
        }
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::Fatal,
        _ => false,
    }
}

/// Flushes as far as it goes and commits, as a worker does.
fn commit(producer: &BaseProducer) -> Result<(), KafkaError> {
    producer.commit_transaction(PATIENCE)
}

#[test]
fn a_committed_transaction_is_read_and_an_aborted_one_is_not() {
    let broker = broker();
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["kept 1", "kept 2"]);
    commit(&producer).unwrap();
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["lost 1"]);
    producer.abort_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["kept 3"]);
    commit(&producer).unwrap();
    assert_eq!(
        read(&broker, "t", "read_committed", 3),
        ["kept 1", "kept 2", "kept 3"]
    );
    assert_eq!(read(&broker, "t", "read_uncommitted", 4).len(), 4);
}

#[test]
fn an_open_transaction_holds_readers_back() {
    let broker = broker();
    let open = transactional(&broker, "open");
    open.begin_transaction().unwrap();
    send_all(&open, "t", &["open"]);
    send_all(&producer(&broker), "t", &["plain"]);
    assert_eq!(broker.offsets("t", 0), Some((0, 0, 2)));
    let consumer = reader(&broker, "t", "read_committed");
    assert!(consumer.poll(Duration::from_millis(300)).is_none());
    assert_eq!(
        consumer.fetch_watermarks("t", 0, PATIENCE).unwrap(),
        (0, 0),
        "the stable end"
    );
    commit(&open).unwrap();
    assert_eq!(payloads(&take(&consumer, 2)), ["open", "plain"]);
}

#[test]
fn a_second_producer_fences_the_first_and_ends_its_transaction() {
    let broker = broker();
    let zombie = transactional(&broker, "tx");
    zombie.begin_transaction().unwrap();
    send_all(&zombie, "t", &["zombie"]);
    let owner = transactional(&broker, "tx");
    let error = commit(&zombie).unwrap_err();
    assert!(is_fenced(&error), "{error:?}");
    owner.begin_transaction().unwrap();
    send_all(&owner, "t", &["owner"]);
    commit(&owner).unwrap();
    assert_eq!(read(&broker, "t", "read_committed", 1), ["owner"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let broker = broker();
    let producer = transactional_uninitialised(&broker, "tx", 1_000);
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["late"]);
    let consumer = reader(&broker, "t", "read_uncommitted");
    take(&consumer, 1);
    poll_until(&[&consumer], |_, _| {
        broker.offsets("t", 0) == Some((0, 2, 2))
    });
    let error = commit(&producer).unwrap_err();
    assert!(is_fenced(&error), "{error:?}");
    drop(producer);
    let again = transactional(&broker, "tx");
    again.begin_transaction().unwrap();
    send_all(&again, "t", &["in time"]);
    commit(&again).unwrap();
    assert_eq!(read(&broker, "t", "read_committed", 1), ["in time"]);
}

#[test]
fn offsets_travel_with_the_transaction() {
    let broker = broker();
    broker.create_topic("out", 1).unwrap();
    send_all(&producer(&broker), "t", &["a", "b", "c"]);
    let producer = transactional(&broker, "tx");
    let consumer = member(&broker, "g", &[]);
    consumer.subscribe(&["t"]).unwrap();
    poll_until(&[&consumer], |_, messages| messages.len() == 3);
    for (offset, commits) in [(2, true), (3, false)] {
        producer.begin_transaction().unwrap();
        send_all(&producer, "out", &["result"]);
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("t", 0, Offset::Offset(offset))
            .unwrap();
        offsets
            .find_partition("t", 0)
            .unwrap()
            .set_metadata("number 7");
        let metadata = consumer.group_metadata().unwrap();
        producer
            .send_offsets_to_transaction(&offsets, &metadata, PATIENCE)
            .unwrap();
        if commits {
            assert_eq!(broker.committed("g", "t", 0), None, "not before the commit");
            commit(&producer).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        assert_eq!(
            broker.committed("g", "t", 0),
            Some((2, "number 7".to_owned()))
        );
    }
    let committed = consumer.committed(PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(2));
    assert_eq!(committed.elements()[0].metadata(), "number 7");
}

#[test]
fn committed_offsets_wait_for_the_open_transaction() {
    let broker = broker();
    let producer = transactional(&broker, "tx");
    let consumer = member(&broker, "g", &[]);
    consumer.subscribe(&["t"]).unwrap();
    poll_until(&[&consumer], |members, _| assigned(members[0]) == 1);
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(5))
        .unwrap();
    producer
        .send_offsets_to_transaction(&offsets, &consumer.group_metadata().unwrap(), PATIENCE)
        .unwrap();
    let waits = consumer.committed(Duration::from_millis(500)).unwrap_err();
    assert!(
        matches!(
            waits,
            KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut)
        ),
        "{waits:?}"
    );
    let hasty: BaseConsumer = config(&broker)
        .set("group.id", "g")
        .set("isolation.level", "read_uncommitted")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition("t", 0);
    let before = hasty
        .committed_offsets(partitions.clone(), PATIENCE)
        .unwrap();
    assert_eq!(before.elements()[0].offset(), Offset::Invalid);
    commit(&producer).unwrap();
    let after = consumer.committed_offsets(partitions, PATIENCE).unwrap();
    assert_eq!(after.elements()[0].offset(), Offset::Offset(5));
}

#[test]
fn a_member_that_lost_its_partitions_cannot_commit_their_offsets() {
    let broker = broker();
    let producer = transactional(&broker, "tx");
    let first = member(&broker, "g", &[]);
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], |members, _| assigned(members[0]) == 1);
    let stale = first.group_metadata().unwrap();
    let second = member(&broker, "g", &[]);
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second], |members, _| {
        members.iter().map(|member| assigned(member)).sum::<usize>() == 1
            && broker.requests_received(ApiKey::SyncGroup) >= 3
    });
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(5))
        .unwrap();
    let error = producer
        .send_offsets_to_transaction(&offsets, &stale, PATIENCE)
        .unwrap_err();
    let KafkaError::Transaction(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (error.code(), error.txn_requires_abort()),
        (RDKafkaErrorCode::IllegalGeneration, true)
    );
    producer.abort_transaction(PATIENCE).unwrap();
}

#[test]
fn transactions_span_partitions_and_topics() {
    let broker = broker();
    broker.create_topic("wide", 8).unwrap();
    let producer = transactional(&broker, "tx");
    for round in 0..20 {
        producer.begin_transaction().unwrap();
        (0..8).for_each(|partition| send(&producer, "wide", partition, &format!("{round}")));
        send(&producer, "t", 0, &format!("{round}"));
        producer.flush(PATIENCE).unwrap();
        if round % 2 == 0 {
            commit(&producer).unwrap()
        } else {
            producer.abort_transaction(PATIENCE).unwrap()
        }
    }
    let seen = read(&broker, "wide", "read_committed", 80);
    assert!(
        seen.iter()
            .all(|round| round.parse::<u32>().unwrap() % 2 == 0)
    );
    assert_eq!(read(&broker, "t", "read_committed", 10).len(), 10);
}

#[test]
fn slow_markers_make_the_next_transaction_wait_but_lose_nothing() {
    let broker = EmbeddedBroker::builder()
        .topic("t", 4)
        .marker_delay(Duration::from_millis(10))
        .start()
        .unwrap();
    let producer = transactional(&broker, "tx");
    for round in 0..10 {
        producer.begin_transaction().unwrap();
        (0..4).for_each(|partition| send(&producer, "t", partition, &format!("{round}")));
        commit(&producer).unwrap();
    }
    assert_eq!(read(&broker, "t", "read_committed", 40).len(), 40);
}
