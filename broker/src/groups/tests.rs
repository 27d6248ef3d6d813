//! Groups and offsets in virtual time: joining, rebalancing, leaving, expiring, committing.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartition;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, ProducerId, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use crate::testing::{Sim, text, topic, transactional_id};
use crate::transactions::Producer;
use crate::{ConnectionId, Options};

const SESSION_MS: i64 = 10_000;
const REBALANCE_MS: i64 = 30_000;

fn group() -> GroupId {
    GroupId(text("g"))
}

fn join_request(
    member: &str,
    instance: Option<&str>,
    protocols: &[(&str, &str)],
) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|(name, metadata)| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::copy_from_slice(metadata.as_bytes()))
    });
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(i32::try_from(SESSION_MS).unwrap())
        .with_rebalance_timeout_ms(i32::try_from(REBALANCE_MS).unwrap())
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.collect())
}

fn join(sim: &mut Sim, member: &str) -> ConnectionId {
    sim.send(5, join_request(member, None, &[("range", "m")]))
}

/// The first round of a dynamic member: its id.
fn new_id(sim: &mut Sim) -> String {
    let connection = join(sim, "");
    let response: JoinGroupResponse = sim.answer(connection).unwrap();
    assert_eq!(response.error_code, 79);
    response.member_id.to_string()
}

fn sync(
    sim: &mut Sim,
    generation: i32,
    member: &str,
    assignments: &[(&str, &str)],
) -> ConnectionId {
    let assignments = assignments.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
    });
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_assignments(assignments.collect());
    sim.send(3, request)
}

fn heartbeat(sim: &mut Sim, generation: i32, member: &str) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member));
    sim.call::<HeartbeatResponse>(3, request).error_code
}

fn state(sim: &mut Sim) -> String {
    let response: DescribeGroupsResponse = sim.call(
        4,
        DescribeGroupsRequest::default().with_groups(vec![group()]),
    );
    response.groups[0].group_state.to_string()
}

/// A stable group of one, and its member's id.
fn alone(sim: &mut Sim) -> String {
    let member = new_id(sim);
    let joining = join(sim, &member);
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    assert_eq!(
        (joined.error_code, joined.leader.as_str()),
        (0, member.as_str())
    );
    let syncing = sync(sim, joined.generation_id, &member, &[(&member, "all")]);
    assert_eq!(
        sim.answer::<SyncGroupResponse>(syncing).unwrap().assignment,
        "all"
    );
    member
}

/// A stable group of two in generation 2: the leader and the follower.
fn pair(sim: &mut Sim) -> (String, String) {
    let leader = alone(sim);
    let follower = new_id(sim);
    let follower_joins = join(sim, &follower);
    assert_eq!(heartbeat(sim, 1, &leader), 27);
    let leader_joins = join(sim, &leader);
    let joined: JoinGroupResponse = sim.answer(leader_joins).unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    let followed: JoinGroupResponse = sim.answer(follower_joins).unwrap();
    assert_eq!(
        (followed.leader.as_str(), followed.members.len()),
        (leader.as_str(), 0)
    );
    let follower_syncs = sync(sim, 2, &follower, &[]);
    let leader_syncs = sync(sim, 2, &leader, &[(&leader, "left"), (&follower, "right")]);
    assert_eq!(
        sim.answer::<SyncGroupResponse>(follower_syncs)
            .unwrap()
            .assignment,
        "right"
    );
    assert_eq!(
        sim.answer::<SyncGroupResponse>(leader_syncs)
            .unwrap()
            .assignment,
        "left"
    );
    (leader, follower)
}

#[test]
fn a_member_joins_in_two_rounds_and_gets_its_assignment() {
    let mut sim = Sim::new();
    let member = alone(&mut sim);
    assert_eq!(state(&mut sim), "Stable");
    assert_eq!(heartbeat(&mut sim, 1, &member), 0);
    assert_eq!(heartbeat(&mut sim, 2, &member), 22);
    assert_eq!(heartbeat(&mut sim, 1, "stranger"), 25);
}

