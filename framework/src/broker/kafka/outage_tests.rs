//! Brokers that go away and come back, and brokers that refuse. On the embedded broker only:
//! it does both on demand.

use std::time::Duration;

use onceflow_broker::{ApiKey, EmbeddedBroker, ErrorCode, Memory};

use super::testing::*;
use crate::broker::{Cluster, GroupConsumer, Producer, RecordQueue, Verdict};
use crate::record::TopicPartition;

/// An application on a broker of its own.
fn alone(label: &str) -> (EmbeddedBroker, World) {
    let broker = EmbeddedBroker::start().unwrap();
    let world = World::with(label, |p| {
        let all = [
            &mut p.consumer,
            &mut p.producer,
            &mut p.restore_consumer,
            &mut p.admin,
        ];
        for properties in all {
            properties.extend(map(&[
                ("bootstrap.servers", broker.bootstrap_servers()),
                ("reconnect.backoff.ms", "50"),
                ("socket.timeout.ms", "1000"),
            ]));
        }
    });
    (broker, world)
}

#[test]
fn a_broker_that_was_away_during_the_commit_has_it_when_it_is_back() {
    let (broker, world) = alone("away");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let (mut consumer, _) = world.sole_member(&[std::sync::Arc::clone(&topic)]);
    producer.begin().unwrap();
    send(&mut producer, 0, "a").unwrap();
    while !producer.flush(Duration::from_millis(50)).unwrap() {}
    broker.kill();
    let waits = producer.commit(QUIET).unwrap_err();
    assert_eq!(waits.verdict, Verdict::Retriable, "{waits}");
    // Out of reach is no event.
    let event = meanwhile(QUIET, || consumer.poll().unwrap());
    assert_eq!(event, None);
    broker.revive(Memory::Kept);
    resumed(|| producer.commit(Duration::from_secs(1))).unwrap();
    let mut queue = RecordQueue::default();
    eventually("the record", || {
        consumer.poll().unwrap();
        consumer.fetch(0, 1, &mut queue).unwrap();
        (queue.ahead() == 1).then_some(())
    });
}

#[test]
fn a_commit_whose_answer_was_lost_is_committed_once() {
    let (broker, world) = alone("lost-answer");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    send(&mut producer, 0, "a").unwrap();
    broker.faults().on(ApiKey::EndTxn).times(1).lose_answer();
    commit(&mut producer).unwrap();
    publish(&mut producer, 0, &["b"]);
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition), ["a", "b"]);
}

#[test]
fn a_consumer_leaves_a_broker_that_is_gone_within_seconds() {
    let (broker, world) = alone("gone");
    let topic = world.topic(1);
    let (consumer, _) = world.sole_member(&[topic]);
    broker.kill();
    let ((), took) = timed(|| drop(consumer));
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[test]
fn a_broker_that_hangs_holds_nobody_longer_than_asked() {
    let (broker, world) = alone("hang");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    producer.begin().unwrap();
    broker.faults().hang(Duration::from_secs(3));
    send(&mut producer, 0, "a").unwrap();
    let group = group_of(&consumer);
    let offsets = [offset_of(&partitions[0], 1)];
    let added = timed(|| producer.send_offsets(&offsets, &group, QUIET).unwrap_err());
    let (refused, took) = added;
    // librdkafka gives this request the time of its sockets, and looks once a second.
    let limit = Duration::from_millis(2500);
    assert!(refused.is_passing() && took < limit, "{refused} {took:?}");
    let (flushed, took) = timed(|| producer.flush(QUIET).unwrap());
    assert!(!flushed && took < QUIET * 2, "{took:?}");
    let (refused, took) = timed(|| consumer.committed(&partitions, QUIET).unwrap_err());
    assert!(
        refused.is_passing() && took < QUIET * 2,
        "{refused} {took:?}"
    );
    let (refused, took) = timed(|| producer.abort(QUIET).unwrap_err());
    assert!(
        refused.is_passing() && took < QUIET * 2,
        "{refused} {took:?}"
    );
    abort(&mut producer).unwrap();
}

#[test]
fn what_the_principal_may_not_do_is_refused_with_what_to_grant() {
    let (broker, world) = alone("grants");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);

    let deny = broker.faults();
    let denied = deny
        .on(ApiKey::Produce)
        .fail(ErrorCode::TopicAuthorizationFailed);
    producer.begin().unwrap();
    send(&mut producer, 0, "a").unwrap();
    let refused = eventually("a refusal", || {
        producer.flush(Duration::from_millis(50)).unwrap();
        producer.delivery_error()
    });
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    assert!(refused.message.contains("grant"), "{refused}");
    deny.remove(denied);

    let denied = deny
        .on(ApiKey::InitProducerId)
        .fail(ErrorCode::TransactionalIdAuthorizationFailed);
    let mut producer = world.cluster.producer("denied").unwrap();
    let refused = resumed(|| producer.init_transactions(QUIET)).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    deny.remove(denied);

    let denied = deny
        .on(ApiKey::JoinGroup)
        .fail(ErrorCode::GroupAuthorizationFailed);
    let (mut consumer, _) = world.consumer("0");
    consumer
        .subscribe(&[std::sync::Arc::clone(&topic)])
        .unwrap();
    let refused = eventually("a refusal", || consumer.poll().err());
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    drop(consumer);
    deny.remove(denied);

    deny.on(ApiKey::Fetch)
        .fail(ErrorCode::TopicAuthorizationFailed);
    let (mut consumer, _) = world.sole_member(&[topic]);
    let mut queue = RecordQueue::default();
    let refused = eventually("a refusal", || consumer.fetch(0, 1, &mut queue).err());
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
}
