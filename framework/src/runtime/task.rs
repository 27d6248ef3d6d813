//! A task: one sub-topology on one partition of each of its inputs, one record at a time.
//!
//! It knows nothing of brokers: records come in as bytes, leave through the collector, and the
//! worker says when a batch was committed or aborted.
//!
//! # Invariants
//!
//! - Between [`committed`](Task::committed) and [`rolled_back`](Task::rolled_back) nothing that a
//!   batch did is final: stores are staged, times and schedules can go back.
//! - A record is prepared before it is processed, and each input has at most one prepared record.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, Retrying};
use super::careful::LeftOut;
use super::external::Refusal;
use super::left_over::LeftOver;
use crate::error::{Error, ErrorKind, panic_text};
use crate::handler::{Handlers, Isolation};
use crate::metrics::Drops;
use crate::processor::{
    CallSettings, Collector, GlobalStores, InputCopy, Outbox, OutgoingRecord, Passed, Prepared,
    PunctuationKind, Schedules, StoreSlot, TaskCalls, TaskScope, Until,
};
use crate::record::{Offset, RawRecord, TaskId};
use crate::state::{NO_HEADERS, TaskStore};
use crate::time::{Clock, Timestamp};
use crate::topology::{Replay, TaskChain, Topology};

/// What tasks of one worker have in common.
#[derive(Debug, Clone)]
pub(crate) struct TaskSettings {
    pub(crate) application_id: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) global_stores: Rc<GlobalStores>,
    /// Whether a batch logs the last value of each key it wrote, instead of each.
    pub(crate) log_at_close: bool,
    pub(crate) calls: CallSettings,
}

/// A running task.
pub(crate) struct Task {
    topology: Arc<Topology>,
    settings: TaskSettings,
    pub(super) scope: Rc<TaskScope>,
    /// What goes with a call that fails.
    pub(super) isolation: Isolation,
    /// Between the nodes and the collector, if outputs may have to be taken back.
    pub(super) outbox: Option<Rc<Outbox>>,
    /// The record that it waits for, if one is tried again.
    pub(super) retrying: Option<Retrying>,
    /// Outputs that the broker has refused.
    pub(super) left_out: LeftOut,
    pub(super) chain: TaskChain,
    /// The node, if there is one, before whose calls a record does nothing.
    pub(super) front: Option<usize>,
    /// The record of which a result of that node was forwarded last.
    pub(super) delivered: Option<(usize, Offset)>,
    /// What the batch leaves to the next one, from its flush to its end.
    pub(super) left_over: Option<LeftOver>,
    /// For calls, until somebody asks how long.
    pub(super) waited: Duration,
    /// Whether its processors were made anew since somebody asked: no head is prepared any more.
    pub(super) renewed: bool,
    /// The inputs of the open batch, if results of calls may fail that came of them.
    pub(super) kept: BTreeMap<(usize, Offset), InputCopy>,
    /// Whether a record at which a serde panics may be passed over.
    guards_reading: bool,
    /// The highest timestamp processed of each input, in the order of the inputs.
    partition_times: Vec<Timestamp>,
    committed: Times,
    /// The record of the open batch that was processed last.
    pub(super) last: Option<(usize, Offset)>,
    /// Records whose rows an external system refused, and why.
    pub(super) condemned: BTreeMap<(usize, Offset), Refusal>,
}

/// A store that can be restored.
pub(crate) struct DurableStore {
    /// Its changelog, or the topic that it is a copy of.
    pub(crate) topic: Arc<str>,
    pub(crate) store: Rc<RefCell<TaskStore>>,
    /// How the records of a topic that is no changelog become rows.
    pub(crate) replay: Option<Replay>,
}

/// What goes back with an aborted batch.
#[derive(Debug, Clone)]
struct Times {
    stream_time: Timestamp,
    partition_times: Vec<Timestamp>,
    schedules: Schedules,
}

impl Times {
    /// Of a task that has seen nothing.
    fn before(partition_times: &[Timestamp]) -> Self {
        Times {
            stream_time: Timestamp::NONE,
            partition_times: partition_times.to_vec(),
            schedules: Schedules::default(),
        }
    }

