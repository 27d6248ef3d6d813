//! Producing: what is acknowledged is there, once, in order, unchanged.

use onceflow_tests::{Cluster, Isolation, TransactionalProducer, texts};

#[test]
fn records_of_a_partition_keep_the_order_of_sending() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("ordered", 1);
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    cluster.produce_values(&topic, &values);
    assert_eq!(texts(&cluster.settled(&topic)), values);
}

#[test]
fn aborted_records_stay_invisible_and_open_ones_until_the_commit() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("txn", 1);
    let p = TransactionalProducer::ready(cluster, &topic);
    p.begin().unwrap();
    p.send_values(&topic, 0, ["a"]).unwrap();
    p.abort().unwrap();
    assert!(cluster.settled(&topic).is_empty());
    p.begin().unwrap();
    p.send_values(&topic, 0, ["b"]).unwrap();
    assert!(cluster.visible(&topic, Isolation::ReadCommitted).is_empty());
    p.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["b"]);
}
