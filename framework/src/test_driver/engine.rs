//! The loop: which record is next, what a step commits, what an error takes back.
//!
//! ```text
//!   topic logs ──prepare──> heads of (task, input) ──pick the earliest──> Task::process
//!       ^                                                                     │
//!       └────────────── commit: outputs, changelogs, repartition topics ──────┘
//! ```
//!
//! # Invariants
//!
//! - One processed record is one transaction.
//! - The waiting record with the lowest timestamp goes first; of two, the one whose queue was
//!   refilled first, a queue that keeps records rejoining behind. So runs the Java driver.
//! - A record that failed is consumed: the step after an error goes on behind it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::capture::{Capture, CapturedRecord, RawBytes};
use crate::error::{Error, ErrorKind};
use crate::metrics::Drops;
use crate::processor::{Collector, Prepared, PunctuationKind, StoreSlot, TopicId};
use crate::record::{Offset, RawRecord, TaskId, TopicPartition};
use crate::runtime::{Attempt, DurableStore, Globals, Task, TaskSettings};
use crate::time::{ManualClock, Timestamp};
use crate::topology::Topology;

/// How long an external sink may take for the rows of a record.
pub(super) const EXTERNAL_COMMIT_WITHIN: Duration = Duration::from_secs(10);

/// What a driver is made of.
pub(super) struct Setup {
    pub(super) topology: Arc<Topology>,
    pub(super) settings: TaskSettings,
    pub(super) clock: Arc<ManualClock>,
    /// Holds the topics that the tasks read.
    pub(super) capture: Rc<Capture>,
    /// Whether all tasks have one stream time, as in Java's driver.
    pub(super) shared_stream_time: bool,
}

/// A running topology with its topics.
pub(super) struct Engine {
    pub(super) setup: Setup,
    pub(super) drops: Drops,
    /// In the order of their ids.
    running: Vec<Running>,
    /// Who reads a partition: a task and one of its inputs.
    readers: BTreeMap<(TopicId, i32), (usize, usize)>,
    /// Counts the refills of queues, to tell which of two came first.
    refills: u64,
    globals: Globals,
    global_readers: Vec<GlobalReader>,
}

/// What fills a global store: a reader of all partitions of its topic.
struct GlobalReader {
    topic: TopicId,
    /// By partition: the offset of the next record.
    next: Vec<usize>,
}

struct Running {
    task: Task,
    queues: Vec<Queue>,
}

/// An input of a task: a reader of one partition.
#[derive(Debug, Clone)]
struct Queue {
    topic: TopicId,
    /// The offset of the head, or of the record that will be.
    next: usize,
    /// When the head moved up; none if the queue is empty.
    since: Option<u64>,
    /// The head's time once it is prepared.
    head: Option<Timestamp>,
}

impl Engine {
    /// Makes and initialises a task for each id.
    pub(super) fn start(setup: Setup, ids: &[TaskId]) -> Result<Self, Error> {
        let mut engine = Engine {
            setup,
            drops: Drops::new(),
            running: Vec::new(),
            readers: BTreeMap::new(),
            refills: 0,
            globals: Globals::default(),
            global_readers: Vec::new(),
        };
        engine.start_globals()?;
        for id in ids {
            let task = engine.new_task(*id)?;
            let queues = engine.queues_of(&task)?;
            for (input, queue) in queues.iter().enumerate() {
                let place = (engine.running.len(), input);
                engine.readers.insert((queue.topic, id.partition), place);
            }
            engine.running.push(Running { task, queues });
        }
        (0..engine.running.len()).try_for_each(|place| engine.init(place))?;
        Ok(engine)
    }

    /// Makes empty global stores, for tasks that are made after them.
    fn start_globals(&mut self) -> Result<(), Error> {
        self.globals = Globals::new(&self.setup.topology, &self.setup.settings)?;
        self.setup.settings.global_stores = self.globals.stores();
        let capture = &self.setup.capture;
        let reader = |topic: &Arc<str>| {
            let topic = capture.topic(topic)?;
            let partitions = usize::try_from(capture.partitions(topic)?).unwrap_or(0);
            let next = vec![0; partitions];
            Ok(GlobalReader { topic, next })
        };
        self.global_readers = self
            .globals
            .topics()
            .map(reader)
            .collect::<Result<_, Error>>()?;
        Ok(())
    }

    /// Has the global stores take over what their topics hold.
    fn update_globals(&mut self) -> Result<(), Error> {
        for store in 0..self.global_readers.len() {
            for partition in 0..self.global_readers[store].next.len() {
                while self.update_global(store, partition)? {}
            }
        }
        Ok(())
    }

