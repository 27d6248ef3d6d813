//! What a person reads: what is about to happen, and how it went.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reporting is what this module is for"
)]

use std::time::Duration;

use onceflow_examples::text::{Style, count, seconds, styled};

use crate::audit::{Audit, Finding};
use crate::drill::{Drilled, End};
use crate::history::{Hidden, History};
use crate::model::OPENING_BALANCE;
use crate::setup::Setup;

/// What is about to happen.
pub(crate) fn opening(setup: &Setup) {
    let broker = if setup.cluster.is_embedded() {
        "embedded broker"
    } else {
        "Kafka"
    };
    let servers = setup.cluster.bootstrap_servers();
    let (transfers, accounts) = (count(setup.transfers.len()), count(setup.accounts));
    let (threads, partitions) = (setup.worker.threads, setup.partitions);
    println!(
        "{}",
        styled("Banking transfer: exactly once, under kill -9", Style::Bold)
    );
    println!();
    row(
        "broker",
        &format!("{broker} at {servers}, {partitions} partitions a topic"),
    );
    row(
        "bank",
        &format!("{accounts} accounts with {} each", count(OPENING_BALANCE)),
    );
    row(
        "work",
        &format!("{transfers} transfers, by one worker process of {threads} threads"),
    );
    row(
        "crashes",
        &format!("{} times kill -9, then a new worker", setup.crashes.len()),
    );
    row("seed", &format!("{}", setup.seed));
    println!();
}

/// How it went.
pub(crate) fn closing(drilled: &Drilled, history: &History, hidden: &[Hidden], audit: &Audit) {
    println!("{}", styled("What happened", Style::Bold));
    println!();
    let (applied, refused) = (history.applied.len(), history.refused.len());
    amount("transfers settled", applied + refused, "");
    amount("  applied", applied, "debited here, credited there");
    amount("  refused", refused, "the balance was too low");
    let crashes = drilled.crashes.len();
    let open = drilled
        .crashes
        .iter()
        .filter(|crash| crash.open_partitions > 0)
        .count();
    amount(
        "crashes",
        crashes,
        &format!("kill -9; {open} of them inside a transaction"),
    );
    let aborted: u64 = hidden.iter().map(Hidden::count).sum();
    amount(
        "aborted records",
        aborted,
        "written by crashed workers, never seen by read_committed",
    );
    for topic in hidden.iter().filter(|topic| topic.count() > 0) {
        amount("", topic.count(), &format!("in {}", topic.topic));
    }
    amount("money before", audit.money_before, "");
    amount("money after", audit.money_after, "");
    timing(drilled, applied + refused);
    println!();
    println!(
        "{}",
        styled("Audit of the whole history, read_committed", Style::Bold)
    );
    println!();
    audit.findings.iter().for_each(finding);
    println!();
}

fn timing(drilled: &Drilled, settled: usize) {
    let took = drilled.took;
    let rate = settled as f64 / took.as_secs_f64().max(0.001);
    println!(
        "  {:<20} {:>12}   {rate:.0} transfers a second, crashes included",
        "time",
        seconds(took)
    );
    let recoveries: Vec<Duration> = drilled
        .crashes
        .iter()
        .filter_map(|crash| crash.recovery)
        .collect();
    let Some(longest) = recoveries.iter().max() else {
        return;
    };
    let mean = recoveries.iter().sum::<Duration>() / u32::try_from(recoveries.len()).unwrap_or(1);
    let (mean, longest) = (seconds(mean), seconds(*longest));
    println!(
        "  {:<20} {mean:>12}   from a restart to settled transfers, {longest} at most",
        "recovery"
    );
}

fn finding(finding: &Finding) {
    let mark = if finding.holds() {
        styled("ok  ", Style::Green)
    } else {
        styled("FAIL", Style::Red)
    };
    println!("  {mark}  {:<66} {:>22}", finding.claim, finding.extent);
    for example in &finding.examples {
        println!("          {example}");
    }
    let more = finding.violations - finding.examples.len() as u64;
    if more > 0 {
        println!("          and {} more", count(more));
    }
}

/// The last line, and what to do.
pub(crate) fn verdict(setup: &Setup, drilled: &Drilled, audit: &Audit) -> bool {
    let stalled = drilled.end == End::Stalled;
    if stalled {
        println!("The drill was given up: for a minute no transfer was settled.");
    }
    if audit.passed() && !stalled {
        let passed = styled("PASSED", Style::Green);
        println!("{passed}: every transfer took effect exactly once.");
        return true;
    }
    println!(
        "{}: exactly-once is broken; this is a bug, please report it.",
        styled("FAILED", Style::Red)
    );
    println!(
        "  Repeat it with --seed {} and the same other arguments.",
        setup.seed
    );
    evidence(setup);
    false
}

/// Where to look.
fn evidence(setup: &Setup) {
    if let Some(log) = setup.log.file() {
        println!("  The workers' log is in {}.", log.display());
    }
    if !setup.cluster.is_embedded() {
        println!(
            "  The topics are kept: {}",
            setup.written_topics().join(", ")
        );
    }
}

/// It could not be brought to its end.
pub(crate) fn failure(error: &(dyn std::error::Error + Send + Sync)) {
    eprintln!("{}: {error}", styled("FAILED", Style::Red));
}

fn row(name: &str, text: &str) {
    println!("  {name:<8} {text}");
}

fn amount(name: &str, number: impl std::fmt::Display, remark: &str) {
    let number = count(number);
    let line = format!("  {name:<20} {number:>12}   {remark}");
    println!("{}", line.trim_end());
}
