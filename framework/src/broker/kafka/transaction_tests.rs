//! What a transaction shows, hides and says when it fails.

use std::time::Duration;

use super::testing::*;
use crate::broker::{Cluster, GroupConsumer, Producer, Verdict};

use crate::processor::{OutgoingRecord, TopicId, murmur2};
use crate::record::{Headers, TopicPartition};
use crate::time::Timestamp;

#[test]
fn committed_records_are_seen_and_aborted_ones_are_not() {
    let world = World::new("visible");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["a", "b"]);
    producer.begin().unwrap();
    send(&mut producer, 0, "lost").unwrap();
    abort(&mut producer).unwrap();
    publish(&mut producer, 0, &["c"]);
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition), ["a", "b", "c"]);
}

#[test]
fn keys_values_timestamps_and_headers_arrive_as_sent_null_or_empty() {
    arrive_as_sent("none");
}

/// The client reads the number of headers where it received it, compressed or not.
#[test]
fn they_arrive_as_sent_when_compressed() {
    for codec in ["lz4", "gzip", "snappy", "zstd"] {
        arrive_as_sent(codec);
    }
}

fn arrive_as_sent(codec: &str) {
    let world = World::with("shapes", |p| {
        p.producer.extend(map(&[("compression.type", codec)]));
    });
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let mut headers = Headers::new();
    headers.push("trace", Some(b"42"));
    headers.push("trace", None);
    headers.push("", Some(b""));
    let mut many = Headers::new();
    (0..64).for_each(|_| many.push("h", Some(&[0])));
    let none = Headers::new();
    type Shape<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, i64, &'a Headers);
    let sent: [Shape<'_>; 8] = [
        (Some(b"k"), Some(b"v"), 1_700_000_000_000, &headers),
        (None, Some(b""), 1, &none),
        (Some(b""), None, -1, &none),
        (None, None, i64::MIN, &none),
        (Some(b"k"), Some(b"v"), 2, &none),
        (Some(b"k"), Some(&[0; 200]), 3, &many),
        (Some(b"k"), None, 4, &headers),
        (None, Some(&[0]), 5, &none),
    ];
    producer.begin().unwrap();
    for (key, value, millis, headers) in sent {
        let record = OutgoingRecord {
            topic: TopicId(0),
            partition: Some(0),
            key,
            value,
            timestamp: Timestamp::from_millis(millis),
            headers,
        };
        producer.send(&record).unwrap();
    }
    commit(&mut producer).unwrap();
    let (mut consumer, _) = world.sole_member(&[topic]);
    let mut queue = crate::broker::RecordQueue::default();
    eventually("all records", || {
        consumer.fetch(0, sent.len(), &mut queue).unwrap();
        (queue.ahead() == sent.len()).then_some(())
    });
    for (key, value, millis, headers) in sent {
        let record = queue.head().unwrap();
        assert_eq!((record.key, record.value), (key, value));
        assert_eq!(record.timestamp.as_millis(), millis.max(-1));
        assert_eq!(record.headers, headers);
        queue.advance();
    }
}

#[test]
fn the_first_millisecond_of_1970_is_not_taken_for_now() {
    let world = World::new("epoch");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    let none = Headers::new();
    let record = OutgoingRecord {
        topic: TopicId(0),
        partition: Some(0),
        key: None,
        value: Some(b"v"),
        timestamp: Timestamp::from_millis(0),
        headers: &none,
    };
    producer.send(&record).unwrap();
    commit(&mut producer).unwrap();
    let (mut consumer, _) = world.sole_member(&[topic]);
    let mut queue = crate::broker::RecordQueue::default();
    eventually("a record", || {
        (consumer.fetch(0, 1, &mut queue).unwrap() == 1).then_some(())
    });
    assert_eq!(queue.head().unwrap().timestamp, Timestamp::from_millis(1));
}

#[test]
fn keys_go_where_java_puts_them() {
    let world = World::new("murmur2");
    let topic = world.topic(10);
    let mut producer = world.producer("0", &[&topic]);
    let none = Headers::new();
    let keys = ["21", "foobar", "a-little-bit-long-string", "a"];
    producer.begin().unwrap();
    for key in keys {
        let record = OutgoingRecord {
            topic: TopicId(0),
            partition: None,
            key: Some(key.as_bytes()),
            value: Some(key.as_bytes()),
            timestamp: Timestamp::from_millis(5),
            headers: &none,
        };
        producer.send(&record).unwrap();
    }
    commit(&mut producer).unwrap();
    for key in keys {
        let partition = (murmur2(key.as_bytes()) & 0x7fff_ffff) % 10;
        let partition = TopicPartition::new(&*topic, partition);
        let found = world.committed_values(&partition);
        assert!(
            found.contains(&key.to_owned()),
            "{key} in {partition}: {found:?}"
        );
    }
}

