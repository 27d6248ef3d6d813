//! What onceflow should reach, beside what was measured.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::contender::{Broker, Contender};
use super::results::{Measured, Results};
use super::table::median;
use crate::report::Run;
use crate::workload::{Guarantee, Workload};

/// What makes runs comparable.
pub(super) type Case = (Broker, Workload, Guarantee, usize);

/// The runs of each case and contender, in the order of their rounds.
pub(super) type Cases<'r> = BTreeMap<Case, BTreeMap<Contender, Vec<&'r Measured>>>;

pub(super) fn cases(results: &Results) -> Cases<'_> {
    let mut cases = Cases::new();
    for measured in &results.runs {
        let run = &measured.run;
        let case = (measured.broker, run.workload, run.guarantee, run.threads);
        let contenders = cases.entry(case).or_default();
        contenders.entry(measured.who).or_default().push(measured);
    }
    cases
}

/// The median of the ratios of each round; not a number without a common round.
pub(super) fn ratio(ours: &[&Measured], theirs: &[&Measured], figure: fn(&Run) -> f64) -> f64 {
    let same_round = |theirs: &&Measured| {
        let ours = ours.iter().find(|ours| ours.round == theirs.round)?;
        Some(figure(&ours.run) / figure(&theirs.run))
    };
    median(theirs.iter().filter_map(same_round))
}

/// A bound.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, ">= {bound}"),
            Bound::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// A figure with its bound.
#[derive(Debug)]
struct Line {
    what: String,
    measured: f64,
    bound: Bound,
}

impl Line {
    fn verdict(&self) -> &'static str {
        let reached = match self.bound {
            Bound::AtLeast(bound) => self.measured >= bound,
            Bound::AtMost(bound) => self.measured <= bound,
        };
        if reached { "reached" } else { "**missed**" }
    }
}

/// A bound of a ratio to a contender, at one workload.
struct Ratio {
    workload: Workload,
    to: Contender,
    rate: f64,
    cpu: f64,
}

const RATIOS: [Ratio; 6] = {
    const fn to(to: Contender, workload: Workload, rate: f64, cpu: f64) -> Ratio {
        Ratio {
            workload,
            to,
            rate,
            cpu,
        }
    }
    [
        to(Contender::Handwritten, Workload::Map, 0.92, 1.12),
        to(Contender::Handwritten, Workload::Count, 0.85, 1.25),
        to(Contender::KafkaStreamsTuned, Workload::Map, 1.2, 0.5),
        to(Contender::KafkaStreamsTuned, Workload::Count, 1.9, 0.4),
        to(Contender::KafkaStreamsTuned, Workload::Join, 2.0, 0.4),
        to(
            Contender::KafkaStreamsTuned,
            Workload::Repartition,
            2.0,
            0.4,
        ),
    ]
};

/// Peak resident memory of any run, in MiB.
const PEAK_RSS_MIB: f64 = 100.0;
/// Exactly once beside at least once, ours.
const EXACTLY_TO_AT_LEAST: f64 = 0.9;
/// The embedded broker beside Apache Kafka, under `map`.
const EMBEDDED: f64 = 0.5;
/// At five thousand records a second, by default.
const LATENCY_MS: [f64; 2] = [8.0, 25.0];
const IDLE_RSS_MIB: f64 = 15.0;
const IDLE_PROCESSORS: f64 = 0.01;
/// Beside the join of the group.
const START_SECONDS: f64 = 0.3;

/// The targets as a table; those that were not measured are left out.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn markdown(results: &Results) -> Result<String, fmt::Error> {
    let cases = cases(results);
    let mut lines = ratios(&cases);
    lines.extend(between_cases(&cases));
    lines.extend(edges(results));
    let mut text = String::new();
    writeln!(
        text,
        "## Targets\n\n| onceflow | measured | target | |\n|---|--:|--:|---|"
    )?;
    for line in lines.iter().filter(|line| !line.measured.is_nan()) {
        let (what, bound, verdict) = (&line.what, line.bound, line.verdict());
        writeln!(
            text,
            "| {what} | {} | {bound} | {verdict} |",
            figure(line.measured)
        )?;
    }
    writeln!(text)?;
    Ok(text)
}

