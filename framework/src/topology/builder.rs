//! Building a topology node by node: Kafka Streams' `Topology`, with typed handles for edges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::node::{
    AsyncFactory, NodeFactory, NodeKind, NodeSpec, ProcessorFactory, SinkFactory, SourceFactory,
    Target,
};
use super::options::{Consumed, Produced, TopicName};
use super::pattern::TopicPattern;
use super::source_store::{RowsOf, SourceStore};
use super::sub_topology::split;
use super::{InternalTopic, Topology};
use crate::error::{Error, ErrorKind};
use crate::processor::external::ExternalSink;
use crate::processor::{
    AsyncCalls, AsyncProcessor, ExternalNode, FixedKeyAdapter, FixedKeyProcessor, Processor,
};
use crate::record::Record;
use crate::state::{StoreBuilder, StoreSpec};

/// A node that was added, by name, with the types of the records that leave it.
///
/// Only a node that takes these types can be its child: anything else does not compile.
pub struct NodeRef<K, V> {
    name: Arc<str>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> NodeRef<K, V> {
    /// A handle for a node of that name, for layers that keep names and know the types.
    ///
    /// A name that no node has is reported by [`TopologyBuilder::build`]. Types that differ
    /// from the node's are a bug of the caller and panic when a task is made.
    #[must_use]
    pub fn named(name: &str) -> Self {
        NodeRef {
            name: Arc::from(name),
            types: PhantomData,
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<K, V> Clone for NodeRef<K, V> {
    fn clone(&self) -> Self {
        NodeRef {
            name: Arc::clone(&self.name),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for NodeRef<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeRef({})", self.name)
    }
}

/// Builds a [`Topology`] from sources, processors, stores and sinks.
///
/// ```
/// use onceflow_framework::processor::{Context, Processor};
/// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
/// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
/// use onceflow_framework::{Fault, Record, serde};
///
/// /// Counts records by key.
/// #[derive(Default)]
/// struct Count(Option<KeyValueStore<String, i64>>);
///
/// impl Processor for Count {
///     type KeyIn = String;
///     type ValueIn = String;
///     type KeyOut = String;
///     type ValueOut = i64;
///
///     fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
///         self.0 = Some(ctx.key_value_store("counts")?);
///         Ok(())
///     }
///
///     fn process(
///         &mut self,
///         record: Record<String, String>,
///         ctx: &mut Context<String, i64>,
///     ) -> Result<(), Fault> {
///         let store = self.0.as_ref().expect("init ran");
///         let count = store.get(&record.key)?.unwrap_or(0) + 1;
///         store.put(&record.key, &count)?;
///         ctx.forward(record.with_value(count))
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let words = builder.add_source("words", ["words"], Consumed::<String, String>::new());
/// let count = builder.add_processor("count", Count::default, &[&words]);
/// builder.add_state_store(StoreBuilder::key_value("counts", serde::utf8(), serde::i64()), &["count"]);
/// builder.add_sink("out", "counts", Produced::new(), &[&count]);
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: count (stores: [counts])"));
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
#[derive(Default)]
pub struct TopologyBuilder {
    pub(super) nodes: Vec<NodeSpec>,
    pub(super) by_name: BTreeMap<Arc<str>, usize>,
    stores: BTreeMap<Arc<str>, StoreSpec>,
    source_stores: BTreeMap<Arc<str>, SourceStore>,
    pub(super) internal_topics: BTreeMap<Arc<str>, InternalTopic>,
    pub(super) copartitions: Vec<BTreeSet<TopicName>>,
    /// Each node with a parent that was not there when it was added.
    pub(super) orphans: Vec<(Arc<str>, Arc<str>)>,
    /// What is wrong so far: told all at once by `build`.
    pub(super) problems: Vec<String>,
}

impl TopologyBuilder {
    /// An empty topology.
    #[must_use]
    pub fn new() -> Self {
        TopologyBuilder::default()
    }

    /// Adds a source that reads `topics`.
    pub fn add_source<K: Clone + 'static, V: Clone + 'static, T: Into<TopicName>>(
        &mut self,
        name: &str,
        topics: impl IntoIterator<Item = T>,
        consumed: Consumed<K, V>,
    ) -> NodeRef<K, V> {
        let topics: Vec<TopicName> = topics.into_iter().map(Into::into).collect();
        if topics.is_empty() {
            self.problems.push(format!("source {name} reads no topic"));
        }
        self.check_unread(name, &topics);
        let kind = NodeKind::Source {
            topics,
            pattern: None,
            reset: consumed.reset,
        };
        self.add(name, kind, Vec::new(), Arc::new(SourceFactory(consumed)))
    }

    /// Adds a source of all topics whose whole names match a regular expression, in the syntax of
    /// the [`regex`](https://docs.rs/regex) crate: those that there are, and those to come.
    ///
    /// A new topic is found within `metadata.max.age.ms` (5 minutes). Neither the application's own
    /// topics nor the broker's are matched.
    ///
    /// ```
    /// use onceflow_framework::topology::{Consumed, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_source_pattern("orders", "orders-[a-z]+", Consumed::<String, String>::new());
    /// assert!(builder.build()?.describe().contains("Source: orders (topics: orders-[a-z]+)"));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn add_source_pattern<K: Clone + 'static, V: Clone + 'static>(
        &mut self,
        name: &str,
        pattern: &str,
        consumed: Consumed<K, V>,
    ) -> NodeRef<K, V> {
        let matching = TopicPattern::new(pattern);
        if let Err(error) = &matching {
            let problem = format!("source {name} cannot match topics with {pattern}: {error}");
            self.problems.push(problem);
        }
        let kind = NodeKind::Source {
            topics: vec![TopicName::from(pattern)],
            pattern: matching.ok(),
            reset: consumed.reset,
        };
        self.add(name, kind, Vec::new(), Arc::new(SourceFactory(consumed)))
    }

    /// Adds a processor; `supplier` makes a new one for each task.
    pub fn add_processor<P: Processor>(
        &mut self,
        name: &str,
        supplier: impl Fn() -> P + Send + Sync + 'static,
        parents: &[&NodeRef<P::KeyIn, P::ValueIn>],
    ) -> NodeRef<P::KeyOut, P::ValueOut> {
        let parents = self.parents_of(name, parents);
        let kind = NodeKind::Processor { stores: Vec::new() };
        self.add(name, kind, parents, Arc::new(ProcessorFactory(supplier)))
    }

    /// Adds a processor that cannot change the key.
    pub fn add_fixed_key_processor<P: FixedKeyProcessor>(
        &mut self,
        name: &str,
        supplier: impl Fn() -> P + Send + Sync + 'static,
        parents: &[&NodeRef<P::Key, P::ValueIn>],
    ) -> NodeRef<P::Key, P::ValueOut> {
        self.add_processor(name, move || FixedKeyAdapter(supplier()), parents)
    }

    /// Adds a sink that writes to a system outside Kafka; what it guarantees is told by
    /// [`external`](crate::processor::external), with an example.
    ///
    /// The system knows its positions by the name: under another one it begins anew.
    pub fn add_external_sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        sink: impl ExternalSink<K, V>,
        parents: &[&NodeRef<K, V>],
    ) {
        let sink = Arc::new(sink);
        let supplier = move || ExternalNode::new(Arc::clone(&sink));
        let _end: NodeRef<(), ()> = self.add_processor(name, supplier, parents);
    }

    /// Adds a processor that calls the outside, many calls at a time; one value serves all tasks.
    ///
    /// ```
    /// use onceflow_framework::processor::{AsyncCalls, AsyncProcessor};
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// /// Asks for the price of what was ordered.
    /// struct Prices;
    ///
    /// impl AsyncProcessor for Prices {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = String;
    ///     type ValueOut = i64;
    ///     type Results = Option<Record<String, i64>>;
    ///
    ///     async fn call(&self, order: Record<String, i64>) -> Result<Self::Results, Fault> {
    ///         let cents = match order.key.as_str() {
    ///             "nuts" => 3,
    ///             _ => return Ok(None), // a client's `get(..).await?` stands here
    ///         };
    ///         let total = cents * order.value;
    ///         Ok(Some(order.with_value(total)))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let orders = builder.add_source("orders", ["orders"], Consumed::<String, i64>::new());
    /// let prices = builder.add_async_processor("prices", Prices, AsyncCalls::new(), &[&orders]);
    /// builder.add_sink("out", "totals", Produced::new(), &[&prices]);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// orders.pipe("nuts", 7, Timestamp::from_millis(1))?;
    /// orders.pipe("bolts", 7, Timestamp::from_millis(2))?;
    /// let totals = driver.output_topic("totals", utf8(), i64());
    /// assert_eq!(totals.read_key_values()?, [("nuts".to_owned(), 21)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn add_async_processor<P: AsyncProcessor>(
        &mut self,
        name: &str,
        processor: P,
        calls: AsyncCalls,
        parents: &[&NodeRef<P::KeyIn, P::ValueIn>],
    ) -> NodeRef<P::KeyOut, P::ValueOut> {
        let parents = self.parents_of(name, parents);
        let kind = NodeKind::Processor { stores: Vec::new() };
        let processor = Arc::new(processor);
        let factory = AsyncFactory { processor, calls };
        self.add(name, kind, parents, Arc::new(factory))
    }

    /// Adds a sink that writes to `topic`.
    pub fn add_sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: impl Into<TopicName>,
        produced: Produced<K, V>,
        parents: &[&NodeRef<K, V>],
    ) {
        let topic = topic.into();
        let parents = self.parents_of(name, parents);
        let kind = NodeKind::Sink {
            topic: Some(topic.clone()),
        };
        let factory = SinkFactory {
            produced,
            target: Target::Topic(topic),
        };
        let _sink: NodeRef<K, V> = self.add(name, kind, parents, Arc::new(factory));
    }

    /// Adds a sink that writes each record to the topic that `extract` names; it must exist.
    pub fn add_extracted_sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        extract: impl Fn(&Record<K, V>) -> String + Send + Sync + 'static,
        produced: Produced<K, V>,
        parents: &[&NodeRef<K, V>],
    ) {
        let parents = self.parents_of(name, parents);
        let factory = SinkFactory {
            produced,
            target: Target::Extracted(Arc::new(extract)),
        };
        let kind = NodeKind::Sink { topic: None };
        let _sink: NodeRef<K, V> = self.add(name, kind, parents, Arc::new(factory));
    }

