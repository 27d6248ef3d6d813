//! A grouped stream in time windows: tumbling, hopping, sliding or unlimited.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::Windowed;
use onceflow_framework::serde::i64;
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::time::duration_millis;

use super::emit::{EmitStrategy, OperatorTime};
use super::shared_store::{Companions, SharedStore, with_hold};
use super::sliding_aggregate::{SlidingAggregate, Spans};
use super::sliding_windows::SlidingWindows;
use super::time_aggregate::{Starts, TimeAggregate};
use super::time_rows::TimeRows;
use super::time_windows::TimeWindows;
use super::unlimited_windows::UnlimitedWindows;
use super::window_table::HeldWindows;
use crate::Data;
use crate::graph::Graph;
use crate::grouped::KGroupedStream;
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::{Named, STREAM_AGGREGATE, STREAM_REDUCE};
use crate::null::{OrNull, present, value_or_null};
use crate::store_type::StoreType;
use crate::table::{KTable, Keeping};
use crate::view::TableView;

/// Which time windows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Time(TimeWindows),
    Unlimited(UnlimitedWindows),
    Sliding(SlidingWindows),
}

impl Kind {
    /// From the start of a window to its end.
    pub(super) fn size(&self) -> Duration {
        match self {
            Kind::Time(windows) => windows.size(),
            Kind::Unlimited(_) => Duration::from_millis(i64::MAX.unsigned_abs()),
            Kind::Sliding(windows) => windows.difference(),
        }
    }

    pub(super) fn grace(&self) -> Duration {
        match self {
            Kind::Time(windows) => windows.grace(),
            Kind::Unlimited(_) => Duration::ZERO,
            Kind::Sliding(windows) => windows.grace(),
        }
    }

    /// How long a window is needed behind the newest one.
    pub(super) fn retention_min(&self) -> Duration {
        match self {
            // A record looks back for its predecessor, whose own window began that much earlier.
            // One millisecond more where a window is but one, or nothing would be kept.
            Kind::Sliding(windows) if windows.difference().is_zero() => {
                windows.grace() + Duration::from_millis(1)
            }
            Kind::Sliding(windows) => windows.difference() * 2 + windows.grace(),
            _ => self.size().saturating_add(self.grace()),
        }
    }

    pub(super) fn problem(&self, emit: EmitStrategy) -> Option<String> {
        let problem = match self {
            Kind::Time(windows) => windows.problem(),
            Kind::Unlimited(_) if emit.is_on_close() => {
                Some("an unlimited window never closes, so nothing is emitted on close".to_owned())
            }
            Kind::Unlimited(windows) => windows.problem(),
            Kind::Sliding(_) => None,
        };
        problem.or_else(|| emit.problem())
    }
}

/// A grouped stream in time windows: what `count`, `reduce` and `aggregate` are called on.
///
/// A record with a null key is dropped and counted. One with a null value is aggregated in tumbling,
/// hopping and unlimited windows, where the types let the function see it (group by a `nullable`
/// value; `count` counts it anyway), else dropped and counted; in sliding windows it is dropped and
/// counted. A record for a closed window is dropped and counted as late, once a window; stream time
/// is that of this operator. Records out of order enter every window that is still open.
pub struct TimeWindowedKStream<K, V, K0 = K, V0 = V> {
    grouped: KGroupedStream<K, V, K0, V0>,
    kind: Kind,
    emit: EmitStrategy,
}