    /// Back to the time of the only partition before what is left to the next batch.
    fn resume_at(&mut self, time: Timestamp) {
        self.stream_time = time;
        self.partition_times.fill(time);
    }
}

impl Task {
    /// Creates the task with empty stores; `init` follows once they are restored.
    ///
    /// # Errors
    ///
    /// When a topic that it writes to does not exist.
    pub(crate) fn new(
        topology: Arc<Topology>,
        id: TaskId,
        settings: TaskSettings,
        collector: Rc<dyn Collector>,
    ) -> Result<Self, Error> {
        let part = &topology.sub_topologies()[id.sub_topology as usize];
        let application_id = Arc::clone(&settings.application_id);
        let clock = Arc::clone(&settings.clock);
        let guards_reading = !settings.handlers.deserialization.only_fails();
        let isolation = settings.handlers.isolation();
        let holds = settings.handlers.hold_outputs();
        let outbox = holds.then(|| Rc::new(Outbox::before(Rc::clone(&collector))));
        let collector = match &outbox {
            Some(outbox) => Rc::clone(outbox) as Rc<dyn Collector>,
            None => collector,
        };
        let mut scope = TaskScope::new(id, application_id, clock, Rc::clone(&collector));
        scope.global_stores = Rc::clone(&settings.global_stores);
        scope.calls = TaskCalls::new(settings.calls.clone());
        scope.handlers = Arc::clone(&settings.handlers);
        scope.isolation.set(isolation);
        for name in &part.stores {
            let spec = topology.store(name).clone();
            let changelog = match spec.changelog_topic(&settings.application_id) {
                Some(topic) => Some(collector.topic(&topic)?),
                None => None,
            };
            let mut store = spec.create();
            // A row that is too large for its changelog is the failure of the record that wrote it.
            let at_close = settings.log_at_close && isolation != Isolation::Record;
            if at_close && changelog.is_some() {
                store.log_at_close();
            }
            let store = Rc::new(RefCell::new(store));
            scope.stores.insert(
                Arc::clone(name),
                StoreSlot {
                    spec,
                    store,
                    changelog,
                },
            );
        }
        let topics = part.source_topics.iter();
        scope.inputs = topics
            .map(|topic| topic.resolve(&settings.application_id))
            .collect();
        scope.inputs.sort();
        let scope = Rc::new(scope);
        let chain = topology.instantiate(&scope)?;
        let partition_times = vec![Timestamp::NONE; scope.inputs.len()];
        let committed = Times::before(&partition_times);
        Ok(Task {
            front: topology.front_calls(id.sub_topology),
            topology,
            settings,
            scope,
            isolation,
            outbox,
            retrying: None,
            left_out: LeftOut::default(),
            chain,
            delivered: None,
            left_over: None,
            waited: Duration::ZERO,
            renewed: false,
            kept: BTreeMap::new(),
            guards_reading,
            partition_times,
            committed,
            last: None,
            condemned: BTreeMap::new(),
        })
    }

    /// Takes over the partition times that the group has committed, in the order of the inputs.
    pub(crate) fn resume_times(&mut self, partition_times: &[Timestamp]) {
        assert_eq!(
            partition_times.len(),
            self.partition_times.len(),
            "one time an input"
        );
        self.partition_times.copy_from_slice(partition_times);
        let stream_time = partition_times
            .iter()
            .max()
            .copied()
            .unwrap_or(Timestamp::NONE);
        self.scope.stream_time.set(stream_time);
    }

    /// Takes over the times of nodes that the group has committed.
    pub(crate) fn resume_node_times(&mut self, times: impl Iterator<Item = (Arc<str>, Timestamp)>) {
        self.scope.node_times.resume(times);
    }

    /// The stream times of the nodes that have one of their own: committed beside the offsets.
    pub(crate) fn node_times(&self) -> Vec<(Arc<str>, Timestamp)> {
        self.scope.node_times.all()
    }

    /// Initialises the processors, once the stores are restored.
    pub(crate) fn init(&mut self) -> Result<(), Error> {
        self.init_processors()?;
        self.committed = self.times();
        Ok(())
    }

