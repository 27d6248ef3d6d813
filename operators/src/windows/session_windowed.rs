//! A grouped stream in sessions.

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
use super::session_aggregate::{Fold, Gaps, SessionAggregate};
use super::session_windows::SessionWindows;
use super::shared_store::SharedStore;
use super::window_table::HeldWindows;
use crate::Data;
use crate::graph::Graph;
use crate::grouped::KGroupedStream;
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::{Named, STREAM_AGGREGATE, STREAM_REDUCE};
use crate::null::{OrNull, value_or_null};
use crate::table::{KTable, Keeping};
use crate::view::TableView;

/// Into how many segments the retention is divided where sessions close one by one.
const SEGMENTS_A_RETENTION: i64 = 16;

/// A grouped stream in sessions: what `count`, `reduce` and `aggregate` are called on.
///
/// A record with a null key is dropped and counted; one with a null value is aggregated, where the
/// types let the function see it (group by a `nullable` value; `count` counts it anyway), else
/// dropped and counted. A record whose session, merged with those around it, is closed, is dropped
/// and counted as late. A record between two sessions makes one of them, in any order: the old
/// sessions are deleted, then the new one is handed on.
///
/// A session whose end is exactly the gap and the grace behind stream time is still open, and
/// merges; Kafka Streams forgets it one millisecond early.
pub struct SessionWindowedKStream<K, V, K0 = K, V0 = V> {
    grouped: KGroupedStream<K, V, K0, V0>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

impl<K, V, K0, V0> SessionWindowedKStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    pub(super) fn new(grouped: &KGroupedStream<K, V, K0, V0>, windows: SessionWindows) -> Self {
        SessionWindowedKStream {
            grouped: grouped.clone(),
            windows,
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
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
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
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
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

    /// Counts the records of each key and session.
    ///
    /// Records with a null key are dropped and counted, and so are late ones, whose windows have closed;
    /// one with a null value counts, as in Kafka Streams. One out of order whose
    /// window is open changes it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let gap = Duration::from_millis(5);
    /// let visits = SessionWindows::of_inactivity_gap_and_grace(gap, gap);
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(visits).count();
    /// counts.to_stream().to("counts", Produced::with(session_windowed(utf8()), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 9, 5] {
    ///     input.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", session_windowed(utf8()), nullable(i64()));
    /// let counts = counts.read_all()?;
    /// let counts: Vec<_> = counts.iter().map(|r| (r.key.to_string(), r.value)).collect();
    /// let of = |session: &str, count| (format!("ada@{session}"), count);
    /// // 5 lies between the two and makes one of them.
    /// let merged = [of("1/1", None), of("9/9", None), of("1/9", Some(3))];
    /// assert_eq!(counts, [&[of("1/1", Some(1)), of("9/9", Some(1))][..], &merged].concat());
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
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
    /// let visits = clicks.group_by_key(Grouped::new()).windowed_by(visits);
    /// visits.count_with(Materialized::as_store("visits"));
    /// assert!(builder.build()?.describe().contains("(stores: [visits])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        if materialized.store_name().is_none() {
            // Kafka Streams takes an index here that it does not use.
            self.grouped.graph.generate(STREAM_AGGREGATE);
        }
        self.count_into(materialized)
    }

    fn count_into(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        let fold = Fold {
            take: |_| Some(()),
            update: |_: &K, (), count: Option<i64>| Some(count.unwrap_or(0) + 1),
            merge: |_: &K, one: Option<i64>, two| Some(one.unwrap_or(0) + two),
        };
        self.update_by(STREAM_AGGREGATE, materialized, fold)
    }

