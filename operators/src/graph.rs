//! The logical graph: what the operators said, before it becomes a topology.
//!
//! ```text
//!   operator call ──names, node, typed writer──> Graph ──lower()──> TopologyBuilder ──> Topology
//! ```
//!
//! # Invariants
//!
//! - A node is written after all its parents, and of those that could be written the one that was
//!   added first: Kafka Streams' order, which decides the order of children.
//! - A node may become several nodes of the topology; children hang on its `output`.
//! - Two streams of the same topics become one source, as in Kafka Streams.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::serde::Serde;
use onceflow_framework::topology::{Consumed, OffsetReset, TopicName, TopologyBuilder};
use onceflow_framework::{Error, ErrorKind, Topology};

use crate::Data;
use crate::lowering::Lowering;
use crate::names::{self, Names};
use crate::optimize::{BuildOptions, Role};
use crate::repartition::RepartitionNames;

/// A node of the logical graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Writes a node to the topology; knows its types.
pub(crate) type Write = Box<dyn FnOnce(&mut Lowering<'_>)>;

/// The graph of one builder, shared by all streams and tables that it made.
#[derive(Clone, Default)]
pub(crate) struct Graph(Rc<RefCell<Nodes>>);

#[derive(Default)]
pub(crate) struct Nodes {
    pub(crate) names: Names,
    pub(crate) nodes: Vec<Node>,
    /// Adds what is not a node: stores of the users'.
    extras: Vec<Write>,
    problems: Vec<String>,
    /// Nodes whose topics must have the same number of partitions.
    copartitions: Vec<Vec<NodeId>>,
    /// Counts additions: what is added again moves behind what was added in between.
    additions: usize,
}

pub(crate) struct Node {
    pub(crate) output: Arc<str>,
    /// In the order in which they were given.
    pub(crate) parents: Vec<NodeId>,
    pub(crate) addition: usize,
    pub(crate) role: Role,
    /// The names of a repartition topic and its nodes.
    pub(crate) repartition: Option<RepartitionNames>,
    pub(crate) source: Option<StreamSource>,
    /// The topics that the node itself reads.
    pub(crate) topics: BTreeSet<TopicName>,
    /// Whether what is below has a use for null keys.
    pub(crate) keeps_null_keys: bool,
    pub(crate) write: Write,
}

/// A source that can be shared by streams that read the same topics alike.
pub(crate) struct StreamSource {
    pub(crate) topics: BTreeSet<String>,
    /// Whether that is an expression which describes them.
    pub(crate) is_pattern: bool,
    pub(crate) types: TypeId,
    /// The names of the serdes' types.
    pub(crate) serdes: (&'static str, &'static str),
    pub(crate) reset: Option<OffsetReset>,
}

impl StreamSource {
    /// A source of these topics, that reads so.
    pub(crate) fn of<K: Data, V: Data>(topics: Vec<String>, consumed: &Consumed<K, V>) -> Self {
        StreamSource {
            topics: topics.into_iter().collect(),
            is_pattern: false,
            types: TypeId::of::<(K, V)>(),
            serdes: (
                consumed.key_serde().type_name(),
                consumed.value_serde().type_name(),
            ),
            reset: consumed.offset_reset(),
        }
    }

    /// Why the two cannot be one, if they cannot.
    fn difference(&self, other: &StreamSource) -> Option<String> {
        if self.types != other.types {
            return Some("as different types; read it once, and map".to_owned());
        }
        if self.serdes != other.serdes {
            let ((key, value), (other_key, other_value)) = (self.serdes, other.serdes);
            return Some(format!(
                "by different serdes ({key} and {value}, {other_key} and {other_value}); read it \
                 once"
            ));
        }
        (self.reset != other.reset).then(|| "with different offset resets".to_owned())
    }
}

impl Graph {
    /// The given name, or a generated one; the index is taken either way.
    pub(crate) fn name(&self, given: Option<&str>, prefix: &str) -> Arc<str> {
        self.suffixed_name(given, "", prefix)
    }

    /// The given name and a suffix, or a generated name; the index is taken either way.
    pub(crate) fn suffixed_name(
        &self,
        given: Option<&str>,
        suffix: &str,
        prefix: &str,
    ) -> Arc<str> {
        let generated = self.generate(prefix);
        let Some(given) = given else { return generated };
        self.check(given);
        Arc::from(format!("{given}{suffix}"))
    }

    /// The given name, or a generated one; only the latter takes an index.
    pub(crate) fn name_if_needed(&self, given: Option<&str>, prefix: &str) -> Arc<str> {
        let Some(given) = given else {
            return self.generate(prefix);
        };
        self.check(given);
        Arc::from(given)
    }

    /// A generated name.
    pub(crate) fn generate(&self, prefix: &str) -> Arc<str> {
        self.0.borrow_mut().names.generate(prefix)
    }

    /// The given name of a store, or a generated one; only the latter takes an index.
    pub(crate) fn store_name(&self, given: Option<&Arc<str>>, prefix: &str) -> Arc<str> {
        let Some(given) = given else {
            return self.0.borrow_mut().names.generate_store(prefix);
        };
        self.check(given);
        Arc::clone(given)
    }

    /// Notes a name that cannot be used, for `build` to report.
    pub(crate) fn check(&self, name: &str) {
        if let Some(problem) = names::problem_with(name) {
            self.0.borrow_mut().problems.push(problem);
        }
    }

    /// Notes what is wrong, for `build` to tell.
    pub(crate) fn problem(&self, problem: String) {
        self.0.borrow_mut().problems.push(problem);
    }

    /// Another stream's or table's node as a parent of a new one here; none, and a problem for
    /// `build` to report, if it belongs to another builder.
    pub(crate) fn own(&self, other: &Graph, node: NodeId, name: &str) -> Option<NodeId> {
        if Rc::ptr_eq(&self.0, &other.0) {
            return Some(node);
        }
        let problem = format!("node {name} belongs to another builder");
        self.0.borrow_mut().problems.push(problem);
        None
    }

    /// Adds a node; `write` is called once, after the parents were written.
    pub(crate) fn add(
        &self,
        output: Arc<str>,
        parents: &[NodeId],
        write: impl FnOnce(&mut Lowering<'_>) + 'static,
    ) -> NodeId {
        self.insert(output, parents, None, Box::new(write))
    }

    /// Adds a source that other streams of its topics may share.
    pub(crate) fn add_stream_source(
        &self,
        output: Arc<str>,
        source: StreamSource,
        write: impl FnOnce(&mut Lowering<'_>) + 'static,
    ) -> NodeId {
        self.insert(output, &[], Some(source), Box::new(write))
    }

    /// Notes the topic that a node reads.
    pub(crate) fn reads(&self, node: NodeId, topic: TopicName) {
        let mut data = self.0.borrow_mut();
        if let Some(node) = data.nodes.get_mut(node.0) {
            node.topics.insert(topic);
        }
    }

    /// Says what a node does, as far as an optimisation must know.
    pub(crate) fn set_role(&self, node: NodeId, role: Role) {
        let mut data = self.0.borrow_mut();
        if let Some(node) = data.nodes.get_mut(node.0) {
            node.role = role;
        }
    }

    /// Makes a node a repartition topic, which reads itself.
    pub(crate) fn set_repartition(&self, node: NodeId, role: Role, names: RepartitionNames) {
        self.set_role(node, role);
        let mut data = self.0.borrow_mut();
        if let Some(node) = data.nodes.get_mut(node.0) {
            node.topics.insert(TopicName::internal(&*names.topic));
            node.repartition = Some(names);
        }
    }

    /// Has the repartition topics at or above a node take null keys too: a left or outer join is
    /// below it (KIP-962).
    pub(crate) fn keep_null_keys(&self, node: NodeId) {
        let mut data = self.0.borrow_mut();
        if let Some(node) = data.nodes.get_mut(node.0) {
            node.keeps_null_keys = true;
        }
    }

    /// Requires that the topics which these nodes read, or what is above them reads, have the
    /// same number of partitions.
    pub(crate) fn copartition(&self, nodes: &[NodeId]) {
        self.0.borrow_mut().copartitions.push(nodes.to_vec());
    }

    /// Adds something that is no node, before all nodes.
    pub(crate) fn add_extra(&self, write: impl FnOnce(&mut Lowering<'_>) + 'static) {
        self.0.borrow_mut().extras.push(Box::new(write));
    }

    /// Moves a node behind all that was added since: it is written later.
    pub(crate) fn add_again(&self, node: NodeId) {
        let mut data = self.0.borrow_mut();
        let addition = data.next_addition();
        if let Some(node) = data.nodes.get_mut(node.0) {
            node.addition = addition;
        }
    }

    fn insert(
        &self,
        output: Arc<str>,
        parents: &[NodeId],
        source: Option<StreamSource>,
        write: Write,
    ) -> NodeId {
        let mut data = self.0.borrow_mut();
        let addition = data.next_addition();
        data.nodes.push(Node {
            output,
            parents: distinct(parents.iter().copied()),
            addition,
            role: Role::default(),
            repartition: None,
            topics: topics_of(source.as_ref()),
            keeps_null_keys: false,
            source,
            write,
        });
        NodeId(data.nodes.len() - 1)
    }

    /// Writes everything to a topology; the graph is empty afterwards.
    pub(crate) fn lower(&self, options: &BuildOptions) -> Result<Topology, Error> {
        let mut data = self.0.take();
        data.share_sources();
        if options.merges_repartitions() {
            data.merge_repartitions();
        }
        data.keep_null_keys_above();
        let mut topology = TopologyBuilder::new();
        for extra in std::mem::take(&mut data.extras) {
            extra(&mut Lowering::new(&mut topology, Vec::new(), &[]));
        }
        let outputs: Vec<Arc<str>> = data.nodes.iter().map(|n| Arc::clone(&n.output)).collect();
        for nodes in &data.copartitions {
            topology.copartition(data.topics_above(nodes));
        }
        for node in data.in_order() {
            let parents = node.parents.iter().map(|p| Arc::clone(&outputs[p.0]));
            let mut lowering = Lowering::new(&mut topology, parents.collect(), &outputs);
            lowering.keeps_null_keys = node.keeps_null_keys;
            lowering.repartition = node.repartition;
            lowering.cache_bytes_max = options.cache_bytes_max();
            lowering.logged_headers = options.logged_headers();
            lowering.store_type = options.store_type();
            lowering.reuses_source_topics = options.reuses_source_topics();
            lowering.simplifies_self_joins = options.simplifies_self_joins();
            (node.write)(&mut lowering);
        }
        let built = topology.build();
        if let (true, Ok(topology)) = (options.requires_names(), &built) {
            data.require_names(topology);
        }
        if data.problems.is_empty() {
            return built;
        }
        let what = "invalid topology";
        let error = Error::listing(ErrorKind::Topology, what, &data.problems);
        Err(match built {
            Ok(_) => error,
            Err(more) => error.because(more),
        })
    }
}

/// Without repetitions, in the same order.
pub(crate) fn distinct(nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut seen = BTreeSet::new();
    nodes.filter(|node| seen.insert(*node)).collect()
}

/// The topics of a source that is shared, or may be.
fn topics_of(source: Option<&StreamSource>) -> BTreeSet<TopicName> {
    let topics = source.into_iter().flat_map(|source| &source.topics);
    topics.map(|topic| TopicName::from(&**topic)).collect()
}

impl Nodes {
    /// Has every node above one that keeps null keys keep them too, however far above.
    fn keep_null_keys_above(&mut self) {
        let keeps = |id: &NodeId| self.nodes[id.0].keeps_null_keys;
        let mut below: Vec<NodeId> = (0..self.nodes.len()).map(NodeId).filter(keeps).collect();
        while let Some(id) = below.pop() {
            for parent in self.nodes[id.0].parents.clone() {
                if !self.nodes[parent.0].keeps_null_keys {
                    self.nodes[parent.0].keeps_null_keys = true;
                    below.push(parent);
                }
            }
        }
    }

    /// The topics that are read by these nodes, or else by the nodes above them.
    fn topics_above(&self, nodes: &[NodeId]) -> BTreeSet<TopicName> {
        let mut topics = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(node) = open.pop().map(|id| &self.nodes[id.0]) {
            topics.extend(node.topics.iter().cloned());
            if node.topics.is_empty() {
                open.extend(&node.parents);
            }
        }
        topics
    }

    /// Notes the topics whose names were generated.
    fn require_names(&mut self, topology: &Topology) {
        for topic in topology.internal_topics("") {
            let topic = topic.trim_start_matches('-');
            let repartitioned = topic.strip_suffix("-repartition");
            let name = repartitioned.or(topic.strip_suffix("-changelog"));
            if name.is_some_and(|name| self.names.is_of_these(name)) {
                self.problems.push(format!(
                    "topic {topic} has a generated name, which changes with the topology; name \
                     the operator, its Grouped or its Materialized"
                ));
            }
        }
    }

    fn next_addition(&mut self) -> usize {
        self.additions += 1;
        self.additions
    }

    /// Makes one source of all streams of the same topics; the first one's options count.
    fn share_sources(&mut self) {
        let mut first: BTreeMap<(bool, BTreeSet<String>), usize> = BTreeMap::new();
        let mut shared: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(source) = &node.source else { continue };
            let topics = (source.is_pattern, source.topics.clone());
            let of_topics = *first.entry(topics).or_insert(index);
            if of_topics == index {
                continue;
            }
            let main = &self.nodes[of_topics];
            let difference = main
                .source
                .as_ref()
                .and_then(|main| main.difference(source));
            if let Some(difference) = difference {
                let (one, two) = (&main.output, &node.output);
                let topics = source.topics.iter().cloned().collect::<Vec<_>>().join(", ");
                self.problems.push(format!(
                    "sources {one} and {two} read {topics} {difference}"
                ));
            }
            shared.insert(NodeId(index), NodeId(of_topics));
        }
        for node in &mut self.nodes {
            let parents = node.parents.iter();
            node.parents = distinct(parents.map(|p| *shared.get(p).unwrap_or(p)));
        }
        for (gone, main) in shared {
            self.nodes[gone.0].output = Arc::clone(&self.nodes[main.0].output);
            self.nodes[gone.0].write = Box::new(|_| {});
        }
    }

    /// The nodes, parents first, and otherwise in the order of their addition.
    fn in_order(&mut self) -> Vec<Node> {
        let mut nodes: Vec<Option<Node>> = self.nodes.drain(..).map(Some).collect();
        let mut waiting: BTreeSet<(usize, usize)> = BTreeSet::new();
        waiting.extend(
            nodes
                .iter()
                .flatten()
                .enumerate()
                .map(|(i, n)| (n.addition, i)),
        );
        let mut order = Vec::with_capacity(nodes.len());
        while !waiting.is_empty() {
            let is_written = |parent: &NodeId| nodes[parent.0].is_none();
            let next = waiting.iter().copied().find(|(_, index)| {
                let node = nodes[*index].as_ref();
                node.is_some_and(|node| node.parents.iter().all(is_written))
            });
            let next = next.expect("a node's parents exist before it, so there is no cycle");
            waiting.remove(&next);
            order.extend(nodes[next.1].take());
        }
        order
    }
}
