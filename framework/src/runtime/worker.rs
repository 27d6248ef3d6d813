//! One worker: a thread with one consumer, one producer and its tasks.
//!
//! ```text
//!   events ──> restore ──> fetch, process (task by task) ──> punctuate ──> commit due? ──> sleep
//!     ^                          │ failed                                 │
//!     │                          v                                        v
//!     └──────────── abort, roll back, replay                      commit, apply, go on
//! ```
//!
//! # Invariants
//!
//! - A batch spans all tasks of the worker and is one transaction.
//! - Stores change only after the broker has committed; what goes back goes back as a whole:
//!   transaction, staged writes, processors, queues.
//! - A rebalance is answered between two records: commit or abort first, give up partitions after.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::active_task::{ActiveTask, Lane, OpenCalls, ParkedTask, Progress};
use super::bisect::Search;
use super::external::{EXTERNAL_ROWS_MAX, Fencings};
use super::global_reader::GlobalReader;
use super::pace::{Closed, Pace};
use super::probe::{BatchPoint, Probe};
use super::restore::Restore;
use super::settle::Replays;
use super::shared::{Shared, WorkerState};
use super::task::TaskSettings;
use super::topics::Inputs;
use super::transaction::{Terms, Transactor};
use crate::broker::{Cluster, ConsumerEvent, GroupConsumer, Wake};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Recovery, panic_text};
use crate::processor::{CallSettings, Executor};
use crate::record::{Offset, TopicPartition};
use crate::time::Clock;
use crate::topology::Topology;

/// How many records of a partition are fetched at a time, and processed while the processor's cache
/// still holds them; librdkafka's prefetch is the real buffer.
const FETCH_RECORDS_MAX: usize = 500;

/// With fewer records waiting a partition is fetched.
pub(super) const FETCH_AHEAD_MIN: usize = FETCH_RECORDS_MAX / 2;

/// How many records of a task are processed before the worker looks at the clock and its
/// events: adapted so that a turn takes about [`TURN_TARGET`], however slow the processors are.
const TURN_RECORDS_MAX: usize = 500;
pub(super) const TURN_RECORDS_FIRST: usize = 16;
const TURN_TARGET: Duration = Duration::from_millis(10);

/// The longest sleep: group events ring the bell, this is for what does not.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// What a worker is made from.
pub(crate) struct WorkerSettings<C: Cluster> {
    pub(crate) cluster: Arc<C>,
    pub(crate) topology: Arc<Topology>,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wake: Arc<Wake>,
    pub(crate) probe: Probe,
    /// Where asynchronous calls run.
    pub(crate) executor: Executor,
    /// Its number among the workers of this process.
    pub(crate) number: usize,
    /// The process's stable name.
    pub(crate) instance: Arc<str>,
    /// A number that no other worker has, now or before: what it commits is known by it.
    pub(crate) incarnation: i64,
}

/// A running worker.
pub(super) struct Worker<C: Cluster> {
    pub(super) settings: WorkerSettings<C>,
    pub(super) consumer: C::Consumer,
    pub(super) transactor: Rc<Transactor<C>>,
    pub(super) tasks: Vec<ActiveTask>,
    /// Tasks whose partitions were taken and may come back.
    pub(super) parked: Vec<ParkedTask>,
    pub(super) restore: Option<Restore<C::Changelogs>>,
    /// If the topology has global stores.
    pub(super) globals: Option<GlobalReader<C::Changelogs>>,
    pub(super) pace: Pace,
    /// How many batches were committed.
    pub(super) batches: u64,
    pub(super) replays: Replays,
    pub(super) fencings: Fencings,
    /// While it is looked for what a batch was refused for.
    pub(super) search: Option<Search>,
    pub(super) turn_records: usize,
    /// The number of the plan that the settings are of.
    plan: u64,
}

/// What came of one task in one turn.
#[derive(Default)]
struct Turn {
    records: usize,
    /// Whether it waits for calls before it can go on.
    waits: bool,
    /// Why the next record cannot be read.
    unreadable: Option<Error>,
}

/// Runs a worker until it is asked to end or cannot go on.
pub(crate) fn run<C: Cluster>(settings: WorkerSettings<C>) -> Result<(), Error> {
    let mut worker = Worker::join(settings)?;
    let result = worker.work();
    worker.leave(result.is_ok());
    result
}

