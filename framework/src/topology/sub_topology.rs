//! Sub-topologies: the connected parts of the graph, each the plan of one kind of task.
//!
//! Nodes belong together when an edge or a shared store joins them. Parts are numbered in the
//! order in which their first sources were added, as in Kafka Streams: a name given to a source
//! does not renumber them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::node::NodeSpec;
use super::options::TopicName;

/// One connected part of the graph.
#[derive(Debug, Clone)]
pub(crate) struct SubTopology {
    /// Indices of its nodes, in order of execution.
    pub(crate) nodes: Vec<usize>,
    /// The topics that its sources read, sorted.
    pub(crate) source_topics: Vec<TopicName>,
    /// The topics that its sinks write by name, sorted.
    pub(crate) sink_topics: Vec<TopicName>,
    /// The stores that its processors use, sorted.
    pub(crate) stores: Vec<Arc<str>>,
    /// Sets of its source topics that must have the same number of partitions.
    pub(crate) copartitions: Vec<BTreeSet<TopicName>>,
    /// Whether it fills a global store: then it has no tasks, every worker runs it for itself.
    pub(crate) is_global: bool,
    /// Whether a source describes its topics, so that there may be more of them some day.
    pub(crate) has_pattern: bool,
}

/// Splits the graph into its connected parts.
pub(super) fn split(nodes: &[NodeSpec], copartitions: &[BTreeSet<TopicName>]) -> Vec<SubTopology> {
    let mut groups = Groups::of(nodes.len());
    let mut first_user: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        node.parents
            .iter()
            .for_each(|parent| groups.join(*parent, index));
        for store in node.stores() {
            let first = *first_user.entry(store).or_insert(index);
            groups.join(first, index);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    (0..nodes.len()).for_each(|index| members.entry(groups.root(index)).or_default().push(index));
    // A part is known by its first node, which is a source: `members` is in that order already.
    members
        .into_values()
        .map(|group| describe(nodes, group, copartitions))
        .collect()
}

fn describe(
    nodes: &[NodeSpec],
    members: Vec<usize>,
    copartitions: &[BTreeSet<TopicName>],
) -> SubTopology {
    let specs = || members.iter().map(|index| &nodes[*index]);
    let sources: BTreeSet<TopicName> = specs()
        .flat_map(|node| node.source_topics().iter().cloned())
        .collect();
    let sinks: BTreeSet<TopicName> = specs()
        .filter_map(|node| node.sink_topic().cloned())
        .collect();
    let stores: BTreeSet<Arc<str>> = specs()
        .flat_map(|node| node.stores().iter().map(Arc::clone))
        .collect();
    let of_this = copartitions
        .iter()
        .filter(|set| set.iter().any(|topic| sources.contains(topic)));
    SubTopology {
        copartitions: of_this.cloned().collect(),
        source_topics: sources.into_iter().collect(),
        sink_topics: sinks.into_iter().collect(),
        stores: stores.into_iter().collect(),
        is_global: specs().any(NodeSpec::is_global_source),
        has_pattern: specs().any(|node| node.pattern().is_some()),
        nodes: members,
    }
}

/// Disjoint sets of node indices.
struct Groups(Vec<usize>);

impl Groups {
    fn of(count: usize) -> Self {
        Groups((0..count).collect())
    }

    fn root(&self, index: usize) -> usize {
        let mut root = index;
        while self.0[root] != root {
            root = self.0[root];
        }
        root
    }

    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.root(left), self.root(right));
        self.0[left.max(right)] = left.min(right);
    }
}
