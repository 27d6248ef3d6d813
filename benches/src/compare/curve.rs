//! Latency, and the broker's CPU for a transaction, as the rate goes up: what defaults are chosen by.

use serde::{Deserialize, Serialize};

use super::contender::{Contender, Place, Task};
use super::latency::{self, Load};
use super::plan::Plan;
use super::results::{Latency, Machine};
use crate::Failure;

/// Before each point is measured.
const WARM_UP_SECONDS: u64 = 2;

/// All points.
#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Where it ran, on what.
    pub machine: Machine,
    /// Settings after settings, each from the lowest rate to the highest.
    pub points: Vec<Latency>,
}

/// Measures each setting at each rate; `say` is told what was measured.
///
/// # Errors
///
/// When a worker fails.
pub fn measure(
    plan: &Plan,
    place: &Place,
    broker: Option<u32>,
    machine: Machine,
    say: impl Fn(&str),
) -> Result<Curve, Failure> {
    let load = |rate| Load {
        rate,
        warm_up_seconds: WARM_UP_SECONDS,
        seconds: plan.latency_seconds(),
        keys: plan.keys,
        partitions: plan.partitions,
    };
    say("warming the broker up for small transactions");
    latency::measure(load(1_000), &plan.task(Contender::Onceflow), place, broker)?;
    let mut points = Vec::new();
    let all = plan.settings.len() * plan.rates.len();
    for settings in &plan.settings {
        for &rate in &plan.rates {
            let task = Task {
                settings: settings.split(',').map(str::to_owned).collect(),
                ..plan.task(Contender::Onceflow)
            };
            let point = latency::measure(load(rate), &task, place, broker)?;
            say(&format!(
                "[{}/{all}] {settings}: {}",
                points.len() + 1,
                line(&point)
            ));
            points.push(point);
        }
    }
    Ok(Curve { machine, points })
}

fn line(point: &Latency) -> String {
    format!(
        "{} records/s: p50 {:.1} ms, p99 {:.1} ms, {:.0} commits/s, broker {:.2} ms a commit",
        point.records_per_second,
        point.p50_ms,
        point.p99_ms,
        point.commits_per_second.unwrap_or(f64::NAN),
        point.broker_ms_per_commit().unwrap_or(f64::NAN),
    )
}

/// As Markdown.
///
/// # Errors
///
/// Never: a string takes all that is written.
pub fn markdown(curve: &Curve) -> Result<String, std::fmt::Error> {
    use std::fmt::Write;
    let mut text = String::new();
    writeln!(text, "# Latency and the cost of transactions, by rate\n")?;
    writeln!(text, "{}\n", curve.machine)?;
    writeln!(
        text,
        "onceflow, `map`, exactly once, one thread. From the making of a record to its sight in the committed output. \
         The broker's CPU includes serving the producer and the consumer of the measurement.\n"
    )?;
    let mut settings = None;
    for point in &curve.points {
        if settings.replace(&point.settings) != Some(&point.settings) {
            writeln!(text, "\n## {}\n", point.settings.join(", "))?;
            writeln!(
                text,
                "| records/s | served/s | p50 ms | p99 ms | p99.9 ms | commits/s | worker processors | broker processors | \
                 broker ms a commit |"
            )?;
            writeln!(text, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        }
        writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} |",
            point.records_per_second,
            point.served_per_second,
            point.p50_ms,
            point.p99_ms,
            point.p999_ms,
            point.commits_per_second.unwrap_or(f64::NAN),
            point.processors,
            point.broker_processors.unwrap_or(f64::NAN),
            point.broker_ms_per_commit().unwrap_or(f64::NAN),
        )?;
    }
    Ok(text)
}
