//! Groups: who owns which partition, and who no longer does.

use std::collections::BTreeSet;

use onceflow_tests::{
    Cluster, Member, Outgoing, admin_options, block_on, offsets, poll_until, unique,
    wait::{PATIENCE, wait_until},
};
use rdkafka::{
    consumer::{CommitMode, Consumer},
    error::RDKafkaErrorCode,
};

#[test]
fn the_only_member_owns_every_partition() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("alone", 4);
    let mut member = Member::join(cluster, &unique("alone"), &[&topic]);
    poll_until("it owns all", &mut [&mut member], |m| {
        m[0].assignment().len() == 4
    });
}

#[test]
fn a_second_member_takes_half_and_its_leaving_gives_it_back() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("halves", 4);
    let group = unique("halves");
    let mut first = Member::join(cluster, &group, &[&topic]);
    poll_until("the first owns all", &mut [&mut first], |m| {
        m[0].assignment().len() == 4
    });
    let mut second = Member::join(cluster, &group, &[&topic]);
    poll_until("each owns half", &mut [&mut first, &mut second], |m| {
        m.iter().all(|member| member.assignment().len() == 2)
    });
    assert!(first.assignment().is_disjoint(&second.assignment()));
    drop(second);
    poll_until("the first owns all again", &mut [&mut first], |m| {
        m[0].assignment().len() == 4
    });
}

#[test]
fn range_gives_a_partition_number_of_two_topics_to_one_member() {
    let cluster = Cluster::shared();
    let topics = [cluster.topic("left", 6), cluster.topic("right", 6)];
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let group = unique("co-partitioned");
    let mut a = Member::join(cluster, &group, &names);
    let mut b = Member::join(cluster, &group, &names);
    let mut c = Member::join(cluster, &group, &names);
    poll_until("each owns a third", &mut [&mut a, &mut b, &mut c], |m| {
        m.iter().all(|member| member.assignment().len() == 4)
    });
    let mut owned = BTreeSet::new();
    for member in [&a, &b, &c] {
        assert_eq!(
            member.partitions_of(&topics[0]),
            member.partitions_of(&topics[1])
        );
        owned.extend(member.partitions_of(&topics[0]));
    }
    assert_eq!(owned, (0..6).collect());
}

#[test]
fn cooperative_members_keep_what_does_not_move() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("cooperative", 4);
    let group = unique("cooperative");
    let cooperative = [("partition.assignment.strategy", "cooperative-sticky")];
    let mut first = Member::with(cluster, &group, &[&topic], &cooperative);
    poll_until("the first owns all", &mut [&mut first], |m| {
        m[0].assignment().len() == 4
    });
    let before = first.assignment();
    let mut second = Member::with(cluster, &group, &[&topic], &cooperative);
    poll_until("each owns half", &mut [&mut first, &mut second], |m| {
        m.iter().all(|member| member.assignment().len() == 2)
    });
    assert!(first.assignment().is_subset(&before));
    assert!(first.assignment().is_disjoint(&second.assignment()));
}

#[test]
fn members_without_a_common_assignor_do_not_form_a_group() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("inconsistent", 1);
    let group = unique("inconsistent");
    let mut range = Member::join(cluster, &group, &[&topic]);
    poll_until("the first owns it", &mut [&mut range], |m| {
        m[0].assignment().len() == 1
    });
    let sticky = [("partition.assignment.strategy", "cooperative-sticky")];
    let mut other = Member::with(cluster, &group, &[&topic], &sticky);
    poll_until("the other is refused", &mut [&mut range, &mut other], |m| {
        m[1].saw(RDKafkaErrorCode::InconsistentGroupProtocol)
    });
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("static", 2);
    let group = unique("static");
    let mut one = Member::with(cluster, &group, &[&topic], &[("group.instance.id", "one")]);
    let mut two = Member::with(cluster, &group, &[&topic], &[("group.instance.id", "two")]);
    poll_until("each owns one", &mut [&mut one, &mut two], |m| {
        m.iter().all(|member| member.assignment().len() == 1)
    });
    let owned = two.assignment();
    let revocations = one.times_revoked();
    drop(two);
    let mut two = Member::with(cluster, &group, &[&topic], &[("group.instance.id", "two")]);
    poll_until("it is back", &mut [&mut one, &mut two], |m| {
        m[1].assignment().len() == 1
    });
    assert_eq!(two.assignment(), owned);
    assert_eq!(one.times_revoked(), revocations);
}

#[test]
fn a_second_holder_of_a_static_name_fences_the_first() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("same-name", 1);
    let group = unique("same-name");
    let name = [("group.instance.id", "one")];
    let mut first = Member::with(cluster, &group, &[&topic], &name);
    poll_until("the first owns it", &mut [&mut first], |m| {
        m[0].assignment().len() == 1
    });
    let mut second = Member::with(cluster, &group, &[&topic], &name);
    poll_until("the first learns it", &mut [&mut first, &mut second], |m| {
        m[1].assignment().len() == 1 && m[0].consumer().client().fatal_error().is_some()
    });
    let (code, _) = first.consumer().client().fatal_error().unwrap();
    assert_eq!(code, RDKafkaErrorCode::FencedInstanceId);
}

#[test]
fn a_silent_member_is_evicted_after_its_session() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("silent", 2);
    let group = unique("silent");
    // A static member does not say that it leaves: dropping it is silence.
    let mut silent = Member::with(
        cluster,
        &group,
        &[&topic],
        &[("group.instance.id", "silent")],
    );
    let mut heir = Member::join(cluster, &group, &[&topic]);
    poll_until("each owns one", &mut [&mut silent, &mut heir], |m| {
        m.iter().all(|member| member.assignment().len() == 1)
    });
    let watch = onceflow_tests::wait::Stopwatch::start();
    drop(silent);
    poll_until("the heir owns all", &mut [&mut heir], |m| {
        m[0].assignment().len() == 2
    });
    let after = watch.elapsed();
    assert!(
        after.as_secs() >= 5,
        "evicted after {after:?}, before its session ended"
    );
}

