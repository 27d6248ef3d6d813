//! Transactions: all of it or none of it, whatever happens in between.

use std::time::Duration;

use onceflow_tests::{
    Cluster,
    Isolation::{ReadCommitted, ReadUncommitted},
    Member, Outgoing, TransactionalProducer, Verdict, offsets, poll_until, refusal, texts, unique,
    verdict,
    wait::{eventually, wait_until},
};
use rdkafka::{consumer::Consumer, error::RDKafkaErrorCode, producer::Producer};

#[test]
fn a_commit_shows_the_records_of_every_partition() {
    let cluster = Cluster::shared();
    let topics = [cluster.topic("many-a", 8), cluster.topic("many-b", 3)];
    let producer = TransactionalProducer::ready(cluster, &unique("many"));
    producer.begin().unwrap();
    for (topic, partitions) in topics.iter().zip([8, 3]) {
        for partition in 0..partitions {
            let record = Outgoing::value(partition.to_string()).partition(partition);
            producer.send(topic, &record).unwrap();
        }
    }
    producer.commit().unwrap();
    assert_eq!(cluster.settled(&topics[0]).len(), 8);
    assert_eq!(cluster.settled(&topics[1]).len(), 3);
}

#[test]
fn an_abort_shows_nothing_of_any_partition() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("abort-many", 4);
    let producer = TransactionalProducer::ready(cluster, &unique("abort-many"));
    producer.begin().unwrap();
    for partition in 0..4 {
        producer
            .send_values(&topic, partition, ["dropped"])
            .unwrap();
    }
    producer.abort().unwrap();
    assert_eq!(cluster.settled(&topic), []);
    assert_eq!(cluster.visible(&topic, ReadUncommitted).len(), 4);
}

#[test]
fn an_empty_transaction_commits_and_aborts_without_a_trace() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("empty", 1);
    let producer = TransactionalProducer::ready(cluster, &unique("empty"));
    producer.begin().unwrap();
    producer.commit().unwrap();
    producer.begin().unwrap();
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["first"]).unwrap();
    producer.commit().unwrap();
    assert_eq!(cluster.settled(&topic)[0].offset, 0);
}

#[test]
fn transactions_follow_each_other_whether_committed_or_aborted() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("alternating", 2);
    let producer = TransactionalProducer::ready(cluster, &unique("alternating"));
    for round in 0..20 {
        producer.begin().unwrap();
        producer
            .send_values(&topic, round % 2, [round.to_string()])
            .unwrap();
        if round % 3 == 0 {
            producer.abort().unwrap();
        } else {
            producer.commit().unwrap();
        }
    }
    let mut kept: Vec<i32> = texts(&cluster.settled(&topic))
        .iter()
        .map(|v| v.parse().unwrap())
        .collect();
    kept.sort_unstable();
    let expected: Vec<i32> = (0..20).filter(|round| round % 3 != 0).collect();
    assert_eq!(kept, expected);
}

#[test]
fn an_abort_drops_records_that_were_never_sent() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("unsent", 1);
    let lingering = [("linger.ms", "500")];
    let producer = TransactionalProducer::with(cluster, &unique("unsent"), &lingering);
    producer.init().unwrap();
    producer.begin().unwrap();
    for n in 0..100 {
        let record = Outgoing::value(n.to_string()).partition(0);
        producer.send(&topic, &record).unwrap();
    }
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer
        .send(&topic, &Outgoing::value("kept").partition(0))
        .unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["kept"]);
}

