//! A drill: records are written, the worker is killed and started again, until all is in sight.
//!
//! ```text
//!        ┌──> write some more ──> what came into sight? ──> does the worker live? ──> is a crash due? ──┐
//!        └──────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - A worker is killed only after it has brought some records into sight, and only while there
//!   are more for it to be killed in.
//! - A worker that ends by itself ends the run: only the drill may crash it.

use std::time::Duration;

use crate::Result;
use crate::finding::Finding;
use crate::progress::Progress;
use crate::random::Random;
use crate::run::Run;
use crate::shutdown::Interrupt;
use crate::text::{count, seconds};
use crate::worker::{Log, Worker};
use crate::writer::Writer;

/// How many records are ahead of what is in sight: always work to be killed in.
const IN_FLIGHT: usize = 4_000;

/// How long a look for what came into sight waits for the first.
const LOOK_WAIT: Duration = Duration::from_millis(5);

/// After a crash, nothing more of it comes into sight once nothing has for so long.
const QUIET: Duration = Duration::from_millis(100);

/// Where records may be lost, the last has come into sight once nothing has for so long.
const NO_MORE: Duration = Duration::from_secs(2);

/// A run in which nothing came into sight for so long is over.
const STALL: Duration = Duration::from_secs(60);

/// How long a worker may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A crash comes up to so much later than it is due: at any point of a batch.
const DELAY_MAX_MS: u64 = 120;

/// What is written, and how often the worker is killed meanwhile.
pub struct Plan<'a> {
    /// Where records are written to.
    pub topic: &'a str,
    /// Keys and values.
    pub records: Vec<(String, Vec<u8>)>,
    /// How many crashes there are.
    pub crashes: usize,
    /// Whether a crash may cost records: then not all of them come into sight.
    pub may_lose: bool,
    /// Where the moments of the crashes come from.
    pub random: Random,
    /// Starts a worker: the first, or the next after a crash.
    pub start: &'a dyn Fn() -> Result<Worker>,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (records, crashes) = (self.records.len(), self.crashes);
        write!(f, "Plan({records} records, {crashes} crashes)")
    }
}

/// How what the worker has done comes into sight.
pub trait Sight {
    /// Looks what is new, for `wait` at most; answers whether anything is.
    ///
    /// # Errors
    ///
    /// When what is there cannot be read.
    fn look(&mut self, wait: Duration) -> Result<bool>;

    /// How many of the written records have come into sight.
    fn seen(&self) -> usize;

    /// What has been seen, in words.
    fn words(&self) -> String;
}

/// How a drill went.
#[derive(Debug, Clone, Copy)]
pub struct Drilled {
    /// Whether it came to its end: otherwise nothing was seen for a minute.
    pub complete: bool,
    /// How many crashes there were.
    pub crashes: usize,
    /// From the start of the first worker until the last record was in sight.
    pub took: Duration,
}

impl Drilled {
    /// The first claim of every audit after a drill: otherwise one in which nothing happened
    /// would pass.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let given_up = (!self.complete).then(|| "for a minute nothing came into sight".to_owned());
        let extent = format!("{} crashes", count(self.crashes));
        Finding::new(
            "the worker went on to the end",
            extent,
            given_up.into_iter(),
        )
    }
}

struct Drill<'a> {
    plan: &'a mut Plan<'a>,
    sight: &'a mut dyn Sight,
    progress: Progress,
    writer: Writer,
    written: usize,
    worker: Worker,
    crashes: usize,
    /// What was written, and what was in sight, when the present worker was started.
    since: (usize, usize),
    /// When the next crash comes, once it can be foreseen.
    due: Option<Duration>,
    last_seen: Duration,
    /// When the present worker was started after a crash, until something of it is in sight.
    restarted: Option<Duration>,
}

/// Runs a drill to its end, whichever it is; no worker is left then.
///
/// # Errors
///
/// When a worker ends by itself or does not close, with what it said last; when the broker
/// refuses a record; when the user has seen enough.
pub fn drill<'a>(
    run: &Run,
    plan: &'a mut Plan<'a>,
    sight: &'a mut dyn Sight,
    interrupt: &Interrupt,
) -> Result<Drilled> {
    let logs_to_terminal = matches!(run.log, Log::Terminal);
    let mut drill = Drill {
        progress: Progress::start(plan.records.len() as u64, logs_to_terminal),
        writer: Writer::open(&run.cluster)?,
        worker: (plan.start)()?,
        plan,
        sight,
        written: 0,
        crashes: 0,
        since: (0, 0),
        due: None,
        last_seen: Duration::ZERO,
        restarted: None,
    };
    let complete = drill.until_over(interrupt);
    drill.progress.end();
    let (took, crashes) = (drill.last_seen, drill.crashes);
    let closed = drill.worker.close(CLOSE_TIMEOUT);
    let complete = complete.map_err(|error| with_log(run, error))?;
    // One that brings nothing into sight may not close either; what it did is audited.
    if complete {
        closed.map_err(|error| with_log(run, error))?;
    }
    Ok(Drilled {
        complete,
        crashes,
        took,
    })
}