#[test]
fn a_second_member_brings_the_second_generation() {
    let mut sim = Sim::new();
    let (leader, follower) = pair(&mut sim);
    assert_eq!(heartbeat(&mut sim, 2, &leader), 0);
    assert_eq!(heartbeat(&mut sim, 2, &follower), 0);
    let again = join(&mut sim, &follower);
    let answer: JoinGroupResponse = sim.answer(again).unwrap();
    assert_eq!(
        answer.generation_id, 2,
        "an unchanged follower that asks again disturbs nobody"
    );
    let again = join(&mut sim, &leader);
    assert!(
        sim.outcome(again).is_none(),
        "a leader that asks again wants a rebalance"
    );
}

#[test]
fn joins_that_cannot_be_are_refused() {
    let mut sim = Sim::new();
    let request = join_request("", None, &[("range", "m")]);
    let cases = [
        (request.clone().with_group_id(GroupId(text(""))), 24),
        (request.clone().with_session_timeout_ms(5_999), 26),
        (request.clone().with_session_timeout_ms(1_800_001), 26),
        (request.clone().with_member_id(text("stranger")), 25),
        (request.clone().with_protocols(vec![]), 23),
        (request.clone().with_protocol_type(text("")), 23),
    ];
    for (request, code) in cases {
        let response: JoinGroupResponse = sim.call(5, request);
        assert_eq!((response.error_code, response.generation_id), (code, -1));
    }
    alone(&mut sim);
    let other_type: JoinGroupResponse = sim.call(5, request.with_protocol_type(text("connect")));
    assert_eq!(other_type.error_code, 23);
    let other_protocol: JoinGroupResponse = sim.call(5, join_request("", None, &[("sticky", "m")]));
    assert_eq!(other_protocol.error_code, 23);
}

#[test]
fn a_silent_member_is_gone_after_its_session() {
    let mut sim = Sim::new();
    let (leader, follower) = pair(&mut sim);
    sim.pass(SESSION_MS - 1);
    assert_eq!(heartbeat(&mut sim, 2, &leader), 0);
    sim.pass(1);
    assert_eq!(heartbeat(&mut sim, 2, &follower), 25);
    assert_eq!(
        heartbeat(&mut sim, 2, &leader),
        27,
        "the other one is told to join again"
    );
    sim.pass(SESSION_MS);
    assert_eq!(state(&mut sim), "Empty");
}

#[test]
fn a_member_that_misses_the_rebalance_is_left_behind() {
    let mut sim = Sim::new();
    let (leader, follower) = pair(&mut sim);
    let joining = join(&mut sim, &leader);
    for _ in 0..REBALANCE_MS / 5_000 {
        assert!(sim.outcome(joining).is_none());
        assert_eq!(
            heartbeat(&mut sim, 2, &follower),
            27,
            "alive, but not joining"
        );
        sim.pass(5_000);
    }
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(heartbeat(&mut sim, 3, &follower), 25);
}

#[test]
fn a_member_that_never_fetches_its_assignment_is_dropped() {
    let mut sim = Sim::with(Options {
        session_timeout_min_ms: 1,
        ..Options::default()
    });
    let leader = new_id(&mut sim);
    let joining = join(&mut sim, &leader);
    sim.answer::<JoinGroupResponse>(joining).unwrap();
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(
            heartbeat(&mut sim, 1, &leader),
            0,
            "between joining and syncing heartbeats are fine"
        );
        sim.pass(5_000);
    }
    assert_eq!(heartbeat(&mut sim, 1, &leader), 25);
}

#[test]
fn syncing_followers_are_sent_back_when_somebody_joins() {
    let mut sim = Sim::new();
    let (leader, follower) = pair(&mut sim);
    let (first, second) = (join(&mut sim, &leader), join(&mut sim, &follower));
    assert_eq!(
        sim.answer::<JoinGroupResponse>(first)
            .unwrap()
            .generation_id,
        3
    );
    sim.answer::<JoinGroupResponse>(second).unwrap();
    let waiting = sync(&mut sim, 3, &follower, &[]);
    assert!(sim.outcome(waiting).is_none());
    let newcomer = new_id(&mut sim);
    join(&mut sim, &newcomer);
    assert_eq!(
        sim.answer::<SyncGroupResponse>(waiting).unwrap().error_code,
        27
    );
    let late = sync(&mut sim, 3, &leader, &[]);
    assert_eq!(
        sim.answer::<SyncGroupResponse>(late).unwrap().error_code,
        27
    );
}

