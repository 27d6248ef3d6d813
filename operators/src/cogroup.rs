//! Several grouped streams aggregated into one table.
//!
//! ```text
//!   grouped stream ──its own fold──┐
//!   grouped stream ──its own fold──┼──> one store ──> merge ──> KTable
//!   grouped stream ──its own fold──┘
//! ```
//!
//! # Invariants
//!
//! - The inputs share the store, so each sees the rows that the others made.
//! - A grouped stream has one fold: a second one for the same stream replaces the first.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::processor::Context;
use onceflow_framework::{Record, Windowed};

use crate::Data;
use crate::aggregate::StreamAggregate;
use crate::change::Change;
use crate::graph::{Graph, NodeId};
use crate::grouped::KGroupedStream;
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::Named;
use crate::null::OrNull;
use crate::stream::Step;
use crate::table::{KTable, Keeping};
use crate::table_store::TableStore;
use crate::view::TableView;
use crate::windows::{CogroupedWindows, SharedStore, Windows};

const AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";
const MERGE: &str = "COGROUPKSTREAM-MERGE-";

/// Grouped streams that are aggregated together, each in its own way, into rows of type `A`.
///
/// A record with a null key is dropped and counted. One with a null value is dropped and counted
/// without windows and in sliding ones; in tumbling, hopping and session windows it is aggregated
/// where the types let the fold see it. In windows, stream time is each input's own: what is late for
/// one may be on time for the other.
///
/// A time window is kept until the slowest input is past it, but no more than a day longer than
/// without the others: an input that falls silent costs memory. With
/// [`Materialized::with_retention`] windows are kept for just that long behind the fastest.
pub struct CogroupedKStream<K, A> {
    pub(crate) graph: Graph,
    inputs: Vec<Rc<dyn Input<K, A>>>,
    next_name: Option<Arc<str>>,
}

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    /// Begins a cogroup: `fold` puts this stream's values into the rows.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let paid = builder.stream("paid", Consumed::with(utf8(), i64())).group_by_key(Grouped::new());
    /// let refunded = builder.stream("refunded", Consumed::with(utf8(), i64()));
    /// let refunded = refunded.group_by_key(Grouped::new());
    /// paid.cogroup(|_, cents, balance: i64| balance + cents)
    ///     .cogroup(&refunded, |_, cents, balance| balance - cents)
    ///     .aggregate(|| 0, Materialized::as_store("balances"))
    ///     .to_stream()
    ///     .to("balance", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("paid", utf8(), i64()).pipe("ada", 500, Timestamp::from_millis(0))?;
    /// driver.input_topic("refunded", utf8(), i64()).pipe("ada", 200, Timestamp::from_millis(1))?;
    /// let balance = driver.output_topic("balance", utf8(), i64()).read_all()?;
    /// assert_eq!(balance.iter().map(|r| r.value).collect::<Vec<_>>(), [500, 300]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn cogroup<A: Data>(
        &self,
        fold: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let empty = CogroupedKStream {
            graph: self.graph.clone(),
            inputs: Vec::new(),
            next_name: None,
        };
        empty.cogroup(self, fold)
    }
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    /// Adds a grouped stream with a fold of its own.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let paid = builder.stream("paid", Consumed::with(utf8(), i64())).group_by_key(Grouped::new());
    /// let refunded = builder.stream("refunded", Consumed::with(utf8(), i64()));
    /// let refunded = refunded.group_by_key(Grouped::new());
    /// let both = paid
    ///     .cogroup(|_, cents, balance: i64| balance + cents)
    ///     .cogroup(&refunded, |_, cents, balance| balance - cents);
    /// both.aggregate(|| 0, Materialized::as_store("balances"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("paid", utf8(), i64()).pipe("ada", 500, Timestamp::from_millis(0))?;
    /// driver.input_topic("refunded", utf8(), i64()).pipe("ada", 200, Timestamp::from_millis(1))?;
    /// let balances = driver.timestamped_key_value_store::<String, i64>("balances")?;
    /// assert_eq!(balances.get(&"ada".to_owned())?.map(|row| row.value), Some(300));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn cogroup<V, K0, V0>(
        &self,
        grouped: &KGroupedStream<K, V, K0, V0>,
        fold: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> Self
    where
        V: Data,
        K0: Data + OrNull<K>,
        V0: Data + OrNull<V>,
    {
        let input: Rc<dyn Input<K, A>> = Rc::new(Folded {
            grouped: grouped.clone(),
            fold: Arc::new(fold),
        });
        let mut more = self.clone();
        let same = |other: &Rc<dyn Input<K, A>>| other.identity() == input.identity();
        match more.inputs.iter().position(same) {
            Some(index) => more.inputs[index] = input,
            None => more.inputs.push(input),
        }
        more
    }

    /// Names the nodes of the operator that follows, as
    /// [`KStream::named`](crate::KStream::named): an aggregation has one a stream, and one more.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let paid = builder.stream("paid", Consumed::with(utf8(), i64())).group_by_key(Grouped::new());
    /// let refunded = builder.stream("refunded", Consumed::with(utf8(), i64()));
    /// let refunded = refunded.group_by_key(Grouped::new());
    /// let both = paid.cogroup(|_, cents, sum: i64| sum + cents).cogroup(&refunded, |_, cents, sum| sum - cents);
    /// let balances = both.named("balances").aggregate(|| 0, Materialized::new());
    /// assert_eq!(balances.name(), "balances-cogroup-merge");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.next_name = Some(name.into().into_name());
        named
    }

    /// Divides the records of each key into windows, which the streams share.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let views = builder.stream("views", Consumed::<String, String>::new());
    /// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let activity: KTable<Windowed<String>, i64> = clicks
    ///     .group_by_key(Grouped::new())
    ///     .cogroup(|_, _, points: i64| points + 10)
    ///     .cogroup(&views.group_by_key(Grouped::new()), |_, _, points| points + 1)
    ///     .windowed_by(minute)
    ///     .aggregate(|| 0, Materialized::as_store("activity"));
    /// # let _ = activity;
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn windowed_by<W: Windows>(&self, windows: W) -> W::Cogrouped<K, A> {
        windows.divide_cogrouped(self)
    }

    /// Aggregates the streams into one table, whose rows begin as `init` says.
    ///
    /// Records with a null key or value are dropped and counted. One out of order is folded in as it
    /// comes, and the row keeps the latest time; none is late.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let paid = builder.stream("paid", Consumed::with(utf8(), i64())).group_by_key(Grouped::new());
    /// let refunded = builder.stream("refunded", Consumed::with(utf8(), i64()));
    /// let refunded = refunded.group_by_key(Grouped::new());
    /// paid.cogroup(|_, cents, balance: i64| balance + cents)
    ///     .cogroup(&refunded, |_, cents, balance| balance - cents)
    ///     .aggregate(|| 0, Materialized::as_store("balances"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("paid", utf8(), i64()).pipe("ada", 500, Timestamp::from_millis(0))?;
    /// driver.input_topic("refunded", utf8(), i64()).pipe("ada", 200, Timestamp::from_millis(1))?;
    /// let balances = driver.timestamped_key_value_store::<String, i64>("balances")?;
    /// assert_eq!(balances.get(&"ada".to_owned())?.map(|row| row.value), Some(300));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn aggregate(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let init: Init<A> = Arc::new(init);
        let initial = Arc::clone(&init);
        let keeping = Keeping::aggregate(&materialized);
        let (table, store) = self.aggregate_into(materialized, init, None, keeping);
        table
            .with_store(store)
            .with_initial(move |_| Some(initial()))
    }

    /// Aggregates the streams into one table in windows.
    pub(crate) fn aggregate_in(
        &self,
        windows: CogroupedWindows<K, A>,
        materialized: Materialized<K, A>,
        init: Init<A>,
    ) -> KTable<Windowed<K>, A> {
        let keeping = Keeping::windowed(&materialized, windows.closes_after());
        let in_sessions = matches!(windows, CogroupedWindows::Session(..));
        let (table, store) = self.aggregate_into(materialized, init, Some(windows), keeping);
        table.with_view(move || match in_sessions {
            true => TableView::in_sessions(&store),
            false => TableView::in_windows(&store),
        })
    }

    fn aggregate_into<K2: Data>(
        &self,
        materialized: Materialized<K, A>,
        init: Init<A>,
        windows: Option<CogroupedWindows<K, A>>,
        keeping: Rc<Keeping>,
    ) -> (KTable<K2, A>, Arc<str>) {
        let graph = &self.graph;
        let given = self.next_name.as_deref();
        let store = graph.store_name(materialized.shared_name(), AGGREGATE);
        if let Some(windows) = &windows {
            let name = given.unwrap_or(&store);
            windows.check(graph, name, materialized.retention());
            materialized.check_windowed(graph, name);
        }
        let plan = Rc::new(Plan {
            store: Arc::clone(&store),
            materialized,
            init,
            windows,
            keeping: Rc::clone(&keeping),
            shared: SharedStore::of_streams(self.inputs.len()),
        });
        let parents = self.inputs.iter().map(|input| input.parent(&store));
        let parents: Vec<NodeId> = parents.collect();
        let mut aggregates = Vec::new();
        for (index, (input, parent)) in self.inputs.iter().zip(parents).enumerate() {
            let suffix = format!("-cogroup-agg-{index}");
            let name = graph.suffixed_name(given, &suffix, AGGREGATE);
            aggregates.push(input.add(graph, parent, name, &plan));
        }
        let merge = graph.suffixed_name(given, "-cogroup-merge", MERGE);
        let output = Arc::clone(&merge);
        let node = graph.add(Arc::clone(&merge), &aggregates, move |lowering| {
            let pass = |record: Record<K2, Change<A>>, ctx: &mut Context<K2, Change<A>>| {
                ctx.forward(record)
            };
            lowering.processor(&output, Step::supplier(pass));
        });
        (KTable::new(graph.clone(), node, merge, keeping), store)
    }
}

