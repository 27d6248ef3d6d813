//! What can be wrong with a topology as a whole: told when it is built, with the nodes named.

use std::sync::Arc;

use super::builder::TopologyBuilder;

impl TopologyBuilder {
    /// A node's parents are there before it, so there is no way back to it.
    pub(super) fn check_parents(&mut self) {
        for (node, parent) in std::mem::take(&mut self.orphans) {
            self.problems.push(match self.by_name.get(&parent) {
                _ if node == parent => format!("node {node} is its own parent: that is a cycle"),
                Some(_) => format!(
                    "node {node} has parent {parent}, which is added after it: that would allow \
                     for a cycle; add {parent} first, or write to a topic that {parent} reads"
                ),
                None => format!("node {node} has unknown parent {parent}"),
            });
        }
    }

    /// Topics that are read together have as many partitions, as far as that was declared.
    pub(super) fn check_declared_counts(&mut self) {
        for set in &self.copartitions {
            let declared: Vec<(&Arc<str>, i32)> = set
                .iter()
                .filter(|topic| topic.is_internal())
                .filter_map(|topic| self.internal_topics.get_key_value(topic.as_str()))
                .filter_map(|(name, topic)| Some((name, topic.partitions?)))
                .collect();
            let Some(((_, first), others)) = declared.split_first() else {
                continue;
            };
            if others.iter().all(|(_, count)| count == first) {
                continue;
            }
            let topics = declared.iter().map(|(name, count)| {
                let readers = self.readers_of(name);
                format!("{name} ({count}, read by {readers})")
            });
            let topics = topics.collect::<Vec<_>>().join(", ");
            self.problems.push(format!(
                "repartition topics that are joined need the same number of partitions: {topics}"
            ));
        }
    }

    fn readers_of(&self, internal_topic: &str) -> String {
        let is_read = |topics: &[super::TopicName]| {
            let mut topics = topics.iter();
            topics.any(|topic| topic.is_internal() && topic.as_str() == internal_topic)
        };
        let readers = self
            .nodes
            .iter()
            .filter(|node| is_read(node.source_topics()));
        let names: Vec<&str> = readers.map(|node| &*node.name).collect();
        names.join(", ")
    }
}
