//! Figures as a table that is read: medians, and ratios taken round by round.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::contender::Contender;
use super::results::{Measured, Results};
use crate::report::Run;
use crate::workload::{Guarantee, Workload};

/// What makes runs comparable.
type Case = (Workload, Guarantee, usize);

/// The runs of each case and contender, in the order of their rounds.
pub(super) fn cases(results: &Results) -> BTreeMap<Case, BTreeMap<Contender, Vec<&Measured>>> {
    let mut cases: BTreeMap<Case, BTreeMap<Contender, Vec<&Measured>>> = BTreeMap::new();
    for measured in &results.runs {
        let case = (
            measured.run.workload,
            measured.run.guarantee,
            measured.run.threads,
        );
        cases
            .entry(case)
            .or_default()
            .entry(measured.who)
            .or_default()
            .push(measured);
    }
    cases
}

/// The median of figures; not a number if there are none.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[odd / 2],
        even => f64::midpoint(figures[even / 2 - 1], figures[even / 2]),
    }
}

/// The whole comparison as Markdown.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn markdown(results: &Results) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let machine = &results.machine;
    writeln!(text, "# Comparison\n")?;
    writeln!(
        text,
        "{} processors ({}), {} GiB, Linux {}; {}. Load before: {}.\n",
        machine.processors,
        machine.cpu,
        machine.memory_bytes >> 30,
        machine.kernel,
        machine.versions.join(", "),
        machine.load_average,
    )?;
    writeln!(
        text,
        "{} records of 8 + {} bytes, {} keys, {} partitions, commit interval {} ms. Medians; ratios are \
         medians of the ratios of each round. *2nd half* leaves out the warm-up of a JIT. Times go from the first \
         record to the last commit. The settings of each contender are in `benches/`.\n",
        results.records,
        crate::workload::VALUE_BYTES,
        results.keys,
        results.partitions,
        results.commit_interval_ms,
    )?;
    throughput(results, &mut text)?;
    latency(results, &mut text)?;
    idle(results, &mut text)?;
    Ok(text)
}

fn throughput(results: &Results, text: &mut String) -> std::fmt::Result {
    for ((workload, guarantee, threads), contenders) in cases(results) {
        writeln!(text, "## {workload}, {guarantee}, threads {threads}\n")?;
        writeln!(
            text,
            "| | k records/s | 2nd half | CPU s/M records | 2nd half | broker CPU s/M | peak RSS MiB | \
             onceflow / it: records/s | 2nd half | CPU | 2nd half |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        let ours = contenders
            .get(&Contender::Onceflow)
            .map_or(&[][..], |runs| runs);
        for (who, runs) in &contenders {
            let of = |figure: fn(&Run) -> f64| median(runs.iter().map(|m| figure(&m.run)));
            let ratio = |figure: fn(&Run) -> f64| {
                let same_round = |theirs: &&Measured| {
                    let ours = ours.iter().find(|ours| ours.round == theirs.round)?;
                    Some(figure(&ours.run) / figure(&theirs.run))
                };
                median(runs.iter().filter_map(same_round))
            };
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let (broker, rss) = (
                median(runs.iter().filter_map(|m| m.broker_cpu_seconds)) / results.records as f64
                    * 1e6,
                median(runs.iter().map(|m| (m.run.peak_rss_bytes >> 20) as f64)),
            );
            writeln!(
                text,
                "| {who} | {:.0} | {:.0} | {:.2} | {:.2} | {broker:.2} | {rss:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
                of(Run::records_per_second) / 1e3,
                of(Run::warm_records_per_second) / 1e3,
                of(Run::cpu_per_million),
                of(Run::warm_cpu_per_million),
                ratio(Run::records_per_second),
                ratio(Run::warm_records_per_second),
                ratio(Run::cpu_per_million),
                ratio(Run::warm_cpu_per_million),
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn latency(results: &Results, text: &mut String) -> std::fmt::Result {
    if results.latencies.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "## Latency, from the making of a record to its sight in the committed output\n"
    )?;
    writeln!(
        text,
        "| | commit interval ms | records/s | p50 ms | p99 ms | p99.9 ms | processors |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for l in &results.latencies {
        let (who, interval, rate) = (l.who, l.commit_interval_ms, l.records_per_second);
        let (p50, p99, p999) = (l.p50_ms, l.p99_ms, l.p999_ms);
        let processors = l.processors;
        writeln!(
            text,
            "| {who} | {interval} | {rate} | {p50:.1} | {p99:.1} | {p999:.1} | {processors:.2} |"
        )?;
    }
    writeln!(text)
}

fn idle(results: &Results, text: &mut String) -> std::fmt::Result {
    if results.idle.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Idle\n")?;
    writeln!(text, "| | start to running s | RSS MiB | processors |")?;
    writeln!(text, "|---|---|---|---|")?;
    for i in &results.idle {
        let mib = i.rss_bytes >> 20;
        writeln!(
            text,
            "| {} | {:.2} | {mib} | {:.4} |",
            i.who, i.start_seconds, i.processors
        )?;
    }
    writeln!(text)
}