fn figure(measured: f64) -> String {
    match measured {
        large if large >= 10.0 => format!("{large:.1}"),
        usual if usual >= 0.1 => format!("{usual:.2}"),
        small => format!("{small:.4}"),
    }
}

fn ratios(cases: &Cases<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for Ratio {
        workload,
        to,
        rate,
        cpu,
    } in RATIOS
    {
        let same = cases.iter().filter(|((broker, work, guarantee, _), _)| {
            (*broker, *work, *guarantee) == (Broker::Kafka, workload, Guarantee::ExactlyOnce)
        });
        for ((.., threads), contenders) in same {
            let Some((ours, theirs)) = contenders
                .get(&Contender::Onceflow)
                .zip(contenders.get(&to))
            else {
                continue;
            };
            // The second half: a JIT has warmed up then, and nobody else minds.
            let line = |what, figure, bound| Line {
                what: format!("{workload} / {to}, threads {threads}: {what}"),
                measured: ratio(ours, theirs, figure),
                bound,
            };
            lines.push(line(
                "records/s",
                Run::warm_records_per_second,
                Bound::AtLeast(rate),
            ));
            lines.push(line("CPU", Run::warm_cpu_per_million, Bound::AtMost(cpu)));
        }
    }
    lines
}

fn between_cases(cases: &Cases<'_>) -> Vec<Line> {
    let ours = |case: &Case| cases.get(case)?.get(&Contender::Onceflow);
    let mut lines = Vec::new();
    for &(broker, workload, guarantee, threads) in cases.keys() {
        let here = (broker, workload, guarantee, threads);
        let exactly = (broker, workload, Guarantee::ExactlyOnce, threads);
        let line = |what, pair: Option<(&Vec<&Measured>, &Vec<&Measured>)>, bound| Line {
            what,
            measured: pair.map_or(f64::NAN, |(a, b)| ratio(a, b, Run::warm_records_per_second)),
            bound: Bound::AtLeast(bound),
        };
        if guarantee == Guarantee::AtLeastOnce {
            let what = format!("{workload}, threads {threads}: exactly once / at least once");
            lines.push(line(
                what,
                ours(&exactly).zip(ours(&here)),
                EXACTLY_TO_AT_LEAST,
            ));
        }
        if broker == Broker::Embedded {
            let kafka = (Broker::Kafka, workload, guarantee, threads);
            let what = format!("{workload}: embedded broker / Apache Kafka");
            lines.push(line(what, ours(&here).zip(ours(&kafka)), EMBEDDED));
        }
    }
    lines
}

fn edges(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut at_most = |what: String, measured: f64, bound: f64| {
        let bound = Bound::AtMost(bound);
        lines.push(Line {
            what,
            measured,
            bound,
        });
    };
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let ours = results
        .runs
        .iter()
        .filter(|run| run.who == Contender::Onceflow);
    let peak = ours
        .map(|run| mib(run.run.peak_rss_bytes))
        .fold(f64::NAN, f64::max);
    at_most("peak RSS of any run, MiB".to_owned(), peak, PEAK_RSS_MIB);
    let mut latencies = results.latencies.iter();
    if let Some(own) = latencies.find(|latency| latency.who == Contender::Onceflow) {
        let rate = own.records_per_second;
        at_most(
            format!("latency at {rate}/s, p50, ms"),
            own.p50_ms,
            LATENCY_MS[0],
        );
        at_most(
            format!("latency at {rate}/s, p99, ms"),
            own.p99_ms,
            LATENCY_MS[1],
        );
    }
    if let Some(idle) = results
        .idle
        .iter()
        .find(|idle| idle.who == Contender::Onceflow)
    {
        at_most(
            "idle RSS, MiB".to_owned(),
            mib(idle.rss_bytes),
            IDLE_RSS_MIB,
        );
        at_most(
            "idle, processors".to_owned(),
            idle.processors,
            IDLE_PROCESSORS,
        );
        let what = "start to RUNNING, s (the group's join comes on top)".to_owned();
        at_most(what, idle.start_seconds, START_SECONDS);
    }
    lines
}