#[test]
fn a_session_below_the_brokers_minimum_is_refused() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("short-session", 1);
    let short = [
        ("session.timeout.ms", "1000"),
        ("heartbeat.interval.ms", "100"),
    ];
    let mut member = Member::with(cluster, &unique("short-session"), &[&topic], &short);
    poll_until("it is refused", &mut [&mut member], |m| {
        m[0].saw(RDKafkaErrorCode::InvalidSessionTimeout)
    });
    assert!(member.assignment().is_empty());
}

#[test]
fn a_member_that_misses_a_rebalance_may_not_commit() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("missed", 1);
    let group = unique("missed");
    let short = [("max.poll.interval.ms", "6000")];
    let mut slow = Member::with(cluster, &group, &[&topic], &short);
    poll_until("the slow one owns it", &mut [&mut slow], |m| {
        m[0].assignment().len() == 1
    });
    // It does not poll from here on: it cannot give its partitions up.
    let mut quick = Member::join(cluster, &group, &[&topic]);
    poll_until("the quick one owns it", &mut [&mut quick], |m| {
        m[0].assignment().len() == 1
    });
    let list = offsets(&[(&topic, 0, 5, "")]);
    let error = slow.consumer().commit(&list, CommitMode::Sync).unwrap_err();
    let code = error.rdkafka_error_code().unwrap();
    let refusals = [
        RDKafkaErrorCode::UnknownMemberId,
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::RebalanceInProgress,
    ];
    assert!(refusals.contains(&code), "{code}");
    assert!(cluster.committed(&group, &topic).is_empty());
}

#[test]
fn a_member_resumes_at_the_committed_offset() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("resume", 1);
    let group = unique("resume");
    cluster.produce_values(&topic, ["0", "1", "2", "3"]);
    let mut first = Member::join(cluster, &group, &[&topic]);
    poll_until("it reads all", &mut [&mut first], |m| {
        m[0].received.len() == 4
    });
    let list = offsets(&[(&topic, 0, 3, "")]);
    first.consumer().commit(&list, CommitMode::Sync).unwrap();
    drop(first);
    let mut second = Member::join(cluster, &group, &[&topic]);
    poll_until("it reads the rest", &mut [&mut second], |m| {
        !m[0].received.is_empty()
    });
    assert_eq!(second.received[0].text(), "3");
}

#[test]
fn members_read_every_record_once_between_them() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("shared-work", 4);
    let group = unique("shared-work");
    let mut a = Member::join(cluster, &group, &[&topic]);
    let mut b = Member::join(cluster, &group, &[&topic]);
    poll_until("each owns half", &mut [&mut a, &mut b], |m| {
        m.iter().all(|member| member.assignment().len() == 2)
    });
    cluster.produce(
        &topic,
        (0..40).map(|n| Outgoing::value(n.to_string()).partition(n % 4)),
    );
    poll_until("all are read", &mut [&mut a, &mut b], |m| {
        m.iter().map(|member| member.received.len()).sum::<usize>() == 40
    });
    let mut read: Vec<i32> = a
        .received
        .iter()
        .chain(&b.received)
        .map(|r| r.text().parse().unwrap())
        .collect();
    read.sort_unstable();
    assert_eq!(read, (0..40).collect::<Vec<i32>>());
}

#[test]
fn a_group_is_listed_and_described_while_it_lives() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("described", 1);
    let group = unique("described");
    let named = [("client.id", "the-client")];
    let mut member = Member::with(cluster, &group, &[&topic], &named);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let client = cluster.admin().inner();
    let all = client.fetch_group_list(None, PATIENCE).unwrap();
    assert!(all.groups().iter().any(|found| found.name() == group));
    wait_until("it is stable", || {
        let one = client.fetch_group_list(Some(&group), PATIENCE).unwrap();
        one.groups()[0].state() == "Stable"
    });
    let one = client.fetch_group_list(Some(&group), PATIENCE).unwrap();
    let described = &one.groups()[0];
    assert_eq!(described.protocol_type(), "consumer");
    assert_eq!(described.protocol(), "range");
    let clients: Vec<&str> = described.members().iter().map(|m| m.client_id()).collect();
    assert_eq!(clients, ["the-client"]);
    drop(member);
    wait_until("it is empty", || {
        let one = client.fetch_group_list(Some(&group), PATIENCE).unwrap();
        one.groups()[0].state() == "Empty"
    });
}

#[test]
fn only_a_group_without_members_can_be_deleted() {
    let cluster = Cluster::shared();
    let topic = cluster.topic("deleted-group", 1);
    let group = unique("deleted-group");
    let mut member = Member::join(cluster, &group, &[&topic]);
    poll_until("it is a member", &mut [&mut member], |m| {
        m[0].assignment().len() == 1
    });
    let list = offsets(&[(&topic, 0, 5, "")]);
    member.consumer().commit(&list, CommitMode::Sync).unwrap();
    let delete = || {
        let answers = block_on(cluster.admin().delete_groups(&[&group], &admin_options())).unwrap();
        answers
            .into_iter()
            .next()
            .unwrap()
            .map_err(|(_, code)| code)
    };
    assert_eq!(delete(), Err(RDKafkaErrorCode::NonEmptyGroup));
    drop(member);
    wait_until("the group is empty and goes", || delete().is_ok());
    assert!(cluster.committed(&group, &topic).is_empty());
    assert_eq!(delete(), Err(RDKafkaErrorCode::GroupIdNotFound));
}
