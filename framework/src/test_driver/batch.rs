//! One task fed in batches, for measuring: the runtime's queues, picker and task, and nothing else.
//!
//! ```text
//!   push ──bytes──> queues ──pick──> Task::process ──> counted, then forgotten
//!                     ^                                      │
//!                     └───────────── commit ─────────────────┘
//! ```
//!
//! # Invariants
//!
//! - The way from the queue to the collector is the worker's own; only the ends are missing: the
//!   client that fetches, and the one that produces.
//! - What comes out is not kept: nothing grows with the number of records but stores.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::engine::EXTERNAL_COMMIT_WITHIN;
use crate::error::{Error, ErrorKind};
use crate::handler::{FailureScope, Handlers, OnFailedRecord};
use crate::processor::{CallSettings, Collector, OutgoingRecord, TopicId};
use crate::record::{Headers, Offset, TaskId, TopicPartition};
use crate::runtime::{ActiveTask, Lane, OpenCalls, Progress, Stamp, Task, TaskSettings};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::topology::Topology;

/// Runs one task of a topology in batches, as fast as it goes: what a benchmark needs.
///
/// Unlike [`TestDriver`](super::TestDriver) it keeps no history and commits many records at once,
/// as the runtime does. Every topic has one partition. What is written to a repartition topic
/// leaves the task like any output; a driver of the next sub-topology reads its like.
///
/// ```
/// use onceflow_framework::serde::i64;
/// use onceflow_framework::test_driver::BatchDriver;
/// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
/// use onceflow_framework::Timestamp;
///
/// let mut builder = TopologyBuilder::new();
/// let amounts = builder.add_source("in", ["amounts"], Consumed::<i64, i64>::new());
/// builder.add_sink("out", "copies", Produced::with(i64(), i64()), &[&amounts]);
///
/// let mut driver = BatchDriver::new(builder.build()?, 0)?;
/// let amounts = driver.input("amounts")?;
/// for number in 0..1_000 {
///     let (key, value) = (7_i64.to_be_bytes(), 100_i64.to_be_bytes());
///     driver.push(amounts, Timestamp::from_millis(number), Some(&key), Some(&value));
/// }
/// assert_eq!(driver.commit()?, 1_000);
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
pub struct BatchDriver {
    task: ActiveTask,
    counted: Rc<Counted>,
    /// The offset of the next record of each input.
    next: Vec<Offset>,
}

impl BatchDriver {
    /// A driver of the first task of a sub-topology, counted as `describe()` does.
    ///
    /// # Errors
    ///
    /// When there is no such sub-topology, and whatever a processor's `init` fails with.
    pub fn new(topology: impl Into<Arc<Topology>>, sub_topology: u32) -> Result<Self, Error> {
        Self::with(topology.into(), sub_topology, Handlers::default())
    }

