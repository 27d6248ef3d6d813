//! Records without transactions: what goes in comes out.

use onceflow_broker::EmbeddedBroker;
use rdkafka::message::Message;

use crate::support::{producer, read, reader, send_all, take};

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