#[test]
fn offsets_and_their_metadata_are_committed_with_the_records() {
    let world = World::new("offsets");
    let topic = world.topic(2);
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 1, &["a", "b"]);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    assert_eq!(
        consumer.committed(&partitions, PATIENCE).unwrap(),
        [None, None]
    );
    producer.begin().unwrap();
    let offsets = [offset_of(&partitions[1], 2)];
    let group = group_of(&consumer);
    producer.send_offsets(&offsets, &group, PATIENCE).unwrap();
    commit(&mut producer).unwrap();
    let committed = consumer.committed(&partitions, PATIENCE).unwrap();
    assert_eq!(committed, [None, Some(offsets[0].1.clone())]);
}

#[test]
fn committed_offsets_wait_for_the_transaction_over_them() {
    let world = World::new("stable");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    producer.begin().unwrap();
    let offsets = [offset_of(&partitions[0], 7)];
    let group = group_of(&consumer);
    producer.send_offsets(&offsets, &group, PATIENCE).unwrap();
    let unstable = consumer.committed(&partitions, QUIET).unwrap_err();
    assert_eq!(unstable.verdict, Verdict::Retriable, "{unstable}");
    commit(&mut producer).unwrap();
    let stable = resumed(|| consumer.committed(&partitions, QUIET)).unwrap();
    assert_eq!(stable, [Some(offsets[0].1.clone())]);
}

#[test]
fn a_producer_that_was_taken_over_is_fenced_in_every_call() {
    let world = World::new("fenced");
    let topic = world.topic(1);
    let mut zombie = world.producer("same", &[&topic]);
    zombie.begin().unwrap();
    send(&mut zombie, 0, "zombie").unwrap();
    while !zombie.flush(Duration::from_millis(50)).unwrap() {}
    let mut owner = world.producer("same", &[&topic]);
    publish(&mut owner, 0, &["owner"]);
    let refused = resumed(|| zombie.commit(Duration::from_secs(1))).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Fenced, "{refused}");
    let refused = resumed(|| zombie.abort(Duration::from_secs(1))).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Fenced, "{refused}");
    assert_eq!(zombie.begin().unwrap_err().verdict, Verdict::Fenced);
    assert_eq!(zombie.fatal_error().unwrap().verdict, Verdict::Fenced);
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition), ["owner"]);
}

#[test]
fn a_fenced_producer_learns_it_from_a_flush_within_moments() {
    let world = World::new("fenced-flush");
    let topic = world.topic(1);
    let mut zombie = world.producer("same", &[&topic]);
    publish(&mut zombie, 0, &["before"]);
    let _owner = world.producer("same", &[&topic]);
    zombie.begin().unwrap();
    send(&mut zombie, 0, "zombie").unwrap();
    let (_flushed, took) = timed(|| zombie.flush(Duration::from_secs(5)).unwrap());
    assert!(took < Duration::from_secs(2), "{took:?}");
    let refused = resumed(|| zombie.commit(Duration::from_secs(1))).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Fenced, "{refused}");
}

#[test]
fn an_abort_with_records_on_their_way_takes_milliseconds() {
    let world = World::new("abort");
    let topic = world.topic(4);
    let mut producer = world.producer("0", &[&topic]);
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        // After a clean transaction: markers of an abort delay the next one, not this one.
        publish(&mut producer, 0, &["x"]);
        producer.begin().unwrap();
        for partition in (0..4).cycle().take(1000) {
            send(&mut producer, partition, "purged").unwrap();
        }
        let (outcome, took) = timed(|| abort(&mut producer));
        // A quick abort may be fatal (librdkafka 4849): then the producer says so.
        if let Err(error) = outcome {
            assert!(producer.fatal_error().is_some(), "{error}");
            producer = world.producer("0", &[&topic]);
        }
        slowest = slowest.max(took);
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let partition = TopicPartition::new(topic, 1);
    assert_eq!(world.committed_values(&partition), Vec::<String>::new());
}

