//! Fetching: isolation, the ends of a partition, and where a reader starts.

use std::time::Duration;

use onceflow_tests::{
    Cluster,
    Isolation::{ReadCommitted, ReadUncommitted},
    Outgoing, Record, TransactionalProducer, texts, unique,
    wait::{PATIENCE, eventually},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

#[test]
fn open_records_are_visible_to_read_uncommitted_only() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("open", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("open"));
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["a", "b"]).unwrap();
    assert_eq!(texts(&cluster.visible(&topic, ReadUncommitted)), ["a", "b"]);
    assert_eq!(texts(&cluster.visible(&topic, ReadCommitted)), [""; 0]);
    producer.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["a", "b"]);
}

#[test]
fn an_open_transaction_holds_back_what_follows_it() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("held-back", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("held-back"));
    cluster.produce_values(&topic, ["before"]);
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["open"]).unwrap();
    cluster.produce_values(&topic, ["after"]);
    assert_eq!(texts(&cluster.visible(&topic, ReadCommitted)), ["before"]);
    producer.abort().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["before", "after"]);
}

#[test]
fn an_open_transaction_holds_back_only_its_partitions() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("other-partition", 2);
    let producer = TransactionalProducer::ready(cluster, &unique("other-partition"));
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["open"]).unwrap();
    cluster.produce(&topic, [Outgoing::value("free").partition(1)]);
    assert_eq!(texts(&cluster.visible(&topic, ReadCommitted)), ["free"]);
    producer.commit().unwrap();
}

#[test]
fn aborted_records_stay_invisible_between_committed_ones() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("aborted", 1);
    let committing = TransactionalProducer::ready(cluster, &unique("committing"));
    let aborting = TransactionalProducer::ready(cluster, &unique("aborting"));
    for round in 0..5 {
        committing.begin().unwrap();
        aborting.begin().unwrap();
        committing
            .send_values(&topic, 0, [format!("kept {round}")])
            .unwrap();
        aborting
            .send_values(&topic, 0, [format!("dropped {round}")])
            .unwrap();
        committing
            .send_values(&topic, 0, [format!("kept too {round}")])
            .unwrap();
        aborting.abort().unwrap();
        committing.commit().unwrap();
    }
    let expected: Vec<String> = (0..5)
        .flat_map(|round| [format!("kept {round}"), format!("kept too {round}")])
        .collect();
    assert_eq!(texts(&cluster.settled(&topic)), expected);
    assert_eq!(cluster.visible(&topic, ReadUncommitted).len(), 15);
}

#[test]
fn a_marker_takes_one_offset() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("markers", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("markers"));
    for value in ["a", "b"] {
        producer.begin().unwrap();
        producer.send_values(&topic, 0, [value]).unwrap();
        producer.commit().unwrap();
    }
    let offsets: Vec<i64> = cluster.settled(&topic).iter().map(|r| r.offset).collect();
    assert_eq!(offsets, [0, 2]);
    assert_eq!(cluster.watermarks(&topic, 0, ReadUncommitted), (0, 4));
}

#[test]
fn the_high_end_of_a_partition_depends_on_isolation() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("ends", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("ends"));
    assert_eq!(cluster.watermarks(&topic, 0, ReadUncommitted), (0, 0));
    cluster.produce_values(&topic, ["a", "b"]);
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["open", "open"]).unwrap();
    cluster.produce_values(&topic, ["c"]);
    assert_eq!(cluster.watermarks(&topic, 0, ReadUncommitted), (0, 5));
    assert_eq!(cluster.watermarks(&topic, 0, ReadCommitted), (0, 2));
    producer.commit().unwrap();
    eventually("the marker is written", || {
        (cluster.watermarks(&topic, 0, ReadCommitted) == (0, 6)).then_some(())
    });
}

#[test]
fn a_time_finds_the_first_record_at_or_after_it() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("times", 1);
    let stamps = [100, 200, 300, 250, 400];
    for stamp in stamps {
        let record = Outgoing::value(stamp.to_string()).partition(0);
        cluster.produce(&topic, [record.timestamp(stamp)]);
    }
    let found = [0, 100, 101, 300, 301, 400, 401].map(|at| offset_at(cluster, &topic, at));
    let expected = [0, 0, 1, 2, 4, 4].map(Offset::Offset);
    assert_eq!(found[..6], expected);
    assert_eq!(found[6], Offset::End, "no record is that late");
}

