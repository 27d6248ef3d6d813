//! Every operator answers as Kafka Streams 4.3.1 does, case by case.
//!
//! `data/` holds the cases of each family, compressed by zstd. [`FAMILIES`] says which of them must
//! be answered in full.

use std::collections::BTreeSet;
use std::path::PathBuf;

use onceflow_tests::vectors::{Report, play_file};

/// How much of a family is answered as by Java. A family that gets better is moved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Every case passes.
    Pass,
    /// Every case passes but these: operators/DIVERGENCES.md says what is right there.
    PassBut(&'static [&'static str]),
    /// Every case passes that the runner knows how to play.
    PassIfKnown,
    /// Operators are missing.
    NotYet,
}

/// By file.
const FAMILIES: [(&str, Must); 21] = [
    ("cogroup", Must::Pass),
    ("compositions", Must::Pass),
    ("errors-and-time", Must::Pass),
    ("foreign-key-join", Must::Pass),
    ("global-join", Must::Pass),
    ("grouped", Must::Pass),
    ("grouped-table", Must::Pass),
    ("headers", Must::Pass),
    ("hopping", Must::Pass),
    ("naming", Must::Pass),
    ("processor", Must::Pass),
    ("session", Must::Pass),
    ("sliding", Must::Pass),
    ("stateless", Must::Pass),
    ("stream-join", Must::Pass),
    ("stream-table-join", Must::Pass),
    (
        "suppress",
        Must::PassBut(&["suppress/downstream-old-values"]),
    ),
    ("table", Must::Pass),
    ("table-join", Must::Pass),
    ("tumbling", Must::Pass),
    ("versioned", Must::Pass),
];

fn file(family: &str) -> PathBuf {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/data");
    data.join(format!("{family}.jsonl.zst"))
}

#[test]
fn operators_answer_as_java() {
    let mut problems = Vec::new();
    for (family, must) in FAMILIES {
        let mut report = Report::default();
        play_file(&file(family), &mut report).unwrap();
        if report.failed.is_empty() && must != Must::Pass {
            problems.push(format!("{family} passes: say so in FAMILIES"));
        }
        if let Must::PassBut(divergent) = must {
            let failed: Vec<&str> = report.failed.iter().map(|(id, _)| &**id).collect();
            if failed != divergent {
                problems.push(format!("{family}: {failed:?} fail, not {divergent:?}"));
            }
            continue;
        }
        let is_allowed = |reason: &String| match must {
            Must::Pass | Must::PassBut(_) => false,
            Must::PassIfKnown => reason.starts_with("unknown: "),
            Must::NotYet => true,
        };
        if !report.reasons.keys().all(is_allowed) {
            problems.push(format!("{family}: {report:#?}"));
        }
        let is_played = report.passed > 0 || must == Must::NotYet;
        assert!(is_played, "{family}: no case passes");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_file_is_played() {
    let data = std::fs::read_dir(file("any").parent().unwrap()).unwrap();
    let names = data.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.collect();
    let listed = FAMILIES.map(|(family, _)| format!("{family}.jsonl.zst"));
    assert_eq!(names, BTreeSet::from(listed));
}
