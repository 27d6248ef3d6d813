//! The process dies while it looks for what was refused, between two halves and within one, is
//! fenced, or loses its partitions: what is committed stands, and what is left is looked for again.

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster,
    ledger::Ledger,
    refused,
    wait::wait_until,
    worker::{Application, At, Orders, Worker},
};

use super::WORKER;

/// What a worker says when it begins to look.
const LOOKING: &str = "looking for what was refused";

fn start(ledger: &Ledger<'_>, instance: &str, at: Option<At>, settings: &[(&str, &str)]) -> Worker {
    let mut properties = ledger.properties(instance);
    properties.extend(refused::going_on(ledger));
    let settings = settings.iter();
    properties.extend(settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let orders = Orders {
        properties,
        application: Application::Refused,
        topics: ledger.topics.clone(),
        at,
    };
    Worker::obeying(WORKER, &orders)
}

const STATIC: (&str, &str) = ("static.membership", "true");

/// Dies once at each of these points, each time in the middle of a search, and goes on.
fn dies_looking(name: &str, points: &[(BatchPoint, u64)]) {
    let ledger = refused::ledger(Cluster::shared(), name, 2);
    ledger.feed(100);
    for (point, occurrence) in points {
        let mut worker = start(
            &ledger,
            "a",
            Some(At::abort(*point, *occurrence)),
            &[STATIC],
        );
        worker.wait_for_abort();
        assert!(
            worker.logged(LOOKING),
            "it died at {point:?} before it looked"
        );
        ledger.feed(40);
    }
    let last = start(&ledger, "a", None, &[STATIC]);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    last.close();
    refused::audit(&ledger);
}

#[test]
fn a_crash_between_two_halves_restarts_after_the_one_that_is_committed() {
    let points = [
        (BatchPoint::AfterCommit, 1),
        (BatchPoint::AfterApply, 1),
        (BatchPoint::AfterCommit, 2),
    ];
    dies_looking("halves-between", &points);
}

#[test]
fn a_crash_after_an_attempt_that_failed_leaves_nothing_of_it() {
    let points = [
        (BatchPoint::AfterAbort, 1),
        (BatchPoint::AfterAbort, 2),
        (BatchPoint::AfterAbort, 4),
    ];
    dies_looking("halves-aborted", &points);
}

#[test]
fn a_crash_within_a_half_leaves_nothing_of_it() {
    let points = [
        (BatchPoint::BeforeSendOffsets, 2),
        (BatchPoint::AfterSendOffsets, 2),
        (BatchPoint::BeforeCommit, 2),
    ];
    dies_looking("halves-within", &points);
}

/// Its successor takes over while it stands between two halves.
#[test]
fn a_zombie_that_looks_for_poison_commits_no_half_any_more() {
    let ledger = refused::ledger(Cluster::shared(), "halves-zombie", 2);
    ledger.feed(100);
    let at = At::hold(BatchPoint::AfterAbort, 2);
    let mut zombie = start(&ledger, "a", Some(at), &[STATIC]);
    zombie.wait_for_report("holding");
    let successor = start(&ledger, "a", None, &[STATIC]);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    zombie.go_on();
    zombie.wait_for_report("going on");
    ledger.feed(40);
    wait_until("the rest is consumed", || ledger.input_is_consumed());
    zombie.kill();
    successor.close();
    refused::audit(&ledger);
}

/// Another member joins while the first is between two halves, and each gets one partition.
#[test]
fn a_rebalance_in_the_middle_of_a_search_loses_and_doubles_nothing() {
    let ledger = refused::ledger(Cluster::shared(), "halves-rebalance", 2);
    ledger.feed(100);
    let at = At::hold(BatchPoint::AfterAbort, 2);
    let mut first = start(&ledger, "a", Some(at), &[]);
    first.wait_for_report("holding");
    let mut second = start(&ledger, "b", None, &[]);
    // It waits for the first, which is told of the rebalance once it goes on.
    ledger.feed(40);
    first.go_on();
    second.wait_until_running();
    ledger.feed(40);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    first.close();
    second.close();
    refused::audit(&ledger);
}

#[test]
fn at_least_once_a_crash_in_the_middle_of_a_search_loses_nothing() {
    let ledger = refused::ledger(Cluster::shared(), "halves-alo", 2);
    ledger.feed(100);
    let settings = [STATIC, ("processing.guarantee", "at_least_once")];
    for (point, occurrence) in [(BatchPoint::AfterCommit, 1), (BatchPoint::AfterAbort, 2)] {
        let at = At::abort(point, occurrence);
        let mut worker = start(&ledger, "a", Some(at), &settings);
        worker.wait_for_abort();
        assert!(
            worker.logged(LOOKING),
            "it died at {point:?} before it looked"
        );
        ledger.feed(40);
    }
    let last = start(&ledger, "a", None, &settings);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    last.close();
    refused::audit_at_least_once(&ledger);
}