#[test]
fn a_time_finds_a_record_inside_a_batch() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("times-in-batch", 1);
    let mut config = cluster.producer_config();
    config.set("linger.ms", "50");
    let records = (0..10).map(|n| {
        let record = Outgoing::value(n.to_string()).partition(0);
        record.timestamp(1_000 + n)
    });
    let sent = onceflow_tests::send_all(&config, &topic, records);
    assert!(sent.iter().all(Result::is_ok));
    assert_eq!(offset_at(cluster, &topic, 1_004), Offset::Offset(4));
}

fn offset_at(cluster: &Cluster, topic: &str, millis: i64) -> Offset {
    let consumer = cluster.consumer(&unique("times"), ReadUncommitted);
    let mut asked = TopicPartitionList::new();
    asked
        .add_partition_offset(topic, 0, Offset::Offset(millis))
        .unwrap();
    let answer = consumer.offsets_for_times(asked, PATIENCE).unwrap();
    answer.find_partition(topic, 0).unwrap().offset()
}

#[test]
fn a_reader_starts_where_it_was_assigned_and_where_it_seeks() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("positions", 1);
    cluster.produce_values(&topic, ["0", "1", "2", "3"]);
    let consumer = assigned(cluster, &topic, Offset::Offset(2), "earliest");
    assert_eq!(next(&consumer).text(), "2");
    consumer
        .seek(&topic, 0, Offset::Offset(1), PATIENCE)
        .unwrap();
    assert_eq!(next(&consumer).text(), "1");
    consumer
        .seek(&topic, 0, Offset::OffsetTail(1), PATIENCE)
        .unwrap();
    assert_eq!(next(&consumer).text(), "3");
}

#[test]
fn an_offset_out_of_range_follows_the_reset_policy() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("out-of-range", 1);
    cluster.produce_values(&topic, ["first", "last"]);
    let beyond = Offset::Offset(1_000);
    let earliest = assigned(cluster, &topic, beyond, "earliest");
    assert_eq!(next(&earliest).text(), "first");
    let error = eventually("the client reports it", || {
        let consumer = assigned(cluster, &topic, beyond, "error");
        consumer.poll(PATIENCE).and_then(Result::err)
    });
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset)
    );
}

#[test]
fn a_waiting_fetch_is_answered_when_a_record_arrives() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("long-poll", 1);
    let consumer: BaseConsumer = cluster
        .consumer_config(&unique("long-poll"), ReadUncommitted)
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "4000")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let end = consumer
        .poll(PATIENCE)
        .expect("an event")
        .expect_err("no record yet");
    assert_eq!(end, KafkaError::PartitionEOF(0));
    let watch = onceflow_tests::wait::Stopwatch::start();
    cluster.produce_values(&topic, ["wake"]);
    assert_eq!(next(&consumer).text(), "wake");
    assert!(
        watch.elapsed() < Duration::from_secs(3),
        "the fetch waited out its time"
    );
}

#[test]
fn the_last_stable_offset_wakes_a_waiting_read_committed_fetch() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("commit-wakes", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("commit-wakes"));
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["held"]).unwrap();
    let consumer: BaseConsumer = cluster
        .consumer_config(&unique("commit-wakes"), ReadCommitted)
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "4000")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let end = consumer
        .poll(PATIENCE)
        .expect("an event")
        .expect_err("no record yet");
    assert_eq!(end, KafkaError::PartitionEOF(0));
    let watch = onceflow_tests::wait::Stopwatch::start();
    producer.commit().unwrap();
    assert_eq!(next(&consumer).text(), "held");
    assert!(
        watch.elapsed() < Duration::from_secs(3),
        "the fetch waited out its time"
    );
}

#[test]
fn a_readers_position_passes_the_marker_at_the_end() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("position", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("position"));
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["a"]).unwrap();
    producer.commit().unwrap();
    let consumer = assigned(cluster, &topic, Offset::Beginning, "earliest");
    assert_eq!(next(&consumer).text(), "a");
    eventually("the position is past the marker", || {
        assert!(consumer.poll(Duration::from_millis(10)).is_none());
        let position = consumer.position().unwrap();
        let offset = position.find_partition(&topic, 0).unwrap().offset();
        (offset == Offset::Offset(2)).then_some(())
    });
}

fn assigned(cluster: &Cluster, topic: &str, at: Offset, reset: &str) -> BaseConsumer {
    let consumer: BaseConsumer = cluster
        .consumer_config(&unique("assigned"), ReadCommitted)
        .set("auto.offset.reset", reset)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, at).unwrap();
    consumer.assign(&list).unwrap();
    consumer
}

fn next(consumer: &BaseConsumer) -> Record {
    eventually("a record arrives", || {
        let event = consumer.poll(Duration::from_millis(50))?;
        event.ok().map(|message| Record::from(&message))
    })
}