    /// Nothing may be emitted meanwhile: there is no batch that it would belong to.
    fn init_processors(&self) -> Result<(), Error> {
        self.scope.initialising.set(true);
        let mut processors = self.chain.processors.values();
        let initialised = processors.try_for_each(|processor| processor.borrow_mut().init());
        self.scope.initialising.set(false);
        initialised
    }

    pub(crate) fn id(&self) -> TaskId {
        self.scope.task
    }

    /// The full names of the input topics, sorted: an input is known by its index here.
    pub(crate) fn inputs(&self) -> &[Arc<str>] {
        &self.scope.inputs
    }

    /// Reads the head of an input; its timestamp is what the picker compares.
    pub(crate) fn prepare(&mut self, input: usize, raw: &RawRecord<'_>) -> Result<Prepared, Error> {
        self.scope.at.set(Some((input, raw.offset)));
        let Some(entry) = self.chain.inputs.get(input) else {
            unreachable!("the worker numbers inputs as the task does");
        };
        let partition_time = self.partition_times[input];
        let prepare = || {
            let mut source = entry.source.borrow_mut();
            source.prepare(entry.slot, raw, partition_time)
        };
        let prepared = match self.guards_reading {
            false => prepare(),
            true => catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
                let message = format!("reading a record panicked: {}", panic_text(&*panic));
                Err(self.blame_panic(Error::new(ErrorKind::Deserialization, message)))
            }),
        };
        match prepared {
            Err(error) if error.kind() == ErrorKind::Deserialization => self.unreadable(raw, error),
            prepared => prepared,
        }
    }

    /// Reads and processes a record of the only input, then what stream time makes due: what
    /// [`prepare`](Self::prepare) and [`process`](Self::process) do where nothing else
    /// [is to be thought of](Self::is_plain).
    #[inline]
    pub(crate) fn pass(&mut self, input: usize, raw: &RawRecord<'_>) -> Result<Passed, Error> {
        self.scope.at.set(Some((input, raw.offset)));
        let (entry, partition_time) = (&self.chain.inputs[input], self.partition_times[input]);
        let passed = entry.source.borrow_mut().pass(raw, partition_time)?;
        if let Passed::At(timestamp) = passed {
            self.partition_times[input] = partition_time.max(timestamp);
            self.last = Some((input, raw.offset));
            self.punctuate(PunctuationKind::StreamTime)?;
        }
        Ok(passed)
    }

    /// Processes the prepared head of an input, then what stream time makes due.
    pub(crate) fn process(
        &mut self,
        input: usize,
        offset: Offset,
        timestamp: Timestamp,
    ) -> Result<Attempt, Error> {
        let before = (self.partition_times[input], self.scope.stream_time.get());
        self.partition_times[input] = before.0.max(timestamp);
        self.scope.stream_time.set(before.1.max(timestamp));
        self.scope.at.set(Some((input, offset)));
        self.last = Some((input, offset));
        if self.is_plain() {
            let entry = &self.chain.inputs[input];
            entry.source.borrow_mut().process(entry.slot)?;
            self.punctuate(PunctuationKind::StreamTime)?;
            return Ok(Attempt::Done);
        }
        self.scope.time_before.set(before.0);
        let attempt = loop {
            let attempt = self.process_apart(input, offset)?;
            if matches!(attempt, Attempt::Again | Attempt::Cleared) {
                // It has not been seen yet.
                self.partition_times[input] = before.0;
                self.scope.stream_time.set(before.1);
            }
            match attempt {
                Attempt::Again => return Ok(attempt),
                Attempt::Done | Attempt::GivenUp => break attempt,
                Attempt::Cleared if self.prepare_again(input)? => {
                    self.partition_times[input] = before.0.max(timestamp);
                    self.scope.stream_time.set(before.1.max(timestamp));
                }
                Attempt::Cleared => return Ok(Attempt::GivenUp),
            }
        };
        self.take_results()?;
        self.punctuate(PunctuationKind::StreamTime)?;
        Ok(attempt)
    }

    /// Processes the prepared head of an input, which can fail alone.
    fn process_apart(&mut self, input: usize, offset: Offset) -> Result<Attempt, Error> {
        self.keep_input((input, offset));
        let condemned = self.verdict_on(input, offset);
        self.attempt(|chain| {
            if let Some(error) = condemned {
                return Err(error);
            }
            let entry = &chain.inputs[input];
            entry.source.borrow_mut().process(entry.slot)
        })
    }

    /// Reads the record in process once more, for new nodes; answers whether it can be read.
    fn prepare_again(&mut self, input: usize) -> Result<bool, Error> {
        let copy = self.scope.input.borrow().clone();
        let raw = copy.raw().expect("a record that can fail alone is noted");
        Ok(matches!(self.prepare(input, &raw)?, Prepared::At(_)))
    }

    /// Whether a record that fails, or cannot be read, is the affair of its batch, and none waits
    /// for an answer from outside: what most tasks are.
    pub(crate) fn is_plain(&self) -> bool {
        self.isolation == Isolation::Batch
            && self.condemned.is_empty()
            && self.scope.calls.is_empty()
    }

    /// Makes the calls that are due; answers how many.
    #[inline]
    pub(crate) fn punctuate(&mut self, kind: PunctuationKind) -> Result<usize, Error> {
        let due = self.scope.schedules.borrow().next_due(kind);
        match due {
            Some(due) => self.punctuate_from(kind, due),
            None => Ok(0),
        }
    }

    fn punctuate_from(&mut self, kind: PunctuationKind, due: Timestamp) -> Result<usize, Error> {
        let now = match kind {
            PunctuationKind::StreamTime => self.scope.stream_time.get(),
            PunctuationKind::WallClock => self.scope.clock.now(),
        };
        if due > now || !now.is_some() {
            return Ok(0);
        }
        if kind == PunctuationKind::StreamTime {
            self.finish_calls()?;
        }
        self.scope.at.set(None);
        self.scope.record_time.set(now);
        let mut calls = 0;
        loop {
            let taken = self.scope.schedules.borrow_mut().take_due(kind, now);
            let Some((node, punctuation)) = taken else {
                return Ok(calls);
            };
            // One that was given up is counted, and comes again at its next time.
            let call = |chain: &TaskChain| {
                let processor = &chain.processors[&node];
                processor.borrow_mut().punctuate(punctuation, now)
            };
            while self.attempt(call)? == Attempt::Cleared {}
            calls += 1;
        }
    }

    /// Finishes all calls, and has processors forward what they hold back, before the batch is
    /// committed: node by node, for what one forwards may be another's call.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        // What was put off comes from the batch's records: an external sink asks from which.
        self.scope.at.set(self.last);
        self.left_over = None;
        if self.scope.calls.is_empty() && self.isolation != Isolation::Call {
            return self.flush_processors();
        }
        let nodes: Vec<usize> = self.chain.processors.keys().copied().collect();
        for node in nodes {
            self.take_results_of(node, Until::Done)?;
            self.flush_processor(node)?;
        }
        self.waited = Duration::ZERO;
        Ok(())
    }

    /// What is put off comes of several records: where one call can fail alone, it has no input.
    fn flush_processor(&mut self, node: usize) -> Result<(), Error> {
        let flush = |chain: &TaskChain| chain.processors[&node].borrow_mut().flush();
        if self.isolation != Isolation::Call {
            return flush(&self.chain);
        }
        self.scope.input.borrow_mut().forget();
        self.attempt(flush).map(drop)
    }

    /// As [`flush`](Self::flush), without calls.
    pub(super) fn flush_processors(&self) -> Result<(), Error> {
        let mut processors = self.chain.processors.values();
        processors.try_for_each(|processor| processor.borrow_mut().flush())
    }

    /// Logs what stores have put off, after everything else the batch does.
    pub(crate) fn log_staged(&self) -> Result<(), Error> {
        for slot in self.scope.stores.values() {
            let Some(topic) = slot.changelog else {
                continue;
            };
            let send = |key: &[u8], value: &[u8], timestamp| {
                self.scope.collector.send(&OutgoingRecord {
                    topic,
                    partition: Some(self.scope.task.partition),
                    key: Some(key),
                    value: Some(value),
                    timestamp,
                    headers: &NO_HEADERS,
                })
            };
            slot.store.borrow().log_staged(send)?;
        }
        Ok(())
    }

    /// Says which keys the next records have.
    pub(crate) fn look_ahead<'k>(&self, keys: &(impl Iterator<Item = &'k [u8]> + Clone)) {
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().look_ahead(keys.clone());
        }
    }

    /// When the next wall-clock punctuation is due.
    pub(crate) fn wall_clock_due(&self) -> Option<Timestamp> {
        self.scope
            .schedules
            .borrow()
            .next_due(PunctuationKind::WallClock)
    }

    /// The broker has committed the batch: makes its writes durable, answers its drops.
    pub(crate) fn committed(&mut self) -> Result<Drops, Error> {
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().apply()?;
        }
        self.scope.node_times.commit();
        self.last = None;
        self.kept.clear();
        self.committed = self.times();
        if let Some(left) = self.left_over.take() {
            self.committed.resume_at(left.time);
        }
        Ok(self.scope.take_drops())
    }

    /// The broker has aborted the batch: all is as after the last commit, processors are new.
    pub(crate) fn rolled_back(&mut self) -> Result<(), Error> {
        if let Some(outbox) = &self.outbox {
            outbox.discard();
        }
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().discard();
        }
        drop(self.scope.take_drops());
        self.scope.outlets.each(|outlet| outlet.discard());
        self.scope.calls.clear();
        self.scope.dropped_at.set(None);
        (self.delivered, self.left_over) = (None, None);
        self.scope.forget_blamed();
        self.kept.clear();
        self.scope.node_times.roll_back();
        self.last = None;
        self.scope.at.set(None);
        self.scope.stream_time.set(self.committed.stream_time);
        self.partition_times
            .clone_from(&self.committed.partition_times);
        let schedules = self.committed.schedules.clone();
        self.new_processors(&schedules)
    }

    /// A processor may have kept something of what is taken back in its own fields.
    pub(super) fn new_processors(&mut self, schedules: &Schedules) -> Result<(), Error> {
        *self.scope.schedules.borrow_mut() = Schedules::default();
        self.scope.shared.borrow_mut().clear();
        self.chain = self.topology.instantiate(&self.scope)?;
        self.init_processors()?;
        self.scope.schedules.borrow_mut().resume_from(schedules);
        Ok(())
    }

    /// Names the node and the record at which user code panicked.
    pub(crate) fn blame_panic(&self, error: Error) -> Error {
        self.scope.blame_panic(error)
    }

    /// Ends the way to external systems; `open_external` makes it anew.
    pub(crate) fn close_external(&self) {
        self.scope.outlets.each(|outlet| outlet.close());
    }

    /// The task leaves cleanly; nothing is forwarded any more.
    pub(crate) fn close(self) {
        for processor in self.chain.processors.values() {
            processor.borrow_mut().close();
        }
    }

    /// The partition time of an input: what is committed beside its offset.
    pub(crate) fn partition_time(&self, input: usize) -> Timestamp {
        self.left_over
            .map_or(self.partition_times[input], |left| left.time)
    }

    /// The stores that outlive the task, with the topics that they are restored from.
    pub(crate) fn durable_stores(&self) -> Vec<DurableStore> {
        let application_id = &self.settings.application_id;
        let slots = self.scope.stores.values();
        let durable = slots.filter_map(|slot| {
            let source = self.topology.source_store(&slot.spec.name);
            let topic = match source {
                Some(source) => source.topic.resolve(application_id),
                None => slot.spec.changelog_topic(application_id)?,
            };
            let clock = Arc::clone(&self.settings.clock);
            Some(DurableStore {
                topic,
                store: Rc::clone(&slot.store),
                replay: source.map(|source| Replay::new(Arc::clone(&source.rows), clock)),
            })
        });
        durable.collect()
    }

    /// A store of the task by name.
    pub(crate) fn store(&self, name: &str) -> Option<&StoreSlot> {
        self.scope.stores.get(name)
    }

    pub(crate) fn scope(&self) -> &Rc<TaskScope> {
        &self.scope
    }

    fn times(&self) -> Times {
        Times {
            stream_time: self.scope.stream_time.get(),
            partition_times: self.partition_times.clone(),
            schedules: self.scope.schedules.borrow().clone(),
        }
    }
}
