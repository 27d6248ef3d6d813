//! Holds the changes of a table back until they are final, or old enough.
//!
//! ```text
//!   table ──change──> buffer, one entry a key, by (time, key) ──time reached, or full──> table
//!                        └── dirty keys ──before each commit──> changelog
//! ```
//!
//! # Invariants
//!
//! - An entry keeps the time at which its key was first held back; a newer change replaces the rest.
//! - Entries leave by time, then by the bytes of their key.
//! - Within a batch a key is logged once, with what it ends with.
//! - What is handed on as the old value was handed on as the new one before. Kafka Streams hands on
//!   what the change had that came last, which may never have left the buffer.

mod node;
mod view;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::{Timestamp, Windowed};

use crate::Data;
use crate::table::{KTable, Keeping};
use node::{Limits, OldValues, Suppress};
use view::TellsLater;

/// What is held back, for how long, and how much of it.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let second = Duration::from_secs(1);
/// let at_most_once_a_second: Suppressed<String, i64> =
///     Suppressed::until_time_limit(second, utf8(), i64()).with_records_max(10_000);
/// # let _ = at_most_once_a_second;
/// ```
pub struct Suppressed<K, V> {
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    until: Until<K>,
    limits: Limits,
    logged: bool,
    idle_after: Option<Duration>,
}

/// When an entry leaves.
enum Until<K> {
    TimeLimit(Duration),
    WindowCloses(fn(&K) -> Timestamp),
}

/// What a full buffer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its oldest entries leave early.
    EmitEarly,
    /// The application stops: nothing may leave early.
    ShutDown,
}

impl<K: Data, V: Data> Suppressed<K, V> {
    /// Holds the changes of each key back for `limit` of stream time; only the last is handed on.
    ///
    /// A full buffer emits early, unless told to shut down.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let held = Suppressed::until_time_limit(Duration::from_secs(1), utf8(), i64());
    /// prices.suppress(held).to_stream().to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// for (article, cents, at) in [("nut", 3, 0), ("nut", 4, 500), ("bolt", 9, 1_000)] {
    ///     prices.pipe(article, cents, Timestamp::from_millis(at))?;
    /// }
    /// let told = driver.output_topic("told", utf8(), i64()).read_key_values()?;
    /// let told: Vec<i64> = told.into_iter().map(|(_, cents)| cents).collect();
    /// assert_eq!(told, [4]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn until_time_limit(
        limit: Duration,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        Suppressed::new(Until::TimeLimit(limit), Overflow::EmitEarly, key, value)
    }

    fn new(
        until: Until<K>,
        overflow: Overflow,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        Suppressed {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            until,
            limits: Limits {
                records_max: u64::MAX,
                bytes_max: u64::MAX,
                overflow,
            },
            logged: true,
            idle_after: None,
        }
    }

    /// Bounds the buffer by the number of its keys (default: unbounded).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let held = Suppressed::until_time_limit(Duration::from_secs(1), utf8(), i64());
    /// let held = held.with_records_max(2);
    /// prices.suppress(held).to_stream().to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// for (article, cents, at) in [("nut", 3, 0), ("bolt", 4, 1), ("screw", 5, 2)] {
    ///     prices.pipe(article, cents, Timestamp::from_millis(at))?;
    /// }
    /// let told = driver.output_topic("told", utf8(), i64()).read_key_values()?;
    /// let told: Vec<i64> = told.into_iter().map(|(_, cents)| cents).collect();
    /// assert_eq!(told, [3]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_records_max(mut self, records_max: u64) -> Self {
        self.limits.records_max = records_max;
        self
    }

    /// Bounds the buffer by the bytes of its entries (default: unbounded).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let held = Suppressed::until_time_limit(Duration::from_secs(1), utf8(), i64());
    /// let held = held.with_bytes_max(1); // nothing fits
    /// prices.suppress(held).to_stream().to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// for (article, cents) in [("nut", 3), ("bolt", 4), ("screw", 5)] {
    ///     prices.pipe(article, cents, Timestamp::from_millis(0))?;
    /// }
    /// let told = driver.output_topic("told", utf8(), i64()).read_key_values()?;
    /// let told: Vec<i64> = told.into_iter().map(|(_, cents)| cents).collect();
    /// assert_eq!(told, [3, 4, 5]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.limits.bytes_max = bytes_max;
        self
    }

    /// Says what a full buffer does. Under [`until_window_closes`](Self::until_window_closes) it
    /// shuts down, whatever is said here: a result that leaves early is not final.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let held = Suppressed::until_time_limit(Duration::from_secs(1), utf8(), i64());
    /// let held = held.with_records_max(1).with_overflow(onceflow::Overflow::ShutDown);
    /// prices.suppress(held).to_stream().to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// prices.pipe("nut", 3, Timestamp::from_millis(0))?;
    /// assert!(prices.pipe("bolt", 4, Timestamp::from_millis(0)).is_err());
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_overflow(mut self, overflow: Overflow) -> Self {
        if let Until::TimeLimit(_) = self.until {
            self.limits.overflow = overflow;
        }
        self
    }

    /// Keeps no changelog: what is held back is gone when the task moves or the process ends.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let held = Suppressed::until_time_limit(Duration::from_secs(1), utf8(), i64());
    /// prices.suppress(held.with_logging_disabled()).to_stream().to("told", Produced::new());
    /// let topics = builder.build()?.internal_topics("shop");
    /// assert!(!topics.iter().any(|topic| topic.contains("SUPPRESS")));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Lets entries leave although the input has fallen silent, as
    /// [`EmitStrategy::with_idle_advance`](crate::EmitStrategy::with_idle_advance) does.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let second = Duration::from_secs(1);
    /// let held = Suppressed::until_time_limit(second, utf8(), i64()).with_idle_advance(second);
    /// prices.suppress(held).to_stream().to("told", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// prices.pipe("nut", 3, Timestamp::from_millis(0))?;
    /// driver.advance_wall_clock(second)?; // the silence is noticed
    /// driver.advance_wall_clock(second)?; // it lasts
    /// let told = driver.output_topic("told", utf8(), i64()).read_key_values()?;
    /// let told: Vec<i64> = told.into_iter().map(|(_, cents)| cents).collect();
    /// assert_eq!(told, [3]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_idle_advance(mut self, idle_after: Duration) -> Self {
        self.idle_after = Some(idle_after.max(Duration::from_millis(1)));
        self
    }
}