    /// Takes over the next record of a partition; answers whether there was one.
    fn update_global(&mut self, store: usize, partition: usize) -> Result<bool, Error> {
        let reader = &mut self.global_readers[store];
        let next = &mut reader.next[partition];
        let record = self.setup.capture.log(reader.topic);
        let Some(record) = record.at(partition, *next).cloned() else {
            return Ok(false);
        };
        *next += 1;
        let drops = self
            .globals
            .update(store, record.partition, &raw(&record))?;
        for (at, count) in drops {
            *self.drops.entry(at).or_default() += count;
        }
        Ok(true)
    }

    fn new_task(&self, id: TaskId) -> Result<Task, Error> {
        let collector: Rc<dyn Collector> = Rc::clone(&self.setup.capture) as _;
        Task::new(
            Arc::clone(&self.setup.topology),
            id,
            self.setup.settings.clone(),
            collector,
        )
    }

    fn queues_of(&self, task: &Task) -> Result<Vec<Queue>, Error> {
        let queue = |topic: &Arc<str>| {
            Ok(Queue {
                topic: self.setup.capture.topic(topic)?,
                next: 0,
                since: None,
                head: None,
            })
        };
        task.inputs().iter().map(queue).collect()
    }

    /// What the processors write while they are initialised is committed at once.
    fn init(&mut self, place: usize) -> Result<(), Error> {
        let partitions = self.ends(place);
        let partitions: Vec<_> = partitions
            .into_iter()
            .map(|(partition, _)| partition)
            .collect();
        let task = &mut self.running[place].task;
        let initialised = task.init().and_then(|()| task.open_external(&partitions));
        self.end_transaction(place, initialised)
    }

    /// Appends an input record and processes all that waits.
    pub(super) fn pipe(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        record: RawBytes,
    ) -> Result<(), Error> {
        let Some(id) = self
            .setup
            .capture
            .input(topic)
            .filter(|id| self.is_read(self.setup.capture.read_as(*id)))
        else {
            return Err(self.not_read(topic));
        };
        self.setup.capture.append(id, partition, record)?;
        self.update_globals()?;
        self.run()
    }

    fn is_read(&self, topic: TopicId) -> bool {
        let globals = &self.global_readers;
        self.readers.keys().any(|(read, _)| *read == topic)
            || globals.iter().any(|global| global.topic == topic)
    }

    fn not_read(&self, topic: &str) -> Error {
        if self.running.is_empty() {
            return Error::new(
                ErrorKind::Topology,
                "the driver is closed: its topics can be read, nothing can be piped; make a new driver",
            );
        }
        let inputs = self
            .running
            .iter()
            .flat_map(|running| running.task.inputs());
        let inputs = inputs.chain(self.globals.topics());
        let mut inputs: Vec<&str> = inputs.map(|topic| &**topic).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let inputs = inputs.join(", ");
        let message = format!("no source reads topic {topic}; the sources read: {inputs}");
        Error::new(ErrorKind::Topology, message)
    }

    /// Fires the wall-clock punctuations that are due, then processes what they made.
    pub(super) fn punctuate(&mut self) -> Result<(), Error> {
        for place in 0..self.running.len() {
            let punctuated = self.running[place]
                .task
                .punctuate(PunctuationKind::WallClock);
            self.end_transaction(place, punctuated.map(drop))?;
        }
        self.run()
    }

    /// Processes record after record until none waits.
    fn run(&mut self) -> Result<(), Error> {
        for place in 0..self.running.len() {
            for input in 0..self.running[place].queues.len() {
                self.prepare(place, input)?;
            }
        }
        while let Some((place, input, timestamp)) = self.earliest() {
            self.step(place, input, timestamp)?;
        }
        Ok(())
    }

    fn earliest(&self) -> Option<(usize, usize, Timestamp)> {
        let queues = self
            .running
            .iter()
            .enumerate()
            .flat_map(|(place, running)| {
                let queues = running.queues.iter().enumerate();
                queues.map(move |(input, queue)| (place, input, queue))
            });
        let heads = queues
            .filter_map(|(place, input, queue)| Some(((queue.head?, queue.since), place, input)));
        let ((timestamp, _), place, input) = heads.min()?;
        Some((place, input, timestamp))
    }

    fn step(&mut self, place: usize, input: usize, timestamp: Timestamp) -> Result<(), Error> {
        let queue = &mut self.running[place].queues[input];
        let offset = offset(queue.next);
        queue.head = None;
        queue.next += 1;
        // Before what this step writes: a queue that keeps records is behind those that wait,
        // and before those that this step fills.
        queue.since = None;
        self.rejoin(place, input);
        self.share_stream_time();
        self.note(place, input);
        let processed = self.running[place].task.process(input, offset, timestamp);
        if matches!(processed, Ok(Attempt::Again)) {
            // Nobody else is served meanwhile, so there is nothing to wait for.
            self.running[place].queues[input].next -= 1;
        }
        self.end_transaction(place, processed.map(drop))?;
        self.prepare(place, input)?;
        self.punctuate_others(place)
    }

