//! Rows that the table refuses: found among their neighbours, and told or given up.

use std::time::Duration;

use onceflow_framework::ErrorKind;
use onceflow_framework::config::ConfigBuilder;
use onceflow_postgres::PostgresSink;
use onceflow_tests::{
    Cluster, Program,
    ledger::Ledger,
    postgres::{Database, Postgres},
    rows,
    wait::{Stopwatch, wait_until},
};

use super::{journal, put, start, straight};

/// How long a refused row may take to be told.
const SOON: Duration = Duration::from_secs(10);

fn database(name: &str, table: &str) -> Database {
    let database = Postgres::shared().database(name);
    database.run(table);
    database
}

/// What stops an application that gets these entries, the last of which starts at `offset`.
fn stops(table: &str, entries: &[(&str, i64)]) -> (onceflow_framework::Error, Vec<String>) {
    let ledger = Ledger::new(Cluster::shared(), "pg-refused", 1);
    let database = database("refused", table);
    put(&ledger, entries);
    let watch = Stopwatch::start();
    let program = start(
        straight(&ledger, journal(&database.connection)),
        ledger.config("a"),
    );
    let error = program.failure();
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    (error, database.rows("SELECT * FROM journal"))
}

fn says(error: &onceflow_framework::Error, offset: i64, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "'{text}' does not say '{word}'");
    }
    let position = error.position().expect("it names the record");
    assert_eq!(position.offset.get(), offset, "{text}");
}

const UNIQUE: &str = "CREATE TABLE journal (account text CONSTRAINT one_each UNIQUE, cents int8)";

#[test]
fn a_unique_violation_stops_at_its_record_with_table_constraint_and_values() {
    let entries = [("ada", 1), ("bob", 2), ("cyd", 3), ("ada", 4), ("dan", 5)];
    let (error, rows) = stops(UNIQUE, &entries);
    says(
        &error,
        3,
        &[
            "table journal",
            "one_each",
            "(account)=(ada)",
            "node journal",
        ],
    );
    assert!(
        rows.len() <= 3,
        "nothing of a refused batch is written: {rows:?}"
    );
}

#[test]
fn a_deferred_constraint_is_no_later_than_the_rows() {
    let table = "CREATE TABLE journal (account text, cents int8,
                 CONSTRAINT later UNIQUE (account) DEFERRABLE INITIALLY DEFERRED)";
    let (error, _) = stops(table, &[("ada", 1), ("bob", 2), ("ada", 3)]);
    says(&error, 2, &["later"]);
}

#[test]
fn text_that_no_table_can_hold_stops_at_its_record() {
    let table = "CREATE TABLE journal (account text, cents int8)";
    let (error, _) = stops(table, &[("ada", 1), ("b\0b", 2), ("cyd", 3)]);
    says(&error, 1, &["invalid byte sequence"]);
}

#[test]
fn a_limit_of_a_column_is_broken_at_its_record() {
    let table = "CREATE TABLE journal (account varchar(3), cents int8)";
    let (error, _) = stops(table, &[("ada", 1), ("bob", 2), ("elizabeth", 3)]);
    says(&error, 2, &["too long"]);
}

/// An application that gives up what is refused, and buries it.
fn going_on(ledger: &Ledger<'_>, sink: PostgresSink<String, i64>, buried: &str) -> Program {
    let config: ConfigBuilder = ledger.config("a");
    let config = config
        .property("processing.exception.handler", "continue")
        .property("errors.dead.letter.queue.topic.name", buried);
    start(straight(ledger, sink), config)
}

#[test]
fn refused_records_are_given_up_alone_and_buried_with_the_reason() {
    let cluster = Cluster::shared();
    let ledger = Ledger::new(cluster, "pg-given-up", 1);
    let table =
        "CREATE TABLE journal (account text, cents int8 CONSTRAINT small CHECK (cents < 100))";
    let database = database("given-up", table);
    let buried = cluster.topic("pg-buried", 1);
    let entries: Vec<(String, i64)> = (0..200)
        .map(|number| {
            (
                format!("a{number}"),
                if number % 41 == 7 { 100 + number } else { 1 },
            )
        })
        .collect();
    let entries: Vec<(&str, i64)> = entries.iter().map(|(a, c)| (a.as_str(), *c)).collect();
    put(&ledger, &entries);
    let program = going_on(&ledger, journal(&database.connection), &buried);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    program.close().unwrap();

    let good = entries.iter().filter(|(_, cents)| *cents < 100);
    let good = good.map(|(account, cents)| format!("{account} {cents}"));
    rows::same(
        "journal",
        database.rows("SELECT * FROM journal"),
        good.collect(),
    );
    let bad = entries.iter().filter(|(_, cents)| *cents >= 100);
    let bad = bad.map(|(account, _)| (*account).to_owned());
    let letters = cluster.settled(&buried);
    let found = letters.iter().map(onceflow_tests::Record::key_text);
    rows::same("dead letters", found.collect(), bad.collect());
    for letter in &letters {
        let reason = letter
            .headers
            .iter()
            .filter_map(|(_, value)| value.as_deref());
        let mut reason = reason.map(String::from_utf8_lossy);
        assert!(
            reason.any(|text| text.contains("constraint small")),
            "{letter:?}"
        );
    }
}