    /// Adds a store and connects it to processors.
    pub fn add_state_store<K: 'static, V: 'static>(
        &mut self,
        store: StoreBuilder<K, V>,
        processors: &[&str],
    ) {
        let spec = store.into_spec();
        let name = Arc::clone(&spec.name);
        if self.stores.insert(Arc::clone(&name), spec).is_some() {
            self.problems.push(format!("two stores are named {name}"));
        }
        for processor in processors {
            self.connect_processor_and_stores(processor, &[&name]);
        }
    }

    /// Adds a store that holds the last value of each key of a source's topic, read as `consumed`
    /// says: it has no changelog, and is restored from that topic.
    pub fn add_source_store<K: Clone + 'static, V: Clone + 'static>(
        &mut self,
        store: StoreBuilder<K, V>,
        topic: impl Into<TopicName>,
        consumed: &Consumed<Option<K>, Option<V>>,
        processors: &[&str],
    ) {
        let rows = RowsOf {
            consumed: consumed.clone(),
            store: store.shared_serdes(),
        };
        let source = SourceStore {
            topic: topic.into(),
            rows: Arc::new(rows),
        };
        self.source_stores.insert(Arc::from(store.name()), source);
        self.add_state_store(store.with_logging_disabled(), processors);
    }

    /// Gives a processor access to stores; processors that share one run in the same task.
    pub fn connect_processor_and_stores(&mut self, processor: &str, stores: &[&str]) {
        let node = self
            .by_name
            .get(processor)
            .map(|index| &mut self.nodes[*index].kind);
        let Some(NodeKind::Processor { stores: connected }) = node else {
            self.problems.push(format!(
                "stores {} are connected to {processor}, which is no processor",
                stores.join(", ")
            ));
            return;
        };
        for store in stores {
            if !connected.iter().any(|have| **have == **store) {
                connected.push(Arc::from(*store));
            }
        }
    }

