//! What a person reads: what is about to happen, how it went, and what to do if it went wrong.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reporting is what this module is for"
)]

use std::error::Error;
use std::time::Duration;

use onceflow_examples::text::{Style, count, seconds, styled};

use crate::audit::{Audit, Finding};
use crate::drill::{Drilled, End};
use crate::history::{Hidden, History};
use crate::model::OPENING_BALANCE;
use crate::setup::Setup;

/// What is about to happen.
pub(crate) fn opening(setup: &Setup) {
    let broker = match setup.cluster.is_embedded() {
        true => "embedded in this process",
        false => "Kafka",
    };
    let servers = setup.cluster.bootstrap_servers();
    let (transfers, accounts) = (count(setup.transfers.len()), count(setup.accounts));
    let (threads, partitions) = (setup.worker.threads, setup.partitions);
    let (balance, crashes) = (count(OPENING_BALANCE), setup.crashes.len());
    heading("Banking transfer: exactly once, under kill -9");
    println!("  broker     {broker}, at {servers}");
    println!("  bank       {accounts} accounts with {balance} each");
    println!("  transfers  {transfers}, at random, over {partitions} partitions");
    println!("  worker     one process, number of threads: {threads}, of kill -9: {crashes}");
    println!("  seed       {}", setup.seed);
    println!();
}

/// The drill is over, the audit takes a few seconds.
pub(crate) fn auditing() {
    eprintln!("  reading everything back ...\n");
}

/// How it went.
pub(crate) fn closing(
    setup: &Setup,
    drilled: &Drilled,
    history: &History,
    hidden: &[Hidden],
    audit: &Audit,
) {
    let (applied, refused) = (history.applied.len(), history.refused.len());
    let settled = applied + refused;
    let aborted: u64 = hidden.iter().map(Hidden::count).sum();
    let crashes = crashes(drilled, setup.crashes.len());
    let rate = 1_000 * settled as u128 / drilled.took.as_millis().max(1);
    let rate = format!("{} transfers a second, crashes included", count(rate));
    heading("What happened");
    row("transfers settled", count(settled), "");
    row("  applied", count(applied), "debited here, credited there");
    row("  refused", count(refused), "the balance was too low");
    row("crashes", count(drilled.crashes.len()), &crashes);
    recovery(drilled);
    row(
        "aborted records",
        count(aborted),
        "of crashed workers; no read_committed reader saw them",
    );
    for topic in hidden.iter().filter(|topic| topic.count() > 0) {
        row("", count(topic.count()), &format!("in {}", topic.topic));
    }
    row("money before", count(audit.money_before), "");
    row("money after", count(audit.money_after), "");
    row("time", seconds(drilled.took), &rate);
    println!();
    heading("Audit of everything that was committed");
    audit.findings.iter().for_each(finding);
    println!();
}

fn crashes(drilled: &Drilled, planned: usize) -> String {
    let crashes = &drilled.crashes;
    let open = crashes.iter().filter(|crash| crash.open_partitions > 0);
    let open = format!("kill -9; {} of them inside a transaction", open.count());
    match planned - crashes.len() {
        0 => open,
        spared => format!("{open}; {spared} more found nothing left to do"),
    }
}

fn recovery(drilled: &Drilled) {
    let recoveries = drilled.crashes.iter().filter_map(|crash| crash.recovery);
    let recoveries: Vec<Duration> = recoveries.collect();
    let (Some(longest), Ok(number)) = (recoveries.iter().max(), u32::try_from(recoveries.len()))
    else {
        return;
    };
    let mean = recoveries.iter().sum::<Duration>() / number;
    let remark = format!(
        "until a new worker settled transfers; {} at most",
        seconds(*longest)
    );
    row("recovery", seconds(mean), &remark);
}

fn finding(finding: &Finding) {
    let mark = match finding.holds() {
        true => styled("ok  ", Style::Green),
        false => styled("FAIL", Style::Red),
    };
    println!("  {mark}  {:<65} {:>20}", finding.claim, finding.extent);
    for example in &finding.examples {
        println!("          {example}");
    }
    match finding.violations - finding.examples.len() as u64 {
        0 => {}
        more => println!("          and {} more", count(more)),
    }
}

/// The last line, and what to do; answers whether all is well.
pub(crate) fn verdict(setup: &Setup, drilled: &Drilled, audit: &Audit) -> bool {
    let stalled = drilled.end == End::Stalled;
    if audit.passed() && !stalled {
        println!(
            "{}: every transfer took effect exactly once.",
            styled("PASSED", Style::Green)
        );
        return true;
    }
    let failed = styled("FAILED", Style::Red);
    if stalled {
        println!("{failed}: the drill was given up, for a minute no transfer was settled.");
    } else {
        println!("{failed}: exactly-once is broken, which is a bug in onceflow: please report it.");
    }
    println!(
        "  Repeat it with --seed {} and the same other arguments.",
        setup.seed
    );
    false
}

/// Where to look.
pub(crate) fn evidence(setup: &Setup) {
    if let Some(log) = setup.log.file() {
        eprintln!("  The workers' log is in {}.", log.display());
    }
    if !setup.cluster.is_embedded() {
        eprintln!("  The topics are kept: {}.", setup.all_topics().join(", "));
    }
}

/// It could not be brought to its end.
pub(crate) fn broken_off(setup: &Setup, error: &dyn Error) {
    eprintln!("{}: {error}", styled("FAILED", Style::Red));
    let log = setup.log.last_lines();
    if !log.is_empty() {
        eprintln!("  The worker said last:");
        log.lines().for_each(|line| eprintln!("    {line}"));
    }
}

/// The user has seen enough.
pub(crate) fn interrupted() {
    eprintln!("interrupted: the worker is stopped, nothing was audited");
}

/// It could not begin.
pub(crate) fn not_begun(error: &dyn Error) {
    eprintln!("error: {error}");
}

/// It is over, but something was left behind.
pub(crate) fn not_cleared(error: &dyn Error) {
    eprintln!("warning: the topics of this run could not be deleted: {error}");
}

fn heading(text: &str) {
    println!("{}\n", styled(text, Style::Bold));
}

fn row(name: &str, measure: String, remark: &str) {
    println!(
        "{}",
        format!("  {name:<20} {measure:>12}   {remark}").trim_end()
    );
}
