//! Transactions with the real client.

use onceflow_broker::EmbeddedBroker;
use rdkafka::producer::Producer;

use crate::support::{PATIENCE, read, send_all, transactional};

#[test]
fn a_committed_transaction_is_read_and_an_aborted_one_is_not() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("t", 1).unwrap();
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["kept 1", "kept 2"]);
    producer.commit_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["lost 1"]);
    producer.abort_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["kept 3"]);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(
        read(&broker, "t", "read_committed", 3),
        ["kept 1", "kept 2", "kept 3"]
    );
    assert_eq!(read(&broker, "t", "read_uncommitted", 4).len(), 4);
}
