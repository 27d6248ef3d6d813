//! What an application's workers and its handle share: states, the first failure, the end.
//!
//! # Invariants
//!
//! - The application's state follows from its workers' states and is told in order.
//! - The first error that stops a worker stops them all, and is the one that is reported.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::queries::Desk;
use super::scout::Plan;
use crate::broker::Wake;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::record::{Offset, TopicPartition};

/// The state of an application, as Kafka Streams names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started yet.
    Created,
    /// Joining the group, or restoring state.
    Rebalancing,
    /// Processing.
    Running,
    /// Closing: batches are being finished.
    PendingShutdown,
    /// Closed cleanly.
    NotRunning,
    /// Failed: the other workers are being stopped.
    PendingError,
    /// Failed and stopped.
    Error,
}

impl State {
    /// Whether no state can follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, State::NotRunning | State::Error)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Created => "CREATED",
            State::Rebalancing => "REBALANCING",
            State::Running => "RUNNING",
            State::PendingShutdown => "PENDING_SHUTDOWN",
            State::NotRunning => "NOT_RUNNING",
            State::PendingError => "PENDING_ERROR",
            State::Error => "ERROR",
        })
    }
}

/// What one worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerState {
    Rebalancing,
    Running,
    Ended,
}

/// Shared by the handle and all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Metrics,
    pub(crate) desk: Desk,
    state: watch::Sender<State>,
    inner: Mutex<Inner>,
    /// The number of the plan that counts.
    plan: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    workers: Vec<WorkerState>,
    wakes: Vec<Arc<Wake>>,
    closing: bool,
    failure: Option<Error>,
    /// What the application reads, once that is known.
    plan: Option<Plan>,
    /// Repartition records below these offsets are consumed for good.
    consumed: BTreeMap<TopicPartition, Offset>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let (state, _) = watch::channel(State::Created);
        Shared {
            metrics: Metrics::default(),
            desk: Desk::default(),
            state,
            inner: Mutex::default(),
            plan: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A worker that panicked is reported as such; what is shared stays usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Takes the step from created; answers false if it was taken before.
    pub(crate) fn start(&self) -> bool {
        self.state.send_if_modified(|state| {
            let first = *state == State::Created;
            if first {
                *state = State::Rebalancing;
            }
            first
        })
    }

    /// Adds a worker; answers its number.
    pub(crate) fn add_worker(&self, wake: Arc<Wake>) -> usize {
        let mut inner = self.lock();
        inner.workers.push(WorkerState::Rebalancing);
        self.desk.add_worker(Arc::clone(&wake));
        inner.wakes.push(wake);
        inner.workers.len() - 1
    }

    pub(crate) fn set_worker(&self, worker: usize, state: WorkerState) {
        if state == WorkerState::Ended {
            self.desk.end(worker);
        }
        let mut inner = self.lock();
        inner.workers[worker] = state;
        self.publish(&inner);
    }

    /// Asks every worker to finish its batch and end.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.wakes.iter().for_each(|wake| wake.ring());
        self.publish(&inner);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// A worker cannot go on: the first reason is kept, all others are asked to end.
    pub(crate) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        tracing::error!(%error, "the application stops");
        inner.failure.get_or_insert(error);
        inner.closing = true;
        inner.wakes.iter().for_each(|wake| wake.ring());
        self.publish(&inner);
    }

    /// The reason why the application failed, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.as_ref().map(Error::duplicate)
    }

    /// Keeps the first plan, which every worker begins with.
    pub(crate) fn begin(&self, plan: Plan) {
        self.lock().plan = Some(plan);
    }

    /// Has every worker go by another plan.
    pub(crate) fn follow(&self, plan: Plan) {
        let mut inner = self.lock();
        inner.plan = Some(plan);
        self.plan.fetch_add(1, Ordering::Release);
        inner.wakes.iter().for_each(|wake| wake.ring());
    }

    /// The number of the plan that counts; that of the first is 0.
    pub(crate) fn plan_number(&self) -> u64 {
        self.plan.load(Ordering::Acquire)
    }

    /// The plan that counts, with its number.
    pub(crate) fn plan(&self) -> Option<(u64, Plan)> {
        let inner = self.lock();
        let plan = inner.plan.clone()?;
        Some((self.plan_number(), plan))
    }

    /// A batch was committed: repartition records below its offsets are not needed any more.
    pub(crate) fn consumed(&self, partitions: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        self.lock().consumed.extend(partitions);
    }

    pub(crate) fn take_consumed(&self) -> Vec<(TopicPartition, Offset)> {
        std::mem::take(&mut self.lock().consumed)
            .into_iter()
            .collect()
    }

    fn publish(&self, inner: &Inner) {
        let ended = inner
            .workers
            .iter()
            .all(|worker| *worker == WorkerState::Ended);
        let running = inner
            .workers
            .iter()
            .all(|worker| *worker == WorkerState::Running);
        let next = match (inner.failure.is_some(), inner.closing) {
            (true, _) if ended => State::Error,
            (true, _) => State::PendingError,
            (false, true) if ended => State::NotRunning,
            (false, true) => State::PendingShutdown,
            (false, false) if running => State::Running,
            (false, false) => State::Rebalancing,
        };
        self.state.send_if_modified(|state| {
            let changes = *state != next && !state.is_final();
            if changes {
                tracing::info!(from = %state, to = %next, "state changed");
                *state = next;
            }
            changes
        });
    }
}
