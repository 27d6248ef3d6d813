//! Plays files of test vectors against the operators: `vectors FILE...`.
//!
//! Each file is JSON lines, plain or compressed by gzip or zstd. Prints each failing case with what
//! was expected and what came, the reasons by count, and last `N passed, N failed`; ends with 1
//! if any case failed, with 2 if a file cannot be read.

use std::error::Error;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use onceflow_tests::vectors::{Report, play_file};

fn main() -> ExitCode {
    // Cases that are meant to fail do so by a panic of a user function: it is answered, not told.
    std::panic::set_hook(Box::new(|_| {}));
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        return refuse("usage: vectors FILE...");
    }
    let mut report = Report::default();
    for file in &files {
        if let Err(error) = play_file(Path::new(file), &mut report) {
            let cause = error.source().map(ToString::to_string);
            return refuse(&format!("{error}: {}", cause.unwrap_or_default()));
        }
    }
    if let Err(error) = print(&report) {
        return refuse(&format!("cannot print: {error}"));
    }
    match report.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = stdout().lock();
    for (id, why) in &report.failed {
        writeln!(
            out,
            "FAILED {id}: {}",
            why.trim_end().replace('\n', "\n    ")
        )?;
    }
    for id in &report.skipped {
        writeln!(
            out,
            "skipped {id}: a known bug of Java's, without the right answer"
        )?;
    }
    let mut reasons: Vec<(&String, &usize)> = report.reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, count) in reasons {
        writeln!(out, "{count:6} {reason}")?;
    }
    if !report.skipped.is_empty() {
        writeln!(out, "{:6} skipped", report.skipped.len())?;
    }
    let (passed, failed) = (report.passed, report.failed.len());
    writeln!(out, "{passed} passed, {failed} failed")?;
    out.flush()
}

fn refuse(why: &str) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    drop(writeln!(stderr(), "{why}"));
    ExitCode::from(2)
}
