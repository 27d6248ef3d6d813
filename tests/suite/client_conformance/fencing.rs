//! Fencing: a zombie learns that it is one, and nothing that it does counts.

use onceflow_tests::{
    Cluster, Member, Outgoing, TransactionalProducer, Verdict, offsets, poll_until, refusal, texts,
    unique, verdict,
};
use rdkafka::{consumer::Consumer, error::RDKafkaErrorCode};

const FENCED: (Verdict, RDKafkaErrorCode) = (Verdict::Fatal, RDKafkaErrorCode::Fenced);

/// A producer with an open transaction, and the one that replaced it.
fn zombie_and_owner(
    cluster: &Cluster,
    topic: &str,
) -> (TransactionalProducer, TransactionalProducer) {
    let id = unique("zombie");
    let zombie = TransactionalProducer::ready(cluster, &id);
    zombie.begin().unwrap();
    zombie.send_values(topic, 0, ["zombie"]).unwrap();
    let owner = TransactionalProducer::ready(cluster, &id);
    (zombie, owner)
}

fn owner_still_works(cluster: &Cluster, topic: &str, owner: &TransactionalProducer) {
    owner.begin().unwrap();
    owner.send_values(topic, 0, ["owner"]).unwrap();
    owner.commit().unwrap();
    assert_eq!(texts(&cluster.settled(topic)), ["owner"]);
}

#[test]
fn a_zombies_commit_is_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-commit", 1);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    assert_eq!(refusal(zombie.commit()), FENCED);
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn a_zombies_abort_is_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-abort", 1);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    assert_eq!(refusal(zombie.abort()), FENCED);
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn a_zombies_abort_does_not_abort_the_owners_transaction() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-abort-open", 1);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    owner.begin().unwrap();
    owner.send_values(&topic, 0, ["owner"]).unwrap();
    assert_eq!(refusal(zombie.abort()), FENCED);
    owner.commit().unwrap();
    assert_eq!(texts(&cluster.settled(&topic)), ["owner"]);
}

#[test]
fn a_zombies_record_in_a_known_partition_is_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-send", 1);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    zombie
        .send(&topic, &Outgoing::value("late").partition(0))
        .unwrap();
    assert_eq!(refusal(zombie.commit()), FENCED);
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn a_zombies_record_in_a_new_partition_is_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-add", 2);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    zombie
        .send(&topic, &Outgoing::value("late").partition(1))
        .unwrap();
    assert_eq!(refusal(zombie.commit()), FENCED);
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn a_zombies_offsets_are_fenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-offsets", 1);
    let group = unique("zombie-offsets");
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("the member owns it", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    let consumed = offsets(&[(&topic, 0, 5, "")]);
    let outcome = zombie.send_offsets(&consumed, &member.group_metadata());
    assert_eq!(refusal(outcome), FENCED);
    assert!(cluster.committed(&group, &topic).is_empty());
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn an_idle_zombie_is_fenced_in_its_next_transaction() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("zombie-idle", 1);
    let id = unique("zombie-idle");
    let zombie = TransactionalProducer::ready(cluster, &id);
    let owner = TransactionalProducer::ready(cluster, &id);
    zombie.begin().unwrap();
    zombie
        .send(&topic, &Outgoing::value("late").partition(0))
        .unwrap();
    assert_eq!(refusal(zombie.commit()), FENCED);
    owner_still_works(cluster, &topic, &owner);
}

#[test]
fn a_stale_generation_is_refused_and_abortable() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("stale-generation", 2);
    let group = unique("stale-generation");
    let mut first = Member::join(cluster, &group, &[&topic]);
    poll_until("the first owns all", &mut [&mut first], |m| {
        m[0].assignment().len() == 2
    });
    let stale = first.group_metadata();
    let mut second = Member::join(cluster, &group, &[&topic]);
    poll_until("both own one", &mut [&mut first, &mut second], |m| {
        m.iter().all(|member| member.assignment().len() == 1)
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    producer.send_values(&topic, 0, ["dropped"]).unwrap();
    let consumed = offsets(&[(&topic, 0, 5, "")]);
    let outcome = producer.send_offsets(&consumed, &stale);
    assert_eq!(
        refusal(outcome),
        (Verdict::Abortable, RDKafkaErrorCode::IllegalGeneration)
    );
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer
        .send_offsets(&consumed, &first.group_metadata())
        .unwrap();
    producer.commit().unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 5);
}

#[test]
fn a_member_that_left_is_unknown_and_abortable() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("left", 2);
    let group = unique("left");
    let mut leaver = Member::join(cluster, &group, &[&topic]);
    poll_until("it owns all", &mut [&mut leaver], |m| {
        m[0].assignment().len() == 2
    });
    let stale = leaver.group_metadata();
    drop(leaver);
    let mut heir = Member::join(cluster, &group, &[&topic]);
    poll_until("the heir owns all", &mut [&mut heir], |m| {
        m[0].assignment().len() == 2
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 5, "")]);
    let outcome = producer.send_offsets(&consumed, &stale);
    assert_eq!(
        refusal(outcome),
        (Verdict::Abortable, RDKafkaErrorCode::UnknownMemberId)
    );
    producer.abort().unwrap();
    assert!(cluster.committed(&group, &topic).is_empty());
}

#[test]
fn a_replaced_static_instance_is_refused_and_abortable() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("replaced-instance", 1);
    let group = unique("replaced-instance");
    let instance = [("group.instance.id", "one")];
    let mut old = Member::with(cluster, &group, &[&topic], &instance);
    poll_until("the old owns it", &mut [&mut old], |m| {
        m[0].assignment().len() == 1
    });
    let stale = old.group_metadata();
    drop(old);
    let mut new = Member::with(cluster, &group, &[&topic], &instance);
    poll_until("the new owns it", &mut [&mut new], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 5, "")]);
    let outcome = producer.send_offsets(&consumed, &stale);
    assert_eq!(
        refusal(outcome),
        (Verdict::Abortable, RDKafkaErrorCode::FencedInstanceId)
    );
    producer.abort().unwrap();
}

/// The trap of KIP-447: metadata from before the join passes unfenced, members or not.
#[test]
fn offsets_without_a_membership_are_accepted_unfenced() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("unfenced", 1);
    let group = unique("unfenced");
    let outsider = cluster.consumer(&group, onceflow_tests::Isolation::ReadCommitted);
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("the member owns it", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let producer = TransactionalProducer::ready(cluster, &group);
    producer.begin().unwrap();
    let consumed = offsets(&[(&topic, 0, 5, "")]);
    let nobody = outsider.group_metadata().unwrap();
    producer.send_offsets(&consumed, &nobody).unwrap();
    producer.commit().unwrap();
    assert_eq!(cluster.committed(&group, &topic)[&0].offset, 5);
}

#[test]
fn fencing_is_for_ever() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("for-ever", 1);
    let (zombie, owner) = zombie_and_owner(cluster, &topic);
    assert_eq!(refusal(zombie.commit()), FENCED);
    let again = zombie
        .begin()
        .expect_err("a fenced producer does not begin");
    assert_eq!(verdict(&again), Verdict::Fatal);
    owner_still_works(cluster, &topic, &owner);
}
