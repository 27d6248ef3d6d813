//! Figures as a table that is read: medians, and ratios taken round by round.

use std::fmt::Write;

use super::contender::{Broker, Contender, TUNED_JVM};
use super::results::{Measured, Results};
use super::targets::{self, cases, ratio};
use crate::report::Run;

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
    writeln!(text, "# Comparison\n\n{}\n", results.machine)?;
    writeln!(
        text,
        "{} records of 8 + {} bytes, {} keys, {} partitions. Medians; ratios are medians of the ratios of each round, \
         rounds interleaved. *2nd half* leaves out the warm-up of a JIT. Times go from the first record to the last \
         commit. Stores are in memory, caches off. *Tuned* is `{}`, `topology.optimization=all` and the buffers in \
         `benches/kafka-streams/src/main/java/onceflow/Peer.java`.\n",
        results.records,
        crate::workload::VALUE_BYTES,
        results.keys,
        results.partitions,
        TUNED_JVM[..3].join(" "),
    )?;
    for failure in &results.failures {
        writeln!(text, "**Failed:** {failure}\n")?;
    }
    text += &targets::markdown(results)?;
    throughput(results, &mut text)?;
    latency(results, &mut text)?;
    idle(results, &mut text)?;
    Ok(text)
}

fn throughput(results: &Results, text: &mut String) -> std::fmt::Result {
    for ((broker, workload, guarantee, threads), contenders) in cases(results) {
        let place = match broker {
            Broker::Kafka => "",
            Broker::Embedded => ", on the embedded broker",
        };
        writeln!(
            text,
            "## {workload}, {guarantee}, threads {threads}{place}\n"
        )?;
        writeln!(
            text,
            "| | k records/s | 2nd half | CPU s/M records | 2nd half | broker CPU s/M | peak RSS MiB | \
             onceflow / it: records/s | 2nd half | CPU | 2nd half |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        let ours = contenders.get(&Contender::Onceflow);
        let ours = ours.map_or(&[][..], |runs| runs);
        for (who, runs) in &contenders {
            row(text, results.records, *who, (ours, runs))?;
        }
        let unmatched = contenders.iter().filter_map(|(who, runs)| {
            let count: u64 = runs.iter().map(|run| run.unmatched).sum();
            (count > 0).then(|| format!("{who} {count}"))
        });
        let unmatched: Vec<String> = unmatched.collect();
        if !unmatched.is_empty() {
            writeln!(
                text,
                "\nRecords that came before the row of their key, in the first round: {}.",
                unmatched.join(", ")
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn row(
    text: &mut String,
    records: u64,
    who: Contender,
    (ours, runs): (&[&Measured], &[&Measured]),
) -> std::fmt::Result {
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(|m| figure(&m.run)));
    let ratio = |figure| ratio(ours, runs, figure);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (broker, rss) = (
        median(runs.iter().filter_map(|m| m.broker_cpu_seconds)) / records as f64 * 1e6,
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
    )
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
        "| | commit interval ms | records/s | served/s | p50 ms | p99 ms | p99.9 ms | processors | broker processors |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for l in &results.latencies {
        let (who, interval, rate) = (l.who, l.commit_interval_ms, l.records_per_second);
        let (p50, p99, p999) = (l.p50_ms, l.p99_ms, l.p999_ms);
        let (served, processors) = (l.served_per_second, l.processors);
        let brokers = l.broker_processors.unwrap_or(f64::NAN);
        writeln!(
            text,
            "| {who} | {interval} | {rate} | {served:.0} | {p50:.1} | {p99:.1} | {p999:.1} | {processors:.2} | {brokers:.2} |"
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
    writeln!(text, "|---|--:|--:|--:|")?;
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
