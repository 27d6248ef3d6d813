//! Rows in PostgreSQL are those of the model: whatever dies, is slow, refuses or comes back.
//!
//! The server is a real one, started by the tests; Kafka is the embedded broker, or Apache Kafka
//! with `ONCEFLOW_TEST_BROKER=apache`.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

mod crashes;
mod outages;
mod in_doubt;
mod zombies;
mod rebalances;
mod refusals;
mod halves;
mod guarantees;
mod tables;
mod chaos;

use onceflow_framework::topology::{Consumed, Topology, TopologyBuilder};
use onceflow_framework::{config::ConfigBuilder, serde};
use onceflow_postgres::PostgresSink;
use onceflow_tests::{
    Outgoing, Program,
    ledger::Ledger,
    postgres::{Database, Postgres},
    rows,
    worker::{Application, At, Orders, Worker},
};

/// A database of a server with the tables of the ledger's application.
fn tables(server: &Postgres, name: &str) -> Database {
    let database = server.database(name);
    database.run(rows::TABLES);
    database
}

/// A worker process that writes to a database, with these settings besides.
fn worker_with(
    ledger: &Ledger<'_>,
    database: &Database,
    instance: &str,
    at: Option<At>,
    settings: &[(&str, &str)],
) -> Worker {
    let mut properties = ledger.properties(instance);
    let settings = settings.iter();
    properties.extend(settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let orders = Orders {
        properties,
        application: Application::Rows(database.connection.clone()),
        topics: ledger.topics.clone(),
        at,
    };
    Worker::obeying(env!("CARGO_BIN_EXE_crash_worker"), &orders)
}

/// The same, a static member: a successor of the same name takes its place at once.
fn worker(ledger: &Ledger<'_>, database: &Database, instance: &str, at: Option<At>) -> Worker {
    let settings = [("static.membership", "true")];
    worker_with(ledger, database, instance, at, &settings)
}

/// The table of a topology that does nothing but write its input down.
const JOURNAL: &str = "CREATE TABLE journal (account text, cents int8)";

/// Writes each entry of the ledger's input to the table `journal`.
fn journal(connection: &str) -> PostgresSink<String, i64> {
    PostgresSink::<String, i64>::insert(connection, "journal")
        .column("account", |record| record.key.clone())
        .column("cents", |record| record.value)
}

/// Input to sink, and nothing between.
fn straight(ledger: &Ledger<'_>, sink: PostgresSink<String, i64>) -> Topology {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [ledger.topics.input.as_str()], input);
    builder.add_external_sink("journal", sink, &[&entries]);
    builder.build().unwrap()
}

fn start(topology: Topology, config: ConfigBuilder) -> Program {
    Program::start(topology, config.build().unwrap()).unwrap()
}

/// Puts entries in that are not the journal's.
fn put(ledger: &Ledger<'_>, entries: &[(&str, i64)]) {
    let records = entries.iter();
    let records = records.map(|(account, cents)| {
        Outgoing::value(cents.to_be_bytes())
            .key(account)
            .timestamp(0)
    });
    ledger.cluster.produce(&ledger.topics.input, records);
}
