//! Setting a driver up: names, partitions, the clock, the handler of bad records.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::TestDriver;
use super::capture::Capture;
use super::engine::{Engine, Setup};
use crate::error::{Error, ErrorKind};
use crate::handler::{ExceptionHandler, FailureScope, Handlers, Retry};
use crate::processor::CallSettings;
use crate::record::TaskId;
use crate::runtime::TaskSettings;
use crate::time::{Clock, ManualClock, Timestamp};
use crate::topology::{PartitionCounts, SubTopology, Topology};

/// Builds a [`TestDriver`].
///
/// ```
/// use onceflow_framework::test_driver::TestDriver;
/// use onceflow_framework::topology::{Consumed, TopologyBuilder};
/// use onceflow_framework::Timestamp;
///
/// let mut builder = TopologyBuilder::new();
/// builder.add_source("words", ["words"], Consumed::<String, String>::new());
/// let driver = TestDriver::builder(builder.build()?)
///     .application_id("word-count")
///     .partitions("words", 3)
///     .start_time(Timestamp::from_millis(1_000))
///     .build()?;
/// assert_eq!(driver.wall_clock(), Timestamp::from_millis(1_000));
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct TestDriverBuilder {
    topology: Arc<Topology>,
    application_id: String,
    partitions: BTreeMap<String, i32>,
    start_time: Timestamp,
    handlers: Handlers,
    shared_stream_time: bool,
}

impl TestDriverBuilder {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        TestDriverBuilder {
            topology,
            application_id: "app".to_owned(),
            partitions: BTreeMap::new(),
            start_time: Timestamp::from_millis(0),
            handlers: Handlers::default(),
            shared_stream_time: false,
        }
    }

    /// The application id, which begins the names of internal topics (default: `app`).
    pub fn application_id(mut self, id: impl Into<String>) -> Self {
        self.application_id = id.into();
        self
    }

    /// How many partitions a topic has, by its name on the broker (default: 1; repartition and
    /// changelog topics take theirs from the inputs, and need no line here).
    pub fn partitions(mut self, topic: impl Into<String>, count: i32) -> Self {
        self.partitions.insert(topic.into(), count);
        self
    }

    /// What the wall clock shows at the start (default: the epoch).
    pub fn start_time(mut self, start: Timestamp) -> Self {
        self.start_time = start;
        self
    }

    /// What becomes of bytes that a source cannot read (default: the step fails).
    pub fn on_bad_record(mut self, handler: impl ExceptionHandler) -> Self {
        self.handlers.deserialization = Arc::new(handler);
        self
    }

    /// What becomes of a record at which a processor fails (default: the step fails).
    pub fn on_failed_record(mut self, handler: impl ExceptionHandler) -> Self {
        self.handlers.processing = Arc::new(handler);
        self
    }

    /// What becomes of an output that cannot be written as bytes (default: the step fails). Nothing
    /// is too large for the driver, and no topic is missing.
    pub fn on_refused_output(mut self, handler: impl ExceptionHandler) -> Self {
        self.handlers.production = Arc::new(handler);
        self
    }

    /// How a record is tried again that failed for a transient reason (default: it is not). The
    /// driver does not wait between two attempts, and its clock stands still.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.handlers.retry = retry;
        self
    }

    /// How much is given up when a processor fails (default: the record).
    pub fn failure_scope(mut self, scope: FailureScope) -> Self {
        self.handlers.scope = scope;
        self
    }

    /// Where records go that a handler has given up (default: nowhere).
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.handlers.dead_letters = Some(Arc::from(topic.into()));
        self
    }

    /// Gives all tasks one stream time, as Java's `TopologyTestDriver` does: a record of one
    /// sub-topology makes punctuations of the others due (default: each task has its own, as in
    /// the runtime).
    pub fn shared_stream_time(mut self) -> Self {
        self.shared_stream_time = true;
        self
    }

    /// Makes the topics and tasks and initialises the processors.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topics`] when a partition count cannot be: below one, or different for
    /// topics that are joined. [`ErrorKind::Config`] when retries contradict the failure scope.
    /// Whatever a processor's `init` fails with.
    pub fn build(self) -> Result<TestDriver, Error> {
        if let Some(problem) = self.handlers.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        if let Some((topic, count)) = self.partitions.iter().find(|(_, count)| **count < 1) {
            let message = format!("topic {topic} needs at least one partition, not {count}");
            return Err(Error::new(ErrorKind::Topics, message));
        }
        let counts = self
            .topology
            .partition_counts(|topic| Some(self.count_of(topic)))?;
        let capture = Rc::new(Capture::default());
        let ids = self.create_topics(&capture, &counts);
        let clock = Arc::new(ManualClock::starting_at(self.start_time));
        let settings = TaskSettings {
            application_id: Arc::from(self.application_id),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            handlers: Arc::new(self.handlers),
            global_stores: Rc::default(),
            // One record a batch: every put is to be seen.
            log_at_close: false,
            calls: CallSettings::default(),
        };
        let setup = Setup {
            topology: self.topology,
            settings,
            clock,
            capture,
            shared_stream_time: self.shared_stream_time,
        };
        let engine = Engine::start(setup, &ids)?;
        Ok(TestDriver {
            engine: Rc::new(RefCell::new(engine)),
        })
    }

    fn count_of(&self, topic: &str) -> i32 {
        self.partitions.get(topic).copied().unwrap_or(1)
    }

    /// Makes every topic that is known beforehand; answers the ids of the tasks.
    fn create_topics(&self, capture: &Capture, counts: &PartitionCounts) -> Vec<TaskId> {
        for (topic, count) in counts {
            capture.create(&topic.resolve(&self.application_id), *count);
        }
        let own = self.topology.internal_topics(&self.application_id);
        let own = Rc::new(own.into_iter().collect());
        for pattern in self.topology.patterns() {
            capture.describe(pattern, &own);
        }
        for topic in self.topology.sink_topics() {
            let name = topic.resolve(&self.application_id);
            capture.create(&name, self.count_of(&name));
        }
        for (_, part) in self.topology.global_parts() {
            for topic in &part.source_topics {
                let name = topic.resolve(&self.application_id);
                capture.create(&name, self.count_of(&name));
            }
        }
        for (topic, count) in &self.partitions {
            capture.create(topic, *count);
        }
        let mut ids = Vec::new();
        for (sub_topology, part) in self.topology.task_parts() {
            let tasks = tasks_of(part, counts);
            for store in &part.stores {
                let changelog = self
                    .topology
                    .store(store)
                    .changelog_topic(&self.application_id);
                if let Some(changelog) = changelog {
                    capture.create(&changelog, tasks);
                }
            }
            ids.extend((0..tasks).map(|partition| TaskId {
                sub_topology,
                partition,
            }));
        }
        ids
    }
}

/// As many tasks as the largest input has partitions.
fn tasks_of(part: &SubTopology, counts: &PartitionCounts) -> i32 {
    let inputs = part.source_topics.iter();
    inputs
        .filter_map(|topic| counts.get(topic))
        .copied()
        .max()
        .unwrap_or(0)
}

impl fmt::Debug for TestDriverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDriverBuilder")
            .field("application_id", &self.application_id)
            .field("partitions", &self.partitions)
            .field("start_time", &self.start_time)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