impl<C: Cluster> Worker<C> {
    fn join(settings: WorkerSettings<C>) -> Result<Self, Error> {
        let (config, clock) = (&settings.config, &settings.clock);
        let member = format!("{}-{}", settings.instance, settings.number);
        let transactional_id = format!("{}-{member}", config.application_id());
        let terms = Terms {
            guarantee: config.guarantee(),
            transaction: config.transaction_timeout(),
            init: config.task_timeout(),
        };
        let transactor = Transactor::new(
            Arc::clone(&settings.cluster),
            transactional_id,
            Arc::clone(clock),
            terms,
            settings.probe.clone(),
        )?;
        let mut worker = Worker {
            consumer: Self::consumer(&settings)?,
            settings,
            transactor: Rc::new(transactor),
            tasks: Vec::new(),
            parked: Vec::new(),
            restore: None,
            globals: None,
            pace: Pace::default(),
            batches: 0,
            replays: Replays::default(),
            fencings: Fencings::default(),
            search: None,
            turn_records: TURN_RECORDS_FIRST,
            plan: 0,
        };
        worker.fill_globals()?;
        worker.follow_plan();
        worker.subscribe()?;
        Ok(worker)
    }

    pub(super) fn consumer(settings: &WorkerSettings<C>) -> Result<C::Consumer, Error> {
        let member = format!("{}-{}", settings.instance, settings.number);
        settings.cluster.consumer(&member, &settings.wake)
    }

    pub(super) fn subscribe(&mut self) -> Result<(), Error> {
        let topics = self.settings.inputs.subscription();
        if topics.is_empty() {
            // There are global stores and no tasks: nothing is left to wait for.
            self.report(WorkerState::Running);
            return Ok(());
        }
        let subscribed = self.consumer.subscribe(&topics);
        subscribed.map_err(|error| error.into_error("cannot subscribe to the input topics"))
    }

    /// Goes by the plan that counts; answers whether that is another one. The tasks stay as they are
    /// until the group has answered a new subscription.
    fn follow_plan(&mut self) -> bool {
        if self.settings.shared.plan_number() == self.plan {
            return false;
        }
        let Some((number, plan)) = self.settings.shared.plan() else {
            return false;
        };
        self.plan = number;
        self.settings.topology = plan.topology;
        self.settings.inputs = plan.inputs;
        true
    }

