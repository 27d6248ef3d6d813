//! A table: the last value of each key, and what is known of how it is kept.
//!
//! # Invariants
//!
//! - A table gets a store only if it has a name for one, or something downstream needs its old
//!   values and no table upstream can tell them.
//! - Old values are decided while the graph grows and read when it is lowered.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::processor::Processor;

use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::Named;
use crate::view::{TableView, ViewSource};

/// A table with keys `K` and values `V`: each record replaces, or deletes, the row of its key.
///
/// As [`KStream`](crate::KStream), a handle that operators leave as it is.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let users: KTable<String, String> = builder.table("users", Consumed::new());
/// users.filter(|_, country| country == "NZ").to_stream().to("kiwis", Produced::new());
///
/// let driver = TestDriver::new(builder.build()?)?;
/// let input = driver.input_topic("users", utf8(), utf8());
/// input.pipe("ada", "NZ", Timestamp::from_millis(1))?;
/// input.pipe_tombstone("ada", Timestamp::from_millis(2))?;
/// let kiwis = driver.output_topic("kiwis", utf8(), nullable(utf8()));
/// assert_eq!(kiwis.read()?.and_then(|r| r.value), Some("NZ".to_owned()));
/// assert_eq!(kiwis.read()?.map(|r| r.value), Some(None)); // deleted
/// # Ok::<(), onceflow::Error>(())
/// ```
pub struct KTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    pub(crate) name: Arc<str>,
    pub(crate) keeping: Rc<Keeping>,
    /// How others read its rows; none if they cannot.
    pub(crate) view: Option<ViewSource<K, V>>,
    /// What its aggregation begins a row with, which Kafka Streams takes for the row's old value.
    pub(crate) initial: Option<Initial<K, V>>,
    /// The name of the next operator.
    next_name: Option<Arc<str>>,
    types: PhantomData<fn() -> (K, V)>,
}

/// What a row of a key begins with.
pub(crate) type Initial<K, V> = Arc<dyn Fn(&K) -> Option<V> + Send + Sync>;

impl<K: Data, V: Data> KTable<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId, name: Arc<str>, keeping: Rc<Keeping>) -> Self {
        KTable {
            graph,
            node,
            name,
            keeping,
            view: None,
            initial: None,
            next_name: None,
            types: PhantomData,
        }
    }

    /// Notes what its rows begin with.
    pub(crate) fn with_initial(
        mut self,
        initial: impl Fn(&K) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        self.initial = Some(Arc::new(initial));
        self
    }

    /// Lets others read its rows as `view` says, once the graph is complete.
    pub(crate) fn with_view(mut self, view: impl Fn() -> TableView<K, V> + 'static) -> Self {
        self.view = Some(Rc::new(view));
        self
    }

    /// Lets others read its rows from that store.
    pub(crate) fn with_store(self, store: Arc<str>) -> Self {
        match self.keeping.history() {
            Some(_) => self.with_view(move || TableView::versioned(&store)),
            None => self.with_view(move || TableView::stored(&store)),
        }
    }

    /// How to read its rows from a node of `graph`, for which it, or a table upstream, keeps a
    /// store. None, and a problem for `build` to tell, if it cannot be read there.
    pub(crate) fn lookup(&self, graph: &Graph) -> Option<ViewSource<K, V>> {
        graph.own(&self.graph, self.node, &self.name)?;
        if self.view.is_none() {
            let name = &self.name;
            graph.problem(format!("the rows of table {name} cannot be looked up"));
        }
        self.keeping.materialize();
        self.view.as_ref().map(Rc::clone)
    }

    /// Names the node of the operator that follows, as [`KStream::named`](crate::KStream::named).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let dear = prices.named("dear").filter(|_, cents| *cents > 100_000);
    /// assert_eq!(dear.name(), "dear");
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.next_name = Some(name.into().into_name());
        named
    }

    /// The name of the node that this table leaves.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// assert_eq!(prices.name(), "KTABLE-SOURCE-0000000002");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the store that it can be queried by, if it was given one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let kept = prices.filter_with(|_, cents| *cents > 0, Materialized::as_store("priced"));
    /// assert_eq!(kept.queryable_store_name(), Some("priced"));
    /// assert_eq!(prices.queryable_store_name(), None);
    /// ```
    #[must_use]
    pub fn queryable_store_name(&self) -> Option<&str> {
        self.keeping.queryable.as_deref()
    }

    pub(crate) fn next_name(&self) -> Option<&str> {
        self.next_name.as_deref()
    }

    /// Takes the index that Kafka Streams takes, and does not use, for a store without a name.
    pub(crate) fn take_index_of_unnamed<V2: Data>(
        &self,
        prefix: &str,
        materialized: Option<&Materialized<K, V2>>,
    ) {
        if materialized.is_some_and(|materialized| materialized.store_name().is_none()) {
            self.graph.generate(prefix);
        }
    }
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        KTable {
            graph: self.graph.clone(),
            node: self.node,
            name: Arc::clone(&self.name),
            keeping: Rc::clone(&self.keeping),
            view: self.view.as_ref().map(Rc::clone),
            initial: self.initial.clone(),
            next_name: self.next_name.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KTable({})", self.name)
    }
}

