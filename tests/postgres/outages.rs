//! The database goes away, while batches are written, and comes back, or does not.

use std::time::Duration;

use onceflow_framework::ErrorKind;
use onceflow_tests::{
    Cluster,
    ledger::{Ledger, no_hook},
    postgres::Postgres,
    rows,
    wait::{Stopwatch, holds_for},
};

use super::{JOURNAL, journal, put, start, straight, tables};

fn passes(span: Duration) {
    assert!(holds_for(span, || true), "time passes");
}

#[test]
fn killed_under_load_it_loses_and_doubles_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "pg-killed", 2);
    let server = Postgres::start();
    let database = tables(&server, "killed");
    let topology = rows::topology(&ledger.topics, &database.connection, no_hook()).unwrap();
    let program = start(topology, ledger.config("a"));
    for round in 0..4 {
        ledger.feed(200);
        passes(Duration::from_millis(150 * round));
        server.kill();
        ledger.feed(50);
        server.restart();
    }
    ledger.wait_for_all();
    program.close().unwrap();
    rows::audit(&ledger, &database);
}

/// Away for several times as long as Kafka's transaction may be open: batches are aborted, and
/// processed again, and their rows come once.
#[test]
fn away_for_longer_than_a_transaction_may_be_it_is_waited_for() {
    let ledger = Ledger::new(Cluster::shared(), "pg-away", 2);
    let server = Postgres::start();
    let database = tables(&server, "away");
    let topology = rows::topology(&ledger.topics, &database.connection, no_hook()).unwrap();
    let config = ledger
        .config("a")
        .property("transaction.timeout.ms", "1000");
    let program = start(topology, config);
    ledger.feed(200);
    ledger.wait_for(50);
    server.kill();
    ledger.feed(200);
    passes(Duration::from_secs(4));
    server.restart();
    ledger.wait_for_all();
    program.close().unwrap();
    rows::audit(&ledger, &database);
}

#[test]
fn away_for_longer_than_the_sink_is_patient_it_stops_the_application_where_the_batch_begins() {
    let ledger = Ledger::new(Cluster::shared(), "pg-gone", 1);
    let server = Postgres::start();
    let database = server.database("gone");
    database.run(JOURNAL);
    let sink = || journal(&database.connection).patience(Duration::from_secs(2));
    let config = || {
        ledger
            .config("a")
            .property("transaction.timeout.ms", "1000")
    };
    let program = start(straight(&ledger, sink()), config());
    put(&ledger, &[("ada", 1), ("ada", 2)]);
    onceflow_tests::wait::wait_until("both are there", || ledger.consumed_to(0) > 0);
    server.kill();
    let watch = Stopwatch::start();
    let (_, next) = ledger.cluster.watermarks(
        &ledger.topics.input,
        0,
        onceflow_tests::Isolation::ReadUncommitted,
    );
    put(&ledger, &[("bob", 3)]);
    let error = program.failure();
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    let position = error.position().expect("it says where");
    assert_eq!(position.offset.get(), next, "{error}");
    let text = error.to_string();
    for words in ["node journal", "given up after", "table journal", "connect"] {
        assert!(text.contains(words), "'{text}' does not say '{words}'");
    }

    server.restart();
    let program = start(straight(&ledger, sink()), config());
    onceflow_tests::wait::wait_until("the third is there, too", || {
        database.rows("SELECT * FROM journal").len() >= 3
    });
    program.close().unwrap();
    let expected = ["ada 1", "ada 2", "bob 3"].map(str::to_owned);
    rows::same(
        "journal",
        database.rows("SELECT * FROM journal"),
        expected.into(),
    );
}
