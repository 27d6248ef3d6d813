//! A stream grouped by key, ready to be aggregated.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};
use onceflow_framework::topology::Produced;

use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::names::Named;
use crate::null::OrNull;
use crate::repartition::{RepartitionNames, add_repartition};
use crate::stream::KStream;

/// How records are grouped: the serdes of what is grouped, and a name.
///
/// The name is that of the repartition topic, `<application>-<name>-repartition`, should one be
/// needed; `group_by` also names its key-selecting node so.
///
/// ```
/// use onceflow::prelude::*;
///
/// let by_serdes = Grouped::with(utf8(), i64()).with_name("by-customer");
/// let same_types: Grouped<String, i64> = Grouped::new();
/// # let _ = (by_serdes, same_types);
/// ```
pub struct Grouped<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) name: Option<Arc<str>>,
}

impl<K: 'static, V: 'static> Grouped<K, V> {
    /// With the default serdes of the types.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.group_by_key(Grouped::new()).count_with(Materialized::as_store("counts"));
    /// assert_eq!(builder.build()?.internal_topics("shop"), ["shop-counts-changelog"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Grouped::with(K::default_serde(), V::default_serde())
    }

    /// With these serdes.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let by_cents = orders.group_by(|_, cents| *cents, Grouped::with(i64(), i64()));
    /// by_cents.count_with(Materialized::as_store("counts"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// let counts = driver.timestamped_key_value_store::<i64, i64>("counts")?;
    /// assert_eq!(counts.get(&30)?.map(|row| row.value), Some(1));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Grouped {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            name: None,
        }
    }

    /// Names the grouping (`Grouped.as` in Java).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let by_cents = orders.group_by(|_, cents| *cents, Grouped::new().with_name("by-cents"));
    /// by_cents.count_with(Materialized::as_store("counts"));
    /// let topics = builder.build()?.internal_topics("shop");
    /// assert_eq!(topics, ["shop-by-cents-repartition", "shop-counts-changelog"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Grouped<K, V> {
    fn default() -> Self {
        Grouped::new()
    }
}

impl<K, V> Clone for Grouped<K, V> {
    fn clone(&self) -> Self {
        Grouped {
            key: self.key.clone(),
            value: self.value.clone(),
            name: self.name.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Grouped<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grouped")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("name", &self.name)
            .finish()
    }
}

/// A stream grouped by its key: what `count`, `reduce` and `aggregate` are called on.
///
/// `K` and `V` are what is aggregated, never null. `K0` and `V0` are what the stream carries: the
/// same, or `Option`s of them (see [`OrNull`]); records with a null in them are dropped, counted.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let readings = builder.stream("readings", Consumed::with(nullable(utf8()), i64()));
/// let by_sensor = readings.group_by_key(Grouped::with(utf8(), i64()));
/// let highest: KTable<String, i64> = by_sensor.reduce(i64::max);
/// # let _ = highest;
/// # builder.build()?;
/// # Ok::<(), onceflow::Error>(())
/// ```
pub struct KGroupedStream<K, V, K0 = K, V0 = V> {
    pub(crate) graph: Graph,
    node: NodeId,
    pub(crate) grouped: Grouped<K, V>,
    /// The key was changed: an aggregation needs a repartition topic first.
    rekeyed: bool,
    /// The repartition topic of a named grouping, shared by its aggregations.
    repartition: Rc<Cell<Option<NodeId>>>,
    /// The name of the next operator.
    next_name: Option<Arc<str>>,
    types: PhantomData<fn() -> (K0, V0)>,
}

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    pub(crate) fn new(stream: &KStream<K0, V0>, grouped: Grouped<K, V>) -> Self {
        KGroupedStream {
            graph: stream.graph.clone(),
            node: stream.node,
            grouped,
            rekeyed: stream.rekeyed,
            repartition: Rc::default(),
            next_name: None,
            types: PhantomData,
        }
    }

    /// Names the node of the operator that follows, as [`KStream::named`].
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let counts = orders.group_by_key(Grouped::new()).named("count-orders").count();
    /// assert_eq!(counts.name(), "count-orders");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.next_name = Some(name.into().into_name());
        named
    }

    pub(crate) fn next_name(&self) -> Option<&str> {
        self.next_name.as_deref()
    }

    /// Tells groupings apart; clones are the same one.
    pub(crate) fn identity(&self) -> *const () {
        Rc::as_ptr(&self.repartition).cast()
    }

    /// The node that an aggregation hangs on: the stream's, or a repartition's below it.
    pub(crate) fn partitioned_by_key(&self, store: &str) -> NodeId {
        if !self.rekeyed {
            return self.node;
        }
        let name = self.grouped.name.as_deref();
        name.iter().for_each(|name| self.graph.check(name));
        let names = RepartitionNames::take(&self.graph, name.unwrap_or(store));
        if let Some(shared) = self.repartition.get().filter(|_| name.is_some()) {
            self.graph.add_again(shared);
            return shared;
        }
        let key = K0::serde(self.grouped.key.clone());
        let value = V0::serde(self.grouped.value.clone());
        let produced = Produced::with(key, value);
        let node = add_repartition(&self.graph, self.node, names, produced);
        self.repartition.set(Some(node));
        node
    }
}

impl<K, V, K0, V0> Clone for KGroupedStream<K, V, K0, V0> {
    fn clone(&self) -> Self {
        KGroupedStream {
            graph: self.graph.clone(),
            node: self.node,
            grouped: self.grouped.clone(),
            rekeyed: self.rekeyed,
            repartition: Rc::clone(&self.repartition),
            next_name: self.next_name.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V, K0, V0> fmt::Debug for KGroupedStream<K, V, K0, V0> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KGroupedStream({:?})", self.grouped)
    }
}