impl<K, V, K0, V0> TimeWindowedKStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    pub(super) fn new(grouped: &KGroupedStream<K, V, K0, V0>, kind: Kind) -> Self {
        TimeWindowedKStream {
            grouped: grouped.clone(),
            kind,
            emit: EmitStrategy::on_window_update(),
        }
    }

    /// Names the node of the operator that follows, as [`KStream::named`](crate::KStream::named).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let windowed = clicks.group_by_key(Grouped::new()).windowed_by(windows);
    /// assert_eq!(windowed.named("clicks-counted").count().name(), "clicks-counted");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.grouped = named.grouped.named(name);
        named
    }

    /// Says when rows are handed on (KIP-825; default: at every update).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let windowed = clicks.group_by_key(Grouped::new()).windowed_by(windows);
    /// let counts = windowed.emit_strategy(EmitStrategy::on_window_close()).count();
    /// counts.to_stream().select_key(|window, _| window.key.clone()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 2, 200_000] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_key_values()?;
    /// assert_eq!(counts, [("ada".to_owned(), 2)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the strategy is for the operator that follows"]
    pub fn emit_strategy(&self, emit: EmitStrategy) -> Self {
        let mut changed = self.clone();
        changed.emit = emit;
        changed
    }

    /// Counts the records of each key and window.
    ///
    /// Records with a null key are dropped and counted, and so are late ones, whose windows have closed;
    /// one with a null value counts, but in sliding windows, as in Kafka Streams. One out of order whose
    /// window is open changes it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let ten = Duration::from_millis(10);
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_and_grace(ten, Duration::from_millis(5));
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    /// counts.to_stream().to("counts", Produced::with(time_windowed(utf8(), ten), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 12, 9, 15, 8] {
    ///     input.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", time_windowed(utf8(), ten), i64()).read_all()?;
    /// let counts: Vec<_> = counts.iter().map(|r| (r.key.to_string(), r.value)).collect();
    /// let of = |window: &str, count| (format!("ada@{window}"), count);
    /// assert_eq!(counts, [of("0/10", 1), of("10/20", 1), of("0/10", 2), of("10/20", 2)]);
    /// assert_eq!(driver.dropped_total(), 1); // at 15 the first window closed, so 8 is late
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count(&self) -> KTable<Windowed<K>, i64> {
        self.count_into(Materialized::with(self.grouped.grouped.key.clone(), i64()))
    }

    /// As [`count`](Self::count), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let clicks = clicks.group_by_key(Grouped::new()).windowed_by(windows);
    /// clicks.count_with(Materialized::as_store("click-counts"));
    /// assert!(builder.build()?.describe().contains("(stores: [click-counts])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let is_sliding = matches!(self.kind, Kind::Sliding(_));
        if materialized.store_name().is_none() && !is_sliding {
            // Kafka Streams takes an index here that it does not use.
            self.grouped.graph.generate(STREAM_AGGREGATE);
        }
        self.count_into(materialized)
    }

    fn count_into(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let update = |_: &K, (), count: Option<i64>| Some(count.unwrap_or(0) + 1);
        let value = self.grouped.grouped.value.clone();
        let is_sliding = matches!(self.kind, Kind::Sliding(_));
        // In sliding windows a null value does not count.
        let take = move |record: V0| match is_sliding {
            true => present(record, &value).map(drop),
            false => Some(()),
        };
        let counts = self.update_by(STREAM_AGGREGATE, materialized, take, update);
        counts.with_initial(|_| Some(0))
    }

    /// Combines each value with what the values before it in its window gave; the first is taken
    /// as it is.
    ///
    /// The function gets the row first, then the value. It answers the new row, or an `Option` of
    /// it: `None` deletes the row.
    ///
    /// Records with a null key or value are dropped and counted, and so are late ones, whose windows have
    /// closed. One out of order whose window is open changes it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bids = builder.stream("bids", Consumed::<String, i64>::new());
    /// let hopping = TimeWindows::of_size_with_no_grace(Duration::from_millis(10))
    ///     .advance_by(Duration::from_millis(5));
    /// let highest = bids.group_by_key(Grouped::new()).windowed_by(hopping).reduce(i64::max);
    /// highest
    ///     .to_stream()
    ///     .select_key(|window, _| window.to_string())
    ///     .to("highest", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("bids", utf8(), i64());
    /// for (bid, at) in [(9, 1), (4, 7)] {
    ///     input.pipe("vase", bid, Timestamp::from_millis(at))?;
    /// }
    /// let highest = driver.output_topic("highest", utf8(), i64()).read_key_values()?;
    /// let of = |window: &str, bid| (format!("vase@{window}"), bid);
    /// assert_eq!(highest, [of("0/10", 9), of("0/10", 9), of("5/15", 4)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce<R: OrNull<V>>(
        &self,
        combine: impl Fn(V, V) -> R + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, V> {
        let grouped = &self.grouped.grouped;
        let materialized = Materialized::with(grouped.key.clone(), grouped.value.clone());
        self.reduce_with(combine, materialized)
    }

    /// As [`reduce`](Self::reduce), kept as the [`Materialized`] says.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bids = builder.stream("bids", Consumed::<String, i64>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let highest = bids.group_by_key(Grouped::new()).windowed_by(windows);
    /// highest.reduce_with(i64::max, Materialized::as_store("highest"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let bids = driver.input_topic("bids", utf8(), i64());
    /// for (bid, at) in [(9, 1), (4, 7)] {
    ///     bids.pipe("vase", bid, Timestamp::from_millis(at))?;
    /// }
    /// let highest = driver.timestamped_window_store::<String, i64>("highest")?.all()?;
    /// assert_eq!(highest.iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [9]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce_with<R: OrNull<V>>(
        &self,
        combine: impl Fn(V, V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V> {
        let update = move |_: &K, value, row| match row {
            Some(row) => combine(row, value).into_option(),
            None => Some(value),
        };
        self.update_by(STREAM_REDUCE, materialized, self.taken(), update)
    }

    /// Folds each value into the row of its key and window, which begins as `init` says.
    ///
    /// A row that is null to its serde is deleted, as in the [`aggregate`](KGroupedStream::aggregate)
    /// of a grouped stream.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream("words", Consumed::<String, String>::new());
    /// let sliding = SlidingWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// words
    ///     .group_by_key(Grouped::new())
    ///     .windowed_by(sliding)
    ///     .aggregate(|| 0, |_, word, chars| chars + word.len() as i64, Materialized::as_store("chars"))
    ///     .to_stream()
    ///     .select_key(|window, _| window.to_string())
    ///     .to("chars-so-far", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for (word, at) in [("to", 20), ("be", 25)] {
    ///     input.pipe("k", word, Timestamp::from_millis(at))?;
    /// }
    /// let chars = driver.output_topic("chars-so-far", utf8(), i64()).read_key_values()?;
    /// let of = |window: &str, chars| (format!("k@{window}"), chars);
    /// assert_eq!(chars, [of("10/20", 2), of("21/31", 2), of("15/25", 4)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        fold: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let init = Arc::new(init);
        let initial = Arc::clone(&init);
        let update = move |key: &K, value, row: Option<A>| {
            Some(fold(key, value, row.unwrap_or_else(|| init())))
        };
        let table = self.update_by(STREAM_AGGREGATE, materialized, self.taken(), update);
        table.with_initial(move |_| Some(initial()))
    }

    /// What of a value goes into rows; a null value to sliding windows does not.
    fn taken(&self) -> impl Fn(V0) -> Option<V> + Send + Sync + 'static {
        let value = self.grouped.grouped.value.clone();
        let is_sliding = matches!(self.kind, Kind::Sliding(_));
        move |record: V0| match is_sliding {
            true => present(record, &value),
            false => value_or_null(record, &value),
        }
    }

    /// Adds an aggregation: `take` says what of a value goes into rows, `update` makes the new row.
    fn update_by<X: Data, A: Data>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        take: impl Fn(V0) -> Option<X> + Send + Sync + 'static,
        update: impl Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A> {
        let graph = &self.grouped.graph;
        let store = graph.store_name(materialized.shared_name(), prefix);
        let name = graph.name(self.grouped.next_name(), prefix);
        let retention = materialized.retention();
        self.kind.check(graph, &name, self.emit, retention);
        materialized.check_windowed(graph, &name);
        let parent = self.grouped.partitioned_by_key(&store);
        let keeping = Keeping::windowed(&materialized, self.kind.grace());
        let rows = Arc::clone(&store);
        let write = Write {
            kind: self.kind,
            emit: self.emit,
            name: Arc::clone(&name),
            store,
            materialized,
            keeping: Rc::clone(&keeping),
            shared: SharedStore::default(),
        };
        let (take, update) = (Arc::new(take), Arc::new(update));
        let node = graph.add(Arc::clone(&name), &[parent], move |lowering| {
            write.lower::<K0, V0, X>(lowering, &take, &update);
        });
        let table = KTable::new(graph.clone(), node, name, keeping);
        table.with_view(move || TableView::in_windows(&rows))
    }
}