    /// Declares a repartition topic, to be created as `<application id>-<name>`.
    ///
    /// Without a partition count it gets that of the largest topic it is co-partitioned with,
    /// or of the largest input upstream of it.
    pub fn add_internal_topic(&mut self, name: &str, partitions: Option<i32>) -> TopicName {
        if partitions.is_some_and(|count| count < 1) {
            self.problems.push(format!(
                "repartition topic {name} needs at least one partition"
            ));
        }
        let topic = InternalTopic { partitions };
        if self
            .internal_topics
            .insert(Arc::from(name), topic)
            .is_some()
        {
            self.problems
                .push(format!("two repartition topics are named {name}"));
        }
        TopicName::internal(name)
    }

    /// Requires that topics have the same number of partitions, as a join does.
    pub fn copartition(&mut self, topics: impl IntoIterator<Item = TopicName>) {
        self.copartitions.push(topics.into_iter().collect());
    }

    /// Checks the whole and closes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topology`] with everything that is wrong, nodes named: two nodes, stores or
    /// sources of one name or topic, unknown parents or stores, a cycle, repartition topics of one
    /// join that were declared with different partition counts, a store that nobody uses, no source
    /// at all. How many partitions the topics of others have is known, and checked, when the
    /// topology is run.
    ///
    /// ```
    /// use onceflow_framework::topology::{Consumed, NodeRef, Produced, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let _orders = builder.add_source("in", ["orders"], Consumed::<String, i64>::new());
    /// let typo: NodeRef<String, i64> = NodeRef::named("ordesr");
    /// builder.add_sink("out", "copy", Produced::new(), &[&typo]);
    /// let error = builder.build().unwrap_err();
    /// assert!(error.to_string().contains("node out has unknown parent ordesr"));
    /// ```
    pub fn build(mut self) -> Result<Topology, Error> {
        self.check_parents();
        self.check_stores();
        self.check_patterns();
        self.check_global();
        self.check_declared_counts();
        let is_source = |node: &NodeSpec| match node.kind {
            NodeKind::Source { .. } | NodeKind::GlobalSource { .. } => true,
            NodeKind::Processor { .. } | NodeKind::Sink { .. } => false,
        };
        if !self.nodes.iter().any(is_source) {
            self.problems
                .push("there is no source: nothing would ever be processed".to_owned());
        }
        if !self.problems.is_empty() {
            let what = "invalid topology";
            return Err(Error::listing(ErrorKind::Topology, what, &self.problems));
        }
        let sub_topologies = split(&self.nodes, &self.copartitions);
        Ok(Topology {
            nodes: self.nodes,
            stores: self.stores,
            source_stores: self.source_stores,
            internal_topics: self.internal_topics,
            sub_topologies,
        })
    }

