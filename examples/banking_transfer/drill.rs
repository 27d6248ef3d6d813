//! The drill: transfers are written, the worker is killed and started again, until all is settled.
//!
//! ```text
//!        ┌──> write some more ──> see what is settled ──> does the worker live? ──> is a crash due? ──┐
//!        └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - A worker is killed only while transfers are in flight, and only after it has settled some.
//! - A worker that ends by itself ends the run: only we may crash it.

use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::progress::Progress;
use onceflow_examples::reader::Reader;
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::{count, seconds};
use onceflow_examples::worker::{Log, Worker};
use onceflow_examples::writer::Writer;

use crate::promise::Promise;
use crate::settled::Settled;
use crate::setup::Setup;

/// How many transfers may be written and not settled: always work to be killed in.
const IN_FLIGHT_MAX: u64 = 50_000;

/// How many transfers are written between two looks around.
const WRITTEN_AT_ONCE: usize = 10_000;

/// How long a look for settled transfers waits for the first.
const LOOK_WAIT: Duration = Duration::from_millis(5);

/// After a crash, nothing more comes into sight once nothing has for so long.
const QUIET: Duration = Duration::from_millis(100);

/// Where transfers may be lost, the last has come into sight once nothing has for so long.
const NO_MORE: Duration = Duration::from_secs(3);

/// A run in which nothing was settled for so long is over.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a worker may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Every transfer is settled.
    Settled,
    /// No transfer was settled for a long time.
    Stalled,
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Drilled {
    pub(crate) end: End,
    pub(crate) crashes: Vec<Crashed>,
    /// From the start of the first worker until the last transfer was settled.
    pub(crate) took: Duration,
}

/// A crash that happened.
#[derive(Debug)]
pub(crate) struct Crashed {
    /// Partitions that it left with an open transaction.
    pub(crate) open_partitions: usize,
    /// How long the next worker took from its start until it had settled a transfer.
    pub(crate) recovery: Option<Duration>,
}

struct Drill<'a> {
    setup: &'a Setup,
    reader: &'a Reader<'a>,
    progress: Progress,
    writer: Writer,
    written: usize,
    settled: Settled,
    last_settled: Duration,
    worker: Worker,
    crashes: Vec<Crashed>,
    /// When the next crash comes, once it can be foreseen.
    due: Option<Duration>,
    /// When the present worker was started after a crash, until it has settled a transfer.
    restarted: Option<Duration>,
}

/// Runs a drill to its end, whichever it is; no worker is left then.
pub(crate) fn run(setup: &Setup, reader: &Reader<'_>, interrupt: &Interrupt) -> Result<Drilled> {
    let settled = Settled::follow(&setup.cluster, &setup.topics, setup.transfers.len())?;
    let logs_to_terminal = matches!(setup.log, Log::Terminal);
    let mut drill = Drill {
        setup,
        reader,
        progress: Progress::start(setup.transfers.len() as u64, logs_to_terminal),
        writer: Writer::open(&setup.cluster)?,
        written: 0,
        settled,
        last_settled: Duration::ZERO,
        worker: setup.start_worker()?,
        crashes: Vec::new(),
        due: None,
        restarted: None,
    };
    let end = drill.until_settled(interrupt);
    drill.progress.end();
    let (took, crashes) = (drill.last_settled, drill.crashes);
    let closed = drill.worker.close(CLOSE_TIMEOUT);
    let end = end?;
    // One that settles nothing may not close either; what it did is audited all the same.
    if end == End::Settled {
        closed?;
    }
    Ok(Drilled { end, crashes, took })
}

