//! The process dies at each point of batches that hold dead letters: exactly the poison is buried,
//! exactly once, and its neighbours are processed once.

use onceflow_framework::{BatchPoint, handler::FailureScope};
use onceflow_tests::{
    Cluster,
    ledger::Ledger,
    poisoned::{self, Entries},
    wait::wait_until,
    worker::{Application, At, Orders, Worker},
};

use super::WORKER;

fn poisoned_worker(
    ledger: &Ledger<'_>,
    come: Entries,
    settings: Vec<(String, String)>,
    at: Option<At>,
) -> Worker {
    let mut properties = ledger.properties("a");
    properties.push(("static.membership".to_owned(), "true".to_owned()));
    properties.extend(settings);
    let topics = ledger.topics.clone();
    let application = Application::Poisoned(come);
    Worker::obeying(
        WORKER,
        &Orders {
            properties,
            application,
            topics,
            at,
        },
    )
}

/// Dies once at each of these points, with poison before and after it, and goes on.
fn dies_and_buries(
    name: &str,
    (come, scope): (Entries, FailureScope),
    points: &[(BatchPoint, u64)],
) {
    let ledger = Ledger::new(Cluster::shared(), name, 2);
    for (point, occurrence) in points {
        ledger.feed(60);
        let at = At::abort(*point, *occurrence);
        poisoned_worker(
            &ledger,
            come,
            poisoned::burying(&ledger.topics, scope),
            Some(at),
        )
        .wait_for_abort();
    }
    ledger.feed(60);
    let last = poisoned_worker(
        &ledger,
        come,
        poisoned::burying(&ledger.topics, scope),
        None,
    );
    wait_until("everything is consumed", || ledger.input_is_consumed());
    last.close();
    poisoned::audit(&ledger, come, scope);
}

#[test]
fn dead_letters_are_exactly_once_across_crashes_before_the_offsets_are_sent() {
    let points = [
        (BatchPoint::BeforeBegin, 1),
        (BatchPoint::RecordProcessed, 1),
        (BatchPoint::RecordProcessed, 17),
        (BatchPoint::BeforeSendOffsets, 1),
        (BatchPoint::BeforeSendOffsets, 2),
    ];
    dies_and_buries(
        "buried-early",
        (Entries::AtOnce, FailureScope::Record),
        &points,
    );
}

#[test]
fn dead_letters_are_exactly_once_across_crashes_around_the_commit() {
    let points = [
        (BatchPoint::AfterSendOffsets, 1),
        (BatchPoint::AfterSendOffsets, 2),
        (BatchPoint::BeforeCommit, 1),
        (BatchPoint::AfterCommit, 1),
        (BatchPoint::AfterCommit, 2),
        (BatchPoint::AfterApply, 1),
    ];
    dies_and_buries(
        "buried-late",
        (Entries::AtOnce, FailureScope::Record),
        &points,
    );
}

#[test]
fn what_a_node_did_before_it_failed_is_exactly_once_across_crashes() {
    let points = [
        (BatchPoint::RecordProcessed, 1),
        (BatchPoint::RecordProcessed, 17),
        (BatchPoint::BeforeSendOffsets, 2),
        (BatchPoint::AfterSendOffsets, 1),
        (BatchPoint::BeforeCommit, 1),
        (BatchPoint::AfterCommit, 1),
        (BatchPoint::AfterApply, 1),
    ];
    dies_and_buries("kept", (Entries::AtOnce, FailureScope::Node), &points);
}

/// Where a buffer and its changelog, a dead letter and the record that let the poison go are one batch.
#[test]
fn poison_that_waited_is_buried_once_across_crashes_and_what_let_it_go_takes_effect() {
    let points = [
        (BatchPoint::RecordProcessed, 17),
        (BatchPoint::BeforeSendOffsets, 2),
        (BatchPoint::AfterSendOffsets, 1),
        (BatchPoint::AfterCommit, 1),
        (BatchPoint::AfterApply, 1),
    ];
    let later = |scope| (Entries::Later, scope);
    dies_and_buries("later", later(FailureScope::Record), &points);
    dies_and_buries("later-kept", later(FailureScope::Node), &points);
}

#[test]
fn a_process_that_a_handler_ends_leaves_nothing_of_its_batch() {
    let ledger = Ledger::new(Cluster::shared(), "exits", 1);
    ledger.feed(60);
    let mut worker = poisoned_worker(&ledger, Entries::AtOnce, Vec::new(), None);
    let status = worker.wait();
    assert_eq!(status.code(), Some(1));
    assert!(worker.logged("the process ends"), "it says so first");
    assert_eq!(worker.report("failed"), None, "nobody waits for the end");
    let last = poisoned_worker(
        &ledger,
        Entries::AtOnce,
        poisoned::burying(&ledger.topics, FailureScope::Record),
        None,
    );
    wait_until("everything is consumed", || ledger.input_is_consumed());
    last.close();
    poisoned::audit(&ledger, Entries::AtOnce, FailureScope::Record);
}