#[test]
fn an_id_that_nobody_comes_back_with_holds_nobody_up_for_ever() {
    let mut sim = Sim::new();
    let leader = alone(&mut sim);
    new_id(&mut sim);
    let joining = join(&mut sim, &leader);
    assert!(
        sim.outcome(joining).is_none(),
        "the group waits for the new member"
    );
    sim.pass(SESSION_MS);
    assert_eq!(
        sim.answer::<JoinGroupResponse>(joining)
            .unwrap()
            .generation_id,
        2
    );
}

#[test]
fn the_first_round_waits_for_more_members_if_told_to() {
    let mut sim = Sim::with(Options {
        initial_rebalance_delay_ms: 1_000,
        ..Options::default()
    });
    let (first, second) = (new_id(&mut sim), new_id(&mut sim));
    let joining = join(&mut sim, &first);
    sim.pass(900);
    join(&mut sim, &second);
    sim.pass(100);
    assert!(
        sim.outcome(joining).is_none(),
        "somebody has just come: wait once more"
    );
    sim.pass(1_000);
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (1, 2));
}

#[test]
fn leaving_takes_effect_at_once() {
    let mut sim = Sim::new();
    let (leader, follower) = pair(&mut sim);
    let leave = LeaveGroupRequest::default().with_group_id(group());
    let response: LeaveGroupResponse = sim.call(1, leave.clone().with_member_id(text(&leader)));
    assert_eq!(response.error_code, 0);
    let response: LeaveGroupResponse = sim.call(1, leave.clone().with_member_id(text(&leader)));
    assert_eq!(response.error_code, 25);
    let joining = join(&mut sim, &follower);
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    assert_eq!(
        (joined.leader.as_str(), joined.generation_id),
        (follower.as_str(), 3)
    );
    let members = [follower.as_str(), "stranger"]
        .map(|id| MemberIdentity::default().with_member_id(text(id)));
    let response: LeaveGroupResponse = sim.call(3, leave.with_members(members.to_vec()));
    let codes: Vec<_> = response
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    assert_eq!(codes, [0, 25]);
    assert_eq!(state(&mut sim), "Empty");
}