impl Kind {
    /// Notes what cannot work, for `build` to tell.
    pub(super) fn check(
        &self,
        graph: &Graph,
        name: &str,
        emit: EmitStrategy,
        retention: Option<Duration>,
    ) {
        if let Some(problem) = self.problem(emit) {
            graph.problem(format!("{name}: {problem}"));
        }
        let least = self.retention_min();
        if let Some(retention) = retention.filter(|given| *given < least) {
            let (given, least) = (retention.as_millis(), least.as_millis());
            graph.problem(format!(
                "{name}: a retention of {given} ms is shorter than windows are needed: {least} ms"
            ));
        }
    }
}

/// What is known of an aggregation when it is written to the topology.
pub(super) struct Write<K, A> {
    pub(super) kind: Kind,
    pub(super) emit: EmitStrategy,
    pub(super) name: Arc<str>,
    pub(super) store: Arc<str>,
    pub(super) materialized: Materialized<K, A>,
    pub(super) keeping: Rc<Keeping>,
    pub(super) shared: SharedStore,
}

impl<K: Data, A: Data> Write<K, A> {
    pub(super) fn lower<K0, V0, X>(
        self,
        lowering: &mut Lowering<'_>,
        take: &Arc<impl Fn(V0) -> Option<X> + Send + Sync + 'static>,
        update: &Arc<impl Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static>,
    ) where
        K0: Data + OrNull<K>,
        V0: Data,
        X: Data,
    {
        let store = self.store_builder(lowering);
        let holds = self.shared.holds(self.materialized.retention());
        let cache = self.materialized.cache_bytes_max(lowering);
        let (take, update) = (Arc::clone(take), Arc::clone(update));
        let (key, result) = (
            self.materialized.key.clone(),
            self.materialized.value.clone(),
        );
        let (kind, emit, sends_old) = (self.kind, self.emit, self.keeping.sends_old());
        let logs_old = self.keeping.logs_old();
        let (name, store_name, shared) = (self.name, self.store, self.shared);
        let rows_name = Arc::clone(&store_name);
        let logged_headers = lowering.logged_headers;
        let (cache, held_key) = (cache.filter(|_| !emit.is_on_close()), key.clone());
        let rows = move || TimeRows {
            name: Arc::clone(&rows_name),
            size: kind.size(),
            result: result.clone(),
            emit,
            sends_old,
            logs_old,
            logged_headers,
            update: Arc::clone(&update),
            store: None,
            companions: Companions::new(holds),
            held: cache.map(|bytes_max| {
                HeldWindows::new(&held_key, bytes_max, (sends_old, logged_headers))
            }),
            types: PhantomData,
        };
        let time = move || OperatorTime::new(emit.idle_after());
        let starts = match kind {
            Kind::Time(windows) => Starts::from(&windows),
            Kind::Unlimited(windows) => Starts::from(&windows),
            Kind::Sliding(windows) => {
                lowering.processor(&name, move || SlidingAggregate::<K0, V0, _, _, _, _, _> {
                    key: key.clone(),
                    rows: rows(),
                    spans: Spans::from(&windows),
                    time: time(),
                    take: Arc::clone(&take),
                    types: PhantomData,
                });
                shared.attach(lowering, store, (&store_name, &name));
                return;
            }
        };
        lowering.processor(&name, move || TimeAggregate::<K0, V0, _, _, _, _, _> {
            key: key.clone(),
            rows: rows(),
            starts,
            time: time(),
            take: Arc::clone(&take),
            types: PhantomData,
        });
        shared.attach(lowering, store, (&store_name, &name));
    }

