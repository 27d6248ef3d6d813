//! Repartition topics: records go out by their new key and come back on the right task.
//!
//! ```text
//!   ─> null-key filter ─> sink ─> <application>-<prefix>-repartition ─> source ─>
//! ```
//!
//! Three names are taken for each, in the order sink, filter, source, whether they are used or
//! not. A prefix that is itself generated leaves them generated; a given one names all three.
//!
//! The filter lets null keys pass if a join behind the topic has a use for them (KIP-962).

use std::fmt;
use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Partitioner};
use onceflow_framework::serde::{DefaultSerde, Serde};
use onceflow_framework::topology::{Consumed, Produced, TopicName};

use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::names::{self, FILTER, SINK, SOURCE};
use crate::optimize::Role;
use crate::stream::Step;

/// How a stream is repartitioned: serdes, name, number of partitions, partitioner.
///
/// ```
/// use onceflow::prelude::*;
///
/// let by_customer = Repartitioned::with(utf8(), i64())
///     .with_name("by-customer")
///     .with_partitions(12);
/// let same_types: Repartitioned<String, i64> = Repartitioned::new();
/// # let _ = (by_customer, same_types);
/// ```
pub struct Repartitioned<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) partitions: Option<i32>,
    pub(crate) produced: Produced<K, V>,
}

impl<K: 'static, V: 'static> Repartitioned<K, V> {
    /// With the default serdes of the types.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.repartition(Repartitioned::new()).to("out", Produced::new());
    /// let topics = builder.build()?.internal_topics("shop");
    /// assert_eq!(topics, ["shop-KSTREAM-REPARTITION-0000000001-repartition"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Repartitioned::with(K::default_serde(), V::default_serde())
    }

    /// With these serdes.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.repartition(Repartitioned::with(utf8(), i64())).to("out", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output_topic("out", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Repartitioned {
            name: None,
            partitions: None,
            produced: Produced::with(key, value),
        }
    }

    /// Names the topic, `<application>-<name>-repartition`, and its nodes.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.repartition(Repartitioned::new().with_name("spread")).to("out", Produced::new());
    /// assert_eq!(builder.build()?.internal_topics("shop"), ["shop-spread-repartition"]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives the topic this many partitions (default: as many as the largest input upstream).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let spread = Repartitioned::new().with_name("spread").with_partitions(3);
    /// orders.repartition(spread).to("out", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for key in 0..20 {
    ///     orders.pipe(key.to_string(), 1, Timestamp::from_millis(0))?;
    /// }
    /// let spread = driver.topic_history("app-spread-repartition");
    /// assert!((0..3).all(|partition| spread.iter().any(|r| r.partition == partition)));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Chooses partitions by a function (default: murmur2 of the key, as Java producers).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let last = |_: &Record<String, i64>, partitions: i32| Partitions::One(partitions - 1);
    /// let spread = Repartitioned::new().with_name("spread").with_partitions(3).with_partitioner(last);
    /// orders.repartition(spread).to("out", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.topic_history("app-spread-repartition")[0].partition, 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_partitioner(mut self, partitioner: impl Partitioner<K, V> + 'static) -> Self {
        self.produced = self.produced.with_partitioner(partitioner);
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Repartitioned<K, V> {
    fn default() -> Self {
        Repartitioned::new()
    }
}

impl<K, V> Clone for Repartitioned<K, V> {
    fn clone(&self) -> Self {
        Repartitioned {
            name: self.name.clone(),
            partitions: self.partitions,
            produced: self.produced.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Repartitioned<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repartitioned")
            .field("name", &self.name)
            .field("partitions", &self.partitions)
            .field("produced", &self.produced)
            .finish()
    }
}

/// The names of one repartition topic and its nodes.
#[derive(Debug, Clone)]
pub(crate) struct RepartitionNames {
    pub(crate) topic: String,
    sink: Arc<str>,
    filter: Arc<str>,
    pub(crate) source: Arc<str>,
}

impl RepartitionNames {
    /// Takes the three indices, and uses them if the prefix is a generated name.
    pub(crate) fn take(graph: &Graph, prefix: &str) -> Self {
        let [sink, filter, source] = [SINK, FILTER, SOURCE].map(|kind| graph.generate(kind));
        let topic = format!("{prefix}-repartition");
        if names::is_generated(prefix) {
            return RepartitionNames {
                topic,
                sink,
                filter,
                source,
            };
        }
        RepartitionNames::of_topic(topic)
    }

    /// Names after the topic.
    pub(crate) fn of_topic(topic: String) -> Self {
        RepartitionNames {
            sink: Arc::from(format!("{topic}-sink")),
            filter: Arc::from(format!("{topic}-filter")),
            source: Arc::from(format!("{topic}-source")),
            topic,
        }
    }
}

/// Adds a repartition topic below a node; what follows hangs on its source.
pub(crate) fn add_repartition<K: Data, V: Data>(
    graph: &Graph,
    parent: NodeId,
    names: RepartitionNames,
    produced: Produced<K, V>,
) -> NodeId {
    let node = add_named_repartition(graph, parent, &names, None, produced);
    graph.set_repartition(node, Role::Repartitions, names);
    node
}

/// As [`add_repartition`], for one that the user asked for: it is never merged with others.
pub(crate) fn add_asked_repartition<K: Data, V: Data>(
    graph: &Graph,
    parent: NodeId,
    names: RepartitionNames,
    partitions: Option<i32>,
    produced: Produced<K, V>,
) -> NodeId {
    let node = add_named_repartition(graph, parent, &names, partitions, produced);
    graph.set_repartition(node, Role::Passes, names);
    node
}

fn add_named_repartition<K: Data, V: Data>(
    graph: &Graph,
    parent: NodeId,
    names: &RepartitionNames,
    partitions: Option<i32>,
    produced: Produced<K, V>,
) -> NodeId {
    graph.add(Arc::clone(&names.source), &[parent], move |lowering| {
        let names = lowering.repartition.take();
        let names = names.expect("a repartition topic has names");
        let keeps_null_keys = lowering.keeps_null_keys;
        let topology = lowering.topology();
        let topic = topology.add_internal_topic(&names.topic, partitions);
        let key = produced.key_serde().clone();
        let not_null = move |record: Record<K, V>, ctx: &mut Context<K, V>| {
            if !keeps_null_keys && key.is_null(&record.key) {
                ctx.dropped(DropReason::NullKey);
                return Ok(());
            }
            ctx.forward(record)
        };
        lowering.processor(&names.filter, Step::supplier(not_null));
        lowering.sink(&names.sink, topic.clone(), produced.clone());
        add_source_of(lowering.topology(), &names.source, topic, &produced);
    })
}

/// Reads an internal topic back with the serdes it was written with.
pub(crate) fn add_source_of<K: Data, V: Data>(
    topology: &mut onceflow_framework::TopologyBuilder,
    name: &str,
    topic: TopicName,
    produced: &Produced<K, V>,
) {
    let (key, value) = (produced.key_serde().clone(), produced.value_serde().clone());
    let _source = topology.add_source(name, [topic], Consumed::with(key, value));
}
