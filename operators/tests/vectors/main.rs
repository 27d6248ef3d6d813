//! What Kafka Streams answers, case by case: names, outputs, stores, internal topics, drops.
//!
//! A case is a line of JSON: a topology, records, and the answers of the Java original. The
//! runner builds the topology with the operators of this crate, plays the steps on the test driver
//! and compares everything. A case that needs what is not there yet is skipped with a reason; a
//! field that the runner does not know is an error.
//!
//! `data/` holds some cases of each family; `ONCEFLOW_VECTORS` names a folder with all of them.

mod val;
mod functions;
mod fields;
mod skip;
mod build;
mod stateless;
mod tables;
mod joins;
mod processors;
mod play;
mod compare;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use fields::Fields;
use skip::Skip;

/// What became of a case.
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn run(case: &Value) -> Outcome {
    let case = Fields::of("case", case);
    let played = play::case(&case);
    match played {
        Ok(differences) if differences.is_empty() => Outcome::Passed,
        Ok(differences) => Outcome::Failed(differences.join("\n    ")),
        Err(Skip(reason)) => Outcome::Skipped(reason),
    }
}

/// Plays every case of a family and fails with all that differ.
fn check(family: &str) {
    let given = std::env::var_os("ONCEFLOW_VECTORS").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let path = given.unwrap_or(here).join(format!("{family}.jsonl"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let (mut passed, mut failed) = (0, Vec::new());
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        match run(&case) {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(reason) => *skipped.entry(reason).or_default() += 1,
            Outcome::Failed(why) => failed.push(format!("{}\n    {why}", case["id"])),
        }
    }
    report(family, passed, failed.len(), &skipped);
    assert!(passed > 0, "{family}: no case was played");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[expect(
    clippy::print_stdout,
    reason = "cargo shows it on failure and with --nocapture"
)]
fn report(family: &str, passed: usize, failed: usize, skipped: &BTreeMap<String, usize>) {
    println!("{family}: {passed} passed, {failed} failed");
    for (reason, count) in skipped {
        println!("  {count} skipped: {reason}");
    }
}

#[test]
fn stateless_operators_answer_as_java() {
    check("stateless");
}

#[test]
fn names_are_those_of_java() {
    check("naming");
}

#[test]
fn aggregations_of_streams_answer_as_java() {
    check("grouped");
}

#[test]
fn tables_answer_as_java() {
    check("table");
}

#[test]
fn aggregations_of_tables_answer_as_java() {
    check("grouped-table");
}

#[test]
fn processors_answer_as_java() {
    check("processor");
}

#[test]
fn headers_travel_as_in_java() {
    check("headers");
}

#[test]
fn joins_of_a_stream_with_a_table_answer_as_java() {
    check("stream-table-join");
}

#[test]
fn errors_and_times_are_those_of_java() {
    check("errors-and-time");
}
