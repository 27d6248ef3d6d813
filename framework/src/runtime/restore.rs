//! Bringing stores up to what the broker has committed, by replaying their changelogs.
//!
//! # Invariants
//!
//! - The end of a changelog is its high watermark as of a moment *after* the group's stable
//!   offsets were fetched: markers reach partitions one by one, so the last stable offset may
//!   still hide records of a batch whose offsets are committed already.
//! - It ends on the reader's position, never on counting: markers and compaction take offsets.
//! - A store that has reached its end is left alone: its task runs while others are restored, and
//!   what the reader brings after the end are writes of that very task, old ones by then.
//! - A restore can be dropped at any step: the stores it worked on are dropped with it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::broker::{BrokerError, ChangelogReader, Chunk};
use crate::error::{Error, ErrorKind};
use crate::record::{Offset, TaskId, TopicPartition};
use crate::state::TaskStore;
use crate::topology::Replay;

/// How long one step may wait for the broker.
const STEP_WAIT: Duration = Duration::from_millis(20);

/// How many records one step takes over, so that the worker looks around in between.
const STEP_RECORDS_MAX: usize = 10_000;

/// A store to be restored.
pub(crate) struct Restoring {
    pub(crate) task: TaskId,
    pub(crate) changelog: TopicPartition,
    pub(crate) store: Rc<RefCell<TaskStore>>,
    /// If the changelog is a topic that the task reads.
    pub(crate) source: Option<FromSource>,
}

/// What a restore from a topic that the task reads needs to know.
pub(crate) struct FromSource {
    /// Where the task goes on: what is behind it was not processed yet.
    pub(crate) end: Offset,
    pub(crate) replay: Replay,
}

/// The stores that are being restored by one worker.
pub(crate) struct Restore<R> {
    reader: R,
    lanes: Vec<RestoreLane>,
    records: u64,
}

struct RestoreLane {
    restoring: Restoring,
    /// None until the watermarks are known.
    end: Option<Offset>,
    done: bool,
}

impl<R: ChangelogReader> Restore<R> {
    pub(crate) fn new(reader: R, stores: Vec<Restoring>) -> Self {
        let lane = |restoring| RestoreLane {
            restoring,
            end: None,
            done: false,
        };
        Restore {
            reader,
            lanes: stores.into_iter().map(lane).collect(),
            records: 0,
        }
    }

    /// Goes one step on; answers the tasks that are done with it.
    ///
    /// # Errors
    ///
    /// When a changelog cannot be read or a store not be written.
    pub(crate) fn step(&mut self) -> Result<Vec<TaskId>, Error> {
        if self.lanes.iter().any(|lane| lane.end.is_none()) && !self.find_ends()? {
            return Ok(Vec::new());
        }
        let unfinished = self.unfinished();
        let (reader, lanes) = (&mut self.reader, &mut self.lanes);
        if lanes.iter().any(|lane| !lane.done) {
            self.records +=
                reader.read(STEP_WAIT, STEP_RECORDS_MAX, &mut |chunk| take(lanes, chunk))? as u64;
        }
        let still = self.unfinished();
        Ok(unfinished
            .into_iter()
            .filter(|task| !still.contains(task))
            .collect())
    }

    /// Whether every store is restored.
    pub(crate) fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.done)
    }

    /// How many records were taken over.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Asks where the changelogs end; answers false if the broker did not say yet.
    fn find_ends(&mut self) -> Result<bool, Error> {
        let partitions: Vec<TopicPartition> = self
            .lanes
            .iter()
            .map(|lane| lane.restoring.changelog.clone())
            .collect();
        let marks = match self
            .reader
            .watermarks(&partitions, Duration::from_millis(500))
        {
            Ok(marks) => marks,
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(cannot_restore(&partitions, error)),
        };
        let mut starts = Vec::with_capacity(marks.len());
        for (lane, (low, high)) in self.lanes.iter_mut().zip(marks) {
            let source = lane.restoring.source.as_ref();
            let end = source.map_or(high, |source| source.end.min(high));
            lane.end = Some(end);
            lane.done = low >= end;
            starts.push((lane.restoring.changelog.clone(), low));
        }
        self.reader
            .assign(&starts)
            .map_err(|error| cannot_restore(&partitions, error))?;
        Ok(true)
    }

    fn unfinished(&self) -> Vec<TaskId> {
        let mut tasks: Vec<TaskId> = self
            .lanes
            .iter()
            .filter(|lane| !lane.done)
            .map(|lane| lane.restoring.task)
            .collect();
        tasks.dedup();
        tasks
    }
}

fn take(lanes: &mut [RestoreLane], chunk: Chunk<'_>) -> Result<(), Error> {
    match chunk {
        Chunk::Record { partition, record } => {
            let lane = &mut lanes[partition];
            if lane.done {
                return Ok(());
            }
            let is_last = lane.end.is_some_and(|end| record.offset.next() >= end);
            if let Some(source) = &mut lane.restoring.source {
                // The first record at or behind the end ends it, where others were compacted away.
                let is_processed = lane.end.is_some_and(|end| record.offset < end);
                if let Some(row) = source.replay.row(&record).filter(|_| is_processed) {
                    let entry = (&row.key[..], row.value.as_deref(), row.timestamp);
                    let mut store = lane.restoring.store.borrow_mut();
                    store.restore(std::iter::once(entry))?;
                }
                lane.done |= is_last;
                return Ok(());
            }
            let Some(key) = record.key else {
                let changelog = &lane.restoring.changelog;
                let offset = record.offset;
                let message = format!(
                    "changelog {changelog} has a record without a key at offset {offset}; did \
                     something else write to this topic?"
                );
                return Err(Error::new(ErrorKind::Store, message));
            };
            let entry = (key, record.value, record.timestamp);
            let mut store = lane.restoring.store.borrow_mut();
            store.restore_with(entry, record.headers)?;
            drop(store);
            lane.done |= is_last;
        }
        Chunk::End { partition, offset } => {
            let lane = &mut lanes[partition];
            lane.done |= lane.end.is_some_and(|end| offset >= end);
        }
    }
    Ok(())
}