fn with_log(run: &Run, error: crate::Error) -> crate::Error {
    let log = run.log.last_lines();
    if log.is_empty() || error.is::<crate::shutdown::Interrupted>() {
        return error;
    }
    let log = log.replace('\n', "\n    ");
    format!("{error}\n  The worker said last:\n    {log}").into()
}

impl Drill<'_> {
    /// Answers whether it came to its end.
    fn until_over(&mut self, interrupt: &Interrupt) -> Result<bool> {
        while self.sight.seen() < self.plan.records.len() && !self.is_over() {
            interrupt.check()?;
            if self.now().saturating_sub(self.last_seen) > STALL {
                return Ok(false);
            }
            self.write()?;
            self.look()?;
            self.check_worker()?;
            self.crash_if_due()?;
        }
        self.writer.finish()?;
        Ok(true)
    }

    /// Whether what is missing is lost, and may be.
    fn is_over(&self) -> bool {
        let quiet = self.now().saturating_sub(self.last_seen) > NO_MORE;
        let done = self.written == self.plan.records.len() && self.restarted.is_none();
        self.plan.may_lose && done && quiet
    }

    fn write(&mut self) -> Result<()> {
        let (written, seen) = self.since;
        let limit = written + IN_FLIGHT + (self.sight.seen() - seen);
        while self.written < limit.min(self.reserve()) {
            let (key, value) = &self.plan.records[self.written];
            if !self.writer.send(self.plan.topic, key, value)? {
                break;
            }
            self.written += 1;
        }
        self.writer.check()
    }

    /// How many records may be written by now: each crash to come leaves a share for after it.
    fn reserve(&self) -> usize {
        self.plan.records.len() - self.share() * (self.plan.crashes - self.crashes)
    }

    /// What each worker gets, of as many as there will be.
    fn share(&self) -> usize {
        self.plan.records.len() / (self.plan.crashes + 1)
    }

    fn look(&mut self) -> Result<()> {
        if self.sight.look(LOOK_WAIT)? {
            self.last_seen = self.now();
            if let Some(started) = self.restarted.take() {
                let took = seconds(self.last_seen - started);
                let event = format!("restarted: records come into sight again after {took}");
                self.progress.tell(&event);
            }
        }
        let (sight, crashes) = (&self.sight, self.crashes);
        let planned = self.plan.crashes;
        self.progress.show(sight.seen() as u64, || {
            format!("{}, {crashes} of {planned} crashes", sight.words())
        });
        Ok(())
    }

    fn check_worker(&mut self) -> Result<()> {
        match self.worker.ended()? {
            None => Ok(()),
            Some(status) => Err(format!("the worker ended by itself ({status})").into()),
        }
    }

    fn crash_if_due(&mut self) -> Result<()> {
        let early = self.sight.seen() - self.since.1 < self.share() / 2;
        if self.crashes == self.plan.crashes || early {
            return Ok(());
        }
        let now = self.now();
        let random = &mut self.plan.random;
        let mut delay = || Duration::from_millis(random.below(DELAY_MAX_MS + 1));
        let due = *self.due.get_or_insert_with(|| now + delay());
        // Once all is written that may be, it would soon be done.
        if now < due && self.written < self.reserve() {
            return Ok(());
        }
        self.crash()
    }

    fn crash(&mut self) -> Result<()> {
        let id = self.worker.id();
        // The one that is replaced is dead before the next is started: a crash, not a rival.
        self.worker.kill()?;
        // What the dead one had done comes into sight first: what comes next is the new one's.
        while self.sight.look(QUIET)? {}
        self.crashes += 1;
        let (number, planned) = (self.crashes, self.plan.crashes);
        let seen = count(self.sight.seen());
        let event = format!("crash {number}/{planned}: kill -9 {id} with {seen} in sight");
        self.progress.tell(&event);
        self.since = (self.written, self.sight.seen());
        self.due = None;
        self.worker = (self.plan.start)()?;
        self.restarted = Some(self.now());
        Ok(())
    }

    fn now(&self) -> Duration {
        self.progress.elapsed()
    }
}
