//! A monitor counts its samples at most once: a crash costs some, and none is ever counted twice.
//!
//! ```text
//!   this process                            its worker, a child process (worker.rs)
//!   ┌──────────────────────────┐  samples   ┌─────────────────────────────────────────┐
//!   │ samples the CPUs of hosts│ ─────────> │ by host and minute ──> average so far   │
//!   │ kills the worker ────────│─── ✗ ────> │ offsets first, output with acks=0       │
//!   │ audits the averages      │ <───────── │            └────────> averages          │
//!   └──────────────────────────┘            └─────────────────────────────────────────┘
//! ```
//!
//! A reading of a CPU is worth little a second later: the next one is better than this one twice.
//! So the worker commits that it *will* process samples, processes them, and asks the broker for no
//! answer. Every average names the seconds that it is of, so the [`audit`] can hold it against just
//! these samples: some are missing, none is in it twice.

mod model;
mod arguments;
mod worker;
mod sight;
mod audit;

use std::process::ExitCode;

use clap::Parser;
use onceflow_examples::Result;
use onceflow_examples::drill::{Plan, drill};
use onceflow_examples::random::{Random, unpredictable};
use onceflow_examples::reader::{Isolation, Reader};
use onceflow_examples::report;
use onceflow_examples::run::{Run, conclude};
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::{count, seconds};
use onceflow_examples::worker::Worker;
use rdkafka::Message;

use arguments::{Arguments, Role};
use model::{AVERAGES, Average, SAMPLES, Sample, samples};
use sight::Averaged;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Worker(worker)) => worker::work(worker),
        None => conclude(|interrupt| monitor(&arguments, interrupt)),
    }
}

fn monitor(arguments: &Arguments, interrupt: &Interrupt) -> Result<bool> {
    let run = Run::connect("monitoring", &arguments.place)?;
    let topics = [run.named(SAMPLES), run.named(AVERAGES)];
    let topics = topics.each_ref().map(String::as_str);
    run.cluster.create_topics(&topics, arguments.partitions)?;
    let mut random = Random::seeded(arguments.seed.unwrap_or_else(unpredictable));
    let made = samples(&mut random, arguments.hosts, arguments.samples);
    opening(&run, arguments);

    let worker = run.worker();
    let start = || Worker::start(worker.to_command_line(), &run.log);
    let mut plan = Plan {
        topic: topics[0],
        records: made.iter().map(Sample::record).collect::<Result<_>>()?,
        crashes: arguments.crashes,
        may_lose: true,
        random,
        start: &start,
    };
    let mut sight = Averaged::follow(&run.cluster, topics[1], made.len())?;
    let drilled = drill(&run, &mut plan, &mut sight, interrupt)?;

    let mut averages: Vec<Average> = Vec::new();
    let reader = Reader::open(&run.cluster, interrupt.clone())?;
    reader.read_all(topics[1], Isolation::ReadCommitted, |message| {
        averages.push(serde_json::from_slice(
            message.payload().unwrap_or_default(),
        )?);
        Ok(())
    })?;
    let mut outcome = audit::audit(&made, &averages);
    outcome.findings.push(drilled.finding());
    report::heading("What happened");
    report::row("samples taken", &count(made.len()), "");
    report::row("  averaged", &count(outcome.arrived), "once each");
    report::row(
        "  lost",
        &count(outcome.lost),
        "fetched by a worker that was killed",
    );
    report::row("crashes", &count(drilled.crashes), "kill -9");
    report::row(
        "minutes of hosts",
        &count(outcome.minutes),
        &outcome.example,
    );
    report::row("time", &seconds(drilled.took), "");
    report::gap();
    let proven = format!(
        "no sample was counted twice, and every average is right for what arrived. Lost: {}.",
        count(outcome.lost)
    );
    let passed = report::verdict(&outcome.findings, &proven, report::REPORT_IT);
    let changelog = format!("{}-{}-changelog", worker.application_id, worker::STORE);
    run.clear(passed, &[topics[0], topics[1], &changelog])?;
    Ok(passed)
}

fn opening(run: &Run, arguments: &Arguments) {
    let (samples, hosts) = (count(arguments.samples), count(arguments.hosts));
    report::heading("Monitoring: at most once, under kill -9");
    report::setting("broker", &run.broker());
    report::setting(
        "samples",
        &format!("{samples} of the CPUs of {hosts} hosts"),
    );
    report::setting(
        "worker",
        "one process: offsets first, then averages with acks=0",
    );
    report::setting("crashes", &count(arguments.crashes));
    report::gap();
}