    /// A topic has one source.
    pub(super) fn check_unread(&mut self, name: &str, topics: &[TopicName]) {
        for topic in topics {
            let is_read = |node: &&NodeSpec| node.source_topics().contains(topic);
            if let Some(other) = self.nodes.iter().find(is_read).map(|node| &node.name) {
                self.problems.push(format!(
                    "sources {other} and {name} both read topic {topic}"
                ));
            }
        }
    }

    fn check_stores(&mut self) {
        for (store, source) in &self.source_stores {
            let topic = &source.topic;
            let is_read = |node: &NodeSpec| node.source_topics().contains(topic);
            if !self.nodes.iter().any(is_read) {
                self.problems.push(format!(
                    "store {store} is a copy of topic {topic}, which no source reads"
                ));
            }
        }
        let used = self
            .nodes
            .iter()
            .flat_map(|n| n.stores().iter().map(move |s| (&n.name, s)));
        for (node, store) in used.clone() {
            if !self.stores.contains_key(store) {
                self.problems.push(format!(
                    "node {node} uses store {store}, which does not exist"
                ));
            }
        }
        let used: BTreeSet<&Arc<str>> = used.map(|(_, store)| store).collect();
        for store in self.stores.keys().filter(|store| !used.contains(store)) {
            self.problems
                .push(format!("store {store} is connected to no processor"));
        }
    }

    fn parents_of<K, V>(&mut self, name: &str, parents: &[&NodeRef<K, V>]) -> Vec<usize> {
        if parents.is_empty() {
            self.problems
                .push(format!("node {name} has no parent: nothing would reach it"));
        }
        let mut indices = Vec::with_capacity(parents.len());
        for parent in parents {
            match self.by_name.get(&parent.name) {
                Some(index) => indices.push(*index),
                None => self
                    .orphans
                    .push((Arc::from(name), Arc::clone(&parent.name))),
            }
        }
        indices
    }

    pub(super) fn add<K, V>(
        &mut self,
        name: &str,
        kind: NodeKind,
        parents: Vec<usize>,
        factory: Arc<dyn NodeFactory>,
    ) -> NodeRef<K, V> {
        let index = self.nodes.len();
        let name: Arc<str> = Arc::from(name);
        if self.by_name.insert(Arc::clone(&name), index).is_some() {
            self.problems.push(format!("two nodes are named {name}"));
        }
        for parent in &parents {
            self.nodes[*parent].children.push(index);
        }
        let children = Vec::new();
        self.nodes.push(NodeSpec {
            name: Arc::clone(&name),
            kind,
            parents,
            children,
            factory,
        });
        NodeRef {
            name,
            types: PhantomData,
        }
    }
}

impl fmt::Debug for TopologyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.nodes.iter().map(|node| &node.name))
            .finish()
    }
}
