//! A worker in a process of its own, to be killed, paused and crashed at a point of a batch.
//!
//! ```text
//!   test ──orders (JSON, one argument)──> crash_worker
//!        <──── reports, a line each ──── stdout: state RUNNING, holding BeforeCommit, failed ...
//!        ──── "go", or the end ────────> stdin: leave the point; close and leave the group
//! ```
//!
//! # Invariants
//!
//! - **Nothing stays.** A worker ends when its handle is dropped, or when the test process ends,
//!   however it ends: its stdin closes then.
//! - **A failed test shows what its workers said**: their logs are printed while it unwinds.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use onceflow_framework::BatchPoint;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{Ledger, LedgerTopics},
    poisoned::Entries,
    wait::{PATIENCE, eventually, spawn, within},
};

/// How many lines of each stream are kept.
const LINES_MAX: usize = 2_000;

/// The environment variable that has passed tests show what their workers said, too.
const SHOW_LOGS: &str = "ONCEFLOW_TEST_LOGS";

/// What a worker process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// The application's settings, by Kafka's names.
    pub properties: Vec<(String, String)>,
    /// Which application it runs.
    pub application: Application,
    /// The topics of its topology.
    pub topics: LedgerTopics,
    /// What it does at which point, if anything.
    pub at: Option<At>,
}

impl Orders {
    /// The worker's name in messages: application and instance.
    fn name(&self) -> String {
        let named = |wanted: &str| {
            let mut found = self.properties.iter().filter(|(name, _)| name == wanted);
            found.next_back().map_or("", |(_, value)| value.as_str())
        };
        format!("{}/{}", named("application.id"), named("instance.id"))
    }
}

/// The applications that a worker process knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Application {
    /// [`ledger`](crate::ledger).
    Ledger,
    /// The same, with a slow service that is asked about each entry.
    Asking,
    /// [`punctual`](crate::punctual).
    Punctual,
    /// [`naming`](crate::naming).
    Naming,
    /// [`rows`](crate::rows), to this database.
    Rows(String),
    /// [`rows::journal`](crate::rows::journal), to this database.
    Journal(String),
    /// [`poisoned`](crate::poisoned); an error that stops a worker ends the process.
    Poisoned(Entries),
    /// [`refused`](crate::refused).
    Refused,
}

/// What happens at the `occurrence`-th time, counted from 1, that a point of a batch is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct At {
    /// The point's name.
    pub point: String,
    /// Which time.
    pub occurrence: u64,
    /// What then.
    pub what: Then,
}

/// What a worker does at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The process dies, with no unwinding and no cleanup.
    Abort,
    /// The worker stands still until it is told to go on.
    Hold,
}

impl At {
    /// The process dies at this point.
    #[must_use]
    pub fn abort(point: BatchPoint, occurrence: u64) -> Self {
        Self {
            point: format!("{point:?}"),
            occurrence,
            what: Then::Abort,
        }
    }

    /// The worker stands still at this point.
    #[must_use]
    pub fn hold(point: BatchPoint, occurrence: u64) -> Self {
        Self {
            point: format!("{point:?}"),
            occurrence,
            what: Then::Hold,
        }
    }
}

/// A running worker process.
pub struct Worker {
    child: Child,
    orders_to: Option<ChildStdin>,
    reports: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<Vec<String>>>,
    name: String,
}

impl Worker {
    /// Starts a worker of the ledger's application. `program` is `env!("CARGO_BIN_EXE_crash_worker")`,
    /// which only a test knows. The instance is a static member: a successor of the same name
    /// takes its place at once.
    ///
    /// # Panics
    ///
    /// When the process cannot be started.
    #[must_use]
    pub fn start(program: &str, ledger: &Ledger<'_>, instance: &str, at: Option<At>) -> Self {
        let static_member = [("static.membership".to_owned(), "true".to_owned())];
        Self::with(program, ledger, instance, at, static_member)
    }

    /// As [`start`](Self::start), with these settings instead of static membership.
    ///
    /// # Panics
    ///
    /// When the process cannot be started.
    #[must_use]
    pub fn with(
        program: &str,
        ledger: &Ledger<'_>,
        instance: &str,
        at: Option<At>,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut properties = ledger.properties(instance);
        properties.extend(settings);
        let topics = ledger.topics.clone();
        let application = Application::Ledger;
        Self::obeying(
            program,
            &Orders {
                properties,
                application,
                topics,
                at,
            },
        )
    }

