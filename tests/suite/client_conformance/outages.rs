//! Outages: what was acknowledged survives, and what was open is settled, not lost.

use std::time::Duration;

use onceflow_tests::{
    Cluster,
    Isolation::ReadCommitted,
    Member, TransactionalProducer, Verdict, offsets, poll_until, texts, unique, verdict,
    wait::{eventually, holds_for},
};
use rdkafka::producer::Producer;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let cluster = Cluster::start();
    let topic = cluster.topic("survivor", 1);
    let group = unique("survivor");
    cluster.produce_values(&topic, ["plain"]);
    let producer = TransactionalProducer::ready(&cluster, &group);
    for (value, commits) in [("committed", true), ("aborted", false)] {
        producer.begin().unwrap();
        producer.send_values(&topic, 0, [value]).unwrap();
        if commits {
            producer.commit().unwrap();
        } else {
            producer.abort().unwrap();
        }
    }
    let list = offsets(&[(&topic, 0, 2, "number 1")]);
    cluster.commit_offsets(&group, &list).unwrap();
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["left open"]).unwrap();

    cluster.kill();
    cluster.restart();

    let shown = cluster.visible(&topic, ReadCommitted);
    assert_eq!(texts(&shown), ["plain", "committed"]);
    let successor = TransactionalProducer::ready(&cluster, &group);
    successor.begin().unwrap();
    successor.send_values(&topic, 0, ["after"]).unwrap();
    successor.commit().unwrap();
    let history = texts(&cluster.settled(&topic));
    assert_eq!(history, ["plain", "committed", "after"]);
    let committed = cluster.committed(&group, &topic);
    assert_eq!(committed[&0].metadata, "number 1");
}

#[test]
fn a_transaction_open_over_a_kill_commits_whole() {
    let cluster = Cluster::start();
    let (input, output) = (cluster.topic("in", 1), cluster.topic("out", 3));
    let group = unique("open-over-kill");
    let mut member = Member::join(&cluster, &group, &[&input]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(&cluster, &group);
    producer.begin().unwrap();
    for partition in 0..3 {
        producer.send_values(&output, partition, ["kept"]).unwrap();
    }
    let consumed = offsets(&[(&input, 0, 7, "")]);
    producer
        .send_offsets(&consumed, &member.group_metadata())
        .unwrap();

    cluster.kill();
    cluster.restart();

    producer.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&output)), ["kept"; 3]);
    assert_eq!(cluster.committed(&group, &input)[&0].offset, 7);
}

#[test]
fn a_commit_waits_out_a_hang_and_then_succeeds() {
    let cluster = Cluster::start();
    let topic = cluster.topic("hang", 1);
    let producer = TransactionalProducer::ready(&cluster, &unique("hang"));
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["kept"]).unwrap();

    cluster.pause();
    let slice = Duration::from_millis(100);
    let retriable = || {
        let error = producer.raw().commit_transaction(slice).unwrap_err();
        verdict(&error) == Verdict::Retriable
    };
    assert!(holds_for(Duration::from_secs(2), retriable));
    cluster.resume();

    eventually("the commit succeeds", || {
        producer.raw().commit_transaction(slice).ok()
    });
    assert_eq!(texts(&cluster.settled(&topic)), ["kept"]);
}
