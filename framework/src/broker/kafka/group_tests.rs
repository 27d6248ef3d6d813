//! Members come and go: what is told, what waits, and what ends quickly.

use std::sync::Arc;
use std::time::Duration;

use super::consumer::KafkaConsumer;
use super::testing::*;
use crate::broker::{ConsumerEvent, GroupConsumer, Producer, Verdict};
use crate::record::TopicPartition;

/// Polls all members in turn, answering every event, until the second one's list is as long as
/// asked.
fn shared_out(members: &mut [KafkaConsumer], each: usize) -> Vec<Vec<TopicPartition>> {
    let mut held = vec![Vec::new(); members.len()];
    eventually("an even share for every member", || {
        for (member, held) in members.iter_mut().zip(&mut held) {
            match member.poll().unwrap() {
                Some(ConsumerEvent::Assigned(partitions)) => {
                    member.assign(&from_zero(&partitions)).unwrap();
                    *held = partitions;
                }
                Some(ConsumerEvent::Revoked { lost }) => {
                    assert!(!lost);
                    member.unassign().unwrap();
                    held.clear();
                }
                None => {}
            }
        }
        held.iter()
            .all(|held| held.len() == each)
            .then(|| held.clone())
    })
}

#[test]
fn co_partitions_come_into_one_hand_and_move_together() {
    let world = World::new("share");
    let topics = [world.topic(4), world.topic(4)];
    let mut members = vec![world.consumer("0").0];
    members[0].subscribe(&topics).unwrap();
    shared_out(&mut members, 8);
    members.push(world.consumer("1").0);
    members[1].subscribe(&topics).unwrap();
    for held in shared_out(&mut members, 4) {
        let of = |topic: &Arc<str>| {
            let of_topic = held.iter().filter(|p| p.topic == *topic);
            let mut numbers: Vec<_> = of_topic.map(|p| p.partition).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(of(&topics[0]), of(&topics[1]), "{held:?}");
    }
    drop(members.pop());
    shared_out(&mut members, 8);
}

#[test]
fn a_revocation_waits_for_its_answer_and_offsets_can_still_be_committed() {
    let world = World::new("revoke");
    let topic = world.topic(2);
    let (mut first, partitions) = world.sole_member(&[Arc::clone(&topic)]);
    let mut producer = world.producer("0", &[&topic]);
    let (mut second, _) = world.consumer("1");
    second.subscribe(&[topic]).unwrap();
    let revoked = eventually("a revocation", || first.poll().unwrap());
    assert_eq!(revoked, ConsumerEvent::Revoked { lost: false });
    // Not answered: nobody goes on, and the membership still counts.
    let early = meanwhile(QUIET, || first.poll().unwrap().or(second.poll().unwrap()));
    assert_eq!(early, None);
    producer.begin().unwrap();
    let offsets = [offset_of(&partitions[0], 5)];
    let group = group_of(&first);
    producer.send_offsets(&offsets, &group, PATIENCE).unwrap();
    commit(&mut producer).unwrap();
    first.unassign().unwrap();
    let mut members = [first, second];
    shared_out(&mut members, 1);
}

#[test]
fn a_membership_that_ended_cannot_commit() {
    let world = World::new("stale");
    let topic = world.topic(2);
    let (mut first, partitions) = world.sole_member(&[Arc::clone(&topic)]);
    let mut producer = world.producer("0", &[&topic]);
    let stale = group_of(&first);
    let (mut second, _) = world.consumer("1");
    second.subscribe(&[topic]).unwrap();
    eventually("a revocation", || first.poll().unwrap());
    first.unassign().unwrap();
    let mut members = [first, second];
    shared_out(&mut members, 1);
    producer.begin().unwrap();
    let offsets = [offset_of(&partitions[0], 5)];
    let sent = resumed(|| producer.send_offsets(&offsets, &stale, PATIENCE));
    let refused = sent.unwrap_err();
    assert_eq!(refused.verdict, Verdict::Abortable, "{refused}");
    assert_eq!(refused.code, "ILLEGAL_GENERATION");
    abort(&mut producer).unwrap();
}

#[test]
fn there_is_no_membership_before_joining() {
    let world = World::new("before");
    let (consumer, _) = world.consumer("0");
    assert!(consumer.group().is_none());
}

#[test]
fn a_consumer_closes_at_once_whatever_answer_it_still_owes() {
    let world = World::new("close");
    let topic = world.topic(2);
    let (mut owes_assign, _) = world.consumer("0");
    owes_assign.subscribe(&[Arc::clone(&topic)]).unwrap();
    assert_eq!(assigned(&mut owes_assign).len(), 2);
    let ((), took) = timed(|| owes_assign.close());
    assert!(took < Duration::from_secs(2), "owing assign: {took:?}");

    let (mut owes_unassign, _) = world.sole_member(&[Arc::clone(&topic)]);
    let (mut other, _) = world.consumer("1");
    other.subscribe(&[Arc::clone(&topic)]).unwrap();
    eventually("a revocation", || owes_unassign.poll().unwrap());
    let ((), took) = timed(|| owes_unassign.close());
    assert!(took < Duration::from_secs(2), "owing unassign: {took:?}");
    // The leave was said: the other does not wait for a session to time out. It may be given its
    // share first, as the revocation is answered, and joined again, before the leave arrives.
    let mut other = [other];
    let (_, took) = timed(|| shared_out(&mut other, 2));
    assert!(took < Duration::from_secs(3), "{took:?}");

    let ((), took) = timed(|| drop(other));
    assert!(took < Duration::from_secs(2), "with partitions: {took:?}");
}

#[test]
fn a_consumer_closes_at_once_however_far_it_has_come_with_joining() {
    let world = World::new("joining");
    let topic = world.topic(2);
    for millis in 0..25 {
        let (mut consumer, wake) = world.consumer("0");
        consumer.subscribe(&[Arc::clone(&topic)]).unwrap();
        wake.sleep(Duration::from_millis(millis));
        let ((), took) = timed(|| drop(consumer));
        assert!(took < Duration::from_secs(2), "after {millis} ms: {took:?}");
    }
}

#[test]
fn a_worker_that_is_busy_for_too_long_loses_its_tasks_and_comes_back() {
    let world = World::with("lost", |p| {
        p.consumer.extend(map(&[("max.poll.interval.ms", "6000")]));
    });
    let topic = world.topic(1);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    assert!(consumer.group().is_some());
    eventually("the loss", || consumer.assignment_lost().then_some(()));
    assert!(consumer.group().is_none());
    let event = eventually("the event of it", || consumer.poll().unwrap());
    assert_eq!(event, ConsumerEvent::Revoked { lost: true });
    consumer.unassign().unwrap();
    assert_eq!(assigned(&mut consumer), partitions);
}

#[test]
fn a_static_member_that_was_replaced_is_told_to_stop() {
    let world = World::with("static", |p| p.static_membership = true);
    let topic = world.topic(1);
    let (mut first, _) = world.sole_member(&[Arc::clone(&topic)]);
    let (mut second, _) = world.consumer("sole");
    second.subscribe(&[topic]).unwrap();
    let refused = eventually("the refusal", || {
        second.poll().unwrap();
        first.poll().err()
    });
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    assert!(refused.message.contains("group.instance.id"), "{refused}");
    let ((), took) = timed(|| drop(first));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_session_time_out_that_the_broker_refuses_says_which_setting_to_change() {
    let world = World::with("session", |p| {
        p.consumer.extend(map(&[
            ("session.timeout.ms", "100"),
            ("heartbeat.interval.ms", "50"),
        ]));
    });
    let topic = world.topic(1);
    let (mut consumer, _) = world.consumer("0");
    consumer.subscribe(&[topic]).unwrap();
    let refused = eventually("a refusal", || consumer.poll().err());
    assert_eq!(refused.verdict, Verdict::Refused);
    assert!(refused.message.contains("session.timeout.ms"), "{refused}");
}