/// Whether a table keeps a store, and whether it sends old values: no types here.
pub(crate) struct Keeping {
    above: Above,
    /// The store's name, if the user gave one.
    queryable: Option<Arc<str>>,
    history: History,
    stored: Cell<bool>,
    /// Whether something downstream computes from old values.
    tells_old: Cell<bool>,
    /// Whether something downstream logs old values as Kafka Streams does.
    logs_old: Cell<bool>,
    /// How long windows stay open behind their end; none if it is not an aggregation in windows.
    closes_after: Cell<Option<Duration>>,
}

/// Whether a table's rows can be read as of a time.
#[derive(Debug, Clone, Copy)]
enum History {
    /// As far back as its own store says; none if that has no versions.
    Own(Option<Duration>),
    /// If those of the table above can.
    OfAbove,
}

/// The tables that a table's rows follow from.
enum Above {
    /// None: it is made of a topic, of a stream, or of many rows.
    Nothing,
    /// It is made of this one row by row: old values follow from that one's.
    Row(Rc<Keeping>),
    /// It joins these two: each must know its rows, and their old values, for the other.
    Both(Rc<Keeping>, Rc<Keeping>),
}

/// What old values may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// They are sent if they are at hand.
    Nothing,
    /// A table upstream keeps a store for them if it has none.
    EvenAStore,
}

/// Who reads old values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// What subtracts them, or tells a row that ends from one that never was.
    Computes,
    /// The changelog of a buffer.
    Logs,
}

impl Keeping {
    /// Of a topic or a stream: stored if it has a name, or if old values are asked for.
    pub(crate) fn source<K: 'static, V: 'static>(materialized: &Materialized<K, V>) -> Rc<Self> {
        let (name, history) = (materialized.shared_name(), materialized.history());
        Keeping::new(Above::Nothing, name, History::Own(history), name.is_some())
    }

    /// Of an aggregation: always stored.
    pub(crate) fn aggregate<K: 'static, V: 'static>(materialized: &Materialized<K, V>) -> Rc<Self> {
        let (name, history) = (materialized.shared_name(), materialized.history());
        Keeping::new(Above::Nothing, name, History::Own(history), true)
    }

    /// Of an aggregation in windows that close so long behind their end.
    pub(crate) fn windowed<K: 'static, V: 'static>(
        materialized: &Materialized<K, V>,
        closes_after: Duration,
    ) -> Rc<Self> {
        let (name, history) = (materialized.shared_name(), History::Own(None));
        let keeping = Keeping::new(Above::Nothing, name, history, true);
        keeping.closes_after.set(Some(closes_after));
        keeping
    }

    /// Of another table, row by row: stored if it has a name.
    pub(crate) fn derived<K: 'static, V: 'static>(
        above: &Rc<Keeping>,
        stored: Option<&Materialized<K, V>>,
    ) -> Rc<Self> {
        let name = stored.and_then(Materialized::shared_name);
        let history = match stored {
            Some(materialized) => History::Own(materialized.history()),
            None => History::OfAbove,
        };
        Keeping::new(Above::Row(Rc::clone(above)), name, history, name.is_some())
    }