    fn store_builder(
        &self,
        lowering: &Lowering<'_>,
    ) -> StoreBuilder<K, onceflow_framework::state::ValueAndTimestamp<A>> {
        let retention = self.materialized.retention();
        let retention = retention.unwrap_or_else(|| self.kind.retention_min());
        let (key, value) = (
            self.materialized.key.clone(),
            self.materialized.value.clone(),
        );
        let store =
            StoreBuilder::timestamped_window(&*self.store, retention, self.kind.size(), key, value);
        let mut store = self.materialized.configure(store);
        if self.shared.holds(self.materialized.retention()) {
            store = with_hold(store);
        }
        let store_type = self.materialized.store_type(lowering);
        if self.emit.is_on_close() && store_type == StoreType::RocksDb {
            store = store.with_readable_edge();
        }
        match (self.emit.is_on_close(), self.kind) {
            // What closes together is then found together.
            (true, Kind::Time(windows)) => store.with_segment_interval(windows.advance()),
            (true, _) => {
                let interval = duration_millis(retention) / SEGMENTS_A_RETENTION;
                store.with_segment_interval(Duration::from_millis(interval.max(1).unsigned_abs()))
            }
            (false, _) => store,
        }
    }
}

/// Into how many segments the retention is divided where windows close one by one.
const SEGMENTS_A_RETENTION: i64 = 16;

impl<K, V, K0, V0> Clone for TimeWindowedKStream<K, V, K0, V0> {
    fn clone(&self) -> Self {
        TimeWindowedKStream {
            grouped: self.grouped.clone(),
            kind: self.kind,
            emit: self.emit,
        }
    }
}

impl<K, V, K0, V0> fmt::Debug for TimeWindowedKStream<K, V, K0, V0> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeWindowedKStream({:?})", self.kind)
    }
}