    /// Shows the task the record that was taken last, if a handler may have to see it.
    fn note(&self, place: usize, input: usize) {
        let running = &self.running[place];
        if running.task.isolates() {
            let last = running.queues[input].next - 1;
            let record = self.record(place, input, last);
            running
                .task
                .note(&raw(&record.expect("it is about to be processed")));
        }
    }

    /// The nodes of a task are new, so no head is prepared any more.
    fn prepare_again(&mut self, place: usize) -> Result<(), Error> {
        let queues = &mut self.running[place].queues;
        queues.iter_mut().for_each(|queue| queue.head = None);
        (0..self.running[place].queues.len()).try_for_each(|input| self.prepare(place, input))
    }

    /// Raises every task to the highest stream time, if it is to be shared.
    fn share_stream_time(&self) {
        let times = || {
            self.running
                .iter()
                .map(|running| &running.task.scope().stream_time)
        };
        if !self.setup.shared_stream_time {
            return;
        }
        if let Some(highest) = times().map(Cell::get).max() {
            times().for_each(|time| time.set(highest));
        }
    }

    /// A shared stream time makes punctuations due in tasks that processed nothing.
    fn punctuate_others(&mut self, place: usize) -> Result<(), Error> {
        if !self.setup.shared_stream_time {
            return Ok(());
        }
        self.share_stream_time();
        for other in (0..self.running.len()).filter(|other| *other != place) {
            let punctuated = self.running[other]
                .task
                .punctuate(PunctuationKind::StreamTime);
            self.end_transaction(other, punctuated.map(drop))?;
        }
        Ok(())
    }

    /// Gives a queue that is not empty its place in the line, unless it has one.
    fn rejoin(&mut self, place: usize, input: usize) {
        let waits = self.waiting(place, input).is_some();
        let queue = &mut self.running[place].queues[input];
        if !waits {
            queue.since = None;
        } else if queue.since.is_none() {
            queue.since = Some(self.refills);
            self.refills += 1;
        }
    }

    /// The record at the head of a queue.
    fn waiting(&self, place: usize, input: usize) -> Option<CapturedRecord> {
        self.record(place, input, self.running[place].queues[input].next)
    }

    fn record(&self, place: usize, input: usize, offset: usize) -> Option<CapturedRecord> {
        let running = &self.running[place];
        let topic = running.queues[input].topic;
        let partition = usize::try_from(running.task.id().partition).ok()?;
        let log = self.setup.capture.log(topic);
        log.at(partition, offset).cloned()
    }

    /// Has the head of a queue read, passing over what is dropped.
    fn prepare(&mut self, place: usize, input: usize) -> Result<(), Error> {
        loop {
            self.rejoin(place, input);
            if self.running[place].queues[input].head.is_some() {
                return Ok(());
            }
            let Some(record) = self.waiting(place, input) else {
                return Ok(());
            };
            let running = &mut self.running[place];
            let prepared = running.task.prepare(input, &raw(&record));
            match prepared {
                Ok(Prepared::At(timestamp)) => {
                    running.queues[input].head = Some(timestamp);
                    return Ok(());
                }
                Ok(Prepared::Dropped) => {
                    running.queues[input].next += 1;
                    self.end_transaction(place, Ok(()))?;
                }
                Ok(Prepared::Again) => {}
                Err(error) => {
                    running.queues[input].next += 1;
                    return self.end_transaction(place, Err(error));
                }
            }
        }
    }

    /// Where the inputs of a task are.
    fn ends(&self, place: usize) -> Vec<(TopicPartition, Offset)> {
        let running = &self.running[place];
        let partition = running.task.id().partition;
        let inputs = running.task.inputs().iter().zip(&running.queues);
        let end = |(topic, queue): (&Arc<str>, &Queue)| {
            let partition = TopicPartition::new(Arc::clone(topic), partition);
            (partition, offset(queue.next))
        };
        inputs.map(end).collect()
    }

    /// Commits what a task did, or takes it back and passes the error on.
    fn end_transaction(&mut self, place: usize, outcome: Result<(), Error>) -> Result<(), Error> {
        let finished = outcome.and_then(|()| self.finish(place));
        let running = &mut self.running[place];
        let renewed = match finished {
            Ok(renewed) => renewed,
            Err(error) => {
                self.setup.capture.abort();
                // The nodes are new after it, so no head is prepared any more.
                running
                    .queues
                    .iter_mut()
                    .for_each(|queue| queue.head = None);
                running.task.rolled_back()?;
                return Err(error);
            }
        };
        for (at, count) in running.task.committed()? {
            *self.drops.entry(at).or_default() += count;
        }
        let committed = self.setup.capture.commit();
        self.update_globals()?;
        for written in committed {
            if let Some((place, input)) = self.readers.get(&written).copied() {
                self.prepare(place, input)?;
            }
        }
        match renewed {
            true => self.prepare_again(place),
            false => Ok(()),
        }
    }

