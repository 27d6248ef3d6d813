//! Committed offsets: what a group resumes from.

use std::time::Duration;

use onceflow_tests::{
    Cluster,
    Isolation::{ReadCommitted, ReadUncommitted},
    Member, TransactionalProducer, offsets, poll_until, unique,
    wait::holds_for,
};
use rdkafka::{
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

/// As many bytes of metadata as Kafka accepts with an offset.
const METADATA_BYTES_MAX: usize = 4096;

#[test]
fn offset_and_metadata_come_back_as_committed() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("committed", 3);
    let group = unique("committed");
    let list = offsets(&[(&topic, 0, 5, "AgAAAA=="), (&topic, 2, 0, "")]);
    cluster.commit_offsets(&group, &list).unwrap();
    let committed = cluster.committed(&group, &topic);
    assert_eq!(committed.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(
        (committed[&0].offset, committed[&0].metadata.as_str()),
        (5, "AgAAAA==")
    );
    assert_eq!(
        (committed[&2].offset, committed[&2].metadata.as_str()),
        (0, "")
    );
}

#[test]
fn a_later_commit_replaces_an_earlier_one_even_backwards() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("replaced", 1);
    let group = unique("replaced");
    for (offset, metadata) in [(5, "five"), (3, "")] {
        let list = offsets(&[(&topic, 0, offset, metadata)]);
        cluster.commit_offsets(&group, &list).unwrap();
    }
    let committed = cluster.committed(&group, &topic);
    assert_eq!(
        (committed[&0].offset, committed[&0].metadata.as_str()),
        (3, "")
    );
}

#[test]
fn groups_do_not_see_each_others_offsets() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("two-groups", 1);
    let [one, two] = ["one", "two"].map(unique);
    cluster
        .commit_offsets(&one, &offsets(&[(&topic, 0, 5, "")]))
        .unwrap();
    assert!(cluster.committed(&two, &topic).is_empty());
}

#[test]
fn metadata_of_4096_bytes_is_kept_and_one_more_refused() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("metadata", 1);
    let group = unique("metadata");
    let longest = "m".repeat(METADATA_BYTES_MAX);
    cluster
        .commit_offsets(&group, &offsets(&[(&topic, 0, 1, &longest)]))
        .unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].metadata, longest);
    let longer = "m".repeat(METADATA_BYTES_MAX + 1);
    let refused = cluster.commit_offsets(&group, &offsets(&[(&topic, 0, 2, &longer)]));
    assert_eq!(
        refused,
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::OffsetMetadataTooLarge
        ))
    );
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 1);
}

#[test]
fn an_outsider_may_not_commit_for_a_group_with_members() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("outsider", 1);
    let group = unique("outsider");
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let refused = cluster.commit_offsets(&group, &offsets(&[(&topic, 0, 5, "")]));
    assert_eq!(
        refused,
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::UnknownMemberId
        ))
    );
    assert!(cluster.committed(&group, &topic).is_empty());
}

#[test]
fn an_offset_of_an_unknown_topic_is_refused() {
    let cluster = Cluster::shared();
    let group = unique("unknown-topic");
    let list = offsets(&[(&unique("nowhere"), 0, 5, "")]);
    let refused = cluster.commit_offsets(&group, &list);
    assert_eq!(
        refused,
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::UnknownTopicOrPartition
        ))
    );
}

#[test]
fn offsets_pending_in_a_transaction_hold_back_a_stable_fetch() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("pending", 1);
    let group = unique("pending");
    cluster
        .commit_offsets(&group, &offsets(&[(&topic, 0, 1, "")]))
        .unwrap();
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 9, "")]);
    producer
        .send_offsets(&consumed, &member.group_metadata())
        .unwrap();
    let brief = Duration::from_millis(500);
    let stable = cluster.committed_as(&group, &topic, ReadCommitted, brief);
    let code = stable.unwrap_err().rdkafka_error_code();
    assert_eq!(code, Some(RDKafkaErrorCode::OperationTimedOut));
    let unstable = cluster.committed_as(&group, &topic, ReadUncommitted, brief);
    assert_eq!(unstable.unwrap()[&0].offset, 1);
    producer.commit().unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 9);
}

