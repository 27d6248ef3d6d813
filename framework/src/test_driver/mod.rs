//! A topology run in process, without a broker: every record to its end, on a clock you turn.
//!
//! ```text
//!   TestInputTopic ──bytes──> topic logs ──> tasks ──commit──> topic logs ──bytes──> TestOutputTopic
//!                                 ^                                │
//!                                 └── repartition, changelogs, sinks that are sources
//! ```
//!
//! ```
//! use onceflow_framework::processor::{Context, Processor};
//! use onceflow_framework::serde::{i64, utf8};
//! use onceflow_framework::state::{KeyValueStore, StoreBuilder};
//! use onceflow_framework::test_driver::TestDriver;
//! use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
//! use onceflow_framework::{Fault, Record, Timestamp};
//!
//! /// Counts records by key.
//! #[derive(Default)]
//! struct Count(Option<KeyValueStore<String, i64>>);
//!
//! impl Processor for Count {
//!     type KeyIn = String;
//!     type ValueIn = String;
//!     type KeyOut = String;
//!     type ValueOut = i64;
//!
//!     fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
//!         self.0 = Some(ctx.key_value_store("counts")?);
//!         Ok(())
//!     }
//!
//!     fn process(
//!         &mut self,
//!         record: Record<String, String>,
//!         ctx: &mut Context<String, i64>,
//!     ) -> Result<(), Fault> {
//!         let store = self.0.as_ref().expect("init ran");
//!         let count = store.get(&record.key)?.unwrap_or(0) + 1;
//!         store.put(&record.key, &count)?;
//!         ctx.forward(record.with_value(count))
//!     }
//! }
//!
//! let mut builder = TopologyBuilder::new();
//! let words = builder.add_source("words", ["words"], Consumed::<String, String>::new());
//! let count = builder.add_processor("count", Count::default, &[&words]);
//! builder.add_state_store(StoreBuilder::key_value("counts", utf8(), i64()), &["count"]);
//! builder.add_sink("out", "counts", Produced::new(), &[&count]);
//!
//! let driver = TestDriver::new(builder.build()?)?;
//! let words = driver.input_topic("words", utf8(), utf8());
//! let counts = driver.output_topic("counts", utf8(), i64());
//!
//! words.pipe("onceflow", "exactly", Timestamp::from_millis(0))?;
//! driver.restart()?; // the process crashes here; the changelog brings the count back
//! words.pipe("onceflow", "once", Timestamp::from_millis(1))?;
//!
//! let expected = [("onceflow".to_owned(), 1), ("onceflow".to_owned(), 2)];
//! assert_eq!(counts.read_key_values()?, expected);
//! assert_eq!(driver.key_value_store::<String, i64>("counts")?.get(&"onceflow".to_owned())?, Some(2));
//! assert_eq!(driver.topic_history("app-counts-changelog").len(), 2);
//! # Ok::<(), onceflow_framework::Error>(())
//! ```
//!
//! # What it shares with the runtime, and what not
//!
//! - Tasks are the runtime's own, one for each sub-topology and partition; every processed
//!   record is a transaction. A record that fails leaves no trace but its offset.
//! - Among the records that wait, the one with the lowest timestamp goes first, across all
//!   tasks; of two, the one whose queue was refilled first. So the same input gives the same
//!   history, which a cluster of workers does not promise across tasks.
//! - Offsets have no gaps: there are no transaction markers.
//! - Asynchronous calls run on threads of the driver's own, in real time; those of a record are
//!   done when it is.
//! - A panic of your code fails the test where it happens; the runtime makes an error of it.
//! - Stream time belongs to a task, as in the runtime. Java's `TopologyTestDriver` runs the whole
//!   topology as one task whose stream time all sub-topologies share; ask for the same with
//!   [`shared_stream_time`](TestDriverBuilder::shared_stream_time).

mod capture;
mod engine;
mod builder;
mod topics;
mod stores;
mod lone_stores;
mod batch;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod partition_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod window_store_tests;
#[cfg(test)]
mod global_tests;
#[cfg(test)]
mod time_tests;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod handler_tests;
#[cfg(test)]
mod exception_tests;
#[cfg(test)]
mod failure_scope_tests;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use batch::BatchDriver;
pub use builder::TestDriverBuilder;
pub use capture::{CapturedRecord, RawBytes};
pub use lone_stores::TestStores;
pub use stores::{
    TestKeyValueStore, TestSessionStore, TestTimestampedKeyValueStore, TestTimestampedWindowStore,
    TestVersionedKeyValueStore, TestWindowStore,
};
pub use topics::{TestInputTopic, TestOutputTopic, WithPosition};

use engine::Engine;

use crate::error::Error;
use crate::metrics::Drops;
use crate::serde::Serde;
use crate::state::StoreKind;
use crate::time::{Clock, Timestamp};
use crate::topology::Topology;

/// Runs a topology in process, one record at a time; see the [module](self) for an example.
pub struct TestDriver {
    engine: Rc<RefCell<Engine>>,
}

