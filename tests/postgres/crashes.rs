//! The process dies at each point of a batch around the database's commit, and starts again: the
//! crash table of `ARCHITECTURE.md`, a row a test.

use onceflow_framework::BatchPoint;
use onceflow_tests::{Cluster, ledger::Ledger, postgres::Postgres, rows, worker::At};

use super::{tables, worker};

/// Dies at the `occurrence`-th time that the point is reached, with input before and after.
fn dies_and_goes_on(point: BatchPoint, occurrence: u64) {
    let ledger = Ledger::new(Cluster::shared(), "pg-crash", 2);
    let database = tables(Postgres::shared(), "crash");
    ledger.feed(300);
    worker(&ledger, &database, "a", Some(At::abort(point, occurrence))).wait_for_abort();
    ledger.feed(100);
    let successor = worker(&ledger, &database, "a", None);
    ledger.wait_for_all();
    successor.close();
    rows::audit(&ledger, &database);
}

#[test]
fn in_the_middle_of_a_batch() {
    dies_and_goes_on(BatchPoint::RecordProcessed, 250);
}

#[test]
fn before_the_first_rows_are_sent() {
    dies_and_goes_on(BatchPoint::BeforeExternalCommit, 1);
}

#[test]
fn before_later_rows_are_sent() {
    dies_and_goes_on(BatchPoint::BeforeExternalCommit, 3);
}

#[test]
fn with_the_first_rows_ahead_of_kafka() {
    dies_and_goes_on(BatchPoint::AfterExternalCommit, 1);
}

#[test]
fn with_later_rows_ahead_of_kafka() {
    dies_and_goes_on(BatchPoint::AfterExternalCommit, 3);
}

#[test]
fn with_rows_there_and_offsets_pending() {
    dies_and_goes_on(BatchPoint::AfterSendOffsets, 3);
}

#[test]
fn with_rows_there_and_kafkas_commit_not_sent() {
    dies_and_goes_on(BatchPoint::BeforeCommit, 3);
}

#[test]
fn with_both_committed() {
    dies_and_goes_on(BatchPoint::AfterCommit, 3);
}
