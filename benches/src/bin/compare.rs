//! The macro comparison, in one command: see `--help`.

use std::fs;
use std::io::{Write, stderr, stdout};

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::compare::contender::{Broker, Contender, Place, Task};
use onceflow_benches::compare::curve::Curve;
use onceflow_benches::compare::embedded::Embedded;
use onceflow_benches::compare::kafka::{Kafka, class_path};
use onceflow_benches::compare::latency::Load;
use onceflow_benches::compare::plan::Plan;
use onceflow_benches::compare::results::{Machine, Results};
use onceflow_benches::compare::rounds::{Ground, Outcome};
use onceflow_benches::compare::{curve, curve_plot, idle, latency, plot, rounds, table};
use onceflow_benches::workload::Workload;

/// Before latency is measured.
const WARM_UP_SECONDS: u64 = 3;

/// Of a broker that has served few transactions so far: what it does for each has to be compiled.
const BROKER_WARM_UP_SECONDS: u64 = 30;

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
        None => {
            say("starting Apache Kafka");
            Some(Kafka::start(&class_path)?)
        }
        Some(_) => None,
    };
    let served = kafka.as_ref().map(Kafka::bootstrap_servers);
    let served = served.or(plan.bootstrap_servers.as_deref());
    let place = place(&plan, class_path, served.ok_or("no broker")?);
    let pid = kafka.as_ref().map(Kafka::pid);
    if plan.curve {
        return write_curve(&plan, &curve::measure(&plan, &place, pid, machine, say)?);
    }
    let outcome = throughput(&plan, &place, pid, say)?;
    let mut results = Results {
        machine,
        records: plan.records(),
        keys: plan.keys,
        partitions: plan.partitions,
        runs: outcome.measured,
        failures: outcome.failures,
        latencies: Vec::new(),
        idle: Vec::new(),
    };
    edges(&plan, (&place, pid), &mut results, say)?;
    write(&plan, &results)?;
    match results.failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} runs failed: they are told above").into()),
    }
}

fn place(plan: &Plan, class_path: String, bootstrap_servers: &str) -> Place {
    Place {
        class_path,
        bootstrap_servers: bootstrap_servers.to_owned(),
        input: "bench-input".to_owned(),
        output: "bench-output".to_owned(),
        table: "bench-table".to_owned(),
        table_rows: plan.keys,
    }
}

fn throughput(
    plan: &Plan,
    place: &Place,
    broker: Option<u32>,
    say: impl Fn(&str),
) -> Result<Outcome, Failure> {
    if plan.rounds() == 0 {
        return Ok(Outcome::default());
    }
    say(&format!("loading {} records", plan.records()));
    let mut grounds = vec![Ground::load(plan, Broker::Kafka, place, broker)?];
    let embedded = match plan.embedded && plan.workloads.contains(&Workload::Map) {
        true => Some(Embedded::start()?),
        false => None,
    };
    if let Some(embedded) = &embedded {
        say("loading them into the embedded broker");
        let place = Place {
            bootstrap_servers: embedded.bootstrap_servers().to_owned(),
            ..place.clone()
        };
        let pid = Some(embedded.pid());
        grounds.push(Ground::load(plan, Broker::Embedded, &place, pid)?);
    }
    rounds::run(plan, &grounds, say)
}

/// Latency and idleness, contender after contender, with one thread.
fn edges(
    plan: &Plan,
    (place, broker): (&Place, Option<u32>),
    results: &mut Results,
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let load = Load {
        rate: plan.latency_rate,
        warm_up_seconds: WARM_UP_SECONDS,
        seconds: plan.latency_seconds(),
        keys: plan.keys,
        partitions: plan.partitions,
    };
    if plan.latency_rate > 0 {
        // A broker that has never served small transactions is slow by seconds, for whoever is first.
        say("warming the broker up for small transactions");
        let first = Load {
            seconds: BROKER_WARM_UP_SECONDS,
            ..load
        };
        latency::measure(first, &at_ten(plan, Contender::Handwritten), place, broker)?;
    }
    for &contender in &plan.contenders {
        if contender == Contender::KafkaStreamsDefault && plan.contenders.len() > 1 {
            continue;
        }
        let usual = plan.task(contender);
        if plan.latency_rate > 0 {
            for task in [&usual, &at_ten(plan, contender)] {
                let latency = latency::measure(load, task, place, broker)?;
                let (p50, p99, interval) = (latency.p50_ms, latency.p99_ms, task.interval_ms());
                say(&format!(
                    "latency of {contender}, commit interval {interval} ms: p50 {p50:.1} ms, p99 {p99:.1} ms"
                ));
                results.latencies.push(latency);
            }
        }
        if plan.idle_seconds() > 0 {
            let idle = idle::measure(plan, &usual, place)?;
            say(&format!(
                "idle {contender}: started in {:.2} s, {} MiB, {:.4} processors",
                idle.start_seconds,
                idle.rss_bytes >> 20,
                idle.processors
            ));
            results.idle.push(idle);
        }
    }
    Ok(())
}

/// With an interval of 10 ms: what a contender can do that does not end its batches by itself.
fn at_ten(plan: &Plan, contender: Contender) -> Task {
    Task {
        commit_interval_ms: Some(10),
        ..plan.task(contender)
    }
}

fn write(plan: &Plan, results: &Results) -> Result<(), Failure> {
    let table = table::markdown(results)?;
    let json = serde_json::to_string_pretty(results)?;
    files(plan, "comparison", [&table, &json, &plot::svg(results)?])
}

fn write_curve(plan: &Plan, curve: &Curve) -> Result<(), Failure> {
    let table = curve::markdown(curve)?;
    let json = serde_json::to_string_pretty(curve)?;
    files(plan, "curve", [&table, &json, &curve_plot::svg(curve)?])
}

fn files(plan: &Plan, name: &str, [table, json, svg]: [&str; 3]) -> Result<(), Failure> {
    fs::create_dir_all(&plan.out)?;
    for (ending, text) in [("md", table), ("json", json), ("svg", svg)] {
        fs::write(plan.out.join(format!("{name}.{ending}")), text)?;
    }
    writeln!(stdout(), "{table}")?;
    writeln!(stderr(), "written to {}/{name}.*", plan.out.display())?;
    Ok(())
}