    /// Starts a worker with these orders.
    ///
    /// # Panics
    ///
    /// When the process cannot be started.
    #[must_use]
    pub fn obeying(program: &str, orders: &Orders) -> Self {
        let name = orders.name();
        let orders = serde_json::to_string(orders).expect("orders are plain data");
        let mut child = Command::new(Path::new(program))
            .arg(orders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let reports = collect(
            "worker-reports",
            child.stdout.take().expect("stdout is piped"),
        );
        let log = collect("worker-log", child.stderr.take().expect("stderr is piped"));
        Self {
            orders_to: child.stdin.take(),
            child,
            reports,
            log,
            name,
        }
    }

    /// Waits until it has reported a line that starts like this, and answers the line.
    ///
    /// # Panics
    ///
    /// When it ends, or the deadline passes, without.
    pub fn wait_for_report(&mut self, start: &str) -> String {
        let what = format!("{} reports {start}", self.name);
        eventually(&what, || {
            let found = self.report(start);
            if found.is_none() && self.exit_status().is_some() {
                // The last lines may still be in the pipe.
                let late = within(Duration::from_secs(1), || self.report(start));
                return Some(late.unwrap_or_else(|| panic!("{} ended without {start}", self.name)));
            }
            found
        })
    }

    /// The first line reported so far that starts like this.
    #[must_use]
    pub fn report(&self, start: &str) -> Option<String> {
        let reports = lock(&self.reports);
        reports.iter().find(|line| line.starts_with(start)).cloned()
    }

    /// Waits until its log has a line with this text.
    ///
    /// # Panics
    ///
    /// When the deadline passes without.
    pub fn wait_for_log(&self, text: &str) {
        let what = format!("{} logs {text}", self.name);
        eventually(&what, || self.logged(text).then_some(()));
    }

    /// Waits until its log has so many lines with this text.
    ///
    /// # Panics
    ///
    /// When the deadline passes without.
    pub fn wait_for_logs(&self, text: &str, lines: usize) {
        let what = format!("{} logs {text} for the {lines}th time", self.name);
        let count = || {
            let log = lock(&self.log);
            log.iter().filter(|line| line.contains(text)).count()
        };
        eventually(&what, || (count() >= lines).then_some(()));
    }

    /// Whether its log has a line with this text.
    #[must_use]
    pub fn logged(&self, text: &str) -> bool {
        lock(&self.log).iter().any(|line| line.contains(text))
    }

    /// Waits until it runs: joined, restored, processing.
    ///
    /// # Panics
    ///
    /// As [`wait_for_report`](Self::wait_for_report).
    pub fn wait_until_running(&mut self) {
        self.wait_for_report("state RUNNING");
    }

    /// Waits until it has died at its point, by its own hand.
    ///
    /// # Panics
    ///
    /// When it ends in another way, or does not end.
    pub fn wait_for_abort(&mut self) {
        let status = self.wait();
        let crashed = self.report("aborting").is_some() && !status.success();
        assert!(
            crashed,
            "{} was to abort and ended with {status}",
            self.name
        );
    }

    /// Waits until it ends.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, || self.exit_status())
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    ///
    /// When the operating system does not know its own child.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the worker is our child")
    }

    /// Tells a worker that stands still to go on.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn go_on(&mut self) {
        let pipe = self.orders_to.as_mut().expect("it was not closed");
        writeln!(pipe, "go").expect("the worker reads its orders");
    }

    /// Has it finish its batch, leave the group and end.
    ///
    /// # Panics
    ///
    /// When it ends with an error, or not at all.
    pub fn close(mut self) {
        self.orders_to = None;
        let status = self.wait();
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// As [`kill`](Self::kill), keeping what it reported and logged.
    pub fn end(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::debug!(%error, "the worker had ended");
        }
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, "the worker was waited for");
        }
    }

    /// Stops every thread of it where it stands (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused worker go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("the worker is our child and was not waited for");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() || std::env::var_os(SHOW_LOGS).is_some() {
            let (reports, log) = (lock(&self.reports).join("\n"), lock(&self.log).join("\n"));
            show(&format!(
                "--- {} reported:\n{reports}\n--- and logged:\n{log}\n",
                self.name
            ));
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test's own output, captured by the test runner"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the lines of a stream, the newest if there are too many; ends with the stream.
fn collect(name: &str, stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&lines);
    let reader = spawn(name, move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let mut kept = lock(&kept);
            if kept.len() == LINES_MAX {
                kept.remove(0);
            }
            kept.push(line);
        }
    });
    // Not joined: it ends with the stream, which ends with the process.
    drop(reader);
    lines
}

/// How long the worker's own shutdown may take.
pub const CLOSE_TIMEOUT: Duration = PATIENCE;
