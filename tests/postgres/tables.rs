//! A table that is not as the sink expects it stops the application before the first record, and
//! the error says what to change.

use onceflow_framework::ErrorKind;
use onceflow_postgres::PostgresSink;
use onceflow_tests::{
    Cluster,
    ledger::Ledger,
    postgres::Postgres,
    wait::{Stopwatch, wait_until},
};

use super::{JOURNAL, journal, put, start, straight};

type Sink = PostgresSink<String, i64>;

/// The application stops, soon, and says these words.
fn check(tables: &str, sink: impl FnOnce(&str) -> Sink, words: &[&str]) {
    let ledger = Ledger::new(Cluster::shared(), "pg-table", 1);
    let database = Postgres::shared().database("table");
    if !tables.is_empty() {
        database.run(tables);
    }
    let watch = Stopwatch::start();
    let program = start(
        straight(&ledger, sink(&database.connection)),
        ledger.config("a"),
    );
    let error = program.failure();
    let took = watch.elapsed();
    assert!(took.as_secs() < 10, "it took {took:?}");
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    let text = error.to_string();
    for word in words.iter().chain(&["node journal", "task 0_0"]) {
        assert!(text.contains(word), "'{text}' does not say '{word}'");
    }
}

fn keyed(connection: &str) -> Sink {
    Sink::upsert(connection, "journal")
        .key("account", |record| record.key.clone())
        .column("cents", |record| record.value)
}

#[test]
fn a_table_that_is_not_there_is_named_with_its_database() {
    check(
        "",
        journal,
        &["no table journal", "database table", "search path"],
    );
}

#[test]
fn columns_that_are_missing_are_named_beside_those_that_are_there() {
    let tables = "CREATE TABLE journal (account text, euros int8)";
    check(tables, journal, &["no column cents", "account, euros"]);
}

#[test]
fn columns_that_need_a_value_and_get_none_are_named() {
    let tables =
        "CREATE TABLE journal (id serial, account text, cents int8, at timestamptz NOT NULL)";
    check(tables, journal, &["needs a value for at,"]);
}

#[test]
fn a_type_that_cannot_be_written_is_named_with_both_sides() {
    let tables = "CREATE TABLE journal (account text, cents int4)";
    check(tables, journal, &["column cents", "int4", "i64"]);
}

#[test]
fn keys_without_a_unique_constraint_are_refused() {
    check(JOURNAL, keyed, &["no unique or exclusion constraint"]);
}

#[test]
fn an_upsert_without_a_key_is_refused() {
    let keyless = |connection: &str| {
        Sink::upsert(connection, "journal").column("cents", |record| record.value)
    };
    check(JOURNAL, keyless, &["no key column"]);
}

#[test]
fn a_password_that_is_wrong_or_a_user_who_is_not_is_told_at_once() {
    let nobody = |connection: &str| journal(&connection.replace("user=postgres", "user=eve"));
    check(JOURNAL, nobody, &["\"eve\" does not exist"]);
}

#[test]
fn a_column_that_is_dropped_while_the_application_runs_stops_it_with_the_position() {
    let ledger = Ledger::new(Cluster::shared(), "pg-dropped", 1);
    let database = Postgres::shared().database("dropped");
    database.run(JOURNAL);
    let program = start(
        straight(&ledger, journal(&database.connection)),
        ledger.config("a"),
    );
    put(&ledger, &[("ada", 1)]);
    wait_until("it is written", || ledger.consumed_to(0) > 0);
    database.run("ALTER TABLE journal DROP COLUMN cents");
    put(&ledger, &[("bob", 2)]);
    let error = program.failure();
    let text = error.to_string();
    assert!(
        text.contains("\"cents\"") && text.contains("does not exist"),
        "{text}"
    );
    assert!(error.position().is_some(), "{text}");
}

#[test]
fn deleted_rows_go_and_last_values_stay_even_within_a_batch() {
    let ledger = Ledger::new(Cluster::shared(), "pg-deleted", 1);
    let database = Postgres::shared().database("deleted");
    database.run("CREATE TABLE journal (cents int8, account text PRIMARY KEY)");
    let sink = keyed(&database.connection).delete_if(|record| record.value == 0);
    put(
        &ledger,
        &[
            ("ada", 1),
            ("bob", 2),
            ("ada", 0),
            ("cyd", 0),
            ("cyd", 5),
            ("bob", 7),
            ("bob", 0),
        ],
    );
    let program = start(straight(&ledger, sink), ledger.config("a"));
    wait_until("it is written", || ledger.input_is_consumed());
    program.close().unwrap();
    assert_eq!(
        database.rows("SELECT account, cents FROM journal"),
        ["cyd 5"]
    );
}