    fn work(&mut self) -> Result<(), Error> {
        while !self.settings.shared.is_closing() {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => self.sleep(),
                Err(error) => self.recover(error)?,
            }
        }
        match self.finish().map_err(|error| self.look_closer(error)) {
            // Nothing was lost: whoever comes next processes the batch again.
            Err(error) if error.recovery() != Recovery::Stop => {
                tracing::warn!(%error, "closing without the last batch");
                Ok(())
            }
            ended => ended,
        }
    }

    /// One turn of the loop; answers whether there is more to do at once.
    fn turn(&mut self) -> Result<bool, Error> {
        if self.follow_plan() {
            self.subscribe()?;
        }
        self.serve_events()?;
        self.transactor.poll();
        let updated = self.update_globals()?;
        let asked = self.answer_questions();
        let restoring = self.restore_step()?;
        if self.now() < self.replays.not_before {
            return Ok(asked);
        }
        if !self.pace.may_work(self.now()) {
            return Ok(restoring || updated || asked);
        }
        let processed = self.process()? + self.punctuate()?;
        let committed = self.commit_if_due(processed == 0)?;
        Ok(processed > 0 || committed || restoring || updated || asked)
    }

    fn serve_events(&mut self) -> Result<(), Error> {
        loop {
            let event = self.consumer.poll();
            match event.map_err(|error| error.into_error("the group consumer failed"))? {
                Some(ConsumerEvent::Assigned(partitions)) => self.assigned(&partitions)?,
                Some(ConsumerEvent::Revoked { lost }) => self.revoked(lost)?,
                None => return Ok(()),
            }
        }
    }

    /// Fetches and processes a turn's worth of records of each task; answers how many.
    pub(super) fn process(&mut self) -> Result<usize, Error> {
        let (mut processed, mut took) = (0, Duration::ZERO);
        let reserves = self.reserves();
        if reserves {
            self.fetch_reservable()?;
        }
        for index in 0..self.tasks.len() {
            if !reserves {
                self.fetch(index, FETCH_RECORDS_MAX)?;
            }
            let records_max = self.turn_room(index);
            if records_max == 0 || !self.tasks[index].has_records() {
                if self.tasks[index].is_touched() {
                    // The last batch left calls: a batch without records takes their results.
                    self.begin()?;
                }
                continue;
            }
            self.begin()?;
            if !self.transactor.is_open() {
                return Ok(0);
            }
            let started = self.now();
            let turn = self.process_turn(index, records_max)?;
            // Of many tasks each makes a question wait for its own turn only.
            self.answer_questions();
            processed += turn.records + usize::from(turn.waits);
            took += self.now() - started;
            if let Some(error) = turn.unreadable {
                self.stop_before(error)?;
                return Ok(processed);
            }
        }
        if processed > 0 {
            let tasks = self.tasks.iter_mut();
            let waited: Duration = tasks.map(|active| active.task.take_waited()).sum();
            self.pace.worked(took.saturating_sub(waited));
            self.adapt_turn(took);
            return Ok(processed);
        }
        self.settle_calls()
    }

    /// Goes on with calls where there are no records to process; answers whether any is left.
    fn settle_calls(&mut self) -> Result<usize, Error> {
        if !self.transactor.is_open() {
            return Ok(0);
        }
        for active in self.tasks.iter_mut().filter(|active| active.is_touched()) {
            if !guard(active, ActiveTask::settle_calls)? {
                return Ok(1);
            }
        }
        Ok(0)
    }

    pub(super) fn fetch(&mut self, index: usize, records_max: usize) -> Result<(), Error> {
        let active = &mut self.tasks[index];
        if !active.running {
            return Ok(());
        }
        for lane in &mut active.lanes {
            if lane.queue.ahead() >= FETCH_AHEAD_MIN {
                continue;
            }
            fetch_lane(&mut self.consumer, lane, records_max)?;
        }
        let max_idle = self.settings.config.max_task_idle();
        match max_idle.filter(|_| active.lanes.len() > 1) {
            Some(max_idle) => self.look_at_ends(index, records_max, max_idle),
            None => Ok(()),
        }
    }

    fn process_turn(&mut self, index: usize, records_max: usize) -> Result<Turn, Error> {
        let probe = &self.settings.probe;
        guard(&mut self.tasks[index], |active| {
            active.look_ahead(records_max);
            let mut turn = Turn::default();
            while turn.records < records_max {
                match active.process_next()? {
                    Progress::Done => turn.records += 1,
                    Progress::Unreadable(error) => {
                        turn.unreadable = Some(error);
                        break;
                    }
                    Progress::Idle => break,
                    Progress::Waits => {
                        turn.waits = true;
                        break;
                    }
                }
                probe.reach(BatchPoint::RecordProcessed);
            }
            Ok(turn)
        })
    }

    /// A record cannot be read: commits what came before it, and answers the error once that
    /// stands. If it cannot be committed, it is processed again and meets the record again.
    fn stop_before(&mut self, error: Error) -> Result<(), Error> {
        if !self.tasks.iter().any(ActiveTask::is_touched) {
            return Err(error);
        }
        let before = self.batches;
        self.commit()?;
        if self.batches == before {
            return Ok(());
        }
        Err(error)
    }

    fn adapt_turn(&mut self, took: Duration) {
        if took < TURN_TARGET {
            self.turn_records = (self.turn_records * 2).min(TURN_RECORDS_MAX);
        } else if took > TURN_TARGET * 4 {
            self.turn_records = (self.turn_records / 4).max(1);
        }
    }

    /// Makes the wall-clock calls that are due; answers how many.
    fn punctuate(&mut self) -> Result<usize, Error> {
        let now = self.settings.clock.now();
        let is_due = |active: &ActiveTask| {
            active.running && active.task.wall_clock_due().is_some_and(|due| due <= now)
        };
        if !self.tasks.iter().any(is_due) {
            return Ok(0);
        }
        self.begin()?;
        let mut calls = 0;
        for active in self.tasks.iter_mut().filter(|active| is_due(active)) {
            calls += guard(active, ActiveTask::punctuate)?;
        }
        Ok(calls)
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if self.transactor.is_open() {
            return Ok(());
        }
        if self.reserves() && !self.reserve()? {
            return Ok(());
        }
        self.transactor.begin()?;
        self.pace.begin(self.now());
        Ok(())
    }

    /// A batch closes by age, by the bytes held for its replay, or when its input has run dry and
    /// committing it is cheap beside what it did.
    fn commit_if_due(&mut self, idle: bool) -> Result<bool, Error> {
        let now = self.now();
        let Some(age) = self.pace.age(now) else {
            return Ok(false);
        };
        let config = &self.settings.config;
        let drained = idle && self.pace.is_worth_closing(now);
        let old = age >= config.commit_interval();
        let bytes: usize = self.tasks.iter().map(ActiveTask::retained_bytes).sum();
        let full = self
            .tasks
            .iter()
            .any(|active| active.external_rows() >= EXTERNAL_ROWS_MAX);
        let due = match self.reserves() {
            true => !self.has_records(),
            false => {
                drained || old || bytes >= config.batch_bytes_max() || full || self.is_part_full()
            }
        };
        if !due {
            return Ok(false);
        }
        // What is drained waits for its results; what has more to do goes on with its calls.
        let calls = match idle || full || bytes >= config.batch_bytes_max() {
            true => OpenCalls::Finish,
            false => OpenCalls::Leave,
        };
        self.commit_batch(calls)?;
        if drained {
            let closed = Closed {
                after: age,
                committed_after: age + self.now().saturating_sub(now),
            };
            let linger = self.settings.config.commit_linger();
            self.pace.rest(self.now(), closed, linger);
        }
        Ok(true)
    }

    /// Sleeps until something may be due.
    fn sleep(&mut self) {
        let now = self.now();
        let config = &self.settings.config;
        let mut timeout = SLEEP_MAX;
        if let Some(due) = self.pace.next_look(now, config.commit_interval()) {
            timeout = timeout.min(due.saturating_sub(now));
        }
        if self.replays.not_before > now {
            timeout = timeout.min(self.replays.not_before - now);
        }
        let idle = self.tasks.iter().filter_map(ActiveTask::idle_until);
        if let Some(until) = idle.min() {
            timeout = timeout.min(until.saturating_sub(now));
        }
        let punctuations = self
            .tasks
            .iter()
            .filter_map(|active| active.task.wall_clock_due());
        if let Some(due) = punctuations.min() {
            timeout = timeout.min(due.since(self.settings.clock.now()));
        }
        if timeout > Duration::ZERO {
            self.settings.wake.sleep(timeout);
        }
    }

    /// Ends the worker: the batch is finished or aborted already.
    fn leave(mut self, clean: bool) {
        if let Err(error) = self.transactor.end_for_good() {
            tracing::warn!(%error, "the last transaction could not be aborted");
        }
        for active in self.tasks.drain(..) {
            if clean && active.running {
                active.task.close();
            }
        }
        self.parked.drain(..).for_each(|parked| parked.close());
        self.restore = None;
        if let Some(globals) = self.globals.take().filter(|_| clean) {
            globals.close();
        }
        // The consumer leaves before the producer goes: the next owner must not wait for it.
        self.consumer.close();
    }

    pub(super) fn now(&self) -> Duration {
        self.settings.clock.elapsed()
    }

    pub(super) fn task_settings(&self) -> TaskSettings {
        TaskSettings {
            application_id: Arc::from(self.settings.config.application_id()),
            clock: Arc::clone(&self.settings.clock),
            handlers: self.settings.config.handlers(),
            global_stores: match &self.globals {
                Some(reader) => reader.stores(),
                None => Rc::default(),
            },
            log_at_close: true,
            calls: CallSettings {
                executor: self.settings.executor.clone(),
                limit_max: Some(self.settings.config.transaction_timeout() / 3),
            },
        }
    }

    /// Tells the state, and before it whose stores can be asked.
    pub(super) fn report(&self, state: WorkerState) {
        let running = self.tasks.iter().filter(|active| active.running);
        let tasks = match state {
            WorkerState::Running => running.map(ActiveTask::id).collect(),
            WorkerState::Rebalancing | WorkerState::Ended => BTreeSet::new(),
        };
        self.settings
            .shared
            .desk
            .set_tasks(self.settings.number, tasks);
        self.settings.shared.set_worker(self.settings.number, state);
    }

    /// An offset to begin at where the group has none.
    pub(super) fn reset_offset(&mut self, partition: &TopicPartition) -> Result<Offset, Error> {
        super::assignment::reset_offset(self, partition)
    }
}

/// Fetches into a lane; answers how many records.
pub(super) fn fetch_lane<G: GroupConsumer>(
    consumer: &mut G,
    lane: &mut Lane,
    records_max: usize,
) -> Result<usize, Error> {
    let fetched = consumer.fetch(lane.fetch_index, records_max, &mut lane.queue);
    fetched.map_err(|e| e.into_error(format!("cannot read {}", lane.partition)))
}

/// User code may panic: the batch is aborted like any other that failed.
pub(super) fn guard<R>(
    active: &mut ActiveTask,
    call: impl FnOnce(&mut ActiveTask) -> Result<R, Error>,
) -> Result<R, Error> {
    match catch_unwind(AssertUnwindSafe(|| call(&mut *active))) {
        Ok(result) => result,
        Err(panic) => {
            let message = format!("a processor panicked: {}", panic_text(&*panic));
            Err(active
                .task
                .blame_panic(Error::new(ErrorKind::Processing, message)))
        }
    }
}
