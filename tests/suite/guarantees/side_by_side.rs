//! The same crash under each guarantee, and one application under one after the other.

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster,
    ledger::{Ledger, Tallies},
    worker::At,
};

use super::{dies_and_goes_on, worker};

/// Dies in the middle of a batch, in which outputs were sent and nothing was committed, but what
/// was reserved before.
#[test]
fn the_same_crash_repeats_loses_or_does_neither() {
    let tallies = ["exactly_once_v2", "at_least_once", "at_most_once"].map(|guarantee| {
        let ledger = Ledger::new(Cluster::shared(), "same-crash", 1);
        let at = At::abort(BatchPoint::RecordProcessed, 150);
        dies_and_goes_on(&ledger, guarantee, at)
    });
    let [exactly, at_least, at_most] = tallies;
    assert_eq!(exactly, Tallies::default());
    assert_eq!(at_least.lost(), 0, "{at_least:?}");
    assert_eq!(at_most.repeated(), 0, "{at_most:?}");
    assert!(at_most.lost() > 0, "{at_most:?}");
}

/// Offsets and changelogs are the same under each, so a stopped application goes on under another.
#[test]
fn an_application_changes_its_guarantee_between_two_runs() {
    let ledger = Ledger::new(Cluster::shared(), "changes", 2);
    for guarantee in [
        "exactly_once_v2",
        "at_least_once",
        "at_most_once",
        "exactly_once_v2",
    ] {
        ledger.feed(100);
        let run = worker(&ledger, guarantee, "a", None);
        ledger.wait_until_consumed();
        run.close();
    }
    ledger.audit();
}

/// The transaction that the crash leaves open covers outputs and offsets. The next run has no
/// transactional id to end it by, and waits until the broker has.
#[test]
fn a_transaction_left_open_is_waited_for_by_a_weaker_guarantee() {
    let ledger = Ledger::new(Cluster::shared(), "left-open", 1);
    ledger.feed(200);
    let at = At::abort(BatchPoint::AfterSendOffsets, 2);
    worker(&ledger, "exactly_once_v2", "a", Some(at)).wait_for_abort();
    ledger.feed(100);
    let next = worker(&ledger, "at_least_once", "a", None);
    ledger.wait_until_consumed();
    next.close();
    ledger.audit();
}