    /// Has a task finish what it has put off; answers whether its nodes are new.
    fn finish(&mut self, place: usize) -> Result<bool, Error> {
        let task = &mut self.running[place].task;
        task.flush()?;
        if task.scope().outlets.rows() > 0 {
            let ends = self.ends(place);
            let task = &mut self.running[place].task;
            task.commit_external(&ends, EXTERNAL_COMMIT_WITHIN)?;
        }
        Ok(self.running[place].task.take_renewed())
    }

    /// Ends every task as a crash would and starts them again: stores come back from their
    /// changelogs, times and offsets from the last commit, all else is lost.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.setup.capture.abort();
        // What is read again was counted when it was read first.
        let drops = self.drops.clone();
        self.start_globals()?;
        self.update_globals()?;
        self.drops = drops;
        let restored = self.running.iter().map(|running| self.restored(running));
        let restored: Vec<Task> = restored.collect::<Result<_, Error>>()?;
        for (running, task) in self.running.iter_mut().zip(restored) {
            running.task = task;
            running
                .queues
                .iter_mut()
                .for_each(|queue| queue.head = None);
        }
        (0..self.running.len()).try_for_each(|place| self.init(place))?;
        self.run()
    }

    fn restored(&self, running: &Running) -> Result<Task, Error> {
        let before = &running.task;
        let mut task = self.new_task(before.id())?;
        for durable in task.durable_stores() {
            self.restore(running, durable)?;
        }
        let times: Vec<Timestamp> = (0..before.inputs().len())
            .map(|input| before.partition_time(input))
            .collect();
        task.resume_times(&times);
        task.resume_node_times(before.node_times().into_iter());
        Ok(task)
    }

    fn restore(&self, running: &Running, durable: DurableStore) -> Result<(), Error> {
        let partition = usize::try_from(running.task.id().partition).unwrap_or(0);
        let topic = self.setup.capture.topic(&durable.topic)?;
        let log = self.setup.capture.log(topic);
        let mut store = durable.store.borrow_mut();
        let Some(mut replay) = durable.replay else {
            return log.partition(partition).try_for_each(|record| {
                let Some(key) = record.key.as_deref() else {
                    return Ok(());
                };
                let entry = (key, record.value.as_deref(), record.timestamp);
                store.restore_with(entry, &record.headers)
            });
        };
        let queue = running.queues.iter().find(|queue| queue.topic == topic);
        let processed = queue.map_or(0, |queue| queue.next);
        for record in log.partition(partition).take(processed) {
            if let Some(row) = replay.row(&raw(record)) {
                let row = (&row.key[..], row.value.as_deref(), row.timestamp);
                store.restore(std::iter::once(row))?;
            }
        }
        Ok(())
    }

    /// Closes every processor; nothing can be piped any more.
    pub(super) fn close(&mut self) {
        self.readers.clear();
        self.global_readers.clear();
        std::mem::take(&mut self.globals).close();
        self.running
            .drain(..)
            .for_each(|running| running.task.close());
    }

    /// A topic by name; none if it is one that a record may still name.
    pub(super) fn written_topic(&self, name: &str) -> Result<Option<TopicId>, Error> {
        let topic = self.setup.capture.find(name);
        if topic.is_some() || self.setup.topology.extracts_topics() {
            return Ok(topic);
        }
        let known = self.setup.capture.names().join(", ");
        let message = format!("the topology has no topic {name}; its topics: {known}");
        Err(Error::new(ErrorKind::Topology, message))
    }

    /// The names of all stores, sorted.
    pub(super) fn stores(&self) -> Vec<&str> {
        let tasks = self.tasks();
        let stores = tasks.flat_map(|task| task.scope().stores.keys());
        let stores: BTreeSet<&str> = stores.map(|name| &**name).collect();
        stores.into_iter().collect()
    }

    /// The tasks that hold a store, in the order of their ids.
    pub(super) fn holders(&self, store: &str) -> impl Iterator<Item = (&Task, &StoreSlot)> {
        let tasks = self.tasks();
        tasks.filter_map(move |task| Some((task, task.store(store)?)))
    }

    /// Whatever has stores.
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        let tasks = self.running.iter().map(|running| &running.task);
        tasks.chain(self.globals.tasks())
    }
}

fn raw(record: &CapturedRecord) -> RawRecord<'_> {
    RawRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &record.headers,
    }
}

fn offset(index: usize) -> Offset {
    Offset::new(i64::try_from(index).expect("a test fits in memory"))
}
