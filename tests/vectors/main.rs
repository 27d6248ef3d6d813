//! Every operator answers as Kafka Streams 4.3.1 does, case by case.
//!
//! `data/` holds the cases of each family, compressed by zstd.

use std::collections::BTreeSet;
use std::path::PathBuf;

use onceflow_tests::vectors::{Report, play_file};

/// By file.
const FAMILIES: [&str; 21] = [
    "cogroup",
    "compositions",
    "errors-and-time",
    "foreign-key-join",
    "global-join",
    "grouped",
    "grouped-table",
    "headers",
    "hopping",
    "naming",
    "processor",
    "session",
    "sliding",
    "stateless",
    "stream-join",
    "stream-table-join",
    "suppress",
    "table",
    "table-join",
    "tumbling",
    "versioned",
];

/// The cases that are answered otherwise: operators/DIVERGENCES.md says what is right there.
const DIVERGENT: [&str; 1] = ["suppress/downstream-old-values"];

fn file(family: &str) -> PathBuf {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/data");
    data.join(format!("{family}.jsonl.zst"))
}

#[test]
fn operators_answer_as_java() {
    let mut report = Report::default();
    for family in FAMILIES {
        let before = report.passed;
        play_file(&file(family), &mut report).unwrap();
        assert!(report.passed > before, "{family}: no case passes");
    }
    let failed: Vec<&str> = report.failed.iter().map(|(id, _)| &**id).collect();
    assert_eq!(failed, DIVERGENT, "{report:#?}");
}

#[test]
fn every_file_is_played() {
    let data = std::fs::read_dir(file("any").parent().unwrap()).unwrap();
    let names = data.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.collect();
    let listed = FAMILIES.map(|family| format!("{family}.jsonl.zst"));
    assert_eq!(names, BTreeSet::from(listed));
}
