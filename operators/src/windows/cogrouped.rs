//! Cogrouped streams in windows.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::Windowed;
use onceflow_framework::serde::SharedSerde;

use super::emit::EmitStrategy;
use super::session_aggregate::Fold;
use super::session_windowed::SessionWrite;
use super::session_windows::SessionWindows;
use super::time_windowed::{Kind, Write};
use crate::Data;
use crate::cogroup::{CogroupedKStream, Plan};
use crate::graph::Graph;
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::Named;
use crate::null::{OrNull, present, value_or_null};
use crate::table::KTable;

/// Cogrouped streams in time windows: tumbling, hopping, sliding or unlimited.
#[derive(Clone)]
pub struct TimeWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    kind: Kind,
}

impl<K: Data, A: Data> TimeWindowedCogroupedKStream<K, A> {
    pub(super) fn new(cogrouped: &CogroupedKStream<K, A>, kind: Kind) -> Self {
        TimeWindowedCogroupedKStream {
            cogrouped: cogrouped.clone(),
            kind,
        }
    }

    /// Names the nodes of the operator that follows, as [`CogroupedKStream::named`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let points = clicks.group_by_key(Grouped::new()).cogroup(|_, _, points: i64| points + 1);
    /// let points = points.windowed_by(minute).named("points").aggregate(|| 0, Materialized::new());
    /// assert_eq!(points.name(), "points-cogroup-merge");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let cogrouped = self.cogrouped.named(name);
        TimeWindowedCogroupedKStream::new(&cogrouped, self.kind)
    }

    /// Aggregates the streams into one table, whose rows begin as `init` says.
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
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let views = builder.stream("views", Consumed::<String, String>::new());
    /// clicks
    ///     .group_by_key(Grouped::new())
    ///     .cogroup(|_, _, points: i64| points + 10)
    ///     .cogroup(&views.group_by_key(Grouped::new()), |_, _, points| points + 1)
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_millis(10)))
    ///     .aggregate(|| 0, Materialized::as_store("points"))
    ///     .to_stream()
    ///     .select_key(|window, _| window.to_string())
    ///     .to("activity", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for (topic, at) in [("clicks", 1), ("views", 2), ("views", 12)] {
    ///     driver.input_topic(topic, utf8(), utf8()).pipe("ada", "", Timestamp::from_millis(at))?;
    /// }
    /// let points = driver.output_topic("activity", utf8(), i64()).read_key_values()?;
    /// let of = |window: &str, points| (format!("ada@{window}"), points);
    /// assert_eq!(points, [of("0/10", 10), of("0/10", 11), of("10/20", 1)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let init = Arc::new(init);
        let initial = Arc::clone(&init);
        let windows = CogroupedWindows::Time(self.kind);
        let table = self.cogrouped.aggregate_in(windows, materialized, init);
        table.with_initial(move |_| Some(initial()))
    }
}

impl<K, A> fmt::Debug for TimeWindowedCogroupedKStream<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeWindowedCogroupedKStream({:?})", self.kind)
    }
}

/// Cogrouped streams in sessions.
#[derive(Clone)]
pub struct SessionWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SessionWindows,
}

impl<K: Data, A: Data> SessionWindowedCogroupedKStream<K, A> {
    pub(super) fn new(cogrouped: &CogroupedKStream<K, A>, windows: SessionWindows) -> Self {
        SessionWindowedCogroupedKStream {
            cogrouped: cogrouped.clone(),
            windows,
        }
    }

