//! Rows of one batch that the table refuses, each for a reason of its own, and a table that refuses
//! rows only together: neighbours are written once, and exactly what cannot be is given up.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use onceflow_framework::{
    BatchPoint,
    handler::{ErrorContext, Response},
    serde,
    topology::{Consumed, TopologyBuilder},
};
use onceflow_postgres::PostgresSink;
use onceflow_tests::{
    Cluster, Program,
    ledger::Ledger,
    postgres::Postgres,
    rows,
    wait::{Stopwatch, holds_for, wait_until},
};

use super::put;

/// How long it may take until everything but the refused is written.
const SOON: Duration = Duration::from_secs(15);

/// Runs until all is consumed; answers what the handler was told (offset, error), and how many
/// attempts failed.
fn run(ledger: &Ledger<'_>, sink: PostgresSink<String, i64>) -> (Vec<(i64, String)>, usize) {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [ledger.topics.input.as_str()], input);
    builder.add_external_sink("journal", sink, &[&entries]);
    builder.add_sink(
        "out",
        ledger.topics.totals.as_str(),
        onceflow_framework::topology::Produced::new(),
        &[&entries],
    );
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let handler = move |failure: &ErrorContext<'_>| {
        assert_eq!(failure.node(), Some("journal"));
        let offset = failure.offset().expect("it is told where").get();
        let text = failure.error().to_string();
        telling.lock().unwrap().push((offset, text));
        Response::Resume(Vec::new())
    };
    let config = ledger
        .config("a")
        .property("batch.bytes.max", "1000000")
        .property("commit.interval.ms", "2000")
        .on_failed_record(handler);
    let (failed, began) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counted = Arc::clone(&failed);
    let observer = move |point| match point {
        // All that waits is fetched by then.
        BatchPoint::BeforeBegin if began.fetch_add(1, Ordering::Relaxed) == 0 => {
            assert!(
                holds_for(Duration::from_millis(700), || true),
                "time passes"
            );
        }
        BatchPoint::AfterAbort => {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    };
    let watch = Stopwatch::start();
    let topology = builder.build().unwrap();
    let program = Program::observed(topology, config.build().unwrap(), observer).unwrap();
    wait_until("everything is consumed", || ledger.input_is_consumed());
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    program.close().unwrap();
    let told = told.lock().unwrap().clone();
    (told, failed.load(Ordering::Relaxed))
}

#[test]
fn violations_of_several_kinds_in_one_batch_are_each_told_once_and_cost_one_attempt() {
    let ledger = Ledger::new(Cluster::shared(), "pg-kinds", 1);
    let database = Postgres::shared().database("kinds");
    database.run(
        "CREATE TABLE journal (account text CONSTRAINT one_each UNIQUE, cents int8,
                               owed int8 NOT NULL, share numeric(3, 1)
                               GENERATED ALWAYS AS (CASE cents WHEN 131 THEN 100 ELSE 1 END) STORED)",
    );
    // 70 is there twice, the share of 131 overflows, 290 owes nothing that could be said.
    let name = |at: i64| format!("a{}", if at == 201 { 70 } else { at });
    let entries: Vec<(String, i64)> = (0..300).map(|at| (name(at), at)).collect();
    let entries: Vec<(&str, i64)> = entries.iter().map(|(a, c)| (a.as_str(), *c)).collect();
    put(&ledger, &entries);
    let sink = PostgresSink::<String, i64>::insert(&database.connection, "journal")
        .column("account", |record| record.key.clone())
        .column("cents", |record| record.value)
        .column("owed", |record| {
            (record.value != 290).then_some(record.value)
        });
    let (told, failed) = run(&ledger, sink);
    let expected = [
        (131, "numeric field overflow"),
        (201, "one_each"),
        (290, "not-null"),
    ];
    assert_eq!(told.len(), 3, "{told:?}");
    for ((offset, text), (at, words)) in told.iter().zip(expected) {
        assert_eq!(*offset, at, "{text}");
        assert!(
            text.contains(words) && text.contains("table journal"),
            "{text}"
        );
    }
    assert_eq!(failed, 1, "the database says which rows");
    let good = entries
        .iter()
        .filter(|(_, cents)| ![131, 201, 290].contains(cents));
    let good = good
        .map(|(account, cents)| format!("{account} {cents}"))
        .collect();
    rows::same(
        "journal",
        database.rows("SELECT account, cents FROM journal"),
        good,
    );
    // In the topic beside it nothing of them is left either.
    assert_eq!(ledger.cluster.settled(&ledger.topics.totals).len(), 297);
}

/// No row is at fault alone, so it is the framework that makes batches smaller.
#[test]
fn a_table_that_refuses_rows_together_gets_them_in_smaller_batches() {
    let ledger = Ledger::new(Cluster::shared(), "pg-together", 1);
    let database = Postgres::shared().database("together");
    database.run(
        "CREATE TABLE journal (account text, cents int8);
         CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF (SELECT sum(1) FROM fresh) > 40 THEN RAISE EXCEPTION 'too many at a time'; END IF;
             RETURN NULL; END $$;
         CREATE TRIGGER few AFTER INSERT ON journal REFERENCING NEW TABLE AS fresh
             FOR EACH STATEMENT EXECUTE FUNCTION few()",
    );
    let entries: Vec<(String, i64)> = (0..200).map(|at| (format!("a{at}"), at)).collect();
    let entries: Vec<(&str, i64)> = entries.iter().map(|(a, c)| (a.as_str(), *c)).collect();
    put(&ledger, &entries);
    let (told, failed) = run(&ledger, super::journal(&database.connection));
    assert!(told.is_empty(), "nothing is given up: {told:?}");
    assert!((3..=12).contains(&failed), "{failed} attempts failed");
    let all = entries
        .iter()
        .map(|(account, cents)| format!("{account} {cents}"));
    rows::same(
        "journal",
        database.rows("SELECT * FROM journal"),
        all.collect(),
    );
    assert_eq!(ledger.cluster.settled(&ledger.topics.totals).len(), 200);
}