    /// Combines each value with what the values before it in its session gave; the first is taken
    /// as it is. Sessions that become one combine their rows.
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
    /// let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(5));
    /// let highest = bids.group_by_key(Grouped::new()).windowed_by(gap).reduce(i64::max);
    /// highest
    ///     .to_stream()
    ///     .select_key(|session, _| session.to_string())
    ///     .to("highest", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("bids", utf8(), i64());
    /// for (bid, at) in [(9, 1), (4, 6)] {
    ///     input.pipe("vase", bid, Timestamp::from_millis(at))?;
    /// }
    /// let highest = driver.output_topic("highest", utf8(), nullable(i64())).read_key_values()?;
    /// let of = |session: &str, bid| (format!("vase@{session}"), bid);
    /// assert_eq!(highest, [of("1/1", Some(9)), of("1/1", None), of("1/6", Some(9))]);
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
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
    /// let highest = bids.group_by_key(Grouped::new()).windowed_by(windows);
    /// highest.reduce_with(i64::max, Materialized::as_store("highest"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let bids = driver.input_topic("bids", utf8(), i64());
    /// for (bid, at) in [(9, 1), (4, 7)] {
    ///     bids.pipe("vase", bid, Timestamp::from_millis(at))?;
    /// }
    /// let highest = driver.session_store::<String, i64>("highest")?.all()?;
    /// assert_eq!(highest.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [9]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn reduce_with<R: OrNull<V>>(
        &self,
        combine: impl Fn(V, V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V> {
        let combine = Arc::new(combine);
        let of_rows = Arc::clone(&combine);
        let fold = Fold {
            take: self.taken(),
            update: move |_: &K, value, row| match row {
                Some(row) => combine(row, value).into_option(),
                None => Some(value),
            },
            merge: move |_: &K, one, two| match one {
                Some(one) => of_rows(one, two).into_option(),
                None => Some(two),
            },
        };
        self.update_by(STREAM_REDUCE, materialized, fold)
    }

    /// Folds each value into the row of its key and session, which begins as `init` says; `merge`
    /// makes one row of two when their sessions become one.
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
    /// let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(5));
    /// words
    ///     .group_by_key(Grouped::new())
    ///     .windowed_by(gap)
    ///     .aggregate(
    ///         || 0,
    ///         |_, word, chars| chars + word.len() as i64,
    ///         |_, one, two| one + two,
    ///         Materialized::as_store("chars"),
    ///     )
    ///     .to_stream()
    ///     .filter(|_, chars| chars.is_some())
    ///     .select_key(|session, _| session.to_string())
    ///     .to("chars-so-far", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("words", utf8(), utf8());
    /// for (word, at) in [("to", 20), ("be", 25)] {
    ///     input.pipe("k", word, Timestamp::from_millis(at))?;
    /// }
    /// let chars = driver.output_topic("chars-so-far", utf8(), i64()).read_key_values()?;
    /// assert_eq!(chars, [("k@20/20".to_owned(), 2), ("k@20/25".to_owned(), 4)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        fold: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let init = Arc::new(init);
        let first = Arc::clone(&init);
        let fold = Fold {
            take: self.taken(),
            update: move |key: &K, value, row: Option<A>| {
                Some(fold(key, value, row.unwrap_or_else(|| init())))
            },
            merge: move |key: &K, one: Option<A>, two| {
                Some(merge(key, one.unwrap_or_else(|| first()), two))
            },
        };
        self.update_by(STREAM_AGGREGATE, materialized, fold)
    }

    /// What of a value goes into rows.
    fn taken(&self) -> impl Fn(V0) -> Option<V> + Send + Sync + use<K, V, K0, V0> {
        let value = self.grouped.grouped.value.clone();
        move |record: V0| value_or_null(record, &value)
    }

    fn update_by<X: Data, A: Data, T, U, M>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        fold: Fold<T, U, M>,
    ) -> KTable<Windowed<K>, A>
    where
        T: Fn(V0) -> Option<X> + Send + Sync + 'static,
        U: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
        M: Fn(&K, Option<A>, A) -> Option<A> + Send + Sync + 'static,
    {
        let graph = &self.grouped.graph;
        let store = graph.store_name(materialized.shared_name(), prefix);
        let name = graph.name(self.grouped.next_name(), prefix);
        let retention = materialized.retention();
        self.windows.check(graph, &name, self.emit, retention);
        materialized.check_windowed(graph, &name);
        let parent = self.grouped.partitioned_by_key(&store);
        let closes_after = self.windows.gap() + self.windows.grace();
        let keeping = Keeping::windowed(&materialized, closes_after);
        let rows = Arc::clone(&store);
        let write = SessionWrite {
            windows: self.windows,
            emit: self.emit,
            name: Arc::clone(&name),
            store,
            materialized,
            keeping: Rc::clone(&keeping),
            shared: SharedStore::default(),
        };
        let node = graph.add(Arc::clone(&name), &[parent], move |lowering| {
            write.lower::<K0, V0, X, T, U, M>(lowering, fold);
        });
        let table = KTable::new(graph.clone(), node, name, keeping);
        table.with_view(move || TableView::in_sessions(&rows))
    }
}