#[test]
fn consumed_offsets_commit_with_the_records() {
    let cluster = Cluster::shared();
    let (input, output) = (cluster.topic("in", 2), cluster.topic("out", 1));
    let group = unique("offsets-commit");
    let mut member = Member::join(cluster, &group, &[&input]);
    poll_until("the member owns both", &mut [&mut member], |m| {
        m[0].assignment().len() == 2
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    producer.send_values(&output, 0, ["result"]).unwrap();
    let consumed = offsets(&[(&input, 0, 7, "batch 1"), (&input, 1, 9, "")]);
    producer
        .send_offsets(&consumed, &member.group_metadata())
        .unwrap();
    producer.commit().unwrap();
    let committed = cluster.committed(&group, &input);
    assert_eq!(
        (committed[&0].offset, committed[&0].metadata.as_str()),
        (7, "batch 1")
    );
    assert_eq!(
        (committed[&1].offset, committed[&1].metadata.as_str()),
        (9, "")
    );
    assert_eq!(texts(&cluster.settled(&output)), ["result"]);
}

#[test]
fn an_abort_leaves_the_offsets_of_the_transaction_before() {
    let cluster = Cluster::shared();
    let input = cluster.topic("in", 1);
    let group = unique("offsets-abort");
    let mut member = Member::join(cluster, &group, &[&input]);
    poll_until("the member owns it", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    for (offset, commits) in [(3, true), (5, false)] {
        producer.begin().unwrap();
        let consumed = offsets(&[(&input, 0, offset, "")]);
        producer
            .send_offsets(&consumed, &member.group_metadata())
            .unwrap();
        if commits {
            producer.commit().unwrap();
        } else {
            producer.abort().unwrap();
        }
    }
    assert_eq!(cluster.committed(&group, &input)[&0].offset, 3);
}

#[test]
fn the_last_offsets_sent_in_a_transaction_count() {
    let cluster = Cluster::shared();
    let input = cluster.topic("in", 1);
    let group = unique("offsets-twice");
    let mut member = Member::join(cluster, &group, &[&input]);
    poll_until("the member owns it", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    for offset in [8, 4] {
        let consumed = offsets(&[(&input, 0, offset, "")]);
        producer
            .send_offsets(&consumed, &member.group_metadata())
            .unwrap();
    }
    producer.commit().unwrap();
    assert_eq!(cluster.committed(&group, &input)[&0].offset, 4);
}

#[test]
fn offsets_of_two_groups_commit_in_one_transaction() {
    let cluster = Cluster::shared();
    let input = cluster.topic("in", 1);
    let groups = ["one", "two"].map(unique);
    let producer = TransactionalProducer::ready(cluster, &unique("two-groups"));
    producer.begin().unwrap();
    for (group, offset) in groups.iter().zip([3, 4]) {
        let outsider = cluster.consumer(group, ReadCommitted);
        let consumed = offsets(&[(&input, 0, offset, "")]);
        let membership = outsider.group_metadata().unwrap();
        producer.send_offsets(&consumed, &membership).unwrap();
    }
    producer.commit().unwrap();
    for (group, offset) in groups.iter().zip([3, 4]) {
        assert_eq!(cluster.committed(group, &input)[&0].offset, offset);
    }
}

#[test]
fn init_aborts_what_the_predecessor_left_open() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("predecessor", 1);
    let id = unique("predecessor");
    let predecessor = TransactionalProducer::ready(cluster, &id);
    predecessor.begin().unwrap();
    predecessor.send_values(&topic, 0, ["left open"]).unwrap();
    let successor = TransactionalProducer::ready(cluster, &id);
    assert_eq!(cluster.settled(&topic), []);
    successor.begin().unwrap();
    successor.send_values(&topic, 0, ["mine"]).unwrap();
    successor.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["mine"]);
}

#[test]
fn a_producer_may_be_replaced_many_times() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("replaced", 1);
    let id = unique("replaced");
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for value in &expected {
        let producer = TransactionalProducer::ready(cluster, &id);
        producer.begin().unwrap();
        producer.send_values(&topic, 0, [value]).unwrap();
        producer.commit().unwrap();
    }
    assert_eq!(texts(&cluster.settled(&topic)), expected);
}

#[test]
fn a_transaction_past_its_timeout_is_aborted_and_its_producer_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("expired", 1);
    let id = unique("expired");
    let short = [
        ("transaction.timeout.ms", "1000"),
        ("message.timeout.ms", "1000"),
    ];
    let producer = TransactionalProducer::with(cluster, &id, &short);
    producer.init().unwrap();
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["too late"]).unwrap();
    cluster.produce_values(&topic, ["behind it"]);
    wait_until("the transaction expires", || {
        texts(&cluster.visible(&topic, ReadCommitted)) == ["behind it"]
    });
    assert_eq!(
        refusal(producer.commit()),
        (Verdict::Fatal, RDKafkaErrorCode::Fenced)
    );
    let successor = TransactionalProducer::ready(cluster, &id);
    successor.begin().unwrap();
    successor.send_values(&topic, 0, ["again"]).unwrap();
    successor.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["behind it", "again"]);
}

#[test]
fn a_timeout_above_the_brokers_limit_is_refused() {
    let cluster = Cluster::shared();
    let long = [("transaction.timeout.ms", "2000000000")];
    let producer = TransactionalProducer::with(cluster, &unique("too-long"), &long);
    let outcome = producer.init();
    assert_eq!(
        refusal(outcome),
        (Verdict::Fatal, RDKafkaErrorCode::InvalidTransactionTimeout)
    );
}

