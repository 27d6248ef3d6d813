//! The calls of one node: started on the executor, their results taken back on the worker.
//!
//! ```text
//!   start ──> on the executor: wait for the key's last call ─> permit ─> call ──> report
//!                                                                                   │ channel
//!   take <── the first that may go on: of all, or of its key <── results <─────────┘
//! ```
//!
//! # Invariants
//!
//! - No more calls run than the policy says. As many again wait, so that one begins when another
//!   ends, not when the worker hears of it; more wait only if one record makes them.
//! - A result belongs to the queue that made its call. An abort drops the queue, and with it the
//!   calls and the only receiver of their results: nothing of one attempt reaches the next.
//! - Waiting ends: a call answers within its limit, or is taken for failed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::async_calls::{AsyncCalls, ResultOrder};
use crate::error::{Error, ErrorKind};
use crate::record::Offset;
use crate::time::Timestamp;

/// How many calls there are for each that may run: those that run, and those that wait.
const CALLS_PER_PERMIT: usize = 2;

/// How many results are kept for each call that may run, while one before them is awaited.
const RESULTS_PER_PERMIT: usize = 4;

/// How much longer than a call's limit the worker waits for its answer.
const GRACE: Duration = Duration::from_secs(1);

/// What a task was at when it made a call: what it is at again when the result goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The input and the offset of the record; none in a punctuation.
    pub(crate) at: Option<(usize, Offset)>,
    pub(crate) stream_time: Timestamp,
    /// The partition time before it, where the record comes from the only partition of its task.
    pub(crate) time_before: Timestamp,
}

/// Until when results are awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Not at all.
    Ready,
    /// Until there is room for another call.
    Room,
    /// Until no call is left.
    Done,
}

/// The calls of a node, whatever their types.
pub(crate) trait PendingCalls: Any {
    /// Where the call comes from whose result goes on next, if there is one.
    fn ready(&self) -> Option<Origin>;

    /// Where the first call comes from that is not done with.
    fn first(&self) -> Option<Origin>;

    /// Whether it is not until then yet.
    fn awaits(&self, until: Until) -> bool;

    /// Waits for a result, of whichever call, so long at most.
    fn wait(&self, at_most: Duration);

    /// From now on calls may be taken back.
    fn hold(&self);

    /// Takes the calls back that were started since the last hold.
    fn undo(&self);
}

/// The calls of a node with keys `K` and results `R`.
pub(crate) struct CallQueue<K, R> {
    policy: AsyncCalls,
    executor: Handle,
    permits: Arc<Semaphore>,
    sender: Sender<Report<R>>,
    reports: Receiver<Report<R>>,
    /// How long calls have been awaited since the last answer.
    silent: Cell<Duration>,
    calls: RefCell<Calls<K, R>>,
}

/// The number of a call, and what came of it.
type Report<R> = (u64, Result<R, Error>);

struct Calls<K, R> {
    /// The number of the next call; none is used twice.
    next: u64,
    held_from: u64,
    pending: BTreeMap<u64, Call<K, R>>,
    /// How many of them have no result yet.
    unfinished: usize,
    /// By key: the last call of it that is pending.
    last_of_key: HashMap<K, u64>,
}

struct Call<K, R> {
    key: K,
    origin: Origin,
    /// Closed when the call has reported.
    done: watch::Receiver<()>,
    result: Option<Result<R, Error>>,
    _running: Running,
}

/// A call on the executor: dropped, it is cancelled.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<K: Clone + Eq + Hash + 'static, R: Send + 'static> CallQueue<K, R> {
    pub(crate) fn new(policy: AsyncCalls, executor: Handle) -> Self {
        let (sender, reports) = channel();
        let permits = policy.max_in_flight.min(Semaphore::MAX_PERMITS);
        CallQueue {
            policy,
            executor,
            permits: Arc::new(Semaphore::new(permits)),
            sender,
            reports,
            silent: Cell::new(Duration::ZERO),
            calls: RefCell::new(Calls {
                next: 0,
                held_from: 0,
                pending: BTreeMap::new(),
                unfinished: 0,
                last_of_key: HashMap::new(),
            }),
        }
    }

    /// Has the executor make a call, when it is its turn.
    pub(crate) fn start(
        &self,
        key: K,
        origin: Origin,
        call: impl Future<Output = Result<R, Error>> + Send + 'static,
    ) {
        let calls = &mut *self.calls.borrow_mut();
        let number = calls.next;
        calls.next += 1;
        let before = calls.last_of_key.insert(key.clone(), number);
        let before = before.and_then(|before| calls.pending.get(&before));
        let turn = Turn {
            before: before.map(|before| before.done.clone()),
            overlapping: self.policy.overlapping,
            permits: Arc::clone(&self.permits),
        };
        let (ends, done) = watch::channel(());
        let report = Reporter {
            number,
            to: Some(self.sender.clone()),
        };
        let running = self.executor.spawn(async move {
            report.send(turn.take(call).await);
            // The next of the key must not report before this one.
            drop(ends);
        });
        let call = Call {
            key,
            origin,
            done,
            result: None,
            _running: Running(running.abort_handle()),
        };
        calls.pending.insert(number, call);
        calls.unfinished += 1;
    }

    /// The result that goes on next, if there is one.
    pub(crate) fn take(&self) -> Option<Result<R, Error>> {
        let calls = &mut *self.calls.borrow_mut();
        let number = calls.ready(self.policy.order)?;
        let call = calls.pending.remove(&number)?;
        if calls.last_of_key.get(&call.key) == Some(&number) {
            calls.last_of_key.remove(&call.key);
        }
        call.result
    }

    /// What a call is taken for that keeps silent: its own time-out did not end it.
    fn silence(&self) -> Error {
        let limit = self.policy.limit();
        let message = format!(
            "an asynchronous call did not answer within {limit:?} and cannot be interrupted: it \
             blocks the thread of its runtime; move what blocks to spawn_blocking"
        );
        Error::new(ErrorKind::Processing, message)
    }
}

