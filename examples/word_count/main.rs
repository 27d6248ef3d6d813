//! Words are counted, exactly once, by an application that is stopped half way and goes on.
//!
//! ```text
//!   lines ──> words ──by word──> count ──> word-counts
//!                                  │
//!                                  └── changelog: the counts outlive the application
//! ```
//!
//! [`topology`] is all that an application needs. The [`audit`] then reads every count that was
//! ever told: those of a word must be 1, 2, 3, and so on, up to how often it really is there.

mod arguments;
mod text;
mod topology;
mod counting;
mod audit;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use onceflow::prelude::*;
use onceflow_examples::Result;
use onceflow_examples::random::{Random, unpredictable};
use onceflow_examples::reader::{Isolation, Reader};
use onceflow_examples::report;
use onceflow_examples::run::{Run, conclude};
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::{count, seconds};
use rdkafka::Message;

use arguments::Arguments;
use counting::Counting;
use topology::{COUNTS, LINES};

/// So many words are shown at the end.
const SHOWN: usize = 10;

/// The longest bar of the table at the end.
const BAR: u64 = 40;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(|interrupt| count_words(&arguments, interrupt))
}

fn count_words(arguments: &Arguments, interrupt: &Interrupt) -> Result<bool> {
    let lines = match &arguments.file {
        Some(path) => text::read(path)?,
        None => {
            let seed = arguments.seed.unwrap_or_else(unpredictable);
            text::lines(&mut Random::seeded(seed), arguments.lines)
        }
    };
    let run = Run::connect("word-count", &arguments.place)?;
    let topics = [run.named(LINES), run.named(COUNTS)];
    let topics = topics.each_ref().map(String::as_str);
    run.cluster.create_topics(&topics, arguments.partitions)?;
    opening(&run, &lines);

    let (took, counted) =
        Counting::start(&run, topics, &lines)?.in_two_halves(&lines, interrupt)?;
    let mut told = Vec::new();
    let (word, number) = (utf8(), i64());
    let reader = Reader::open(&run.cluster, interrupt.clone())?;
    reader.read_all(topics[1], Isolation::ReadCommitted, |message| {
        let count = number.deserialize(message.payload())?;
        told.push((word.deserialize(message.key())?, count));
        Ok(())
    })?;
    closing(took, &counted);
    let findings = audit::audit(&lines, &told);
    let passed = report::verdict(
        &findings,
        "every word was counted exactly once.",
        report::REPORT_IT,
    );
    let own = |kind: &str| format!("{}-counts-{kind}", run.worker().application_id);
    let own = ["changelog", "repartition"].map(own);
    run.clear(passed, &[topics[0], topics[1], &own[0], &own[1]])?;
    Ok(passed)
}

fn opening(run: &Run, lines: &[String]) {
    report::heading("Word count: exactly once, stopped half way");
    report::setting("broker", &run.broker());
    report::setting("text", &format!("{} lines", count(lines.len())));
    report::gap();
}

fn closing(took: Duration, counted: &BTreeMap<String, i64>) {
    report::heading("What was counted");
    let mut most: Vec<(&String, u64)> = counted
        .iter()
        .map(|(word, count)| (word, count.unsigned_abs()))
        .collect();
    most.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
    let highest = most.first().map_or(1, |(_, count)| *count).max(1);
    for (word, number) in most.iter().take(SHOWN) {
        let bar = usize::try_from(number * BAR / highest).unwrap_or(0);
        report::row(word, &count(number), &"█".repeat(bar));
    }
    if let more @ 1.. = most.len().saturating_sub(SHOWN) {
        report::row(&format!("and {more} more"), "", "");
    }
    report::row("time", &seconds(took), "");
    report::gap();
}