    /// Of another table, whose changes are told later.
    pub(crate) fn held_back(above: &Rc<Keeping>) -> Rc<Self> {
        let above = Above::Row(Rc::clone(above));
        Keeping::new(above, None, History::Own(None), false)
    }

    /// Of two other tables, joined: stored if it has a store's name, with a history or without.
    pub(crate) fn joined(
        left: &Rc<Keeping>,
        right: &Rc<Keeping>,
        stored: Option<(&Arc<str>, Option<Duration>)>,
    ) -> Rc<Self> {
        let above = Above::Both(Rc::clone(left), Rc::clone(right));
        let (store, history) = stored.unzip();
        let history = History::Own(history.flatten());
        Keeping::new(above, store, history, store.is_some())
    }

    fn new(above: Above, queryable: Option<&Arc<str>>, history: History, stored: bool) -> Rc<Self> {
        Rc::new(Keeping {
            above,
            queryable: queryable.map(Arc::clone),
            history,
            stored: Cell::new(stored),
            tells_old: Cell::new(false),
            logs_old: Cell::new(false),
            closes_after: Cell::new(None),
        })
    }

    /// How long behind their end the windows of its rows close, as far as it is known.
    pub(crate) fn closes_after(&self) -> Option<Duration> {
        match &self.above {
            Above::Row(above) => above.closes_after(),
            _ => self.closes_after.get(),
        }
    }

    /// How far back its rows can be read as of a time; none if they cannot.
    pub(crate) fn history(&self) -> Option<Duration> {
        match (self.history, &self.above) {
            (History::OfAbove, Above::Row(above)) => above.history(),
            (History::OfAbove, _) => None,
            (History::Own(history), _) => history,
        }
    }

    /// Asks for old values, to compute from them; answers whether they will be sent.
    pub(crate) fn send_old_values(&self, cost: Cost) -> bool {
        self.send_to(Reader::Computes, cost)
    }

    /// Asks for old values, to log them as Kafka Streams does.
    pub(crate) fn log_old_values(&self) {
        self.send_to(Reader::Logs, Cost::EvenAStore);
    }

    fn send_to(&self, reader: Reader, cost: Cost) -> bool {
        let asked = match reader {
            Reader::Computes => &self.tells_old,
            Reader::Logs => &self.logs_old,
        };
        let is_sent = match &self.above {
            _ if asked.get() => true,
            Above::Both(left, right) => {
                left.send_to(reader, Cost::EvenAStore) && right.send_to(reader, Cost::EvenAStore)
            }
            _ if self.stored.get() => true,
            Above::Row(above) => above.send_to(reader, cost),
            Above::Nothing => {
                self.stored.set(cost == Cost::EvenAStore);
                self.stored.get()
            }
        };
        asked.set(is_sent);
        is_sent
    }

    /// Has its rows kept for look-ups: by itself, or by the table that they follow from.
    pub(crate) fn materialize(&self) {
        match &self.above {
            _ if self.stored.get() => {}
            Above::Nothing => self.stored.set(true),
            Above::Row(above) => above.materialize(),
            Above::Both(left, right) => {
                left.materialize();
                right.materialize();
            }
        }
    }

    /// The store's name, if the user gave one.
    pub(crate) fn store(&self) -> Option<Arc<str>> {
        self.queryable.as_ref().map(Arc::clone)
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.stored.get()
    }

    pub(crate) fn sends_old(&self) -> bool {
        self.tells_old.get() || self.logs_old.get()
    }

    /// Whether something downstream computes from old values.
    pub(crate) fn tells_old(&self) -> bool {
        self.tells_old.get()
    }

    /// Whether something downstream logs old values as Kafka Streams does.
    pub(crate) fn logs_old(&self) -> bool {
        self.logs_old.get()
    }
}

/// Adds a table's processor, and its store if it has one.
pub(crate) fn lower_table<K: Data, V: Data, P: Processor>(
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    store: Option<(&Materialized<K, V>, &Arc<str>)>,
    supplier: impl Fn() -> P + Send + Sync + 'static,
) {
    lowering.processor(name, supplier);
    if let Some((materialized, store)) = store {
        materialized.add_store(lowering.topology(), store, name);
    }
}