impl<K, A> Clone for CogroupedKStream<K, A> {
    fn clone(&self) -> Self {
        CogroupedKStream {
            graph: self.graph.clone(),
            inputs: self.inputs.clone(),
            next_name: self.next_name.clone(),
        }
    }
}

impl<K, A> fmt::Debug for CogroupedKStream<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CogroupedKStream({} streams)", self.inputs.len())
    }
}

/// What a row begins with.
pub(crate) type Init<A> = Arc<dyn Fn() -> A + Send + Sync>;

/// What the aggregations of a cogroup share.
pub(crate) struct Plan<K, A> {
    pub(crate) store: Arc<str>,
    pub(crate) materialized: Materialized<K, A>,
    pub(crate) init: Init<A>,
    pub(crate) windows: Option<CogroupedWindows<K, A>>,
    pub(crate) keeping: Rc<Keeping>,
    pub(crate) shared: SharedStore,
}

/// A grouped stream with its fold, whatever the type of its values.
trait Input<K, A> {
    fn identity(&self) -> *const ();
    fn parent(&self, store: &str) -> NodeId;
    fn add(&self, graph: &Graph, parent: NodeId, name: Arc<str>, plan: &Rc<Plan<K, A>>) -> NodeId;
}

struct Folded<K, V, K0, V0, F> {
    grouped: KGroupedStream<K, V, K0, V0>,
    fold: Arc<F>,
}