impl<K: Clone + Eq + Hash + 'static, R: Send + 'static> PendingCalls for CallQueue<K, R> {
    fn ready(&self) -> Option<Origin> {
        let calls = &mut *self.calls.borrow_mut();
        while let Ok((number, result)) = self.reports.try_recv() {
            calls.finish(number, result);
        }
        let number = calls.ready(self.policy.order)?;
        Some(calls.pending[&number].origin)
    }

    fn first(&self) -> Option<Origin> {
        let calls = self.calls.borrow();
        let first = calls.pending.values().next();
        first.map(|call| call.origin)
    }

    fn awaits(&self, until: Until) -> bool {
        let calls = self.calls.borrow();
        match until {
            Until::Ready => false,
            Until::Room => calls.is_full(self.policy.max_in_flight),
            Until::Done => !calls.pending.is_empty(),
        }
    }

    fn wait(&self, at_most: Duration) {
        let patience = self.policy.limit().saturating_add(GRACE);
        let patience = patience.saturating_sub(self.silent.get());
        let report = self.reports.recv_timeout(at_most.min(patience));
        if report.is_err() && at_most < patience {
            // Time is counted in slices asked for.
            self.silent.set(self.silent.get().saturating_add(at_most));
            return;
        }
        self.silent.set(Duration::ZERO);
        let mut calls = self.calls.borrow_mut();
        match report {
            Ok((number, result)) => calls.finish(number, result),
            Err(_) => calls.give_up_first(self.silence()),
        }
    }

    fn hold(&self) {
        let mut calls = self.calls.borrow_mut();
        calls.held_from = calls.next;
    }

    fn undo(&self) {
        self.calls.borrow_mut().undo();
    }
}

impl<K: Clone + Eq + Hash, R> Calls<K, R> {
    /// The call whose result goes on next.
    fn ready(&self, order: ResultOrder) -> Option<u64> {
        let mut pending = self.pending.iter();
        let found = match order {
            ResultOrder::Records => pending.next().filter(|(_, call)| call.result.is_some()),
            // Those of one key report in order.
            ResultOrder::Key => pending.find(|(_, call)| call.result.is_some()),
        };
        found.map(|(number, _)| *number)
    }

    fn is_full(&self, max_in_flight: usize) -> bool {
        let calls_max = max_in_flight.saturating_mul(CALLS_PER_PERMIT);
        let kept_max = max_in_flight.saturating_mul(RESULTS_PER_PERMIT);
        self.unfinished >= calls_max || self.pending.len() >= kept_max
    }

    /// Notes a result, unless the call was taken back or given up.
    fn finish(&mut self, number: u64, result: Result<R, Error>) {
        let Some(call) = self.pending.get_mut(&number) else {
            return;
        };
        if call.result.is_none() {
            call.result = Some(result);
            self.unfinished -= 1;
        }
    }

    fn give_up_first(&mut self, error: Error) {
        let first = self.pending.iter().find(|(_, call)| call.result.is_none());
        if let Some((number, _)) = first {
            self.finish(*number, Err(error));
        }
    }

    fn undo(&mut self) {
        let undone = self.pending.split_off(&self.held_from);
        let unfinished = undone.values().filter(|call| call.result.is_none());
        self.unfinished -= unfinished.count();
        for call in undone.values() {
            let mut pending = self.pending.iter().rev();
            match pending.find(|(_, before)| before.key == call.key) {
                Some((number, _)) => self.last_of_key.insert(call.key.clone(), *number),
                None => self.last_of_key.remove(&call.key),
            };
        }
    }
}

/// When a call may begin, and when it may report.
struct Turn {
    /// Closed when the last call of the key before it has reported.
    before: Option<watch::Receiver<()>>,
    overlapping: bool,
    permits: Arc<Semaphore>,
}

impl Turn {
    async fn take<R>(mut self, call: impl Future<Output = R>) -> R {
        if !self.overlapping {
            self.wait().await;
        }
        // It is never closed.
        let permit = self.permits.acquire().await.ok();
        let result = call.await;
        drop(permit);
        self.wait().await;
        result
    }

    async fn wait(&mut self) {
        if let Some(mut before) = self.before.take() {
            // Nothing is sent: it only ends.
            while before.changed().await.is_ok() {}
        }
    }
}

/// Reports what came of a call, once: if it ends without a result, then that.
struct Reporter<R> {
    number: u64,
    to: Option<Sender<Report<R>>>,
}

impl<R> Reporter<R> {
    fn send(mut self, result: Result<R, Error>) {
        self.report(result);
    }

    fn report(&mut self, result: Result<R, Error>) {
        if let Some(to) = self.to.take() {
            // Without a receiver the batch was aborted: nobody is waiting.
            drop(to.send((self.number, result)));
        }
    }
}

impl<R> Drop for Reporter<R> {
    fn drop(&mut self) {
        let message = "an asynchronous call was dropped before it answered; does its runtime live \
                       as long as the application?";
        self.report(Err(Error::new(ErrorKind::Processing, message)));
    }
}