impl TestDriver {
    /// A driver with the defaults: application id `app`, one partition a topic, the clock at the
    /// epoch.
    ///
    /// # Errors
    ///
    /// As [`TestDriverBuilder::build`].
    pub fn new(topology: impl Into<Arc<Topology>>) -> Result<Self, Error> {
        TestDriver::builder(topology).build()
    }

    /// Sets a driver up.
    pub fn builder(topology: impl Into<Arc<Topology>>) -> TestDriverBuilder {
        TestDriverBuilder::new(topology.into())
    }

    /// A handle that writes to an input topic.
    pub fn input_topic<K: 'static, V: 'static>(
        &self,
        topic: &str,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> TestInputTopic<K, V> {
        TestInputTopic::new(Rc::clone(&self.engine), topic, key, value)
    }

    /// A handle that reads a topic from its beginning.
    pub fn output_topic<K: 'static, V: 'static>(
        &self,
        topic: &str,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> TestOutputTopic<K, V> {
        TestOutputTopic::new(Rc::clone(&self.engine), topic, key, value)
    }

    /// Every record of a topic, in the order of writing: an input, an output, a changelog
    /// (`<application id>-<store>-changelog`) or a repartition topic. Empty for a topic that
    /// does not exist.
    #[must_use]
    pub fn topic_history(&self, topic: &str) -> Vec<CapturedRecord> {
        let engine = self.engine.borrow();
        let topic = engine.setup.capture.find(topic);
        topic.map_or_else(Vec::new, |topic| {
            engine.setup.capture.log(topic).records().to_vec()
        })
    }

    /// The names of all topics that exist, sorted.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.engine.borrow().setup.capture.names()
    }

    /// Turns the wall clock on, makes the wall-clock punctuations that are due (each once, however
    /// many intervals passed) and processes what they wrote.
    ///
    /// # Errors
    ///
    /// Whatever fails in a punctuation, which is then taken back and due again, or behind it.
    pub fn advance_wall_clock(&self, span: Duration) -> Result<(), Error> {
        let mut engine = self.engine.borrow_mut();
        engine.setup.clock.advance(span);
        engine.punctuate()
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn wall_clock(&self) -> Timestamp {
        self.engine.borrow().setup.clock.now()
    }

    /// Records dropped so far, by node and reason.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.engine.borrow().drops.clone()
    }

    /// Records dropped so far, all together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.engine.borrow().drops.values().sum()
    }

    /// Reads a plain key-value store, all partitions together.
    ///
    /// # Errors
    ///
    /// When there is no such store, or it is of another kind or of other types.
    pub fn key_value_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestKeyValueStore<K, V>, Error> {
        TestKeyValueStore::new(Rc::clone(&self.engine), name)
    }

    /// Reads a store whose values carry timestamps, all partitions together.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn timestamped_key_value_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestTimestampedKeyValueStore<K, V>, Error> {
        TestTimestampedKeyValueStore::new(Rc::clone(&self.engine), name)
    }

    /// Reads a plain window store, all partitions together.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn window_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestWindowStore<K, V>, Error> {
        TestWindowStore::new(Rc::clone(&self.engine), name, StoreKind::Window)
    }

    /// Reads a versioned key-value store, all partitions together.
    ///
    /// See [`Context::versioned_key_value_store`] for an example.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    ///
    /// [`Context::versioned_key_value_store`]: crate::processor::Context::versioned_key_value_store
    pub fn versioned_key_value_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestVersionedKeyValueStore<K, V>, Error> {
        TestVersionedKeyValueStore::new(Rc::clone(&self.engine), name)
    }

    /// Reads a window store whose values carry timestamps, all partitions together.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn timestamped_window_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestTimestampedWindowStore<K, V>, Error> {
        TestWindowStore::new(Rc::clone(&self.engine), name, StoreKind::TimestampedWindow)
    }

    /// Reads a session store, all partitions together.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn session_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<TestSessionStore<K, V>, Error> {
        TestSessionStore::new(Rc::clone(&self.engine), name)
    }

    /// Crashes and starts again: processors are made anew without having been closed, stores are
    /// restored from their changelogs, offsets and stream time are those of the last commit.
    ///
    /// What a processor kept in its own fields or in a store without a changelog is gone, and
    /// its punctuations are scheduled anew: as in the runtime.
    ///
    /// # Errors
    ///
    /// When a store cannot be restored or a processor cannot be initialised.
    pub fn restart(&self) -> Result<(), Error> {
        self.engine.borrow_mut().restart()
    }

    /// Closes every processor. Topics can still be read, stores not, and nothing can be piped.
    pub fn close(&self) {
        self.engine.borrow_mut().close();
    }
}

impl fmt::Debug for TestDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine.borrow();
        write!(
            f,
            "TestDriver({}, {:?})",
            engine.setup.settings.application_id,
            engine.setup.clock.now()
        )
    }
}
