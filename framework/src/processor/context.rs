//! What a processor is given: the way on, the time, the stores, the schedule.

use std::fmt;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::async_calls::AsyncCalls;
use super::call_queue::{CallQueue, Origin};
use super::node::Children;
use super::node_time::NodeTime;
use super::punctuation::{Punctuation, PunctuationKind};
use super::scope::TaskScope;
use super::stores::ConnectedStores;
use crate::error::{Error, ErrorKind, Fault};
use crate::metrics::DropReason;
use crate::record::{Position, Record, TaskId};
use crate::state::{
    BufferStore, KeyValueStore, SessionStore, TimestampedKeyValueStore, TimestampedWindowStore,
    VersionedKeyValueStore, WindowStore,
};
use crate::time::Timestamp;

/// The surroundings of one processor: forwards records of type `K`, `V`.
pub struct Context<K, V> {
    node: Arc<str>,
    index: usize,
    stores: ConnectedStores,
    children: Children<K, V>,
    scope: Rc<TaskScope>,
}

impl<K: Clone + 'static, V: Clone + 'static> Context<K, V> {
    pub(crate) fn new(
        node: Arc<str>,
        index: usize,
        stores: Vec<Arc<str>>,
        children: Children<K, V>,
        scope: Rc<TaskScope>,
    ) -> Self {
        Context {
            stores: ConnectedStores::new(Arc::clone(&node), stores, Rc::clone(&scope)),
            node,
            index,
            children,
            scope,
        }
    }

    /// Hands a record to every child, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// Whatever failed downstream; pass it on with `?`.
    #[inline]
    pub fn forward(&mut self, record: Record<K, V>) -> Result<(), Fault> {
        let before = self.enter(record.timestamp)?;
        let result = self.children.send(record);
        self.scope.record_time.set(before);
        result
    }

    /// Hands a record to the child of that name only.
    ///
    /// # Errors
    ///
    /// When there is no child of that name, and whatever failed downstream.
    pub fn forward_to(&mut self, child: &str, record: Record<K, V>) -> Result<(), Fault> {
        let before = self.enter(record.timestamp)?;
        let result = match self.children.send_to(child, record) {
            Some(result) => result,
            None => Err(self.no_such_child(child).into()),
        };
        self.scope.record_time.set(before);
        result
    }

    /// Writes to stores downstream are logged at the time of the record that made them: answers
    /// what is to be set again afterwards.
    #[inline]
    fn enter(&self, timestamp: Timestamp) -> Result<Timestamp, Error> {
        self.scope.check_batch()?;
        Ok(self.scope.record_time.replace(timestamp))
    }

    fn no_such_child(&self, child: &str) -> Error {
        let names = self.children.names().collect::<Vec<_>>().join(", ");
        let message = format!("there is no child named {child}; the children are: {names}");
        Error::new(ErrorKind::Topology, message).at_node(&self.node)
    }

    /// The store of that name. A table's is read with
    /// [`timestamped_key_value_store`](Self::timestamped_key_value_store).
    ///
    /// # Errors
    ///
    /// When the topology connects no such store to this processor, or it is of another kind or
    /// of other types.
    pub fn key_value_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<KeyValueStore<SK, SV>, Error> {
        self.stores.key_value(name)
    }