#[test]
fn the_protocol_that_most_members_like_is_chosen() {
    let mut sim = Sim::with(Options {
        initial_rebalance_delay_ms: 10,
        ..Options::default()
    });
    let preferences: [&[(&str, &str)]; 3] = [
        &[("a", "1"), ("b", "1")],
        &[("b", "2"), ("a", "2")],
        &[("c", "3"), ("b", "3"), ("a", "3")],
    ];
    let joining: Vec<_> = preferences
        .iter()
        .map(|protocols| sim.send(0, join_request("", None, protocols)))
        .collect();
    sim.pass(20);
    let joined: JoinGroupResponse = sim.answer(joining[0]).unwrap();
    assert_eq!(
        joined.protocol_name.as_deref(),
        Some("b"),
        "two votes against one"
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_predecessor() {
    let mut sim = Sim::new();
    let static_join = || join_request("", Some("i-1"), &[("range", "m")]);
    let joining = sim.send(5, static_join());
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    let old = joined.member_id.to_string();
    assert!(old.starts_with("i-1-"));
    let syncing = sync(&mut sim, 1, &old, &[(&old, "all")]);
    sim.answer::<SyncGroupResponse>(syncing).unwrap();

    let back: JoinGroupResponse = sim.call(5, static_join());
    assert_eq!(
        (back.error_code, back.generation_id),
        (0, 1),
        "the same generation"
    );
    assert_eq!(
        back.leader.as_str(),
        old,
        "an old client must not think that it leads"
    );
    let new = back.member_id.to_string();
    assert_ne!(new, old);
    let syncing = sync(&mut sim, 1, &new, &[]);
    assert_eq!(
        sim.answer::<SyncGroupResponse>(syncing).unwrap().assignment,
        "all"
    );

    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(1);
    let request = request.with_group_instance_id(Some(text("i-1")));
    let zombie: HeartbeatResponse = sim.call(3, request.clone().with_member_id(text(&old)));
    assert_eq!(zombie.error_code, 82);
    let owner: HeartbeatResponse = sim.call(3, request.with_member_id(text(&new)));
    assert_eq!(owner.error_code, 0);
    let member = MemberIdentity::default().with_group_instance_id(Some(text("i-1")));
    let removed: LeaveGroupResponse = sim.call(
        3,
        LeaveGroupRequest::default()
            .with_group_id(group())
            .with_members(vec![member]),
    );
    assert_eq!(
        removed.members[0].error_code, 0,
        "an administrator needs the instance id alone"
    );
}

#[test]
fn a_static_leader_of_version_9_is_told_to_skip_the_assignment() {
    let mut sim = Sim::new();
    let static_join = || join_request("", Some("i-1"), &[("range", "m")]);
    let joining = sim.send(9, static_join());
    let joined: JoinGroupResponse = sim.answer(joining).unwrap();
    let old = joined.member_id.to_string();
    let syncing = sync(&mut sim, 1, &old, &[(&old, "all")]);
    sim.answer::<SyncGroupResponse>(syncing).unwrap();
    let back: JoinGroupResponse = sim.call(9, static_join());
    assert!(back.skip_assignment);
    assert_eq!(
        (back.leader.clone(), back.members.len()),
        (back.member_id, 1)
    );
}

fn commit_as(sim: &mut Sim, generation: i32, member: &str, offset: i64, metadata: &str) -> i16 {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text(metadata)));
    let partitions = OffsetCommitRequestTopic::default()
        .with_name(topic("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![partitions]);
    let response: OffsetCommitResponse = sim.call(8, request);
    response.topics[0].partitions[0].error_code
}

fn fetch_offset(sim: &mut Sim, stable: bool) -> OffsetFetchResponsePartition {
    let partitions = OffsetFetchRequestTopic::default()
        .with_name(topic("t"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![partitions]))
        .with_require_stable(stable);
    let response: OffsetFetchResponse = sim.call(7, request);
    response.topics[0].partitions[0].clone()
}

fn with_topic() -> Sim {
    let mut sim = Sim::new();
    sim.core.create_topic("t", 1, &[]).unwrap();
    sim
}

#[test]
fn offsets_are_committed_with_their_metadata_by_whoever_may() {
    let mut sim = with_topic();
    assert_eq!(
        fetch_offset(&mut sim, true).committed_offset,
        -1,
        "an unknown group has committed nothing"
    );
    assert_eq!(
        commit_as(&mut sim, -1, "", 5, "five"),
        0,
        "without a group anybody may"
    );
    let found = fetch_offset(&mut sim, false);
    assert_eq!(
        (found.committed_offset, found.metadata.as_deref()),
        (5, Some("five"))
    );
    assert_eq!(commit_as(&mut sim, -1, "", 6, &"x".repeat(4_097)), 12);
    assert_eq!(commit_as(&mut sim, -1, "", 6, &"x".repeat(4_096)), 0);

    let member = alone(&mut sim);
    assert_eq!(commit_as(&mut sim, 1, &member, 7, ""), 0);
    assert_eq!(
        commit_as(&mut sim, -1, "", 8, ""),
        25,
        "not past a live group"
    );
    assert_eq!(commit_as(&mut sim, 0, &member, 8, ""), 22);
    assert_eq!(commit_as(&mut sim, 1, "stranger", 8, ""), 25);
    assert_eq!(fetch_offset(&mut sim, false).committed_offset, 7);
    sim.core.delete_topic("t").unwrap();
    assert_eq!(commit_as(&mut sim, 1, &member, 8, ""), 3);
    assert_eq!(
        fetch_offset(&mut sim, false).committed_offset,
        -1,
        "gone with the topic"
    );
}

#[test]
fn a_commit_between_joining_and_the_assignment_is_told_to_wait() {
    let mut sim = with_topic();
    assert_eq!(
        commit_as(&mut sim, 3, "stranger", 1, ""),
        22,
        "a generation of a group that does not exist"
    );
    let member = new_id(&mut sim);
    let joining = join(&mut sim, &member);
    sim.answer::<JoinGroupResponse>(joining).unwrap();
    assert_eq!(commit_as(&mut sim, 1, &member, 1, ""), 27);
}

fn add_group(sim: &mut Sim, producer: Producer) -> i16 {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id("tx"))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_group_id(group());
    sim.call::<AddOffsetsToTxnResponse>(0, request).error_code
}

fn txn_commit(
    sim: &mut Sim,
    producer: Producer,
    member: (i32, &str, Option<&str>),
    offset: i64,
) -> i16 {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
    let partitions = TxnOffsetCommitRequestTopic::default()
        .with_name(topic("t"))
        .with_partitions(vec![partition]);
    let (generation, id, instance) = member;
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id("tx"))
        .with_group_id(group())
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_generation_id(generation)
        .with_member_id(text(id))
        .with_group_instance_id(instance.map(text))
        .with_topics(vec![partitions]);
    let response: TxnOffsetCommitResponse = sim.call(3, request);
    response.topics[0].partitions[0].error_code
}

