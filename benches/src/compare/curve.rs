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
        "{} records/s: p50 {} ms, p99 {} ms, {} commits/s, broker {} ms a commit",
        point.records_per_second,
        known(point.p50_ms),
        known(point.p99_ms),
        known(point.commits_per_second),
        known(point.broker_ms_per_commit()),
    )
}

/// A figure, if there is one: a rate that cannot be served has no latency.
fn known(figure: impl Into<Option<f64>>) -> String {
    match figure.into().filter(|figure| !figure.is_nan()) {
        Some(figure) => format!("{figure:.2}"),
        None => "-".to_owned(),
    }
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
            "| {} | {:.0} | {} | {} | {} | {} | {:.2} | {} | {} |",
            point.records_per_second,
            point.served_per_second,
            known(point.p50_ms),
            known(point.p99_ms),
            known(point.p999_ms),
            known(point.commits_per_second),
            point.processors,
            known(point.broker_processors),
            known(point.broker_ms_per_commit()),
        )?;
    }
    Ok(text)
}