fn cannot_restore(partitions: &[TopicPartition], error: BrokerError) -> Error {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    error.into_error(format!("cannot restore from {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::*;
    use crate::Fault;
    use crate::processor::{Context, Processor};
    use crate::record::{Headers, RawRecord, Record};
    use crate::serde::{i64, utf8};
    use crate::state::StoreBuilder;
    use crate::time::{SystemClock, Timestamp};
    use crate::topology::{Consumed, TopologyBuilder};

    /// What the reader brings, a step a list: partition, offset, and the value that `key` gets.
    type Steps = VecDeque<Vec<(usize, i64, &'static [u8])>>;

    /// Changelogs that end at an offset when they are looked at, and go on growing.
    struct Growing(Steps, Offset);

    impl ChangelogReader for Growing {
        fn watermarks(
            &mut self,
            partitions: &[TopicPartition],
            _timeout: Duration,
        ) -> Result<Vec<(Offset, Offset)>, BrokerError> {
            Ok(vec![(Offset::new(0), self.1); partitions.len()])
        }

        fn assign(&mut self, _partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
            Ok(())
        }

        fn read(
            &mut self,
            _timeout: Duration,
            _records_max: usize,
            sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
        ) -> Result<usize, Error> {
            let step = self.0.pop_front().unwrap_or_default();
            let headers = Headers::default();
            for (partition, offset, value) in &step {
                let record = RawRecord {
                    offset: Offset::new(*offset),
                    timestamp: Timestamp::from_millis(0),
                    key: Some(b"key"),
                    value: Some(value),
                    headers: &headers,
                };
                let partition = *partition;
                sink(Chunk::Record { partition, record })?;
            }
            Ok(step.len())
        }
    }

    fn task(partition: i32) -> TaskId {
        TaskId {
            sub_topology: 0,
            partition,
        }
    }

    #[test]
    fn a_store_that_is_restored_is_left_to_its_task_while_others_are_not() {
        let stores: Vec<Rc<RefCell<TaskStore>>> = (0..2)
            .map(|_| {
                let spec = StoreBuilder::key_value("store", utf8(), i64()).into_spec();
                Rc::new(RefCell::new(spec.create()))
            })
            .collect();
        let restoring = (0i32..).zip(&stores).map(|(partition, store)| Restoring {
            task: task(partition),
            changelog: TopicPartition::new(Arc::from("changelog"), partition),
            store: Rc::clone(store),
            source: None,
        });
        let steps = [
            vec![(0, 0, &b"old"[..]), (0, 1, b"restored"), (1, 0, b"old")],
            // The first task has begun, and its commits come back to it.
            vec![(0, 3, b"its own"), (1, 1, b"restored")],
        ];
        let growing = Growing(steps.into(), Offset::new(2));
        let mut restore = Restore::new(growing, restoring.collect());
        assert_eq!(restore.step().unwrap(), [task(0)]);
        assert_eq!(restore.step().unwrap(), [task(1)]);
        assert!(restore.is_done());
        for store in &stores {
            let is_restored = |found: Option<&[u8]>| found == Some(b"restored");
            assert!(store.borrow().get(b"key", is_restored).unwrap());
        }
    }

    #[test]
    fn a_copy_of_a_topic_holds_what_was_processed_and_no_more() {
        let mut builder = TopologyBuilder::new();
        let consumed = Consumed::<String, i64>::new().nullable();
        let source = builder.add_source("source", ["input"], consumed.clone());
        builder.add_processor("table", || Ignored, &[&source]);
        let store = StoreBuilder::key_value("store", utf8(), i64());
        builder.add_source_store(store, "input", &consumed, &["table"]);
        let topology = builder.build().unwrap();
        let rows = Arc::clone(&topology.source_store("store").unwrap().rows);
        let store = Rc::new(RefCell::new(topology.store("store").create()));
        let restoring = Restoring {
            task: task(0),
            changelog: TopicPartition::new(Arc::from("input"), 0),
            store: Rc::clone(&store),
            source: Some(FromSource {
                end: Offset::new(2),
                replay: Replay::new(rows, Arc::new(SystemClock::new())),
            }),
        };
        let steps = [vec![
            (0, 0, &b"8 bytes."[..]),
            (0, 1, b"no i64"),
            (0, 2, b"not yet."),
        ]];
        let growing = Growing(steps.into(), Offset::new(3));
        let mut restore = Restore::new(growing, vec![restoring]);
        restore.step().unwrap();
        assert!(restore.is_done());
        let found = store
            .borrow()
            .get(b"key", |value| value.map(<[u8]>::to_vec));
        assert_eq!(found.unwrap().as_deref(), Some(&b"8 bytes."[..]));
    }

    /// Takes records and does nothing.
    struct Ignored;

    impl Processor for Ignored {
        type KeyIn = Option<String>;
        type ValueIn = Option<i64>;
        type KeyOut = ();
        type ValueOut = ();

        fn process(
            &mut self,
            _record: Record<Option<String>, Option<i64>>,
            _ctx: &mut Context<(), ()>,
        ) -> Result<(), Fault> {
            Ok(())
        }
    }
}