/// What is known of an aggregation when it is written to the topology.
pub(super) struct SessionWrite<K, A> {
    pub(super) windows: SessionWindows,
    pub(super) emit: EmitStrategy,
    pub(super) name: Arc<str>,
    pub(super) store: Arc<str>,
    pub(super) materialized: Materialized<K, A>,
    pub(super) keeping: Rc<Keeping>,
    pub(super) shared: SharedStore,
}

impl<K: Data, A: Data> SessionWrite<K, A> {
    pub(super) fn lower<K0, V0, X, T, U, M>(self, lowering: &mut Lowering<'_>, fold: Fold<T, U, M>)
    where
        K0: Data + OrNull<K>,
        V0: Data,
        X: Data,
        T: Fn(V0) -> Option<X> + Send + Sync + 'static,
        U: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
        M: Fn(&K, Option<A>, A) -> Option<A> + Send + Sync + 'static,
    {
        let builder = self.store_builder();
        let cache = self.materialized.cache_bytes_max(lowering);
        let cache = cache.filter(|_| !self.emit.is_on_close());
        let (emit, gaps) = (self.emit, Gaps::from(&self.windows));
        let (sends_old, fold) = (self.keeping.sends_old(), Arc::new(fold));
        let logs_old = self.keeping.logs_old();
        let (name, store, shared) = (self.name, self.store, self.shared);
        let (materialized, store_name) = (self.materialized, Arc::clone(&store));
        let logged_headers = lowering.logged_headers;
        lowering.processor(
            &name,
            move || SessionAggregate::<K0, V0, K, X, A, T, U, M> {
                key: materialized.key.clone(),
                result: materialized.value.clone(),
                name: Arc::clone(&store_name),
                store: None,
                gaps,
                emit,
                time: OperatorTime::new(emit.idle_after()),
                sends_old,
                logs_old,
                logged_headers,
                held: cache.map(|bytes_max| {
                    HeldWindows::new(&materialized.key, bytes_max, (sends_old, logged_headers))
                }),
                fold: Arc::clone(&fold),
                types: PhantomData,
            },
        );
        shared.attach(lowering, builder, (&store, &name));
    }

    fn store_builder(&self) -> StoreBuilder<K, A> {
        let least = self.windows.gap() + self.windows.grace();
        let retention = self.materialized.retention().unwrap_or(least);
        let (key, value) = (
            self.materialized.key.clone(),
            self.materialized.value.clone(),
        );
        let store = StoreBuilder::session(&*self.store, retention, key, value);
        let store = self.materialized.configure(store);
        if !self.emit.is_on_close() {
            return store;
        }
        let interval = (duration_millis(retention) / SEGMENTS_A_RETENTION).max(1);
        store.with_segment_interval(Duration::from_millis(interval.unsigned_abs()))
    }
}

impl SessionWindows {
    /// Notes what cannot work, for `build` to tell.
    pub(super) fn check(
        &self,
        graph: &Graph,
        name: &str,
        emit: EmitStrategy,
        retention: Option<Duration>,
    ) {
        if let Some(problem) = emit.problem() {
            graph.problem(format!("{name}: {problem}"));
        }
        let least = self.gap() + self.grace();
        if let Some(retention) = retention.filter(|given| *given < least) {
            let (given, least) = (retention.as_millis(), least.as_millis());
            graph.problem(format!(
                "{name}: a retention of {given} ms is shorter than gap and grace: {least} ms"
            ));
        }
    }
}

impl<K, V, K0, V0> Clone for SessionWindowedKStream<K, V, K0, V0> {
    fn clone(&self) -> Self {
        SessionWindowedKStream {
            grouped: self.grouped.clone(),
            windows: self.windows,
            emit: self.emit,
        }
    }
}

impl<K, V, K0, V0> fmt::Debug for SessionWindowedKStream<K, V, K0, V0> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionWindowedKStream({:?})", self.windows)
    }
}