/// Each round has a producer of its own: after a call that was resumed, the client may take a
/// late answer for that of the next call.
#[test]
fn a_commit_out_of_time_is_finished_by_committing_again() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("resumed", 1);
    let id = unique("resumed");
    let expected: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    for value in &expected {
        let producer = TransactionalProducer::ready(cluster, &id);
        producer.begin().unwrap();
        producer.send_values(&topic, 0, [value]).unwrap();
        eventually("a commit in the end succeeds", || {
            match producer.raw().commit_transaction(Duration::ZERO) {
                Ok(()) => Some(()),
                Err(error) => {
                    assert_eq!(verdict(&error), Verdict::Retriable, "{error}");
                    None
                }
            }
        });
    }
    assert_eq!(texts(&cluster.settled(&topic)), expected);
}

#[test]
fn a_commit_in_doubt_is_settled_by_the_next_init_for_records_and_offsets_alike() {
    let cluster = Cluster::shared();
    let (input, output) = (cluster.topic("in", 1), cluster.topic("out", 1));
    let group = unique("in-doubt");
    let mut member = Member::join(cluster, &group, &[&input]);
    poll_until("the member owns it", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    for round in 1..=4 {
        let producer = TransactionalProducer::ready(cluster, &group);
        producer.begin().unwrap();
        producer
            .send_values(&output, 0, [round.to_string()])
            .unwrap();
        let consumed = offsets(&[(&input, 0, round, "")]);
        producer
            .send_offsets(&consumed, &member.group_metadata())
            .unwrap();
        // Sent, and not waited for: it may or may not reach the coordinator before the drop.
        let in_doubt = producer.raw().commit_transaction(Duration::ZERO);
        drop((in_doubt, producer));
        drop(TransactionalProducer::ready(cluster, &group));
        let shown = texts(&cluster.settled(&output)).contains(&round.to_string());
        let committed = cluster.committed(&group, &input);
        let counted = committed.get(&0).is_some_and(|c| c.offset == round);
        assert_eq!(
            shown, counted,
            "records and offsets of round {round} disagree"
        );
    }
}

#[test]
fn transactions_of_two_producers_end_independently() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("two", 1);
    let [first, second] = ["first", "second"].map(|name| {
        let producer = TransactionalProducer::ready(cluster, &unique(name));
        producer.begin().unwrap();
        producer.send_values(&topic, 0, [name]).unwrap();
        producer
    });
    second.commit().unwrap();
    let shown = cluster.visible(&topic, ReadCommitted);
    assert_eq!(shown, [], "the first is still open, and before it");
    first.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["first", "second"]);
}

/// A producer whose transaction the broker refused a record of, aborted since.
fn after_a_refused_record(cluster: &Cluster, topic: &str, id: &str) -> TransactionalProducer {
    let producer = TransactionalProducer::ready(cluster, id);
    producer.begin().unwrap();
    producer.send_values(topic, 0, ["dropped"]).unwrap();
    let large = Outgoing::value(vec![7; 5_000]).partition(0);
    producer.send(topic, &large).unwrap();
    let (verdict, _) = refusal(producer.commit());
    assert_eq!(verdict, Verdict::Abortable);
    producer.abort().unwrap();
    producer
}

#[test]
fn a_refused_record_aborts_its_transaction_and_a_new_producer_goes_on() {
    let cluster = Cluster::shared();
    let topic = cluster.topic_with("refused", 1, &[("max.message.bytes", "1000")]);
    let id = unique("refused");
    drop(after_a_refused_record(cluster, &topic, &id));
    let producer = TransactionalProducer::ready(cluster, &id);
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["after"]).unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["after"]);
}

/// The client counts the refused record's sequence number, the broker does not: the same
/// producer's next transaction is refused for the gap, and only its abort starts a new epoch.
#[test]
fn a_refused_record_costs_the_same_producer_a_second_abort() {
    let cluster = Cluster::shared();
    let topic = cluster.topic_with("refused-twice", 1, &[("max.message.bytes", "1000")]);
    let producer = after_a_refused_record(cluster, &topic, &unique("refused-twice"));
    producer.begin().unwrap();
    let record = Outgoing::value("in the gap").partition(0);
    producer.send(&topic, &record).unwrap();
    let gap = (
        Verdict::Abortable,
        RDKafkaErrorCode::OutOfOrderSequenceNumber,
    );
    assert_eq!(refusal(producer.commit()), gap);
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["after"]).unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["after"]);
}

#[test]
fn a_transaction_of_thousands_of_records_is_one() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("thousands", 4);
    let producer = TransactionalProducer::ready(cluster, &unique("thousands"));
    producer.begin().unwrap();
    for n in 0..5_000 {
        let record = Outgoing::value(n.to_string()).partition(n % 4);
        producer.send(&topic, &record).unwrap();
    }
    producer.flush().unwrap();
    let shown = cluster.visible(&topic, ReadCommitted);
    assert_eq!(shown.len(), 0);
    producer.commit().unwrap();
    assert_eq!(cluster.settled(&topic).len(), 5_000);
}
