//! Lines are written and their words counted: one half by one application, the other by the next.

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow::Config;
use onceflow::prelude::*;
use onceflow_examples::Result;
use onceflow_examples::app::Running;
use onceflow_examples::progress::Progress;
use onceflow_examples::reader::Tail;
use onceflow_examples::run::Run;
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::count;
use onceflow_examples::writer::Writer;
use rdkafka::Message;

use crate::topology::{word_count, words};

/// How long a look for new counts waits for the first.
const LOOK_WAIT: Duration = Duration::from_millis(10);

/// How many counts are taken in one go.
const RECORDS_MAX: usize = 10_000;

/// A run in which no count came for so long is given up.
const STALL: Duration = Duration::from_secs(60);

/// The lines are written and their words counted.
pub(crate) struct Counting<'a> {
    run: &'a Run,
    topics: [&'a str; 2],
    tokio: tokio::runtime::Runtime,
    progress: Progress,
    writer: Writer,
    tail: Tail,
    counts: BTreeMap<String, i64>,
    /// Words that the lines written so far have, and words that were counted.
    due: i64,
    counted: i64,
}

impl<'a> Counting<'a> {
    pub(crate) fn start(run: &'a Run, topics: [&'a str; 2], lines: &[String]) -> Result<Self> {
        let total = lines.iter().map(|line| words(line).len() as u64).sum();
        Ok(Counting {
            run,
            topics,
            tokio: tokio::runtime::Runtime::new()?,
            progress: Progress::start(total, false),
            writer: Writer::open(&run.cluster)?,
            tail: Tail::follow(&run.cluster, &topics[1..])?,
            counts: BTreeMap::new(),
            due: 0,
            counted: 0,
        })
    }

    /// Counts one half, closes the application, and has another go on where it stopped.
    pub(crate) fn in_two_halves(
        mut self,
        lines: &[String],
        interrupt: &Interrupt,
    ) -> Result<(Duration, BTreeMap<String, i64>)> {
        let (first, second) = lines.split_at(lines.len().div_ceil(2));
        self.count(first, interrupt)?;
        let counted = count(self.counted);
        let event = format!("the application was closed with {counted} words counted");
        self.progress.tell(&event);
        self.count(second, interrupt)?;
        self.progress.end();
        Ok((self.progress.elapsed(), self.counts))
    }

    /// Has an application count these lines, to the last word.
    fn count(&mut self, lines: &[String], interrupt: &Interrupt) -> Result<()> {
        let worker = self.run.worker();
        let config = Config::builder(&worker.application_id, &worker.bootstrap_servers)
            .num_stream_threads(2)
            .build()?;
        let topology = word_count(self.topics)?;
        let app = Running::start(self.tokio.handle(), topology, config)?;
        let (mut lines, mut last) = (lines.iter().peekable(), self.progress.elapsed());
        while lines.peek().is_some() || self.counted < self.due {
            interrupt.check()?;
            app.check()?;
            while let Some(line) = lines.peek() {
                if !self.writer.send(self.topics[0], line, line.as_bytes())? {
                    break;
                }
                self.due += i64::try_from(words(line).len())?;
                lines.next();
            }
            if self.look()? {
                last = self.progress.elapsed();
            }
            if self.progress.elapsed() - last > STALL {
                return Err("for a minute no word was counted".into());
            }
        }
        self.writer.finish()?;
        app.close()
    }

    /// Looks what was counted; answers whether anything was.
    fn look(&mut self) -> Result<bool> {
        let (word, number) = (utf8(), i64());
        let (counts, counted) = (&mut self.counts, &mut self.counted);
        let new = self.tail.read(LOOK_WAIT, RECORDS_MAX, |message| {
            let told = number.deserialize(message.payload())?;
            let before = counts.insert(word.deserialize(message.key())?, told);
            *counted += told - before.unwrap_or(0);
            Ok(())
        })?;
        let (counted, words) = (*counted, counts.len());
        let done = u64::try_from(counted).unwrap_or(0);
        (self.progress).show(done, || format!("{words} different words"));
        Ok(new > 0)
    }
}
