//! The topology as data: nodes, stores and topics that can be printed, split and instantiated.
//!
//! ```text
//!   TopologyBuilder ──build()──> Topology ──describe()──> text, as Kafka Streams prints it
//!    (typed handles)                 │
//!                                    ├── sub-topologies: what shares a store or an edge
//!                                    └── instantiate(task) ──> TaskChain, typed from end to end
//! ```
//!
//! # Invariants
//!
//! - No thread and no broker here: a topology is a value, shared by all workers.
//! - A node's parents were added before it, so the graph has no cycle and its order of addition
//!   is an order of execution.
//! - No hash order reaches a name, a sub-topology's number or the description.

mod options;
mod node;
mod builder;
mod global;
mod checks;
mod pattern;
mod sub_topology;
mod partition_counts;
mod describe;
mod instantiate;
mod source_store;
mod diff;
#[cfg(test)]
mod refused_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use builder::{NodeRef, TopologyBuilder};
pub use diff::{Impact, TopologyChange, TopologyDiff};
pub use options::{Consumed, OffsetReset, Produced, TopicName};

pub(crate) use instantiate::TaskChain;
pub(crate) use partition_counts::PartitionCounts;
pub(crate) use pattern::{Matches, TopicPattern};
pub(crate) use source_store::{Replay, SourceStore};
pub(crate) use sub_topology::SubTopology;

use node::NodeSpec;

use crate::state::StoreSpec;

/// A checked topology: what an [`App`](crate::App) runs and a test driver tries.
///
/// Printing it (`{}`) gives [`describe`](Topology::describe).
pub struct Topology {
    nodes: Vec<NodeSpec>,
    stores: BTreeMap<Arc<str>, StoreSpec>,
    /// By store: the topic that it is a copy of.
    source_stores: BTreeMap<Arc<str>, SourceStore>,
    internal_topics: BTreeMap<Arc<str>, InternalTopic>,
    sub_topologies: Vec<SubTopology>,
}

/// A repartition topic: created and owned by the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InternalTopic {
    /// As many as the largest topic it is co-partitioned with, unless said otherwise.
    pub(crate) partitions: Option<i32>,
}

impl Topology {
    /// The text that Kafka Streams prints for this topology; its viewers read it.
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(self)
    }

    /// The topics that the application creates for itself, sorted: changelogs, and the repartition
    /// topics that its records cross.
    ///
    /// For access rights, and for whoever creates topics by hand.
    #[must_use]
    pub fn internal_topics(&self, application_id: &str) -> Vec<String> {
        let stores = self.stores.values();
        let changelogs = stores.filter_map(|store| store.changelog_topic(application_id));
        let changelogs = changelogs.map(|topic| topic.to_string());
        let repartitions = self.internal_topics.keys();
        let repartitions = repartitions.map(|topic| format!("{application_id}-{topic}"));
        let topics: BTreeSet<String> = changelogs.chain(repartitions).collect();
        topics.into_iter().collect()
    }

    /// Whether a task may read several partitions.
    pub(crate) fn has_joint_inputs(&self) -> bool {
        let mut parts = self.sub_topologies.iter();
        parts.any(|part| part.source_topics.len() > 1 || part.has_pattern)
    }

    /// The parts that share neither an edge nor a store, numbered as in the description.
    pub(crate) fn sub_topologies(&self) -> &[SubTopology] {
        &self.sub_topologies
    }

    /// The parts that have tasks, by number.
    pub(crate) fn task_parts(&self) -> impl Iterator<Item = (u32, &SubTopology)> {
        (0..)
            .zip(&self.sub_topologies)
            .filter(|(_, part)| !part.is_global)
    }

    /// The parts that fill global stores, by number: each has one topic and one store.
    pub(crate) fn global_parts(&self) -> impl Iterator<Item = (u32, &SubTopology)> {
        (0..)
            .zip(&self.sub_topologies)
            .filter(|(_, part)| part.is_global)
    }

    pub(crate) fn store(&self, name: &str) -> &StoreSpec {
        self.stores
            .get(name)
            .expect("the builder checked that every named store exists")
    }

    /// The topic that a store is a copy of, if it is one.
    pub(crate) fn source_store(&self, name: &str) -> Option<&SourceStore> {
        self.source_stores.get(name)
    }

    /// Every topic that a sink writes by name.
    pub(crate) fn sink_topics(&self) -> impl Iterator<Item = &TopicName> {
        self.nodes.iter().filter_map(NodeSpec::sink_topic)
    }

    /// Whether some sink takes its topic from the record: then any topic may be written.
    pub(crate) fn extracts_topics(&self) -> bool {
        let mut sinks = self.nodes.iter();
        sinks.any(|node| matches!(node.kind, node::NodeKind::Sink { topic: None }))
    }

    /// Where the source of a topic begins when the group has no offset for it.
    pub(crate) fn offset_reset(&self, topic: &TopicName) -> Option<OffsetReset> {
        let source = self
            .nodes
            .iter()
            .find(|node| node.source_topics().contains(topic));
        source.and_then(NodeSpec::offset_reset)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
