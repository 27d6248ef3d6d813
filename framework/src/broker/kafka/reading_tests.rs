//! Records come in order, from where they were asked for, and wake the sleeper.

use std::time::Duration;

use super::testing::*;
use crate::broker::{ChangelogReader, Cluster, GroupConsumer, Producer, RecordQueue, Verdict};
use crate::record::{Offset, TopicPartition};
use crate::time::{Clock, SystemClock};
use crate::topology::OffsetReset;

#[test]
fn no_record_of_an_earlier_assignment_comes_after_a_new_one() {
    let world = World::new("stale-records");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let sent: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
    publish(
        &mut producer,
        0,
        &sent.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    for round in 0..40_usize {
        let start = round * 397 % 1900;
        let offset = Offset::new(i64::try_from(start).unwrap());
        consumer.assign(&[(partitions[0].clone(), offset)]).unwrap();
        // Some are taken, most are left behind in the queue; sometimes none came yet.
        let count = round * 7 % 100;
        assert_eq!(
            fetched(&mut consumer, 0, count),
            sent[start..start + count],
            "round {round}"
        );
    }
}

#[test]
fn assignments_may_follow_each_other_at_any_pace() {
    let world = World::new("pace");
    let topic = world.topic(3);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a", "b", "c"]);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    let all = from_zero(&partitions);
    // librdkafka ends the process when it is told to stop what is stopping.
    for round in 0..1000 {
        consumer.assign(&all[..round % 4]).unwrap();
        if round % 3 == 0 {
            consumer.unassign().unwrap();
        }
    }
    consumer.assign(&all).unwrap();
    let first = partitions.iter().position(|p| p.partition == 0).unwrap();
    assert_eq!(fetched(&mut consumer, first, 3), ["a", "b", "c"]);
}

#[test]
fn records_left_in_the_queue_when_partitions_are_given_back_are_gone() {
    let world = World::new("given-back");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a", "b", "c"]);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    assert_eq!(fetched(&mut consumer, 0, 1), ["a"]);
    consumer.unassign().unwrap();
    publish(&mut producer, 0, &["d"]);
    // 3 is the marker of the first transaction.
    consumer
        .assign(&[(partitions[0].clone(), Offset::new(3))])
        .unwrap();
    assert_eq!(fetched(&mut consumer, 0, 1), ["d"]);
}

#[test]
fn a_record_wakes_the_sleeper_within_milliseconds() {
    let world = World::new("wake");
    let topic = world.topic(2);
    let mut producer = world.producer("0", &[&topic]);
    let (mut consumer, wake) = world.consumer("0");
    consumer.subscribe(&[topic]).unwrap();
    // The assignment rings, too.
    let partitions = loop {
        match consumer.poll().unwrap() {
            Some(crate::broker::ConsumerEvent::Assigned(partitions)) => break partitions,
            Some(event) => panic!("{event:?}"),
            None => {
                let ((), slept) = timed(|| wake.sleep(PATIENCE));
                assert!(slept < PATIENCE, "nothing rang");
            }
        }
    };
    consumer.assign(&from_zero(&partitions)).unwrap();
    let mut latencies = Vec::new();
    for round in 0..20 {
        let mut queue = RecordQueue::default();
        publish(&mut producer, round % 2, &["x"]);
        let clock = SystemClock::new();
        while queue.ahead() == 0 {
            for index in 0..partitions.len() {
                consumer.fetch(index, 10, &mut queue).unwrap();
            }
            if queue.ahead() == 0 {
                wake.sleep(PATIENCE);
                assert!(clock.elapsed() < PATIENCE, "nothing rang");
            }
        }
        latencies.push(clock.elapsed());
    }
    latencies.sort_unstable();
    assert!(latencies[10] < Duration::from_millis(20), "{latencies:?}");
}

#[test]
fn only_as_many_records_are_taken_as_asked_for_and_none_is_lost() {
    let world = World::new("portions");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let sent: Vec<_> = (0..3000).map(|n| n.to_string()).collect();
    publish(
        &mut producer,
        0,
        &sent.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let (mut consumer, _) = world.sole_member(&[topic]);
    let mut queue = RecordQueue::default();
    let mut portion = (1..).map(|n| n * 31 % 1500);
    eventually("all records", || {
        let records_max = portion.next().unwrap();
        let before = queue.ahead();
        let count = consumer.fetch(0, records_max, &mut queue).unwrap();
        assert!(count <= records_max && queue.ahead() == before + count);
        (queue.ahead() == sent.len()).then_some(())
    });
    assert_eq!(values(&mut queue), sent);
}

#[test]
fn an_offset_below_what_retention_kept_stops_with_a_reason() {
    let world = World::new("retention");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a", "b", "c"]);
    let partition = TopicPartition::new(&*topic, 0);
    let below = [(partition.clone(), Offset::new(2))];
    world.cluster.delete_records(&below, PATIENCE).unwrap();
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    let mut queue = RecordQueue::default();
    let refused = eventually("a refusal", || consumer.fetch(0, 10, &mut queue).err());
    assert_eq!((refused.verdict, queue.ahead()), (Verdict::Refused, 0));
    let message = refused.to_string();
    assert!(
        message.contains("offset 0") && message.contains("retention"),
        "{message}"
    );
    // It stays refused, until the partition is read from elsewhere.
    assert!(consumer.fetch(0, 10, &mut queue).is_err());
    let earliest = consumer
        .reset_offset(&partition, OffsetReset::Earliest, PATIENCE)
        .unwrap();
    assert_eq!(earliest, Offset::new(2));
    consumer
        .assign(&[(partitions[0].clone(), earliest)])
        .unwrap();
    assert_eq!(fetched(&mut consumer, 0, 1), ["c"]);
}

#[test]
fn the_latest_offset_is_the_last_stable_one() {
    let world = World::new("latest");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a"]);
    producer.begin().unwrap();
    send(&mut producer, 0, "open").unwrap();
    while !producer.flush(Duration::from_millis(50)).unwrap() {}
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    let latest = consumer
        .reset_offset(&partitions[0], OffsetReset::Latest, PATIENCE)
        .unwrap();
    assert_eq!(latest, Offset::new(2));
    abort(&mut producer).unwrap();
}

#[test]
fn a_changelog_ends_before_an_open_transaction_but_its_watermark_does_not() {
    let world = World::new("changelog");
    let topic = world.topic(1);
    let partition = TopicPartition::new(&*topic, 0);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a", "b"]);
    producer.begin().unwrap();
    send(&mut producer, 0, "open").unwrap();
    while !producer.flush(Duration::from_millis(50)).unwrap() {}
    let mut reader = world.cluster.changelogs().unwrap();
    let marks = reader
        .watermarks(std::slice::from_ref(&partition), PATIENCE)
        .unwrap();
    assert_eq!(marks, [(Offset::ZERO, Offset::new(4))]);
    reader.assign(&[(partition, Offset::ZERO)]).unwrap();
    let (values, end) = read_to(&mut reader, Offset::new(3));
    assert_eq!(
        (values, end),
        (vec!["a".to_owned(), "b".to_owned()], Offset::new(3))
    );
    commit(&mut producer).unwrap();
    let (values, end) = read_to(&mut reader, Offset::new(5));
    assert_eq!((values, end), (vec!["open".to_owned()], Offset::new(5)));
}

#[test]
fn a_changelog_that_is_empty_ends_at_its_start() {
    let world = World::new("empty-changelog");
    let topic = world.topic(2);
    let partitions = [
        TopicPartition::new(&*topic, 0),
        TopicPartition::new(&*topic, 1),
    ];
    let mut reader = world.cluster.changelogs().unwrap();
    let marks = reader.watermarks(&partitions, PATIENCE).unwrap();
    assert_eq!(marks, [(Offset::ZERO, Offset::ZERO); 2]);
    reader.assign(&from_zero(&partitions[..1])).unwrap();
    assert_eq!(read_to(&mut reader, Offset::ZERO), (vec![], Offset::ZERO));
    reader.assign(&[]).unwrap();
    let read = reader.read(QUIET, 10, &mut |chunk| panic!("{chunk:?}"));
    assert_eq!(read.unwrap(), 0);
}
