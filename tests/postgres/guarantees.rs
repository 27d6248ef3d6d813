//! Rows of an application whose guarantee is a weaker one, and that dies: a sink with positions
//! writes each row once all the same where nothing is lost, and none twice where something is.

use std::collections::BTreeSet;

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster,
    ledger::{Entry, Ledger},
    postgres::{Database, Postgres},
    rows,
    wait::wait_until,
    worker::{Application, At, Orders, Worker},
};

fn start(ledger: &Ledger<'_>, database: &Database, guarantee: &str, at: Option<At>) -> Worker {
    let mut properties = ledger.properties("a");
    let settings = [
        ("static.membership", "true"),
        ("processing.guarantee", guarantee),
    ];
    properties.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let orders = Orders {
        properties,
        application: Application::Journal(database.connection.clone()),
        topics: ledger.topics.clone(),
        at,
    };
    Worker::obeying(env!("CARGO_BIN_EXE_crash_worker"), &orders)
}

/// Dies at each of these points, and goes on; answers the rows of the journal and all its entries.
fn dies(ledger: &Ledger<'_>, database: &Database, guarantee: &str) -> [Vec<String>; 2] {
    database.run(rows::JOURNALS);
    for (point, occurrence) in POINTS {
        ledger.feed(120);
        let at = At::abort(point, occurrence);
        start(ledger, database, guarantee, Some(at)).wait_for_abort();
    }
    ledger.feed(60);
    let last = start(ledger, database, guarantee, None);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    last.close();
    let expected = entries(ledger, |entries| entries);
    [
        database.rows("SELECT account, number, amount FROM journal"),
        expected,
    ]
}

/// Some of the entries of each account, as rows.
fn entries(ledger: &Ledger<'_>, of: impl Fn(&[Entry]) -> &[Entry]) -> Vec<String> {
    ledger.with_journal(|journal| {
        let entries = journal.accounts().flat_map(|(_, entries)| of(entries));
        let rows = entries.map(|e| format!("{} {} {}", e.account, e.number, e.amount));
        rows.collect()
    })
}

const POINTS: [(BatchPoint, u64); 6] = [
    (BatchPoint::RecordProcessed, 40),
    (BatchPoint::BeforeExternalCommit, 2),
    (BatchPoint::AfterExternalCommit, 1),
    (BatchPoint::AfterExternalCommit, 3),
    (BatchPoint::BeforeCommit, 2),
    (BatchPoint::AfterCommit, 2),
];

#[test]
fn at_least_once_a_sink_with_positions_writes_each_row_once_across_crashes() {
    let ledger = Ledger::new(Cluster::shared(), "pg-alo", 2);
    let database = Postgres::shared().database("alo");
    let [found, expected] = dies(&ledger, &database, "at_least_once");
    rows::same("journal", found, expected);
    let last = database.rows("SELECT account, number, amount FROM latest");
    let latest = entries(&ledger, |entries| &entries[entries.len() - 1..]);
    rows::same("latest", last, latest);
}

#[test]
fn at_most_once_no_row_is_written_twice_across_crashes() {
    let ledger = Ledger::new(Cluster::shared(), "pg-amo", 2);
    let database = Postgres::shared().database("amo");
    let [found, expected] = dies(&ledger, &database, "at_most_once");
    let all: BTreeSet<&String> = expected.iter().collect();
    let rows: BTreeSet<&String> = found.iter().collect();
    assert_eq!(rows.len(), found.len(), "none is there twice");
    assert!(rows.is_subset(&all), "each is of an entry");
    assert!(
        rows.len() >= expected.len() / 2,
        "most are there: {}",
        rows.len()
    );
}
