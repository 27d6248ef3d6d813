//! The process dies at each point of a batch, with no unwinding and no cleanup, and starts again.
//!
//! The crash table of `ARCHITECTURE.md`, a row a test: each point once in the first batch, where
//! the group has committed nothing yet, and once in a later one.

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster,
    ledger::Ledger,
    worker::{At, Worker},
};

use super::worker;

/// Which occurrence of a point is in a later batch; records are many to a batch.
fn later(point: BatchPoint) -> u64 {
    if point == BatchPoint::RecordProcessed {
        250
    } else {
        3
    }
}

/// Dies at the `occurrence`-th time that the point is reached, with input before and after.
fn dies_and_goes_on(point: BatchPoint, occurrence: u64) {
    let ledger = Ledger::new(Cluster::shared(), "crash", 2);
    ledger.feed(300);
    worker(&ledger, "a", Some(At::abort(point, occurrence))).wait_for_abort();
    ledger.feed(100);
    let successor = worker(&ledger, "a", None);
    ledger.wait_for_all();
    successor.close();
    ledger.audit();
}

#[test]
fn before_the_first_batch_begins() {
    dies_and_goes_on(BatchPoint::BeforeBegin, 1);
}

#[test]
fn before_a_later_batch_begins() {
    dies_and_goes_on(BatchPoint::BeforeBegin, later(BatchPoint::BeforeBegin));
}

#[test]
fn at_the_first_record_of_all() {
    dies_and_goes_on(BatchPoint::RecordProcessed, 1);
}

#[test]
fn in_the_middle_of_a_batch() {
    dies_and_goes_on(
        BatchPoint::RecordProcessed,
        later(BatchPoint::RecordProcessed),
    );
}

#[test]
fn before_the_first_offsets_are_sent() {
    dies_and_goes_on(BatchPoint::BeforeSendOffsets, 1);
}

#[test]
fn before_later_offsets_are_sent() {
    dies_and_goes_on(
        BatchPoint::BeforeSendOffsets,
        later(BatchPoint::BeforeSendOffsets),
    );
}

#[test]
fn with_the_first_offsets_pending() {
    dies_and_goes_on(BatchPoint::AfterSendOffsets, 1);
}

#[test]
fn with_later_offsets_pending() {
    dies_and_goes_on(
        BatchPoint::AfterSendOffsets,
        later(BatchPoint::AfterSendOffsets),
    );
}

#[test]
fn with_the_first_commit_not_sent() {
    dies_and_goes_on(BatchPoint::BeforeCommit, 1);
}

#[test]
fn with_a_later_commit_not_sent() {
    dies_and_goes_on(BatchPoint::BeforeCommit, later(BatchPoint::BeforeCommit));
}

#[test]
fn with_the_first_commit_not_applied() {
    dies_and_goes_on(BatchPoint::AfterCommit, 1);
}

#[test]
fn with_a_later_commit_not_applied() {
    dies_and_goes_on(BatchPoint::AfterCommit, later(BatchPoint::AfterCommit));
}

#[test]
fn with_the_first_batch_applied() {
    dies_and_goes_on(BatchPoint::AfterApply, 1);
}

#[test]
fn with_a_later_batch_applied() {
    dies_and_goes_on(BatchPoint::AfterApply, later(BatchPoint::AfterApply));
}

/// What a worker logs when it begins and ends a restore.
const RESTORE_BEGINS: &str = "partitions assigned";
const RESTORE_ENDS: &str = "state restored";

/// How often a kill may come too late, or too early, to hit the restore.
const KILLS_MAX: usize = 20;

#[test]
fn again_while_the_next_one_restores() {
    let ledger = Ledger::new(Cluster::shared(), "crash-restore", 2);
    ledger.feed(2_000);
    let first = worker(&ledger, "a", None);
    ledger.wait_for(1_000);
    first.kill();
    let hit = (0..KILLS_MAX).any(|_| {
        let mut restoring = worker(&ledger, "a", None);
        restoring.wait_for_log(RESTORE_BEGINS);
        restoring.end();
        !restoring.logged(RESTORE_ENDS)
    });
    assert!(hit, "no kill hit a restore in {KILLS_MAX} attempts");
    let last = worker(&ledger, "a", None);
    ledger.wait_for_all();
    last.close();
    ledger.audit();
}

#[test]
fn in_the_first_batch_of_every_successor() {
    let ledger = Ledger::new(Cluster::shared(), "crash-row", 2);
    ledger.feed(300);
    let points = [
        BatchPoint::RecordProcessed,
        BatchPoint::AfterSendOffsets,
        BatchPoint::BeforeCommit,
        BatchPoint::AfterCommit,
        BatchPoint::BeforeBegin,
        BatchPoint::AfterApply,
    ];
    for point in points {
        worker(&ledger, "a", Some(At::abort(point, 1))).wait_for_abort();
        ledger.feed(20);
    }
    let last = worker(&ledger, "a", None);
    ledger.wait_for_all();
    last.close();
    ledger.audit();
}

/// A kill from outside, at a moment that nobody chose, while input arrives.
#[test]
fn by_sigkill_under_load() {
    let ledger = Ledger::new(Cluster::shared(), "sigkill", 2);
    for round in 0..3 {
        ledger.feed(300);
        let mut victim = worker(&ledger, "a", None);
        victim.wait_until_running();
        ledger.feed(300);
        ledger.wait_for(600 * round + 1);
        victim.kill();
    }
    let last = worker(&ledger, "a", None);
    ledger.wait_for_all();
    last.close();
    ledger.audit();
}

#[test]
fn without_new_input_changes_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "crash-idle", 2);
    ledger.feed(200);
    let first = worker(&ledger, "a", None);
    ledger.wait_for_all();
    first.kill();
    let before = ledger.everything();
    for _ in 0..2 {
        let mut idle = worker(&ledger, "a", None);
        idle.wait_until_running();
        Worker::close(idle);
    }
    assert_eq!(ledger.everything(), before);
    ledger.audit();
}
