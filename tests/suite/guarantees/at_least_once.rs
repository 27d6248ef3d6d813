//! At least once: nothing is lost, in outputs or in state, whatever is lost, killed or paused.

use onceflow_broker::ApiKey;
use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster, Lost,
    ledger::{Ledger, Tallies},
    worker::At,
};

use super::{config, consumer, join_and_leave_under_load, member, producer, start};

const GUARANTEE: &str = "at_least_once";

fn nothing_is_lost(tallies: &Tallies) {
    assert_eq!(tallies.lost(), 0, "{tallies:?}");
    assert_eq!(tallies.overtaken(), 0, "{tallies:?}");
}

fn dies(point: BatchPoint, occurrence: u64) -> Tallies {
    let ledger = Ledger::new(Cluster::shared(), "alo-crash", 2);
    let tallies = super::dies_and_goes_on(&ledger, GUARANTEE, At::abort(point, occurrence));
    nothing_is_lost(&tallies);
    tallies
}

#[test]
fn a_crash_before_a_batch_loses_nothing() {
    dies(BatchPoint::BeforeBegin, 1);
    dies(BatchPoint::BeforeBegin, 3);
}

#[test]
fn a_crash_within_a_batch_loses_nothing() {
    dies(BatchPoint::RecordProcessed, 1);
    dies(BatchPoint::RecordProcessed, 250);
}

#[test]
fn a_crash_with_outputs_on_their_way_loses_nothing() {
    dies(BatchPoint::BeforeSendOffsets, 1);
    dies(BatchPoint::BeforeSendOffsets, 3);
}

/// Everything of the batch is delivered and its offsets are not committed: its outputs come again,
/// and its effects on the stores are in the changelogs already, so that they count twice.
#[test]
fn a_crash_between_delivery_and_commit_repeats_the_batch_and_loses_nothing() {
    for occurrence in [1, 3] {
        let tallies = dies(BatchPoint::BeforeCommit, occurrence);
        let places = [&tallies.statements, &tallies.balances];
        assert!(places.iter().all(|tally| tally.repeated > 0), "{tallies:?}");
    }
}

/// The offsets are committed: the changelogs hold all that the stores would have been given.
#[test]
fn a_crash_after_the_commit_loses_and_repeats_nothing() {
    for point in [BatchPoint::AfterCommit, BatchPoint::AfterApply] {
        for occurrence in [1, 3] {
            assert_eq!(dies(point, occurrence), Tallies::default(), "{point:?}");
        }
    }
}

/// Requests of this API, then their answers, are lost for a while.
fn losses_are_outlived(api: ApiKey, client: fn(&Ledger<'_>) -> String) -> Tallies {
    let ledger = Ledger::new(Cluster::shared(), "alo-lost", 2);
    let client = client(&ledger);
    let lossy = config(&ledger, GUARANTEE)
        .property("bootstrap.servers", ledger.cluster.lossy_servers())
        .property("transaction.timeout.ms", "2000");
    ledger.feed(40);
    let program = start(&ledger, lossy);
    for lost in [Lost::Request, Lost::Answer] {
        program.wait_until_running();
        let losses = ledger.cluster.lose(lost, api, &client, Some(3));
        ledger.feed(40);
        losses.wait_for_hit();
        ledger.wait_until_consumed();
        drop(losses);
        ledger.feed(40);
        ledger.wait_until_consumed();
    }
    program.close().unwrap();
    ledger.tallies()
}

#[test]
fn lost_commits_of_offsets_lose_nothing() {
    let tallies = losses_are_outlived(ApiKey::OffsetCommit, consumer);
    nothing_is_lost(&tallies);
}

/// What is given up by one attempt and delivered by the next may come after its successors.
#[test]
fn lost_batches_of_records_lose_nothing() {
    let tallies = losses_are_outlived(ApiKey::Produce, producer);
    assert_eq!(tallies.lost(), 0, "{tallies:?}");
}

/// Nothing fails, so nothing is repeated either: on a revoke the batch is finished first.
#[test]
fn a_rebalance_loses_and_repeats_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "alo-join-leave", 4);
    join_and_leave_under_load(&ledger, GUARANTEE);
    ledger.audit();
}

/// The zombie has delivered a batch and been replaced before it could commit: its outputs repeat,
/// its offsets are refused.
#[test]
fn a_zombie_cannot_commit_offsets() {
    let ledger = Ledger::new(Cluster::shared(), "alo-zombie", 2);
    ledger.feed(200);
    let hold = At::hold(BatchPoint::BeforeCommit, 2);
    let mut zombie = member(&ledger, GUARANTEE, "zombie", Some(hold));
    zombie.wait_for_report("holding");
    let owner = member(&ledger, GUARANTEE, "owner", None);
    ledger.feed(100);
    ledger.wait_until_consumed();
    let before = ledger.everything();
    zombie.go_on();
    zombie.wait_for_log("batch given up");
    assert_eq!(ledger.everything(), before, "the zombie changed something");
    ledger.feed(100);
    ledger.wait_until_consumed();
    zombie.close();
    owner.close();
    let tallies = ledger.tallies();
    assert_eq!(tallies.lost(), 0, "{tallies:?}");
    assert!(tallies.statements.repeated > 0, "{tallies:?}");
}