const NOBODY: (i32, &str, Option<&str>) = (-1, "", None);

#[test]
fn transactional_offsets_wait_for_the_marker() {
    let mut sim = with_topic();
    let producer = sim.producer("tx");
    assert_eq!(
        txn_commit(&mut sim, producer, NOBODY, 5),
        48,
        "the group is not in the transaction"
    );
    for commit in [true, false] {
        assert_eq!(add_group(&mut sim, producer), 0);
        let offset = if commit { 5 } else { 9 };
        assert_eq!(txn_commit(&mut sim, producer, NOBODY, offset), 0);
        let stable = fetch_offset(&mut sim, true);
        assert_eq!((stable.error_code, stable.committed_offset), (88, -1));
        assert_eq!(
            fetch_offset(&mut sim, false).committed_offset,
            if commit { -1 } else { 5 }
        );
        assert_eq!(sim.end("tx", producer, commit), 0);
        assert_eq!(fetch_offset(&mut sim, true).committed_offset, 5);
    }
    let stale = Producer {
        epoch: producer.epoch - 1,
        ..producer
    };
    assert_eq!(txn_commit(&mut sim, stale, NOBODY, 5), 47);
}

#[test]
fn a_plain_commit_made_after_the_transactional_one_wins() {
    let mut sim = with_topic();
    let producer = sim.producer("tx");
    assert_eq!(add_group(&mut sim, producer), 0);
    assert_eq!(txn_commit(&mut sim, producer, NOBODY, 5), 0);
    assert_eq!(commit_as(&mut sim, -1, "", 3, ""), 0);
    assert_eq!(sim.end("tx", producer, true), 0);
    assert_eq!(fetch_offset(&mut sim, true).committed_offset, 3);
}

#[test]
fn the_group_fences_transactional_offsets_of_those_who_are_gone() {
    let mut sim = with_topic();
    let member = alone(&mut sim);
    let producer = sim.producer("tx");
    assert_eq!(add_group(&mut sim, producer), 0);
    let cases = [
        ((1, member.as_str(), None), 0),
        ((0, member.as_str(), None), 22),
        ((1, "stranger", None), 25),
        ((1, member.as_str(), Some("i-1")), 25),
        (NOBODY, 0), // Kafka takes it: a client from before KIP-447
    ];
    for (by, code) in cases {
        assert_eq!(txn_commit(&mut sim, producer, by, 5), code, "{by:?}");
    }
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let mut sim = with_topic();
    let delete = |sim: &mut Sim| {
        let response: DeleteGroupsResponse = sim.call(
            1,
            DeleteGroupsRequest::default().with_groups_names(vec![group()]),
        );
        response.results[0].error_code
    };
    assert_eq!(delete(&mut sim), 69);
    assert_eq!(state(&mut sim), "Dead");
    let unknown: DescribeGroupsResponse = sim.call(
        6,
        DescribeGroupsRequest::default().with_groups(vec![group()]),
    );
    assert_eq!(unknown.groups[0].error_code, 69);
    let member = alone(&mut sim);
    let described: DescribeGroupsResponse = sim.call(
        5,
        DescribeGroupsRequest::default().with_groups(vec![group()]),
    );
    assert_eq!(described.groups[0].members[0].member_assignment, "all");
    let listed: ListGroupsResponse = sim.call(
        5,
        ListGroupsRequest::default().with_states_filter(vec![text("stable")]),
    );
    assert_eq!(
        (
            listed.groups[0].group_type.as_str(),
            listed.groups[0].protocol_type.as_str()
        ),
        ("classic", "consumer")
    );
    assert_eq!(delete(&mut sim), 68);
    let leave = LeaveGroupRequest::default()
        .with_group_id(group())
        .with_member_id(text(&member));
    sim.call::<LeaveGroupResponse>(1, leave);
    assert_eq!(delete(&mut sim), 0);
    assert_eq!(state(&mut sim), "Dead");
}