#[test]
fn a_record_that_the_broker_refuses_is_named_and_the_transaction_aborts() {
    let world = World::new("too-large");
    let topic = world.topic_with(1, &[("max.message.bytes", "2000")]);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    send(&mut producer, 0, &"x".repeat(5_000)).unwrap();
    let refused = eventually("a refusal", || {
        producer.flush(Duration::from_millis(50)).unwrap();
        producer.delivery_error()
    });
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    assert_eq!(refused.code, "MSG_SIZE_TOO_LARGE");
    assert!(refused.message.contains(&format!("{topic}-0")), "{refused}");
    let abortable = resumed(|| producer.commit(Duration::from_secs(1))).unwrap_err();
    assert_eq!(abortable.verdict, Verdict::Abortable, "{abortable}");
    abort(&mut producer).unwrap();
    // The refused record used up a sequence number: the next commit of this producer would fail.
    let mut producer = world.producer("0", &[&topic]);
    publish(&mut producer, 0, &["small"]);
    assert!(producer.delivery_error().is_none());
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition), ["small"]);
}

#[test]
fn a_record_that_the_client_refuses_says_its_size_and_the_setting() {
    let world = World::with("local-limit", |p| {
        p.producer.extend(map(&[("message.max.bytes", "2000")]));
    });
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    let refused = send(&mut producer, 0, &"x".repeat(5_000)).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Refused);
    let message = refused.to_string();
    assert!(
        message.contains("10000 bytes for topic topic-") && message.contains("message.max.bytes"),
        "{message}"
    );
}

#[test]
fn a_full_queue_says_so_and_accepts_records_once_some_left() {
    let world = World::with("full", |p| {
        let small = [("queue.buffering.max.messages", "10"), ("linger.ms", "200")];
        p.producer.extend(map(&small));
    });
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    let mut full = 0;
    for number in 0..50 {
        while let Err(error) = send(&mut producer, 0, &number.to_string()) {
            assert_eq!(error.verdict, Verdict::QueueFull, "{error}");
            full += 1;
            producer.flush(Duration::from_millis(5)).unwrap();
        }
    }
    commit(&mut producer).unwrap();
    assert!(full > 0);
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition).len(), 50);
}

#[test]
fn a_producer_dropped_in_a_transaction_commits_nothing_and_takes_no_time() {
    let world = World::new("dropped");
    let topic = world.topic(1);
    let mut producer = world.producer("0", &[&topic]);
    producer.begin().unwrap();
    send(&mut producer, 0, "delivered").unwrap();
    while !producer.flush(Duration::from_millis(50)).unwrap() {}
    for _ in 0..1000 {
        send(&mut producer, 0, "queued").unwrap();
    }
    let ((), took) = timed(|| drop(producer));
    assert!(took < Duration::from_millis(400), "{took:?}");
    let mut next = world.producer("0", &[&topic]);
    publish(&mut next, 0, &["next"]);
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(world.committed_values(&partition), ["next"]);
}

#[test]
fn a_broker_out_of_reach_is_tried_again_within_the_time_given() {
    // A port that nobody listens on.
    let nowhere = [("bootstrap.servers", "127.0.0.1:1")];
    let world = World::with("nowhere", |p| {
        for properties in [&mut p.consumer, &mut p.producer, &mut p.admin] {
            properties.extend(map(&nowhere));
        }
    });
    let mut producer = world.cluster.producer("nowhere").unwrap();
    let (refused, took) = timed(|| producer.init_transactions(QUIET).unwrap_err());
    assert_eq!(refused.verdict, Verdict::Retriable, "{refused}");
    assert!(took < QUIET * 3, "{took:?}");
    let refused = world.cluster.partition_counts(&["t".into()], QUIET);
    assert_eq!(refused.unwrap_err().verdict, Verdict::Retriable);
    let (mut consumer, _) = world.consumer("nowhere");
    consumer.subscribe(&["t".into()]).unwrap();
    let partitions = [TopicPartition::new("t", 0)];
    let refused = consumer.committed(&partitions, QUIET).unwrap_err();
    assert_eq!(refused.verdict, Verdict::Retriable, "{refused}");
    assert_eq!(consumer.poll().unwrap(), None);
    assert!(consumer.group().is_none());
    let ((), took) = timed(|| drop((producer, consumer)));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
