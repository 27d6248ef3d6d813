//! A worker that was given up for dead comes back with rows in its hands.

use onceflow_framework::BatchPoint;
use onceflow_tests::{Cluster, ledger::Ledger, postgres::Postgres, rows, worker::At};

use super::{tables, worker_with};

/// The zombie stands still at this point until another has done all its work; then both go on.
/// Answers what the zombie is to log.
fn comes_back(point: BatchPoint, logs: &str) {
    let ledger = Ledger::new(Cluster::shared(), "pg-zombie", 2);
    let database = tables(Postgres::shared(), "zombie");
    let settings = [
        ("consumer.max.poll.interval.ms", "6000"),
        ("transaction.timeout.ms", "2000"),
    ];
    ledger.feed(200);
    let hold = Some(At::hold(point, 2));
    let mut zombie = worker_with(&ledger, &database, "zombie", hold, &settings);
    zombie.wait_for_report("holding");
    let owner = worker_with(&ledger, &database, "owner", None, &settings);
    ledger.feed(100);
    ledger.wait_for_all();
    let rows = || database.rows("SELECT * FROM statements");
    let before = rows();
    zombie.go_on();
    zombie.wait_for_log(logs);
    zombie.wait_for_logs("partitions assigned", 2);
    rows::same("statements", rows(), before);
    ledger.feed(100);
    ledger.wait_for_all();
    zombie.close();
    owner.close();
    rows::audit(&ledger, &database);
}

#[test]
fn its_rows_are_refused_by_the_epoch() {
    comes_back(BatchPoint::BeforeExternalCommit, "joining as a new member");
}

#[test]
fn its_rows_that_were_written_are_left_out_by_the_owner() {
    comes_back(BatchPoint::AfterExternalCommit, "batch given up");
}