impl<K, V, K0, V0, A, F> Input<K, A> for Folded<K, V, K0, V0, F>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
    A: Data,
    F: Fn(&K, V, A) -> A + Send + Sync + 'static,
{
    fn identity(&self) -> *const () {
        self.grouped.identity()
    }

    fn parent(&self, store: &str) -> NodeId {
        self.grouped.partitioned_by_key(store)
    }

    fn add(&self, graph: &Graph, parent: NodeId, name: Arc<str>, plan: &Rc<Plan<K, A>>) -> NodeId {
        let (output, plan) = (Arc::clone(&name), Rc::clone(plan));
        let (grouped, fold) = (self.grouped.grouped.clone(), Arc::clone(&self.fold));
        let init = Arc::clone(&plan.init);
        let update = move |key: &K, value: V, row: Option<A>| {
            Some(fold(key, value, row.unwrap_or_else(|| init())))
        };
        graph.add(name, &[parent], move |lowering| match &plan.windows {
            Some(windows) => {
                windows.lower::<K0, V0, V>(&plan, lowering, (output, grouped.value), update);
            }
            None => lower::<K, V, K0, V0, A>(&plan, lowering, &output, grouped, update),
        })
    }
}

/// Writes the aggregation of one stream, without windows.
fn lower<K, V, K0, V0, A>(
    plan: &Plan<K, A>,
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    grouped: crate::grouped::Grouped<K, V>,
    update: impl Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
) where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
    A: Data,
{
    let (sends_old, update) = (plan.keeping.sends_old(), Arc::new(update));
    let logs_old = plan.keeping.logs_old();
    let kept = plan.materialized.kept(lowering);
    let (result, store) = (plan.materialized.value.clone(), Arc::clone(&plan.store));
    lowering.processor(name, move || StreamAggregate::<K0, V0, K, V, A, _> {
        key: grouped.key.clone(),
        value: grouped.value.clone(),
        result: result.clone(),
        store: TableStore::new(&store, kept, sends_old),
        sends_old,
        logs_old,
        update: Arc::clone(&update),
        types: PhantomData,
    });
    if plan.shared.is_added() {
        lowering.connect(name, &[plan.store.to_string()]);
    } else {
        let materialized = &plan.materialized;
        materialized.add_store(lowering.topology(), &plan.store, name);
    }
}
