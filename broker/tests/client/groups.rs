//! Consumer groups with the real client.

use std::collections::BTreeSet;
use std::time::Duration;

use onceflow_broker::{ApiKey, EmbeddedBroker};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::support::{PATIENCE, assigned, config, member, payloads, poll_until, producer, send};

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic("t", 4).start().unwrap()
}

fn counts(members: &[&BaseConsumer]) -> Vec<usize> {
    members.iter().map(|member| assigned(member)).collect()
}

fn partitions_of(member: &BaseConsumer) -> BTreeSet<i32> {
    member
        .assignment()
        .unwrap()
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect()
}

#[test]
fn members_share_the_partitions_and_take_over_from_who_leaves() {
    let broker = broker();
    let first = member(&broker, "g", &[]);
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], |members, _| counts(members) == [4]);
    let second = member(&broker, "g", &[]);
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second], |members, _| counts(members) == [2, 2]);
    let third = member(&broker, "g", &[]);
    third.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second, &third], |members, _| {
        let mut counts = counts(members);
        counts.sort_unstable();
        counts == [1, 1, 2]
    });
    assert!(partitions_of(&first).is_disjoint(&partitions_of(&second)));
    drop(first);
    poll_until(&[&second, &third], |members, _| counts(members) == [2, 2]);
    drop(second);
    poll_until(&[&third], |members, _| counts(members) == [4]);
}

#[test]
fn cooperative_members_keep_what_they_can() {
    let broker = broker();
    let cooperative = [("partition.assignment.strategy", "cooperative-sticky")];
    let first = member(&broker, "g", &cooperative);
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], |members, _| counts(members) == [4]);
    let before = partitions_of(&first);
    let second = member(&broker, "g", &cooperative);
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second], |members, _| counts(members) == [2, 2]);
    assert!(partitions_of(&first).is_subset(&before));
}

#[test]
fn a_member_that_dies_is_replaced_after_its_session() {
    let broker = EmbeddedBroker::builder()
        .topic("t", 4)
        .min_session_timeout(Duration::from_millis(100))
        .start()
        .unwrap();
    let short = [
        ("session.timeout.ms", "1000"),
        ("max.poll.interval.ms", "1500"),
    ];
    let dead = member(&broker, "g", &short);
    dead.subscribe(&["t"]).unwrap();
    let alive = member(&broker, "g", &short);
    alive.subscribe(&["t"]).unwrap();
    poll_until(&[&dead, &alive], |members, _| counts(members) == [2, 2]);
    // Nobody polls it any more: it leaves when its poll interval is over, or its session.
    poll_until(&[&alive], |members, _| counts(members) == [4]);
}

#[test]
fn a_static_member_comes_back_to_its_partitions() {
    let broker = broker();
    let named = |name: &str| member(&broker, "g", &[("group.instance.id", name)]);
    let (first, second) = (named("one"), named("two"));
    first.subscribe(&["t"]).unwrap();
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second], |members, _| counts(members) == [2, 2]);
    let before = partitions_of(&first);
    let generations = broker.requests_received(ApiKey::JoinGroup);
    drop(first);
    let first = named("one");
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first, &second], |members, _| counts(members) == [2, 2]);
    assert_eq!(partitions_of(&first), before);
    assert_eq!(
        broker.requests_received(ApiKey::JoinGroup),
        generations + 1,
        "no rebalance"
    );
}

#[test]
fn a_static_member_is_fenced_by_another_of_its_name() {
    let broker = broker();
    let named = || member(&broker, "g", &[("group.instance.id", "one")]);
    let first = named();
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], |members, _| counts(members) == [4]);
    let second = named();
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&second], |members, _| counts(members) == [4]);
    let mut fenced = None;
    for _ in 0..100 {
        if let Some(Err(error)) = first.poll(Duration::from_millis(100)) {
            fenced = Some(error);
            break;
        }
    }
    let error = fenced.expect("the first one learns of it");
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::FencedInstanceId),
        "{error:?}"
    );
}

#[test]
fn a_group_goes_on_where_it_has_committed() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().unwrap();
    let producer = producer(&broker);
    (0..10).for_each(|number| send(&producer, "t", 0, &number.to_string()));
    let first = member(&broker, "g", &[]);
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], |_, messages| messages.len() == 10);
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(7))
        .unwrap();
    offsets
        .find_partition("t", 0)
        .unwrap()
        .set_metadata("seven");
    first.commit(&offsets, CommitMode::Sync).unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some((7, "seven".to_owned())));
    drop(first);
    let second = member(&broker, "g", &[]);
    second.subscribe(&["t"]).unwrap();
    let messages = poll_until(&[&second], |_, messages| messages.len() == 3);
    assert_eq!(payloads(&messages), ["7", "8", "9"]);
}

#[test]
fn a_session_below_the_minimum_is_refused_as_by_kafka() {
    let broker = broker();
    let hasty = member(&broker, "g", &[("session.timeout.ms", "5000")]);
    hasty.subscribe(&["t"]).unwrap();
    let error = hasty.poll(PATIENCE).expect("an error comes").unwrap_err();
    assert!(
        matches!(
            error,
            KafkaError::MessageConsumption(RDKafkaErrorCode::InvalidSessionTimeout)
        ),
        "{error:?}"
    );
}

#[test]
fn new_partitions_are_taken_up() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().unwrap();
    let member = member(
        &broker,
        "g",
        &[("topic.metadata.refresh.interval.ms", "200")],
    );
    member.subscribe(&["t"]).unwrap();
    poll_until(&[&member], |members, _| counts(members) == [1]);
    crate::admin::grow(&broker, "t", 3);
    poll_until(&[&member], |members, _| counts(members) == [3]);
}

#[test]
fn the_group_list_tells_of_members_and_state() {
    let broker = broker();
    let member = member(&broker, "g", &[("client.id", "me")]);
    member.subscribe(&["t"]).unwrap();
    poll_until(&[&member], |members, _| counts(members) == [4]);
    let probe: BaseConsumer = config(&broker).set("group.id", "probe").create().unwrap();
    let groups = probe.fetch_group_list(Some("g"), PATIENCE).unwrap();
    let [group] = groups.groups() else {
        panic!("one group was asked for")
    };
    assert_eq!(
        (group.state(), group.protocol_type(), group.protocol()),
        ("Stable", "consumer", "range")
    );
    assert_eq!(group.members()[0].client_id(), "me");
    assert!(group.members()[0].assignment().is_some());
}
