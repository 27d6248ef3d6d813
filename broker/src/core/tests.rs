//! The machine as a whole: repeatable, patient, and answering everybody once.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    ApiKey, FetchResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse,
};

use crate::testing::{Batch, Sim, text};
use crate::{ErrorCode, Options, Outcome};

fn join(member: &str) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(600_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![
            JoinGroupRequestProtocol::default().with_name(text("range")),
        ])
}

fn beat(member: &str) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(1)
        .with_member_id(text(member))
}

fn joined(sim: &mut Sim) -> String {
    let handed: JoinGroupResponse = sim.call(5, join(""));
    let joining = sim.send(5, join(&handed.member_id));
    sim.answer::<JoinGroupResponse>(joining)
        .unwrap()
        .member_id
        .to_string()
}

#[test]
fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
    let ids = |seed| {
        let mut sim = Sim::with(Options {
            seed,
            ..Options::default()
        });
        sim.core.create_topic("t", 1, &[]).unwrap();
        (joined(&mut sim), sim.core.topics.get("t").unwrap().id)
    };
    assert_eq!(ids(7), ids(7));
    assert_ne!(ids(7), ids(8));
}

#[test]
fn what_arrives_while_the_broker_hangs_comes_before_what_expires() {
    let mut sim = Sim::new();
    let member = joined(&mut sim);
    sim.core.faults().hang_until(sim.now_ms + 60_000);
    let beating = sim.send(3, beat(&member));
    sim.pass(59_999);
    assert!(sim.outcome(beating).is_none());
    sim.pass(1);
    assert_eq!(
        sim.answer::<HeartbeatResponse>(beating).unwrap().error_code,
        0,
        "its session is long over"
    );
    sim.pass(5_999);
    assert_eq!(
        sim.call::<HeartbeatResponse>(3, beat(&member)).error_code,
        0
    );
}

#[test]
fn a_clock_that_goes_back_is_taken_for_standing_still() {
    let mut sim = Sim::new();
    let member = joined(&mut sim);
    sim.pass(3_000);
    sim.now_ms -= 2_000;
    assert_eq!(
        sim.call::<HeartbeatResponse>(3, beat(&member)).error_code,
        0
    );
    sim.pass(7_999);
    assert_eq!(
        sim.call::<HeartbeatResponse>(3, beat(&member)).error_code,
        0
    );
}

#[test]
fn faults_lose_hold_and_replace() {
    let mut sim = Sim::new();
    sim.core.create_topic("t", 1, &[]).unwrap();
    let end = |sim: &Sim| sim.core.offsets("t", 0).unwrap().2;
    sim.core.faults().on(ApiKey::Fetch).times(1).lose_answer();
    let fetching = sim.send(
        12,
        Sim::fetch_request("t", 0, 0, false).with_max_wait_ms(500),
    );
    sim.produce("t", 0, &Batch::plain(&["a"]));
    assert_eq!(
        sim.outcome(fetching),
        Some(Outcome::Close),
        "also the answer of a request that waited"
    );

    let replaced = sim
        .core
        .faults()
        .on(ApiKey::Produce)
        .times(1)
        .fail_after_effect(ErrorCode::RequestTimedOut);
    assert_eq!(sim.produce("t", 0, &Batch::plain(&["b"])).error_code, 7);
    assert_eq!((sim.core.faults().hits(replaced), end(&sim)), (1, 2));

    let delay = std::time::Duration::from_millis(300);
    sim.core
        .faults()
        .on(ApiKey::Fetch)
        .after(1)
        .times(1)
        .delay(delay);
    sim.fetch("t", 0, 0, false);
    let fetching = sim.send(12, Sim::fetch_request("t", 0, 0, false));
    sim.pass(299);
    assert!(sim.outcome(fetching).is_none());
    sim.pass(1);
    assert!(sim.answer::<FetchResponse>(fetching).is_some());
}

#[test]
fn a_gone_connection_waits_for_nothing() {
    let mut sim = Sim::new();
    sim.core.create_topic("t", 1, &[]).unwrap();
    let fetching = sim.send(
        12,
        Sim::fetch_request("t", 0, 0, false).with_max_wait_ms(500),
    );
    sim.core.disconnect(fetching);
    assert_eq!(sim.core.next_deadline_ms(), None);
    sim.produce("t", 0, &Batch::plain(&["a"]));
    assert!(sim.outcome(fetching).is_none());
}

#[test]
fn a_restart_gives_every_member_a_whole_session() {
    let mut sim = Sim::new();
    let member = joined(&mut sim);
    sim.pass(5_000);
    sim.core.restarted(sim.now_ms);
    sim.pass(5_000);
    assert_eq!(
        sim.call::<HeartbeatResponse>(3, beat(&member)).error_code,
        0
    );
}