impl<K: Data, V: Data> Suppressed<Windowed<K>, V> {
    /// Holds the changes of each window back until it closes: what is handed on is final.
    ///
    /// Deletions are never final results, and go no further. Only a table that comes from a windowed
    /// aggregation, directly or by `filter` and `map_values`, knows when its windows close.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let ten = Duration::from_millis(10);
    /// let windows = TimeWindows::of_size_with_no_grace(ten);
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    /// let held = Suppressed::until_window_closes(time_windowed(utf8(), ten), i64());
    /// counts
    ///     .suppress(held)
    ///     .to_stream()
    ///     .select_key(|window, _| window.to_string())
    ///     .to("final", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 2, 12] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let last = driver.output_topic("final", utf8(), i64()).read_key_values()?;
    /// assert_eq!(last, [("ada@0/10".to_owned(), 2)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    ///
    /// One without windows is refused by the types, where Kafka Streams refuses it when it is built:
    ///
    /// ```compile_fail,E0308
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let users = builder.table("users", Consumed::<String, String>::new());
    /// let windows = time_windowed(utf8(), std::time::Duration::from_millis(10));
    /// users.suppress(Suppressed::until_window_closes(windows, utf8()));
    /// ```
    pub fn until_window_closes(
        key: impl Serde<Item = Windowed<K>>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let until = Until::WindowCloses(|key: &Windowed<K>| key.window.end);
        Suppressed::new(until, Overflow::ShutDown, key, value)
    }
}

impl<K, V> fmt::Debug for Suppressed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suppressed")
            .field("limits", &self.limits)
            .field("logged", &self.logged)
            .finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Holds changes back, as the [`Suppressed`] says: the last change of each key is handed on,
    /// with the time and the headers that it came with.
    ///
    /// A deletion is held back like any change, unless windows are waited for. Nothing is late to it: that
    /// is for the windows before it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let ten = Duration::from_millis(10);
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("clicks", Consumed::<String, String>::new())
    ///     .group_by_key(Grouped::new())
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(ten))
    ///     .count()
    ///     .suppress(Suppressed::until_window_closes(time_windowed(utf8(), ten), i64()))
    ///     .to_stream()
    ///     .select_key(|window, _| window.to_string())
    ///     .to("final-counts", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 2, 12] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("final-counts", utf8(), i64()).read_key_values()?;
    /// assert_eq!(counts, [("ada@0/10".to_owned(), 2)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn suppress(&self, suppressed: Suppressed<K, V>) -> KTable<K, V> {
        let name = self.graph.name_if_needed(self.next_name(), PREFIX);
        let store: Arc<str> = match self.next_name() {
            Some(given) => Arc::from(format!("{given}-store")),
            None => self.graph.store_name(None, PREFIX),
        };
        let (wait, end_of) = match suppressed.until {
            Until::TimeLimit(limit) => (limit, None),
            Until::WindowCloses(end_of) => (self.closes_after(&name), Some(end_of)),
        };
        // The buffer logs what was there before.
        self.keeping.log_old_values();
        let keeping = Keeping::held_back(&self.keeping);
        let told = TellsLater {
            buffer: Arc::clone(&store),
            serdes: (suppressed.key.clone(), suppressed.value.clone()),
            initial: self.initial.clone(),
            is_final: end_of.is_some(),
        };
        let (output, initial) = (Arc::clone(&name), self.initial.clone());
        let sends = Rc::clone(&keeping);
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                let old_values = OldValues {
                    told: sends.tells_old(),
                    logged: sends.logs_old(),
                };
                let buffer = StoreBuilder::buffer(&*store);
                let buffer = match suppressed.logged {
                    true => buffer,
                    false => buffer.with_logging_disabled(),
                };
                let Suppressed {
                    key,
                    value,
                    limits,
                    idle_after,
                    ..
                } = suppressed;
                lowering.processor(&output, move || {
                    let serdes = (key.clone(), value.clone());
                    Suppress::new(Arc::clone(&store), serdes, initial.clone(), idle_after)
                        .waiting(wait, end_of)
                        .handing_on(old_values)
                        .within(limits)
                });
                lowering.topology().add_state_store(buffer, &[&output]);
            });
        let table = KTable::new(self.graph.clone(), node, name, Rc::clone(&keeping));
        match self.view.as_ref().map(Rc::clone) {
            Some(above) => table.with_view(move || told.of(above())),
            None => table,
        }
    }

    /// How long windows stay open; a problem for `build` to tell if it is not known.
    fn closes_after(&self, name: &str) -> Duration {
        self.keeping.closes_after().unwrap_or_else(|| {
            self.graph.problem(format!(
                "{name}: when the windows of table {} close is not known; suppress the windowed \
                 aggregation itself",
                self.name
            ));
            Duration::ZERO
        })
    }
}

const PREFIX: &str = "KTABLE-SUPPRESS-";
