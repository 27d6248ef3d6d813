//! Producing: what is acknowledged is there, once, in order, unchanged.

use onceflow_tests::{Cluster, Delivered, Outgoing, Record, send_all, texts, unique};
use rdkafka::error::RDKafkaErrorCode;

#[test]
fn records_of_a_partition_keep_the_order_of_sending() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("ordered", 1);
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    cluster.produce_values(&topic, &values);
    assert_eq!(texts(&cluster.settled(&topic)), values);
}

#[test]
fn offsets_of_a_partition_are_dense_from_zero() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("dense", 2);
    let records = (0..20).map(|n| Outgoing::value(n.to_string()).partition(n % 2));
    let delivered = cluster.produce(&topic, records);
    let expected: Vec<Delivered> = (0..20)
        .map(|n| Delivered {
            partition: n % 2,
            offset: i64::from(n / 2),
        })
        .collect();
    assert_eq!(delivered, expected);
}

#[test]
fn key_value_timestamp_and_headers_come_back_unchanged() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("round-trip", 1);
    let sent = [
        Outgoing::value([0, 159, 146, 150]).key("k").timestamp(1),
        Outgoing::tombstone("gone").timestamp(1_700_000_000_000),
        Outgoing::value("").key("").timestamp(2),
        Outgoing::value("no key").timestamp(3),
        Outgoing::value("headers")
            .timestamp(4)
            .header("twice", "1")
            .header("other", [0, 255])
            .header("twice", "2")
            .header("empty", "")
            .null_header("null"),
    ];
    cluster.produce(&topic, sent.iter().cloned().map(|r| r.partition(0)));
    let expected: Vec<Record> = (0..)
        .zip(&sent)
        .map(|(n, r)| returned(&topic, n, r))
        .collect();
    assert_eq!(cluster.settled(&topic), expected);
}

fn returned(topic: &str, offset: i64, sent: &Outgoing) -> Record {
    Record {
        topic: topic.to_owned(),
        partition: 0,
        offset,
        key: sent.key.clone(),
        value: sent.value.clone(),
        timestamp: sent.timestamp,
        headers: sent.headers.clone(),
    }
}

#[test]
fn a_record_without_a_timestamp_gets_the_clients_clock() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("clock", 1);
    let before = onceflow_tests::wait::unix_millis();
    cluster.produce_values(&topic, ["now"]);
    let after = onceflow_tests::wait::unix_millis();
    let stamped = cluster.settled(&topic)[0].timestamp.unwrap();
    assert!((before..=after).contains(&stamped));
}

#[test]
fn log_append_time_replaces_the_clients_timestamp() {
    let cluster = Cluster::shared();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let topic = cluster.topic_with("append-time", 1, &settings);
    let before = onceflow_tests::wait::unix_millis();
    cluster.produce(&topic, [Outgoing::value("old").partition(0).timestamp(1)]);
    // The broker's clock is another one: to the second, it is the same.
    let stamped = cluster.settled(&topic)[0].timestamp.unwrap();
    assert!(
        stamped >= before - 1_000,
        "stamped {stamped}, sent at {before}"
    );
}

#[test]
fn every_level_of_acknowledgement_delivers() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("acks", 1);
    for acks in ["0", "1", "all"] {
        let mut config = cluster.producer_config();
        config.set("acks", acks);
        let delivered = send_all(&config, &topic, [Outgoing::value(acks).partition(0)]);
        assert!(delivered[0].is_ok(), "acks={acks}: {delivered:?}");
        // Without an acknowledgement the record may still be on its way.
        onceflow_tests::wait::wait_until("the record arrives", || {
            texts(&cluster.settled(&topic)).last().map(String::as_str) == Some(acks)
        });
    }
    assert_eq!(texts(&cluster.settled(&topic)), ["0", "1", "all"]);
}

#[test]
fn every_codec_round_trips() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("codecs", 1);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let mut expected = Vec::new();
    for codec in codecs {
        let mut config = cluster.producer_config();
        config.set("compression.type", codec).set("linger.ms", "20");
        let values: Vec<String> = (0..50).map(|n| format!("{codec} {n}").repeat(20)).collect();
        let records = values.iter().map(|v| Outgoing::value(v).partition(0));
        assert!(send_all(&config, &topic, records).iter().all(Result::is_ok));
        expected.extend(values);
    }
    assert_eq!(texts(&cluster.settled(&topic)), expected);
}

#[test]
fn a_record_above_the_topics_limit_is_refused_and_leaves_nothing() {
    let cluster = Cluster::shared();
    let topic = cluster.topic_with("small", 1, &[("max.message.bytes", "1000")]);
    let large = Outgoing::value(vec![7; 5_000]).partition(0);
    let outcome = send_all(&cluster.producer_config(), &topic, [large]);
    assert_eq!(outcome, [Err(RDKafkaErrorCode::MessageSizeTooLarge)]);
    cluster.produce_values(&topic, ["fits"]);
    assert_eq!(texts(&cluster.settled(&topic)), ["fits"]);
}

#[test]
fn a_record_of_most_of_a_megabyte_is_delivered() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("large", 1);
    let value = vec![42; 900_000];
    cluster.produce_values(&topic, [&value]);
    assert_eq!(cluster.settled(&topic)[0].value.as_ref(), Some(&value));
}

#[test]
fn an_unknown_topic_fails_the_record() {
    let cluster = Cluster::shared();
    let mut config = cluster.producer_config();
    config.set("topic.metadata.propagation.max.ms", "500");
    let outcome = send_all(&config, &unique("nowhere"), [Outgoing::value("lost")]);
    // The client's own code or the broker's, whichever the client learns first.
    let unknown = [
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownTopicOrPartition,
    ];
    assert!(
        outcome[0].is_err_and(|code| unknown.contains(&code)),
        "{outcome:?}"
    );
}

#[test]
fn an_unknown_partition_fails_the_record() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("one-partition", 1);
    let mut config = cluster.producer_config();
    config.set("topic.metadata.propagation.max.ms", "500");
    let outcome = send_all(&config, &topic, [Outgoing::value("lost").partition(9)]);
    assert_eq!(outcome, [Err(RDKafkaErrorCode::UnknownPartition)]);
}

#[test]
fn an_idempotent_producer_with_five_batches_in_flight_keeps_order_and_count() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("idempotent", 1);
    let mut config = cluster.producer_config();
    config
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "7")
        .set("max.in.flight.requests.per.connection", "5");
    let values: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let records = values.iter().map(|v| Outgoing::value(v).partition(0));
    assert!(send_all(&config, &topic, records).iter().all(Result::is_ok));
    assert_eq!(texts(&cluster.settled(&topic)), values);
}

#[test]
fn two_producers_interleave_without_losing_a_record() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("interleaved", 1);
    let writers = ["a", "b"].map(|name| {
        let topic = topic.clone();
        onceflow_tests::wait::spawn(name, move || {
            let values: Vec<String> = (0..200).map(|n| format!("{name}{n}")).collect();
            cluster.produce_values(&topic, &values);
            values
        })
    });
    for writer in writers {
        let sent = writer.join().unwrap();
        let history = texts(&cluster.settled(&topic));
        let kept: Vec<String> = history
            .into_iter()
            .filter(|v| v.starts_with(&sent[0][..1]))
            .collect();
        assert_eq!(kept, sent);
    }
}
