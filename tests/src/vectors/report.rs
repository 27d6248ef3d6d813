//! What became of the cases of a file.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use serde_json::Value;

use super::fields::Fields;
use super::file::{FileError, read};
use super::play;
use super::unplayable::Unplayable;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as expected.
    Passed,
    /// It is marked as a bug of Java's, without the right answer: there is nothing to compare with.
    Skipped,
    /// Something differs, or the runner does not know what the case asks for.
    Failed {
        /// The same for all cases that fail alike.
        reason: String,
        /// Expected and actual.
        details: String,
    },
}

/// The verdicts of some files.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases are as expected.
    pub passed: usize,
    /// The cases that are not, by id, with what differs.
    pub failed: Vec<(String, String)>,
    /// The ids of the cases that cannot be compared.
    pub skipped: Vec<String>,
    /// How many cases failed, by reason.
    pub reasons: BTreeMap<String, usize>,
}

impl Report {
    fn add(&mut self, id: String, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped => self.skipped.push(id),
            Verdict::Failed { reason, details } => {
                self.failed.push((id, format!("{reason}\n{details}")));
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
    }
}

/// Plays every case of a file.
///
/// # Errors
///
/// When the file cannot be read.
pub fn play_file(path: &Path, report: &mut Report) -> Result<(), FileError> {
    for (number, line) in (1..).zip(read(path)?) {
        let (id, verdict) = play_line(number, &line);
        report.add(id, verdict);
    }
    Ok(())
}

fn play_line(number: usize, line: &str) -> (String, Verdict) {
    let case: Value = match serde_json::from_str(line) {
        Ok(case) => case,
        Err(error) => {
            let verdict = Verdict::Failed {
                reason: "no JSON".to_owned(),
                details: error.to_string(),
            };
            return (format!("line {number}"), verdict);
        }
    };
    let id = case["id"].as_str().map(str::to_owned);
    let id = id.unwrap_or_else(|| format!("line {number}"));
    // A malformed case, or an operator that panics, fails its own case only.
    let verdict = catch_unwind(|| verdict(&case));
    let verdict = verdict.unwrap_or_else(|panic| Verdict::Failed {
        reason: "panic".to_owned(),
        details: message(&*panic).to_owned(),
    });
    (id, verdict)
}

fn verdict(case: &Value) -> Verdict {
    if case.get("known_java_bug").is_some() && case.get("expect_fixed").is_none() {
        return Verdict::Skipped;
    }
    let differences = match play::case(&Fields::of("case", case)) {
        Ok(differences) => differences,
        Err(Unplayable(what)) => {
            return Verdict::Failed {
                reason: format!("unknown: {what}"),
                details: String::new(),
            };
        }
    };
    let Some(first) = differences.first() else {
        return Verdict::Passed;
    };
    let details = differences.iter().map(|difference| &*difference.details);
    Verdict::Failed {
        reason: format!("differs: {}", first.what),
        details: details.collect::<Vec<_>>().join("\n"),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("a panic without a message")
}