    /// As [`new`](Self::new), where a record that fails is given up, or what of it is in `scope`: to
    /// see what that costs those that do not.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn going_on(
        topology: impl Into<Arc<Topology>>,
        sub_topology: u32,
        scope: FailureScope,
    ) -> Result<Self, Error> {
        let handlers = Handlers {
            processing: Arc::new(OnFailedRecord::Continue),
            scope,
            ..Handlers::default()
        };
        Self::with(topology.into(), sub_topology, handlers)
    }

    fn with(topology: Arc<Topology>, sub_topology: u32, handlers: Handlers) -> Result<Self, Error> {
        let has_tasks = topology
            .task_parts()
            .any(|(number, _)| number == sub_topology);
        if !has_tasks {
            let message = format!("the topology has no sub-topology {sub_topology} with tasks");
            return Err(Error::new(ErrorKind::Topology, message));
        }
        let settings = TaskSettings {
            application_id: Arc::from("app"),
            clock: Arc::new(ManualClock::starting_at(Timestamp::from_millis(0))) as Arc<dyn Clock>,
            handlers: Arc::new(handlers),
            global_stores: Rc::default(),
            log_at_close: true,
            calls: CallSettings::default(),
        };
        let counted = Rc::new(Counted::default());
        let collector: Rc<dyn Collector> = Rc::clone(&counted) as _;
        let id = TaskId {
            sub_topology,
            partition: 0,
        };
        let mut task = Task::new(topology, id, settings, collector)?;
        task.init()?;
        let lanes: Vec<Lane> = (0..)
            .zip(task.inputs())
            .map(|(input, topic)| {
                let partition = TopicPartition::new(Arc::clone(topic), 0);
                Lane::new(partition, input, input, Offset::new(0))
            })
            .collect();
        let next = vec![Offset::new(0); lanes.len()];
        let mut task = ActiveTask::new(task, lanes, Stamp::default(), 0);
        task.open_external()?;
        Ok(BatchDriver {
            task,
            counted,
            next,
        })
    }

    /// The number of an input topic, by its name on the broker.
    ///
    /// # Errors
    ///
    /// When the sub-topology does not read it.
    pub fn input(&self, topic: &str) -> Result<usize, Error> {
        let mut lanes = self.task.lanes.iter();
        let found = lanes.position(|lane| &*lane.partition.topic == topic);
        found.ok_or_else(|| {
            let message = format!("{} does not read topic {topic}", self.task.id());
            Error::new(ErrorKind::Topology, message)
        })
    }

    /// Puts a record in the queue of an input; its bytes are copied, as those of a fetched one.
    ///
    /// # Panics
    ///
    /// When [`input`](Self::input) did not say that there is such an input.
    pub fn push(
        &mut self,
        input: usize,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let offset = self.next[input];
        self.next[input] = offset.next();
        let queue = &mut self.task.lanes[input].queue;
        queue.push(offset, timestamp, (key, value), Headers::new());
    }

    /// Processes all that waits and commits it; answers how many records went out, changelogs
    /// included.
    ///
    /// # Errors
    ///
    /// Whatever fails on the way. The driver is of no use afterwards: nothing is taken back.
    pub fn commit(&mut self) -> Result<u64, Error> {
        loop {
            match self.task.process_next()? {
                Progress::Done | Progress::Waits => {}
                Progress::Unreadable(error) => return Err(error),
                Progress::Idle => break,
            }
        }
        self.task.flush(OpenCalls::Finish)?;
        self.task.task.log_staged()?;
        self.task.commit_external(EXTERNAL_COMMIT_WITHIN)?;
        self.task.committed()?;
        Ok(self.counted.sent.take())
    }
}

impl fmt::Debug for BatchDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchDriver({:?})", self.task)
    }
}

/// Knows topics by name, and of the records that went out only how many.
#[derive(Debug, Default)]
struct Counted {
    topics: RefCell<Vec<Arc<str>>>,
    sent: Cell<u64>,
}

impl Collector for Counted {
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        let mut topics = self.topics.borrow_mut();
        let known = topics.iter().position(|topic| **topic == *name);
        let index = known.unwrap_or_else(|| {
            topics.push(Arc::from(name));
            topics.len() - 1
        });
        Ok(TopicId(
            u32::try_from(index).expect("a topology has few topics"),
        ))
    }

    fn partitions(&self, _: TopicId) -> Result<i32, Error> {
        Ok(1)
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        // The optimiser must not find out that nobody reads it.
        std::hint::black_box(record);
        self.sent.set(self.sent.get() + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Count;
    use super::*;
    use crate::serde::utf8;
    use crate::state::StoreBuilder;
    use crate::topology::{Consumed, Produced, TopologyBuilder};

    fn counting() -> BatchDriver {
        let mut builder = TopologyBuilder::new();
        let words = builder.add_source("words", ["words"], Consumed::<String, String>::new());
        let count = builder.add_processor("count", Count::default, &[&words]);
        let store = StoreBuilder::key_value("counts", utf8(), crate::serde::i64());
        builder.add_state_store(store, &["count"]);
        builder.add_sink("out", "counts", Produced::with(utf8(), utf8()), &[&count]);
        BatchDriver::new(builder.build().unwrap(), 0).unwrap()
    }

    fn push(driver: &mut BatchDriver, key: &str) {
        let words = driver.input("words").unwrap();
        let time = Timestamp::from_millis(0);
        driver.push(words, time, Some(key.as_bytes()), Some(b"word"));
    }

    #[test]
    fn a_batch_counts_outputs_and_changelog_records() {
        let mut driver = counting();
        for key in ["a", "b", "a"] {
            push(&mut driver, key);
        }
        assert_eq!(driver.commit().unwrap(), 6);
        push(&mut driver, "a");
        assert_eq!(driver.commit().unwrap(), 2);
        assert_eq!(driver.commit().unwrap(), 0);
    }

    #[test]
    fn an_input_or_a_sub_topology_that_is_not_there_is_named() {
        let driver = counting();
        let error = driver.input("wrods").unwrap_err().to_string();
        assert!(error.contains("0_0 does not read topic wrods"), "{error}");
        let topology = TopologyBuilder::new().build();
        let missing = topology.and_then(|topology| BatchDriver::new(topology, 3));
        assert!(missing.is_err());
    }
}
