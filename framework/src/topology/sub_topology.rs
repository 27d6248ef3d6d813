//! Sub-topologies: the connected parts of the graph, each the plan of one kind of task.
//!
//! Nodes belong together when an edge or a shared store joins them. Parts are numbered in the
//! order of their first source's name, as Kafka Streams does, so numbers are stable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::node::{NodeKind, NodeSpec};
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
    let mut parts: Vec<SubTopology> = members
        .into_values()
        .map(|group| describe(nodes, group, copartitions))
        .collect();
    parts.sort_by_key(|part| first_source(nodes, part));
    parts
}

fn first_source(nodes: &[NodeSpec], part: &SubTopology) -> Option<Arc<str>> {
    let sources = part.nodes.iter().map(|index| &nodes[*index]);
    let sources = sources.filter(|node| matches!(node.kind, NodeKind::Source { .. }));
    sources.map(|node| Arc::clone(&node.name)).min()
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
