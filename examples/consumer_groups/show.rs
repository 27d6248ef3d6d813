//! The run: one worker an application, then all, then one less, while events keep coming.
//!
//! ```text
//!   change the workers ──> trickle events until every group is stable ──> write a share ──> all seen? ─┐
//!        ▲                 (each change of owners is told)                 (one owner each)             │
//!        └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::app::Running;
use onceflow_examples::progress::Progress;
use onceflow_examples::reader::Tail;
use onceflow_examples::run::Run;
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::count;
use onceflow_examples::writer::Writer;
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;

use crate::arguments::Arguments;
use crate::group::Group;
use crate::ownership::Owners;
use crate::topology::Stamped;

/// Between two looks at the groups, so many events are written.
const TRICKLE: u64 = 20;

/// How long a look for processed events waits for the first.
const LOOK_WAIT: Duration = Duration::from_millis(20);

/// How many records are taken in one go.
const RECORDS_MAX: usize = 10_000;

/// Groups that are not stable after so long, or events that have not come, end the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was shown, for the audit to hold the outcome against.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) steps: Vec<Step>,
    /// Events that were written.
    pub(crate) events: u64,
}

/// A time in which nothing moved.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) title: String,
    /// By application, as Kafka told it.
    pub(crate) owners: BTreeMap<String, Owners>,
    /// The events of this time: from, and up to but not including.
    pub(crate) events: std::ops::Range<u64>,
}

/// The run as it goes.
pub(crate) struct Show<'a> {
    run: &'a Run,
    events_topic: &'a str,
    groups: &'a [Group],
    arguments: &'a Arguments,
    tokio: tokio::runtime::Runtime,
    broker: BaseConsumer,
    writer: Writer,
    tail: Tail,
    progress: Progress,
    /// By application and number of worker.
    workers: BTreeMap<(usize, u16), Running>,
    /// Events that came into sight, by output topic.
    seen: BTreeMap<String, BTreeSet<u64>>,
    shown: Shown,
}

impl<'a> Show<'a> {
    pub(crate) fn prepare(
        run: &'a Run,
        arguments: &'a Arguments,
        events_topic: &'a str,
        groups: &'a [Group],
    ) -> Result<Self> {
        let outputs: Vec<&str> = groups.iter().map(|group| &*group.output).collect();
        let total = arguments.events * groups.len() as u64;
        Ok(Show {
            run,
            events_topic,
            groups,
            arguments,
            tokio: tokio::runtime::Runtime::new()?,
            broker: run.cluster.client_config().create()?,
            writer: Writer::open(&run.cluster)?,
            tail: Tail::follow(&run.cluster, &outputs)?,
            progress: Progress::start(total, false),
            workers: BTreeMap::new(),
            seen: BTreeMap::new(),
            shown: Shown::default(),
        })
    }

    /// Shows it all; answers what there was to see.
    pub(crate) fn run(mut self, interrupt: &Interrupt) -> Result<Shown> {
        let all = self.arguments.workers;
        self.start_workers(1..2)?;
        self.step("one worker each", 1, interrupt)?;
        self.start_workers(2..all + 1)?;
        self.step(&format!("{all} workers each"), all, interrupt)?;
        self.stop_worker(1)?;
        self.step("worker-1 has left", all - 1, interrupt)?;
        self.progress.end();
        for worker in std::mem::take(&mut self.workers).into_values() {
            worker.close()?;
        }
        Ok(self.shown)
    }

    fn start_workers(&mut self, numbers: std::ops::Range<u16>) -> Result<()> {
        for (at, group) in self.groups.iter().enumerate() {
            for number in numbers.clone() {
                let (name, handle) = (format!("worker-{number}"), self.tokio.handle());
                let worker = group.start_worker(handle, self.run, (self.events_topic, &name))?;
                self.workers.insert((at, number), worker);
            }
        }
        Ok(())
    }

    fn stop_worker(&mut self, number: u16) -> Result<()> {
        for at in 0..self.groups.len() {
            if let Some(worker) = self.workers.remove(&(at, number)) {
                worker.close()?;
            }
        }
        Ok(())
    }

    /// Waits until the partitions are spread, and has a share of the events processed.
    fn step(&mut self, title: &str, workers: u16, interrupt: &Interrupt) -> Result<()> {
        self.progress.tell(&format!("{title}:"));
        let owners = self.settle(usize::from(workers), interrupt)?;
        // What was written while partitions moved may have gone to the owner before this one.
        self.see_all(interrupt)?;
        let from = self.shown.events;
        let until = from + self.arguments.events / 3 + 1;
        self.write(until - from)?;
        self.see_all(interrupt)?;
        self.shown.steps.push(Step {
            title: title.to_owned(),
            owners,
            events: from..until,
        });
        Ok(())
    }

    /// Writes a few events at a time until every group is stable; tells each change of owners.
    fn settle(
        &mut self,
        workers: usize,
        interrupt: &Interrupt,
    ) -> Result<BTreeMap<String, Owners>> {
        let started = self.progress.elapsed();
        let mut told = BTreeMap::new();
        while told.len() < self.groups.len() {
            self.check(started, "partitions are not spread", interrupt)?;
            self.write(TRICKLE)?;
            self.look()?;
            for group in self.groups {
                let topic = (self.events_topic, self.arguments.partitions);
                let owners = group.owners(&self.broker, topic, workers)?;
                let Some(owners) = owners.filter(Owners::are_settled) else {
                    continue;
                };
                if told.get(&group.name) != Some(&owners) {
                    self.progress
                        .tell(&format!("  {:<12} {owners}", group.name));
                    told.insert(group.name.clone(), owners);
                }
            }
        }
        Ok(told)
    }

    fn write(&mut self, count: u64) -> Result<()> {
        let until = self.shown.events + count;
        while self.shown.events < until {
            let event = self.shown.events.to_string();
            if self
                .writer
                .send(self.events_topic, &event, event.as_bytes())?
            {
                self.shown.events += 1;
            }
        }
        self.writer.check()
    }

    /// Waits until every application has processed every event.
    fn see_all(&mut self, interrupt: &Interrupt) -> Result<()> {
        let started = self.progress.elapsed();
        while self.count_seen() < self.shown.events * self.groups.len() as u64 {
            self.check(started, "events do not come out", interrupt)?;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        let seen = &mut self.seen;
        self.tail.read(LOOK_WAIT, RECORDS_MAX, |message| {
            let stamped: Stamped = serde_json::from_slice(message.payload().unwrap_or_default())?;
            let topic = seen.entry(message.topic().to_owned()).or_default();
            topic.insert(stamped.event);
            Ok(())
        })?;
        let (seen, written) = (self.count_seen(), count(self.shown.events));
        (self.progress).show(seen, || format!("{written} events written"));
        Ok(())
    }

    fn count_seen(&self) -> u64 {
        self.seen.values().map(|events| events.len() as u64).sum()
    }

    fn check(&self, started: Duration, wrong: &str, interrupt: &Interrupt) -> Result<()> {
        interrupt.check()?;
        self.writer.check()?;
        self.workers.values().try_for_each(Running::check)?;
        if self.progress.elapsed() - started > PATIENCE {
            return Err(format!("{wrong}, for {} s", PATIENCE.as_secs()).into());
        }
        Ok(())
    }
}
