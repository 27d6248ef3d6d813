//! The macro comparison, in one command: see `--help`.

use std::fs;
use std::io::{Write, stderr, stdout};

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::compare::contender::{Contender, Place, Task};
use onceflow_benches::compare::kafka::{Kafka, class_path};
use onceflow_benches::compare::plan::Plan;
use onceflow_benches::compare::results::{Machine, Results};
use onceflow_benches::compare::{idle, latency, plot, rounds, table};
use onceflow_benches::workload::{Guarantee, Workload};

fn main() -> Result<(), Failure> {
    let plan = Plan::parse();
    let machine = Machine::here();
    let begin = onceflow_benches::os::now();
    let say = |line: &str| {
        let elapsed = onceflow_benches::os::now() - begin;
        // Nobody may be watching.
        drop(writeln!(
            stderr(),
            "{:5.0} s  {line}",
            elapsed.as_secs_f64()
        ));
    };
    say("building the peer and the broker's class path");
    let class_path = class_path()?;
    let kafka = match plan.bootstrap_servers {
        None => Some(Kafka::start(&class_path)?),
        Some(_) => None,
    };
    let served = kafka
        .as_ref()
        .map(Kafka::bootstrap_servers)
        .or(plan.bootstrap_servers.as_deref());
    let place = Place {
        class_path,
        bootstrap_servers: served.ok_or("no broker")?.to_owned(),
        input: "bench-input".to_owned(),
        output: "bench-output".to_owned(),
    };
    let runs = match plan.rounds() {
        0 => Vec::new(),
        _ => rounds::run(&plan, &place, kafka.as_ref().map(Kafka::pid), say)?,
    };
    let mut results = Results {
        machine,
        records: plan.records(),
        keys: plan.keys,
        partitions: plan.partitions,
        commit_interval_ms: plan.commit_interval_ms,
        runs,
        latencies: Vec::new(),
        idle: Vec::new(),
    };
    edges(&plan, &place, &mut results, say)?;
    write(&plan, &results)
}

/// Latency and idleness, contender after contender, with one thread.
fn edges(
    plan: &Plan,
    place: &Place,
    results: &mut Results,
    say: impl Fn(&str),
) -> Result<(), Failure> {
    if plan.latency_rate > 0 {
        // A broker that has never served small transactions is slow by seconds, for whoever is first.
        say("warming the broker up for small transactions");
        let first = task(Contender::Handwritten, 10);
        latency::measure(plan, &first, place)?;
    }
    for &contender in &plan.contenders {
        if contender == Contender::KafkaStreamsDefault && plan.contenders.len() > 1 {
            continue;
        }
        let usual = task(contender, plan.commit_interval_ms);
        if plan.latency_rate > 0 {
            for task in [&usual, &task(contender, 10)] {
                let latency = latency::measure(plan, task, place)?;
                let (p50, p99) = (latency.p50_ms, latency.p99_ms);
                let interval = task.commit_interval_ms;
                say(&format!(
                    "latency {contender}, {interval} ms: p50 {p50:.1} ms, p99 {p99:.1} ms"
                ));
                results.latencies.push(latency);
            }
        }
        if plan.idle_seconds > 0 {
            let idle = idle::measure(plan, &usual, place)?;
            say(&format!(
                "idle {contender}: {} MiB, {:.4} processors",
                idle.rss_bytes >> 20,
                idle.processors
            ));
            results.idle.push(idle);
        }
    }
    Ok(())
}

/// `map` is the workload whose output still tells when a record was made.
fn task(contender: Contender, commit_interval_ms: u64) -> Task {
    Task {
        contender,
        workload: Workload::Map,
        guarantee: Guarantee::ExactlyOnce,
        threads: 1,
        commit_interval_ms,
    }
}

fn write(plan: &Plan, results: &Results) -> Result<(), Failure> {
    fs::create_dir_all(&plan.out)?;
    let table = table::markdown(results)?;
    fs::write(plan.out.join("comparison.md"), &table)?;
    fs::write(
        plan.out.join("comparison.json"),
        serde_json::to_string_pretty(results)?,
    )?;
    fs::write(plan.out.join("comparison.svg"), plot::svg(results)?)?;
    writeln!(stdout(), "{table}")?;
    writeln!(stderr(), "written to {}", plan.out.display())?;
    Ok(())
}
