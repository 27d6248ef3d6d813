//! At most once: nothing takes effect twice, in outputs or in state, whatever is lost, killed or
//! paused.

use onceflow_broker::ApiKey;
use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster, Lost,
    ledger::{Ledger, Tallies},
    worker::At,
};

use super::{config, consumer, join_and_leave_under_load, member, producer, start};

const GUARANTEE: &str = "at_most_once";

fn nothing_is_repeated(tallies: &Tallies) {
    assert_eq!(tallies.repeated(), 0, "{tallies:?}");
    assert_eq!(tallies.overtaken(), 0, "{tallies:?}");
}

fn dies(point: BatchPoint, occurrence: u64) -> Tallies {
    let ledger = Ledger::new(Cluster::shared(), "amo-crash", 2);
    let tallies = super::dies_and_goes_on(&ledger, GUARANTEE, At::abort(point, occurrence));
    nothing_is_repeated(&tallies);
    tallies
}

#[test]
fn a_crash_before_anything_is_reserved_loses_and_repeats_nothing() {
    let tallies = dies(BatchPoint::BeforeSendOffsets, 1);
    assert_eq!(tallies.lost(), 0, "{tallies:?}");
    dies(BatchPoint::BeforeSendOffsets, 3);
}

/// The offsets are committed and none of their records is processed: nobody processes them.
#[test]
fn a_crash_after_the_reservation_loses_the_batch_and_repeats_nothing() {
    for (point, occurrence) in [
        (BatchPoint::AfterSendOffsets, 1),
        (BatchPoint::AfterSendOffsets, 3),
        (BatchPoint::BeforeBegin, 1),
    ] {
        let tallies = dies(point, occurrence);
        let places = [&tallies.statements, &tallies.totals, &tallies.balances];
        assert!(places.iter().all(|tally| tally.lost > 0), "{tallies:?}");
    }
}

#[test]
fn a_crash_within_a_batch_repeats_nothing() {
    dies(BatchPoint::RecordProcessed, 1);
    dies(BatchPoint::RecordProcessed, 250);
}

#[test]
fn a_crash_with_outputs_on_their_way_repeats_nothing() {
    for point in [BatchPoint::BeforeCommit, BatchPoint::AfterCommit] {
        dies(point, 1);
        dies(point, 3);
    }
}

#[test]
fn a_crash_between_two_batches_repeats_nothing() {
    dies(BatchPoint::AfterApply, 1);
    dies(BatchPoint::AfterApply, 3);
}

/// The worker cannot know whether its offsets are committed. It leaves, and what it may have
/// reserved is left to those who know.
fn reservations_are_lost(lost: Lost) -> Tallies {
    let ledger = Ledger::new(Cluster::shared(), "amo-unknown", 2);
    let client = consumer(&ledger);
    let lossy = config(&ledger, GUARANTEE)
        .property("bootstrap.servers", ledger.cluster.lossy_servers())
        .property("transaction.timeout.ms", "2000");
    ledger.feed(40);
    let program = start(&ledger, lossy);
    ledger.wait_until_consumed();
    let losses = ledger
        .cluster
        .lose(lost, ApiKey::OffsetCommit, &client, None);
    ledger.feed(40);
    losses.wait_for_hit();
    drop(losses);
    ledger.feed(40);
    ledger.wait_until_consumed();
    program.close().unwrap();
    let tallies = ledger.tallies();
    nothing_is_repeated(&tallies);
    tallies
}

#[test]
fn a_lost_reservation_loses_and_repeats_nothing() {
    let tallies = reservations_are_lost(Lost::Request);
    assert_eq!(tallies.statements.lost, 0, "{tallies:?}");
}

#[test]
fn a_reservation_whose_answer_is_lost_repeats_nothing() {
    reservations_are_lost(Lost::Answer);
}

/// Nobody asks for an answer, so nobody notices.
#[test]
fn lost_batches_of_records_are_lost_for_good() {
    let ledger = Ledger::new(Cluster::shared(), "amo-lost", 2);
    let client = producer(&ledger);
    let lossy = config(&ledger, GUARANTEE);
    let lossy = lossy.property("bootstrap.servers", ledger.cluster.lossy_servers());
    ledger.feed(40);
    let program = start(&ledger, lossy);
    ledger.wait_until_consumed();
    let losses = ledger
        .cluster
        .lose(Lost::Request, ApiKey::Produce, &client, None);
    ledger.feed(40);
    losses.wait_for_hit();
    ledger.wait_until_consumed();
    drop(losses);
    ledger.feed(40);
    ledger.wait_until_consumed();
    program.close().unwrap();
    let tallies = ledger.tallies();
    assert_eq!(tallies.repeated(), 0, "{tallies:?}");
    assert!(tallies.statements.lost > 0, "{tallies:?}");
}

/// Nothing fails, so nothing is lost either: on a revoke the reserved records are processed first.
#[test]
fn a_rebalance_loses_and_repeats_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "amo-join-leave", 4);
    join_and_leave_under_load(&ledger, GUARANTEE);
    let tallies = ledger.tallies();
    for outputs in [&tallies.statements, &tallies.totals] {
        assert_eq!((outputs.lost, outputs.repeated), (0, 0), "{tallies:?}");
    }
}

/// Its successor has processed the records by then.
#[test]
fn a_zombie_cannot_reserve() {
    let ledger = Ledger::new(Cluster::shared(), "amo-zombie", 2);
    ledger.feed(200);
    let hold = At::hold(BatchPoint::BeforeSendOffsets, 2);
    let mut zombie = member(&ledger, GUARANTEE, "zombie", Some(hold));
    zombie.wait_for_report("holding");
    let owner = member(&ledger, GUARANTEE, "owner", None);
    ledger.feed(100);
    ledger.wait_until_consumed();
    let before = ledger.everything();
    zombie.go_on();
    zombie.wait_for_log("nothing reserved");
    assert_eq!(ledger.everything(), before, "the zombie changed something");
    ledger.feed(100);
    ledger.wait_until_consumed();
    zombie.close();
    owner.close();
    assert_eq!(ledger.tallies().statements.repeated, 0);
}

/// What it has reserved is nobody else's, so it may process it when it comes back.
#[test]
fn a_zombie_processes_what_it_has_reserved_and_nobody_else_does() {
    let ledger = Ledger::new(Cluster::shared(), "amo-late", 2);
    ledger.feed(200);
    let hold = At::hold(BatchPoint::AfterSendOffsets, 2);
    let mut zombie = member(&ledger, GUARANTEE, "zombie", Some(hold));
    zombie.wait_for_report("holding");
    let owner = member(&ledger, GUARANTEE, "owner", None);
    ledger.feed(100);
    ledger.wait_until_consumed();
    zombie.go_on();
    ledger.feed(100);
    ledger.wait_until_consumed();
    zombie.close();
    owner.close();
    let tallies = ledger.tallies();
    assert_eq!(tallies.statements.repeated, 0, "{tallies:?}");
    assert_eq!(tallies.totals.repeated, 0, "{tallies:?}");
}