    /// The store of that name whose values carry timestamps: a table's, for one.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn timestamped_key_value_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<SK, SV>, Error> {
        self.stores.timestamped_key_value(name)
    }

    /// The window store of that name. A windowed table's is read with
    /// [`timestamped_window_store`](Self::timestamped_window_store).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// /// Forwards how much a meter showed within the last 100 ms.
    /// #[derive(Default)]
    /// struct Recent(Option<WindowStore<String, i64>>);
    ///
    /// impl Processor for Recent {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = String;
    ///     type ValueOut = i64;
    ///
    ///     fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.window_store("readings")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         ctx: &mut Context<String, i64>,
    ///     ) -> Result<(), Fault> {
    ///         let (store, now) = (self.0.as_ref().expect("init ran"), record.timestamp);
    ///         store.put(&record.key, Some(&record.value), now)?;
    ///         let mut sum = 0;
    ///         for reading in store.fetch(&record.key, now - Duration::from_millis(99), now)? {
    ///             sum += reading?.1;
    ///         }
    ///         ctx.forward(record.with_value(sum))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source("in", ["meter"], Consumed::<String, i64>::new());
    /// let recent = builder.add_processor("recent", Recent::default, &[&input]);
    /// let (hour, none) = (Duration::from_secs(3600), Duration::ZERO);
    /// let readings = StoreBuilder::window("readings", hour, none, utf8(), i64());
    /// builder.add_state_store(readings, &["recent"]);
    /// builder.add_sink("out", "recent", Produced::new(), &[&recent]);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let meter = driver.input_topic("meter", utf8(), i64());
    /// for (shown, at) in [(5, 0), (3, 60), (2, 120)] {
    ///     meter.pipe("cellar", shown, Timestamp::from_millis(at))?;
    /// }
    /// let recent = driver.output_topic("recent", utf8(), i64()).read_all()?;
    /// assert_eq!(recent.iter().map(|r| r.value).collect::<Vec<_>>(), [5, 8, 5]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn window_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<WindowStore<SK, SV>, Error> {
        self.stores.window(name)
    }

    /// The window store of that name whose values carry timestamps: a windowed table's, for one.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn timestamped_window_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedWindowStore<SK, SV>, Error> {
        self.stores.timestamped_window(name)
    }

    /// The versioned key-value store of that name.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, TopologyBuilder};
    /// use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// struct Keep;
    ///
    /// impl Processor for Keep {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = ();
    ///     type ValueOut = ();
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         ctx: &mut Context<(), ()>,
    ///     ) -> Result<(), Fault> {
    ///         let prices = ctx.versioned_key_value_store::<String, i64>("prices")?;
    ///         prices.put(&record.key, Some(&record.value), record.timestamp)?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let source = builder.add_source("source", ["in"], Consumed::with(utf8(), i64()));
    /// builder.add_processor("keep", || Keep, &[&source]);
    /// let hour = Duration::from_secs(3600);
    /// let prices = StoreBuilder::versioned_key_value("prices", hour, utf8(), i64());
    /// builder.add_state_store(prices, &["keep"]);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("in", utf8(), i64());
    /// for (price, at) in [(5, 10), (7, 30), (6, 20)] {
    ///     input.pipe("nuts", price, Timestamp::from_millis(at))?;
    /// }
    /// let prices = driver.versioned_key_value_store::<String, i64>("prices")?;
    /// let then = prices.get_as_of(&"nuts".to_owned(), Timestamp::from_millis(25))?;
    /// assert_eq!(then.map(|version| version.value), Some(6));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn versioned_key_value_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<SK, SV>, Error> {
        self.stores.versioned_key_value(name)
    }

    /// The session store of that name.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn session_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<SessionStore<SK, SV>, Error> {
        self.stores.session(name)
    }

    /// The buffer of that name.
    ///
    /// # Errors
    ///
    /// As [`key_value_store`](Self::key_value_store).
    pub fn buffer(&self, name: &str) -> Result<BufferStore, Error> {
        self.stores.buffer(name)
    }

    /// The stores that the topology connects to this processor.
    #[must_use]
    pub fn stores(&self) -> &ConnectedStores {
        &self.stores
    }

    /// Has [`punctuate`](super::Processor::punctuate) called every `interval`: on stream time
    /// from 0 on, on the wall clock one interval from now on. Intervals that passed unnoticed
    /// make one call.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::processor::{Context, Processor, Punctuation, PunctuationKind};
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// /// Keeps the last value of each key, and forwards them all every half second.
    /// #[derive(Default)]
    /// struct Sample(Option<KeyValueStore<String, i64>>);
    ///
    /// impl Processor for Sample {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = String;
    ///     type ValueOut = i64;
    ///
    ///     fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("last")?);
    ///         ctx.schedule(Duration::from_millis(500), PunctuationKind::WallClock);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         _ctx: &mut Context<String, i64>,
    ///     ) -> Result<(), Fault> {
    ///         let last = self.0.as_ref().expect("init ran");
    ///         last.put(&record.key, &record.value)?;
    ///         Ok(())
    ///     }
    ///
    ///     fn punctuate(
    ///         &mut self,
    ///         _which: Punctuation,
    ///         now: Timestamp,
    ///         ctx: &mut Context<String, i64>,
    ///     ) -> Result<(), Fault> {
    ///         for entry in self.0.as_ref().expect("init ran").all() {
    ///             let (key, value) = entry?;
    ///             ctx.forward(Record::new(key, value, now))?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source("in", ["gauge"], Consumed::<String, i64>::new());
    /// let sample = builder.add_processor("sample", Sample::default, &[&input]);
    /// builder.add_state_store(StoreBuilder::key_value("last", utf8(), i64()), &["sample"]);
    /// builder.add_sink("out", "samples", Produced::new(), &[&sample]);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let gauge = driver.input_topic("gauge", utf8(), i64());
    /// gauge.pipe("boiler", 90, Timestamp::from_millis(0))?;
    /// gauge.pipe("boiler", 95, Timestamp::from_millis(1))?;
    /// driver.advance_wall_clock(Duration::from_millis(500))?;
    ///
    /// let samples = driver.output_topic("samples", utf8(), i64());
    /// let expected = Record::new("boiler".to_owned(), 95, Timestamp::from_millis(500));
    /// assert_eq!(samples.read_all()?, [expected]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond.
    pub fn schedule(&mut self, interval: Duration, kind: PunctuationKind) -> Punctuation {
        let first = match kind {
            PunctuationKind::StreamTime => Timestamp::from_millis(0),
            PunctuationKind::WallClock => self.wall_clock_time() + interval,
        };
        self.schedule_from(first, interval, kind)
    }

    /// As [`schedule`](Self::schedule), with the first call due at `first` (KIP-1146).
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond.
    pub fn schedule_from(
        &mut self,
        first: Timestamp,
        interval: Duration,
        kind: PunctuationKind,
    ) -> Punctuation {
        self.scope
            .schedules
            .borrow_mut()
            .add(self.index, kind, first, interval)
    }

    /// Stops a schedule.
    pub fn cancel(&mut self, punctuation: Punctuation) {
        self.scope.schedules.borrow_mut().cancel(punctuation);
    }

    /// The highest timestamp that the task has seen; [`Timestamp::NONE`] before the first record.
    #[must_use]
    pub fn stream_time(&self) -> Timestamp {
        self.scope.stream_time.get()
    }

    /// The stream time of this node alone, which it advances itself: for an operator that tells
    /// late records from what it has seen, not from what others have. It is kept through crashes.
    #[must_use]
    pub fn node_time(&self) -> NodeTime {
        self.scope.node_times.of(&self.node)
    }

    /// The wall clock: the machine's, or the one a test turns.
    #[must_use]
    pub fn wall_clock_time(&self) -> Timestamp {
        self.scope.clock.now()
    }

    /// Where the input record was read; none in a punctuation.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.scope.position()
    }

    /// The task that this processor belongs to.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.scope.task
    }

    /// The application's id.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.scope.application_id
    }

    /// The name of this node in the topology.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    pub(crate) fn scope(&self) -> &TaskScope {
        &self.scope
    }

    /// The calls of this node.
    ///
    /// # Errors
    ///
    /// When they may take longer than a transaction leaves them.
    pub(super) fn calls<CK: Clone + Eq + Hash + 'static, R: Send + 'static>(
        &self,
        policy: &AsyncCalls,
    ) -> Result<Rc<CallQueue<CK, R>>, Error> {
        self.scope.calls.queue(self.index, policy)
    }

    /// What the task is at.
    pub(super) fn origin(&self) -> Origin {
        self.scope.origin()
    }

    /// Notes that the user code of this node panics.
    pub(crate) fn panics(&self) {
        self.scope.panics(&self.node);
    }

    /// Counts a record that goes no further, once its batch is committed.
    pub fn dropped(&self, reason: DropReason) {
        self.scope.dropped(&self.node, reason);
    }
}

impl<K, V> fmt::Debug for Context<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, task {})", self.node, self.scope.task)
    }
}
