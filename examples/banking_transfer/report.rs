//! What a person reads: what is about to happen, how it went, and what to do if it went wrong.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reporting is what this module is for"
)]

use std::error::Error;
use std::time::Duration;

use onceflow_examples::report::{finding, heading, row};
use onceflow_examples::text::{Style, count, seconds, styled};

use crate::audit::Audit;
use crate::drill::{Drilled, End};
use crate::history::{Hidden, History};
use crate::model::OPENING_BALANCE;
use crate::promise::{Outcome, Promise};
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
    let words = setup.promise.words();
    heading(&format!("Banking transfer: {words}, under kill -9"));
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
    row("transfers settled", &count(settled), "");
    row("  applied", &count(applied), "debited here, credited there");
    row("  refused", &count(refused), "the balance was too low");
    row("crashes", &count(drilled.crashes.len()), &crashes);
    recovery(drilled);
    if setup.promise == Promise::ExactlyOnce {
        let remark = "of crashed workers; no read_committed reader saw them";
        row("aborted records", &count(aborted), remark);
    }
    for topic in hidden.iter().filter(|topic| topic.count() > 0) {
        row("", &count(topic.count()), &format!("in {}", topic.topic));
    }
    row("money before", &count(audit.money_before), "");
    row("money after", &count(audit.money_after), "");
    row("time", &seconds(drilled.took), &rate);
    println!();
    if setup.promise == Promise::ExactlyOnce {
        heading("Audit of everything that was committed");
        audit.findings.iter().for_each(finding);
        println!();
    }
}

fn crashes(drilled: &Drilled, planned: usize) -> String {
    let crashes = &drilled.crashes;
    let open = crashes.iter().filter(|crash| crash.open_partitions > 0);
    let open = match open.count() {
        0 => "kill -9".to_owned(),
        open => format!("kill -9; {open} of them inside a transaction"),
    };
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
    row("recovery", &seconds(mean), &remark);
}

/// The last line, and what to do; answers whether all is well.
pub(crate) fn verdict(setup: &Setup, drilled: &Drilled, outcome: &Outcome) -> bool {
    let stalled = drilled.end == End::Stalled;
    let words = setup.promise.words();
    if outcome.kept && !stalled {
        let passed = styled("PASSED", Style::Green);
        let (lost, repeated) = (count(outcome.lost), count(outcome.repeated));
        match setup.promise {
            Promise::ExactlyOnce => {
                println!("{passed}: every transfer took effect exactly once.");
            }
            Promise::AtLeastOnce => {
                println!("{passed}: no transfer was lost. Results that came again: {repeated}.\n");
            }
            Promise::AtMostOnce => {
                println!("{passed}: no transfer came twice. Transfers that were lost: {lost}.\n");
            }
        }
        return true;
    }
    let failed = styled("FAILED", Style::Red);
    if stalled {
        println!("{failed}: the drill was given up, for a minute no transfer was settled.");
    } else {
        println!("{failed}: {words} is broken, which is a bug in onceflow: please report it.");
    }
    println!(
        "  Repeat it with --seed {} and the same other arguments.",
        setup.seed
    );
    false
}

/// The same crashes under each promise, if there was more than one.
pub(crate) fn side_by_side(outcomes: &[Outcome]) {
    if outcomes.len() < 2 {
        return;
    }
    println!();
    heading("Side by side: the same transfers and kills under each guarantee");
    println!(
        "  {:<14} {:>7} {:>16} {:>16} {:>14} {:>14}   money",
        "", "kill -9", "transfers lost", "came again", "money before", "money after"
    );
    for outcome in outcomes {
        println!(
            "  {:<14} {:>7} {:>16} {:>16} {:>14} {:>14}   {}",
            outcome.promise.words(),
            count(outcome.crashes),
            count(outcome.lost),
            count(outcome.repeated),
            count(outcome.money_before),
            count(outcome.money_after),
            money(outcome)
        );
    }
    println!();
}

fn money(outcome: &Outcome) -> String {
    let Outcome {
        money_before: before,
        money_after: after,
        ..
    } = outcome;
    match after - before {
        _ if !outcome.kept => styled("the promise is broken", Style::Red),
        0 if outcome.promise == Promise::ExactlyOnce => styled("right", Style::Green),
        0 => "right, by luck".to_owned(),
        made @ 1.. => styled(&format!("{} made", count(made)), Style::Red),
        lost => styled(&format!("{} lost", count(-lost)), Style::Red),
    }
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
