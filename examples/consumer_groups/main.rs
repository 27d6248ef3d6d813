//! Several applications read one topic, each with several workers that come and go.
//!
//! ```text
//!                     ┌─> application billing    ┬ worker 1: partitions 0 1
//!   events  ──────────┤     all events           ├ worker 2: partitions 2 3
//!   (6 partitions)    │                          └ worker 3: partitions 4 5
//!                     └─> application shipping ... all events again, to workers of its own
//! ```
//!
//! Each application is a consumer group: every one gets all events, and within one every partition
//! has one owner. The run begins with one worker an application, adds the others, takes one away,
//! and shows at each step how Kafka spreads the partitions anew while events keep coming. Each
//! event that comes out names the worker that processed it, and the [`audit`] holds that against
//! what Kafka said of who owns what.

mod arguments;
mod topology;
mod ownership;
mod group;
mod show;
mod audit;

use std::process::ExitCode;

use clap::Parser;
use onceflow_examples::Result;
use onceflow_examples::reader::{Isolation, Reader};
use onceflow_examples::report;
use onceflow_examples::run::{Run, conclude};
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::count;
use rdkafka::Message;

use arguments::Arguments;
use group::Group;
use show::{Show, Shown};
use topology::{EVENTS, Stamped};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(|interrupt| groups(&arguments, interrupt))
}

fn groups(arguments: &Arguments, interrupt: &Interrupt) -> Result<bool> {
    let run = Run::connect("consumer-groups", &arguments.place)?;
    let events = run.named(EVENTS);
    let groups: Vec<Group> = (0..arguments.applications)
        .map(|number| Group::of(&run, number))
        .collect();
    let mut topics: Vec<&str> = groups.iter().map(|group| &*group.output).collect();
    topics.push(&events);
    run.cluster.create_topics(&topics, arguments.partitions)?;
    opening(&run, arguments);

    let shown = Show::prepare(&run, arguments, &events, &groups)?.run(interrupt)?;
    let mut stamped = Vec::new();
    let reader = Reader::open(&run.cluster, interrupt.clone())?;
    for group in &groups {
        let mut of_group: Vec<Stamped> = Vec::new();
        reader.read_all(&group.output, Isolation::ReadCommitted, |message| {
            of_group.push(serde_json::from_slice(
                message.payload().unwrap_or_default(),
            )?);
            Ok(())
        })?;
        stamped.push((group.name.clone(), of_group));
    }
    closing(&shown, &stamped);
    let findings = audit::audit(&shown, &stamped);
    let proven = "every application got every event once, every partition had one owner at a time.";
    let passed = report::verdict(&findings, proven, report::REPORT_IT);
    run.clear(passed, &topics)?;
    Ok(passed)
}

fn opening(run: &Run, arguments: &Arguments) {
    let Arguments {
        applications,
        workers,
        partitions,
        events,
        ..
    } = arguments;
    report::heading(
        "Consumer groups: every application gets everything, every partition has one owner",
    );
    report::setting("broker", &run.broker());
    report::setting(
        "topic",
        &format!("{} events, over {partitions} partitions", count(events)),
    );
    report::setting(
        "readers",
        &format!("{applications} applications, up to {workers} workers each"),
    );
    report::gap();
}

fn closing(shown: &Shown, stamped: &[(String, Vec<Stamped>)]) {
    report::heading("Who owned which partition");
    for step in &shown.steps {
        report::line(&step.title);
        for (application, owners) in &step.owners {
            report::line(&format!("  {application:<12} {owners}"));
        }
    }
    report::gap();
    report::heading("Who processed how many events");
    for (application, events) in stamped {
        let mut by_worker = std::collections::BTreeMap::new();
        for event in events {
            *by_worker.entry(&*event.worker).or_insert(0_u64) += 1;
        }
        let shares = by_worker
            .iter()
            .map(|(worker, events)| format!("{worker}: {}", count(events)));
        let shares: Vec<String> = shares.collect();
        report::row(application, &count(events.len()), &shares.join("   "));
    }
    report::gap();
}
