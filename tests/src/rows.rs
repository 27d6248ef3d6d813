//! The ledger's application, with tables of PostgreSQL beside its topics.
//!
//! ```text
//!   balance ──> statements (topic) and table statements: a row each, no key that hides a second one
//!          └──> table balances: the last of each account
//!   branch  ──> totals (topic) and table totals: a row each
//!          └──> table branches: the last of each branch, at least once
//! ```
//!
//! What the topics hold is audited against the journal; what the tables hold, against the topics.

use std::collections::BTreeMap;

use onceflow_framework::topology::{Consumed, TopologyBuilder};
use onceflow_framework::{Error, Record, Topology, serde};
use onceflow_postgres::PostgresSink;

use crate::{
    ledger::{Hook, Ledger, LedgerTopics},
    postgres::Database,
};

/// The tables, as a user would make them.
pub const TABLES: &str = "
    CREATE TABLE statements (account text NOT NULL, number int8 NOT NULL, sum int8 NOT NULL,
                             amount int8 NOT NULL);
    CREATE TABLE balances (account text PRIMARY KEY, number int8 NOT NULL, sum int8 NOT NULL);
    CREATE TABLE totals (branch text NOT NULL, number int8 NOT NULL, sum int8 NOT NULL,
                         account text NOT NULL, entry int8 NOT NULL, amount int8 NOT NULL);
    CREATE TABLE branches (branch text PRIMARY KEY, number int8 NOT NULL, sum int8 NOT NULL)";

/// The application, writing to a database of these tables.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn topology(topics: &LedgerTopics, connection: &str, hook: Hook) -> Result<Topology, Error> {
    topics.topology_with(hook, |builder, balance, branch| {
        let statements = numbers(
            PostgresSink::insert(connection, "statements").column("account", key),
            &["number", "sum", "amount"],
        );
        builder.add_external_sink("statement-rows", statements, &[balance]);
        let balances = numbers(
            PostgresSink::upsert(connection, "balances").key("account", key),
            &["number", "sum"],
        );
        builder.add_external_sink("balance-rows", balances, &[balance]);
        let totals = PostgresSink::insert(connection, "totals")
            .column("branch", key)
            .column("number", |record| number(record, 0))
            .column("sum", |record| number(record, 1))
            .column("account", |record: &Line| word(record, 2).to_owned())
            .column("entry", |record| number(record, 3))
            .column("amount", |record| number(record, 4));
        builder.add_external_sink("total-rows", totals, &[branch]);
        let branches = numbers(
            PostgresSink::upsert_at_least_once(connection, "branches").key("branch", key),
            &["number", "sum"],
        );
        builder.add_external_sink("branch-rows", branches, &[branch]);
    })
}

/// The tables of an application that does nothing but write its input down.
pub const JOURNALS: &str = "
    CREATE TABLE journal (account text NOT NULL, number int8 NOT NULL, amount int8 NOT NULL);
    CREATE TABLE latest (account text PRIMARY KEY, number int8 NOT NULL, amount int8 NOT NULL)";

/// Writes each entry to the table `journal`, and the last of each account to `latest`, at least once.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn journal(topics: &LedgerTopics, connection: &str) -> Result<Topology, Error> {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [topics.input.as_str()], input);
    let columns = |sink: PostgresSink<String, i64>| {
        let number = |record: &Record<String, i64>| {
            let value = record.headers.iter().next()?.value.as_deref()?;
            let tag = String::from_utf8_lossy(value);
            tag.split('#').nth(1)?.parse::<i64>().ok()
        };
        sink.column("number", number)
            .column("amount", |record| record.value)
    };
    let account = |record: &Record<String, i64>| record.key.clone();
    let all = PostgresSink::insert(connection, "journal").column("account", account);
    builder.add_external_sink("journal", columns(all), &[&entries]);
    let last = PostgresSink::upsert_at_least_once(connection, "latest").key("account", account);
    builder.add_external_sink("latest", columns(last), &[&entries]);
    builder.build()
}

/// What the ledger's processors write: words that are mostly numbers.
type Line = Record<String, String>;
type Sink = PostgresSink<String, String>;

/// The words of a value, as columns of these names.
fn numbers(sink: Sink, names: &[&str]) -> Sink {
    let columns = names.iter().enumerate();
    columns.fold(sink, |sink, (place, name)| {
        sink.column(*name, move |record| number(record, place))
    })
}

fn key(record: &Line) -> String {
    record.key.clone()
}

fn word(record: &Line, place: usize) -> &str {
    record.value.split(' ').nth(place).unwrap_or_default()
}

/// None is refused by the table.
fn number(record: &Line, place: usize) -> Option<i64> {
    word(record, place).parse().ok()
}

/// Holds the tables against the topics, and those against the journal. The workers have ended.
///
/// # Panics
///
/// At the first difference.
pub fn audit(ledger: &Ledger<'_>, database: &Database) {
    ledger.audit();
    let statements = lines(ledger, &ledger.topics.statements);
    let totals = lines(ledger, &ledger.topics.totals);
    let found = |query: &str| database.rows(query);
    let rows = found("SELECT account, number, sum, amount FROM statements");
    same("statements", rows, statements.clone());
    let rows = found("SELECT branch, number, sum, account, entry, amount FROM totals");
    same("totals", rows, totals.clone());
    same(
        "balances",
        found("SELECT account, number, sum FROM balances"),
        last(&statements),
    );
    same(
        "branches",
        found("SELECT branch, number, sum FROM branches"),
        last(&totals),
    );
}

/// The records of a topic as rows: the key, then the words.
fn lines(ledger: &Ledger<'_>, topic: &str) -> Vec<String> {
    let records = ledger.cluster.settled(topic);
    let lines = records.iter();
    lines
        .map(|record| format!("{} {}", record.key_text(), record.text()))
        .collect()
}

/// Of each key the line with the highest number: key, number, sum.
fn last(lines: &[String]) -> Vec<String> {
    let mut last: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let number: u64 = words[1].parse().expect("lines are numbered");
        let row = words[..3].join(" ");
        let newest = last.entry(words[0].to_owned()).or_default();
        if newest.0 < number {
            *newest = (number, row);
        }
    }
    last.into_values().map(|(_, row)| row).collect()
}

/// The same rows, each as often, in whatever order.
///
/// # Panics
///
/// When they are not, with those that are too many and too few.
pub fn same(table: &str, mut found: Vec<String>, mut expected: Vec<String>) {
    found.sort_unstable();
    expected.sort_unstable();
    if found == expected {
        return;
    }
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (have, want) = (found.len(), expected.len());
    found
        .into_iter()
        .for_each(|row| counts.entry(row).or_default().0 += 1);
    expected
        .into_iter()
        .for_each(|row| counts.entry(row).or_default().1 += 1);
    counts.retain(|_, (found, expected)| found != expected);
    let differences: Vec<_> = counts.into_iter().take(10).collect();
    panic!("table {table}: {have} rows of {want}; row, (found, expected): {differences:#?}");
}