impl Drill<'_> {
    fn until_settled(&mut self, interrupt: &Interrupt) -> Result<End> {
        while !self.settled.is_complete() && !self.is_over() {
            interrupt.check()?;
            if self.now() - self.last_settled > STALL_TIMEOUT {
                return Ok(End::Stalled);
            }
            self.write()?;
            self.look()?;
            self.check_worker()?;
            self.crash_if_due()?;
        }
        self.writer.finish()?;
        Ok(End::Settled)
    }

    /// Whether what is missing is lost, and the guarantee allows it.
    fn is_over(&self) -> bool {
        let may_lose = !self.setup.promise.settles_all();
        let written = self.written == self.setup.transfers.len();
        let quiet = self.now() - self.last_settled > NO_MORE;
        may_lose && written && quiet && self.restarted.is_none()
    }

    /// Writes transfers, a part at a time.
    fn write(&mut self) -> Result<()> {
        let (made, topic) = (&self.setup.transfers, &self.setup.topics.transfers);
        let limit = usize::try_from(self.write_limit())?;
        let limit = limit.min(made.len()).min(self.written + WRITTEN_AT_ONCE);
        while self.written < limit {
            let transfer = &made[self.written];
            let value = serde_json::to_vec(transfer)?;
            if !self.writer.send(topic, &transfer.from, &value)? {
                break;
            }
            self.written += 1;
        }
        self.writer.check()
    }

    /// How many transfers may be written by now: enough to be killed in, not so many that none
    /// would be left for the crashes to come.
    fn write_limit(&self) -> u64 {
        let settled = self.settled.count;
        match self.setup.crashes.after(self.crashes.len()) {
            Some(crash) => {
                let in_flight = crash.slack.clamp(1, IN_FLIGHT_MAX);
                (settled + IN_FLIGHT_MAX).min(settled.max(crash.settled) + in_flight)
            }
            None => settled + IN_FLIGHT_MAX,
        }
    }

    fn look(&mut self) -> Result<()> {
        if self.settled.look(LOOK_WAIT)? {
            self.last_settled = self.now();
            if let Some(started) = self.restarted.take() {
                let recovery = self.last_settled - started;
                let crash = self.crashes.last_mut().expect("a worker was killed");
                crash.recovery = Some(recovery);
                let recovery = seconds(recovery);
                self.progress.tell(&format!(
                    "restarted: settles transfers again after {recovery}"
                ));
            }
        }
        let settled = &self.settled;
        let (crashes, planned) = (self.crashes.len(), self.setup.crashes.len());
        self.progress.show(settled.count, || {
            let (applied, refused) = (count(settled.applied), count(settled.refused));
            format!("{applied} applied, {refused} refused, {crashes} of {planned} crashes")
        });
        Ok(())
    }

    fn check_worker(&mut self) -> Result<()> {
        let Some(status) = self.worker.ended()? else {
            return Ok(());
        };
        Err(format!("the worker ended by itself ({status})").into())
    }

    fn crash_if_due(&mut self) -> Result<()> {
        let Some(plan) = self.setup.crashes.after(self.crashes.len()) else {
            return Ok(());
        };
        if self.settled.count < plan.settled.max(1) || self.restarted.is_some() {
            return Ok(());
        }
        let now = self.now();
        let due = *self.due.get_or_insert(now + plan.delay);
        let due = now >= due || self.settled.count >= plan.settled + plan.slack;
        let in_flight = self.written as u64 > self.settled.count;
        if !due || !in_flight {
            return Ok(());
        }
        let transactional = self.setup.promise == Promise::ExactlyOnce;
        if plan.inside
            && transactional
            && !self.reader.has_open_transaction(&self.setup.changelog())?
        {
            return Ok(());
        }
        self.crash()
    }

    fn crash(&mut self) -> Result<()> {
        self.due = None;
        let id = self.worker.id();
        // The one that is replaced is dead before the next is started: a crash, not a rival.
        self.worker.kill()?;
        let topics = self.setup.written_topics();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let open_partitions = self.reader.open_partitions(&topics)?;
        // What the dead one had committed comes into sight first, so that what comes next is the
        // new one's.
        while self.settled.look(QUIET)? {}
        self.crashes.push(Crashed {
            open_partitions,
            recovery: None,
        });
        let (number, planned) = (self.crashes.len(), self.setup.crashes.len());
        let settled = count(self.settled.count);
        let state = match open_partitions {
            0 if self.setup.promise == Promise::ExactlyOnce => {
                "between two transactions".to_owned()
            }
            0 => "somewhere in a batch".to_owned(),
            open => format!("transaction open on {open} partitions"),
        };
        self.progress.tell(&format!(
            "crash {number}/{planned}: kill -9 {id} with {settled} settled, {state}"
        ));
        self.worker = self.setup.start_worker()?;
        self.restarted = Some(self.now());
        Ok(())
    }

    fn now(&self) -> Duration {
        self.progress.elapsed()
    }
}
