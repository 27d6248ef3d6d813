//! When a run began, was half done and ended, in time and in the process's CPU time.
//!
//! A record counts once its commit has succeeded. `Marks.java` does the same.

use std::io::{Write, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Failure;
use crate::cli::Options;
use crate::os;
use crate::report::{Counts, Run};
use crate::workload::Workload;

/// The marks of one run, shared by its threads.
#[derive(Debug)]
pub struct Marks {
    workload: Workload,
    records: u64,
    expected: u64,
    started: Duration,
    begun: AtomicBool,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Duration>,
    committed: u64,
    commits: u64,
    first: Option<Mark>,
    half: Option<Mark>,
    last: Option<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    time: Duration,
    cpu: Duration,
    committed: u64,
}

impl Mark {
    fn now(committed: u64) -> Self {
        Mark {
            time: os::now(),
            cpu: os::cpu_time(),
            committed,
        }
    }
}

impl Marks {
    /// Marks of a run over so many records of input; made first of all.
    #[must_use]
    pub fn new(workload: Workload, records: u64, table_rows: u64) -> Self {
        Marks {
            workload,
            records,
            expected: workload.processed(records, table_rows),
            started: os::now(),
            begun: AtomicBool::new(false),
            state: Mutex::default(),
            done: Condvar::new(),
        }
    }

    /// It has joined the group and may begin.
    pub fn running(&self) {
        let mut state = self.state();
        if state.running.is_none() {
            state.running = Some(os::now());
            self.done.notify_all();
        }
    }

    /// Waits until it may begin.
    pub fn wait_until_running(&self) {
        let waited = self
            .done
            .wait_while(self.state(), |state| state.running.is_none());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A record is about to be processed.
    pub fn processing(&self) {
        if !self.begun.load(Ordering::Relaxed) && !self.begun.swap(true, Ordering::Relaxed) {
            self.state().first = Some(Mark::now(0));
        }
    }

    /// So many records more are committed, over all stages.
    pub fn committed(&self, records: u64) {
        if records == 0 {
            return;
        }
        let mut state = self.state();
        state.committed += records;
        state.commits += 1;
        let committed = state.committed;
        if committed * 2 >= self.expected {
            state.half.get_or_insert_with(|| Mark::now(committed));
        }
        if committed >= self.expected {
            state.last.get_or_insert_with(|| Mark::now(committed));
            self.done.notify_all();
        }
    }

    /// Marks of a run without an end.
    #[must_use]
    pub fn endless(workload: Workload) -> Self {
        Marks::new(workload, u64::MAX / 4, 0)
    }

    /// Records and commits so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            records: state.committed,
            commits: state.commits,
        }
    }

    /// Says `running`, then answers each line of the input with a line of [`Counts`].
    ///
    /// # Errors
    ///
    /// When nobody reads the answers any more.
    pub fn answer_lines(&self) -> Result<(), Failure> {
        writeln!(stdout(), "running")?;
        for _line in stdin().lines().map_while(Result::ok) {
            let counts = serde_json::to_string(&self.counts())?;
            writeln!(stdout(), "{counts}")?;
        }
        Ok(())
    }

    /// Whether everything is committed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state().last.is_some()
    }

    /// Waits until everything is committed.
    pub fn wait(&self) {
        let waited = self
            .done
            .wait_while(self.state(), |state| state.last.is_none());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The figures of a run that is done.
    ///
    /// # Panics
    ///
    /// Before that.
    #[must_use]
    pub fn report(&self, contender: &str, options: &Options) -> Run {
        let state = self.state();
        let [first, half, last] = [state.first, state.half, state.last]
            .map(|mark| mark.expect("a run that is done has all its marks"));
        let start = state
            .running
            .unwrap_or(first.time)
            .saturating_sub(self.started);
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more than 52 bits"
        )]
        let warm_share = (last.committed - half.committed) as f64 / self.expected as f64;
        Run {
            contender: contender.to_owned(),
            workload: self.workload,
            guarantee: options.guarantee,
            threads: options.threads,
            records: self.records,
            commits: state.commits,
            start_seconds: start.as_secs_f64(),
            seconds: seconds(first.time, last.time),
            cpu_seconds: seconds(first.cpu, last.cpu),
            warm_share,
            warm_seconds: seconds(half.time, last.time),
            warm_cpu_seconds: seconds(half.cpu, last.cpu),
            peak_rss_bytes: os::peak_rss_bytes(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