/// What makes a hand-over exact: the next owner does not start before the last one's offsets.
#[test]
fn a_new_owner_starts_only_when_the_old_ones_offsets_are_settled() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("hand-over", 1);
    let group = unique("hand-over");
    cluster.produce_values(&topic, ["0", "1", "2"]);
    let mut old = Member::join(cluster, &group, &[&topic]);
    poll_until("the old owner reads", &mut [&mut old], |m| {
        m[0].received.len() == 3
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 2, "")]);
    producer
        .send_offsets(&consumed, &old.group_metadata())
        .unwrap();
    drop(old);
    let mut new = Member::join(cluster, &group, &[&topic]);
    poll_until("the new owner is assigned", &mut [&mut new], |m| {
        m[0].assignment().len() == 1
    });
    let waits = holds_for(Duration::from_millis(500), || {
        new.poll();
        new.received.is_empty()
    });
    assert!(waits, "it started at an offset that was not settled");
    producer.commit().unwrap();
    poll_until("the new owner reads", &mut [&mut new], |m| {
        !m[0].received.is_empty()
    });
    assert_eq!(new.received[0].text(), "2");
}

#[test]
fn pending_offsets_are_gone_after_an_abort() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("pending-abort", 1);
    let group = unique("pending-abort");
    cluster
        .commit_offsets(&group, &offsets(&[(&topic, 0, 1, "kept")]))
        .unwrap();
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 9, "dropped")]);
    producer
        .send_offsets(&consumed, &member.group_metadata())
        .unwrap();
    producer.abort().unwrap();
    let committed = cluster.committed(&group, &topic);
    assert_eq!(
        (committed[&0].offset, committed[&0].metadata.as_str()),
        (1, "kept")
    );
}

#[test]
fn of_two_transactions_the_offsets_sent_later_count_whichever_commits_last() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("sent-later", 1);
    let group = unique("sent-later");
    let outsider = cluster.consumer(&group, ReadCommitted);
    let [first, second] = [8, 5].map(|offset| {
        let producer = TransactionalProducer::ready(cluster, &unique("sent-later"));
        producer.begin().unwrap();
        let consumed = offsets(&[(&topic, 0, offset, "")]);
        let membership = outsider.group_metadata().unwrap();
        producer.send_offsets(&consumed, &membership).unwrap();
        producer
    });
    second.commit().unwrap();
    first.commit().unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 5);
}

#[test]
fn a_plain_commit_after_a_transactional_one_counts() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("mixed", 1);
    let group = unique("mixed");
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 9, "")]);
    producer
        .send_offsets(&consumed, &member.group_metadata())
        .unwrap();
    producer.commit().unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 9);
    let list = offsets(&[(&topic, 0, 4, "")]);
    member.consumer().commit(&list, CommitMode::Sync).unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 4);
}

#[test]
fn a_group_without_offsets_starts_by_its_reset_policy() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("reset", 1);
    cluster.produce_values(&topic, ["old"]);
    let reader = |policy| {
        let group = unique(policy);
        Member::with(cluster, &group, &[&topic], &[("auto.offset.reset", policy)])
    };
    let (mut earliest, mut latest, mut error) =
        (reader("earliest"), reader("latest"), reader("error"));
    poll_until("earliest reads the old one", &mut [&mut earliest], |m| {
        !m[0].received.is_empty()
    });
    assert_eq!(earliest.received[0].text(), "old");
    poll_until("error says so", &mut [&mut error], |m| {
        m[0].saw(RDKafkaErrorCode::AutoOffsetReset)
    });
    poll_until("latest is assigned", &mut [&mut latest], |m| {
        m[0].assignment().len() == 1
    });
    // Assigned is not yet positioned: records are written until one is seen.
    onceflow_tests::wait::wait_until("latest reads a new one", || {
        cluster.produce_values(&topic, ["new"]);
        (0..20).for_each(|_| latest.poll());
        !latest.received.is_empty()
    });
    assert!(latest.received.iter().all(|record| record.text() == "new"));
}