    /// Names the nodes of the operator that follows, as [`CogroupedKStream::named`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
    /// let points = clicks.group_by_key(Grouped::new()).cogroup(|_, _, points: i64| points + 1);
    /// let points = points.windowed_by(visits).named("points");
    /// let points = points.aggregate(|| 0, |_, one, two| one + two, Materialized::new());
    /// assert_eq!(points.name(), "points-cogroup-merge");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let cogrouped = self.cogrouped.named(name);
        SessionWindowedCogroupedKStream::new(&cogrouped, self.windows)
    }

    /// Aggregates the streams into one table, whose rows begin as `init` says; `merge` makes one row
    /// of two when their sessions become one.
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
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let views = builder.stream("views", Consumed::<String, String>::new());
    /// clicks
    ///     .group_by_key(Grouped::new())
    ///     .cogroup(|_, _, points: i64| points + 10)
    ///     .cogroup(&views.group_by_key(Grouped::new()), |_, _, points| points + 1)
    ///     .windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(5)))
    ///     .aggregate(|| 0, |_, one, two| one + two, Materialized::as_store("points"))
    ///     .to_stream()
    ///     .filter(|_, points| points.is_some())
    ///     .select_key(|session, _| session.to_string())
    ///     .to("activity", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for (topic, at) in [("clicks", 1), ("views", 4)] {
    ///     driver.input_topic(topic, utf8(), utf8()).pipe("ada", "", Timestamp::from_millis(at))?;
    /// }
    /// let points = driver.output_topic("activity", utf8(), i64()).read_key_values()?;
    /// assert_eq!(points, [("ada@1/1".to_owned(), 10), ("ada@1/4".to_owned(), 11)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let windows = CogroupedWindows::Session(self.windows, Arc::new(merge));
        let init = Arc::new(init);
        self.cogrouped.aggregate_in(windows, materialized, init)
    }
}

impl<K, A> fmt::Debug for SessionWindowedCogroupedKStream<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionWindowedCogroupedKStream({:?})", self.windows)
    }
}

/// Makes one row of two.
type Merge<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

/// The windows of a cogroup.
pub(crate) enum CogroupedWindows<K, A> {
    Time(Kind),
    Session(SessionWindows, Merge<K, A>),
}

impl<K: Data, A: Data> CogroupedWindows<K, A> {
    /// How long windows stay open behind their end.
    pub(crate) fn closes_after(&self) -> Duration {
        match self {
            CogroupedWindows::Time(kind) => kind.grace(),
            CogroupedWindows::Session(windows, _) => windows.gap() + windows.grace(),
        }
    }

    /// Notes what cannot work, for `build` to tell.
    pub(crate) fn check(&self, graph: &Graph, name: &str, retention: Option<Duration>) {
        let emit = EmitStrategy::on_window_update();
        match self {
            CogroupedWindows::Time(kind) => kind.check(graph, name, emit, retention),
            CogroupedWindows::Session(windows, _) => windows.check(graph, name, emit, retention),
        }
    }

    /// Writes the aggregation of one stream.
    pub(crate) fn lower<K0, V0, V>(
        &self,
        plan: &Plan<K, A>,
        lowering: &mut Lowering<'_>,
        (name, value): (Arc<str>, SharedSerde<V>),
        update: impl Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) where
        K0: Data + OrNull<K>,
        V0: Data + OrNull<V>,
        V: Data,
    {
        let (store, keeping) = (Arc::clone(&plan.store), Rc::clone(&plan.keeping));
        let materialized = plan.materialized.clone();
        let shared = plan.shared.clone();
        let emit = EmitStrategy::on_window_update();
        match self {
            CogroupedWindows::Time(kind) => {
                let is_sliding = matches!(kind, Kind::Sliding(_));
                let take = move |record: V0| match is_sliding {
                    true => present(record, &value),
                    false => value_or_null(record, &value),
                };
                let write = Write {
                    kind: *kind,
                    emit,
                    name,
                    store,
                    materialized,
                    keeping,
                    shared,
                };
                write.lower::<K0, V0, V>(lowering, &Arc::new(take), &Arc::new(update));
            }
            CogroupedWindows::Session(windows, merge) => {
                let (merge, init) = (Arc::clone(merge), Arc::clone(&plan.init));
                let fold = Fold {
                    take: move |record: V0| value_or_null(record, &value),
                    update,
                    merge: move |key: &K, one: Option<A>, two| {
                        Some(merge(key, one.unwrap_or_else(|| init()), two))
                    },
                };
                let write = SessionWrite {
                    windows: *windows,
                    emit,
                    name,
                    store,
                    materialized,
                    keeping,
                    shared,
                };
                write.lower::<K0, V0, V, _, _, _>(lowering, fold);
            }
        }
    }
}
