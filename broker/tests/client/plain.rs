//! Records without transactions: what goes in comes out.

use std::sync::Arc;
use std::time::Duration;

use onceflow_broker::EmbeddedBroker;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::support::{
    Deliveries, PATIENCE, config, payloads, producer, read, reader, reporting, send_all, take,
};

#[test]
fn what_is_produced_is_consumed_in_order() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 1).unwrap();
    send_all(&producer(&broker), "t", &["a", "b", "c"]);
    assert_eq!(read(&broker, "t", "read_uncommitted", 3), ["a", "b", "c"]);
}

#[test]
fn an_unknown_topic_is_created_by_producing_to_it() {
    let broker = EmbeddedBroker::builder()
        .default_partitions(3)
        .start()
        .unwrap();
    send_all(&producer(&broker), "fresh", &["a"]);
    assert_eq!(broker.partition_count("fresh"), Some(3));
    let messages = take(&reader(&broker, "fresh", "read_committed"), 1);
    assert_eq!(messages[0].offset(), 0);
}

#[test]
fn an_unknown_topic_stays_unknown_when_told_so() {
    let broker = EmbeddedBroker::builder()
        .auto_create_topics(false)
        .start()
        .unwrap();
    let producer: BaseProducer = config(&broker)
        .set("message.timeout.ms", "500")
        .set("topic.metadata.propagation.max.ms", "100")
        .create()
        .unwrap();
    producer
        .send(BaseRecord::<str, str>::to("unknown").payload("a"))
        .unwrap();
    producer.flush(PATIENCE).unwrap();
    assert!(broker.topics().is_empty());
    let metadata = producer
        .client()
        .fetch_metadata(Some("unknown"), PATIENCE)
        .unwrap();
    assert!(metadata.topics()[0].partitions().is_empty());
}

#[test]
fn keys_headers_nulls_and_timestamps_survive_every_codec() {
    let broker = EmbeddedBroker::start().unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.create_topic(codec, 1).unwrap();
        let producer: BaseProducer = config(&broker)
            .set("compression.codec", codec)
            .create()
            .unwrap();
        let twice = OwnedHeaders::new()
            .insert(Header {
                key: "h",
                value: Some("1"),
            })
            .insert(Header {
                key: "h",
                value: Some("2"),
            });
        let payload = "v".repeat(500);
        let record = BaseRecord::<str, str>::to(codec)
            .key("k")
            .payload(&payload)
            .headers(twice)
            .timestamp(123_456);
        producer.send(record).unwrap();
        producer
            .send(
                BaseRecord::<str, str>::to(codec)
                    .key("tombstone")
                    .timestamp(123_457),
            )
            .unwrap();
        producer.flush(PATIENCE).unwrap();
        let reader = reader(&broker, codec, "read_committed");
        let messages = take(&reader, 2);
        let headers = messages[0].headers().unwrap();
        assert_eq!(
            (headers.get(0).value, headers.get(1).value),
            (Some(&b"1"[..]), Some(&b"2"[..])),
            "{codec}"
        );
        assert_eq!(
            messages[0].timestamp().to_millis(),
            Some(123_456),
            "{codec}"
        );
        assert_eq!(messages[1].payload(), None, "{codec}");
        let mut times = TopicPartitionList::new();
        times
            .add_partition_offset(codec, 0, Offset::Offset(123_457))
            .unwrap();
        let found = reader.offsets_for_times(times, PATIENCE).unwrap();
        assert_eq!(
            found.elements()[0].offset(),
            Offset::Offset(1),
            "{codec}: looked up inside the batch"
        );
    }
}

#[test]
fn large_volumes_arrive_whole_and_in_order() {
    const RECORDS: usize = 100_000;
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 4).unwrap();
    let producer: BaseProducer = config(&broker)
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", "200000")
        .set("linger.ms", "5")
        .create()
        .unwrap();
    for number in 0..RECORDS {
        let payload = number.to_string();
        let partition = i32::try_from(number % 4).unwrap();
        producer
            .send(
                BaseRecord::<str, str>::to("t")
                    .partition(partition)
                    .payload(&payload),
            )
            .unwrap();
        if number % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).unwrap();
    let messages = take(&reader(&broker, "t", "read_committed"), RECORDS);
    let mut next = [0, 1, 2, 3];
    for message in messages {
        let number: usize = std::str::from_utf8(message.payload().unwrap())
            .unwrap()
            .parse()
            .unwrap();
        let expected = &mut next[usize::try_from(message.partition()).unwrap()];
        assert_eq!(number, *expected);
        *expected += 4;
    }
}

#[test]
fn a_message_above_the_topics_limit_is_refused() {
    let broker = EmbeddedBroker::start().unwrap();
    broker
        .create_topic_with("small", 1, &[("max.message.bytes", "1000")])
        .unwrap();
    let context = Arc::new(Deliveries::default());
    let producer = reporting(&broker, &context);
    producer
        .send(BaseRecord::<str, str>::to("small").payload(&"x".repeat(2_000)))
        .unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(context.errors(), [RDKafkaErrorCode::MessageSizeTooLarge]);
}

#[test]
fn watermarks_and_positions_are_what_the_log_says() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 1).unwrap();
    send_all(&producer(&broker), "t", &["a", "b", "c"]);
    let consumer = reader(&broker, "t", "read_committed");
    assert_eq!(consumer.fetch_watermarks("t", 0, PATIENCE).unwrap(), (0, 3));
    take(&consumer, 3);
    assert_eq!(
        consumer.position().unwrap().elements()[0].offset(),
        Offset::Offset(3)
    );
    consumer.seek("t", 0, Offset::Offset(1), PATIENCE).unwrap();
    assert_eq!(payloads(&take(&consumer, 2)), ["b", "c"]);
}

#[test]
fn reading_beyond_the_log_resets_or_fails_as_the_client_is_set() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 1).unwrap();
    send_all(&producer(&broker), "t", &["a", "b"]);
    let at_ten = |reset: &str| {
        let consumer: BaseConsumer = config(&broker)
            .set("group.id", "g")
            .set("auto.offset.reset", reset)
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        partitions
            .add_partition_offset("t", 0, Offset::Offset(10))
            .unwrap();
        consumer.assign(&partitions).unwrap();
        consumer
    };
    assert_eq!(payloads(&take(&at_ten("earliest"), 2)), ["a", "b"]);
    let error = at_ten("error").poll(PATIENCE).unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)
        ),
        "{error:?}"
    );
}

#[test]
fn acks_0_produces_without_an_answer() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 1).unwrap();
    let producer: BaseProducer = config(&broker).set("acks", "0").create().unwrap();
    send_all(&producer, "t", &["a", "b"]);
    assert_eq!(read(&broker, "t", "read_uncommitted", 2), ["a", "b"]);
}

#[test]
fn many_brokers_live_in_one_process() {
    let brokers: Vec<_> = (0..4).map(|_| EmbeddedBroker::start().unwrap()).collect();
    for (broker, value) in brokers.iter().zip(["a", "b", "c", "d"]) {
        send_all(&producer(broker), "t", &[value]);
    }
    for (broker, value) in brokers.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(read(broker, "t", "read_uncommitted", 1), [value]);
    }
}
