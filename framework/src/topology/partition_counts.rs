//! How many partitions each topic of a topology has, repartition topics included.
//!
//! A repartition topic has the count that it was declared with, else that of the topics it is
//! co-partitioned with, else that of the largest input upstream of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Topology;
use super::options::TopicName;
use crate::error::{Error, ErrorKind};

/// The partition counts of the topics that a topology reads, by topic.
pub(crate) type PartitionCounts = BTreeMap<TopicName, i32>;

impl Topology {
    /// The partition counts of all source topics; `existing` answers for the users' own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topics`] when a topic does not exist, when topics that are read together
    /// differ, or when nothing determines the count of a repartition topic.
    pub(crate) fn partition_counts(
        &self,
        existing: impl Fn(&str) -> Option<i32>,
    ) -> Result<PartitionCounts, Error> {
        let mut counts = self.given_counts(existing)?;
        self.check_copartitions(&counts)?;
        let mut open: BTreeSet<TopicName> = self
            .source_topics()
            .filter(|topic| !counts.contains_key(topic))
            .cloned()
            .collect();
        while let Some(first) = open.first().cloned() {
            // Prefer a topic whose inputs are all known: only a cycle forces a guess.
            let derived = open
                .iter()
                .find_map(|topic| self.derive(topic, &counts, true));
            let derived =
                derived.or_else(|| open.iter().find_map(|t| self.derive(t, &counts, false)));
            let Some((together, count)) = derived else {
                let message = format!(
                    "nothing determines how many partitions repartition topic {first} has; \
                     declare it with a count"
                );
                return Err(Error::new(ErrorKind::Topics, message));
            };
            for topic in together {
                open.remove(&topic);
                counts.entry(topic).or_insert(count);
            }
        }
        Ok(counts)
    }

    fn source_topics(&self) -> impl Iterator<Item = &TopicName> {
        self.task_parts().flat_map(|(_, part)| &part.source_topics)
    }

    fn copartitions(&self) -> impl Iterator<Item = &BTreeSet<TopicName>> {
        self.sub_topologies
            .iter()
            .flat_map(|part| &part.copartitions)
    }

    /// What is known from outside: topics that exist, and declared counts.
    fn given_counts(
        &self,
        existing: impl Fn(&str) -> Option<i32>,
    ) -> Result<PartitionCounts, Error> {
        let mut counts = PartitionCounts::new();
        let mut missing = Vec::new();
        for topic in self.source_topics() {
            let declared = self.internal_topics.get(topic.as_str());
            let count = match declared.filter(|_| topic.is_internal()) {
                Some(internal) => internal.partitions,
                None => existing(topic.as_str()).or_else(|| {
                    missing.push(topic.as_str());
                    None
                }),
            };
            if let Some(count) = count {
                counts.insert(topic.clone(), count);
            }
        }
        if missing.is_empty() {
            return Ok(counts);
        }
        let message = format!("these input topics do not exist: {}", missing.join(", "));
        Err(Error::new(ErrorKind::Topics, message))
    }

    fn check_copartitions(&self, counts: &PartitionCounts) -> Result<(), Error> {
        for set in self.copartitions() {
            let known: BTreeMap<&TopicName, i32> = set
                .iter()
                .filter_map(|topic| Some((topic, *counts.get(topic)?)))
                .collect();
            let different: BTreeSet<&i32> = known.values().collect();
            if different.len() > 1 {
                let topics: Vec<String> = known
                    .iter()
                    .map(|(topic, count)| {
                        let readers = self.readers_of(topic).join(", ");
                        format!("{topic} ({count}, read by {readers})")
                    })
                    .collect();
                let message = format!(
                    "topics that are joined need the same number of partitions: {}; repartition \
                     one of them",
                    topics.join(", ")
                );
                return Err(Error::new(ErrorKind::Topics, message));
            }
        }
        Ok(())
    }

    fn readers_of(&self, topic: &TopicName) -> Vec<&str> {
        let nodes = self.nodes.iter();
        let readers = nodes.filter(|node| node.source_topics().contains(topic));
        readers.map(|node| &*node.name).collect()
    }

    /// The count of a topic and of all that must be equal to it, if it can be told already.
    fn derive(
        &self,
        topic: &TopicName,
        counts: &PartitionCounts,
        all_inputs_known: bool,
    ) -> Option<(BTreeSet<TopicName>, i32)> {
        let together = self.copartitioned_with(topic);
        if let Some(count) = together.iter().find_map(|other| counts.get(other)) {
            return Some((together, *count));
        }
        let inputs: BTreeSet<&TopicName> = together.iter().flat_map(|t| self.upstream(t)).collect();
        let known = inputs.iter().filter_map(|input| counts.get(*input));
        if all_inputs_known && known.clone().count() < inputs.len() {
            return None;
        }
        let largest = *known.max()?;
        Some((together, largest))
    }

    /// The topic and whatever is, directly or not, co-partitioned with it.
    fn copartitioned_with(&self, topic: &TopicName) -> BTreeSet<TopicName> {
        let mut together = BTreeSet::from([topic.clone()]);
        loop {
            let before = together.len();
            for set in self.copartitions() {
                if !set.is_disjoint(&together) {
                    together.extend(set.iter().cloned());
                }
            }
            if together.len() == before {
                return together;
            }
        }
    }

    /// The topics that are read by whoever writes this one.
    fn upstream(&self, topic: &TopicName) -> impl Iterator<Item = &TopicName> {
        let writers = self
            .sub_topologies
            .iter()
            .filter(|part| part.sink_topics.contains(topic));
        writers.flat_map(|part| &part.source_topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Consumed, Produced, TopologyBuilder};

    /// Copies each `(from, to)`, `to` being a repartition topic, and reads every `to`.
    fn copies(builder: &mut TopologyBuilder, edges: &[(&[&str], &str, Option<i32>)]) {
        let topics: Vec<TopicName> = edges
            .iter()
            .map(|(_, to, count)| builder.add_internal_topic(to, *count))
            .collect();
        let named = |name: &str| match topics.iter().find(|topic| topic.as_str() == name) {
            Some(topic) => topic.clone(),
            None => TopicName::from(name),
        };
        for (index, (from, to, _)) in edges.iter().enumerate() {
            let inputs: Vec<TopicName> = from.iter().map(|name| named(name)).collect();
            let consumed = Consumed::<String, String>::new();
            let source = builder.add_source(&format!("source-{index}"), inputs, consumed);
            builder.add_sink(
                &format!("sink-{index}"),
                named(to),
                Produced::new(),
                &[&source],
            );
        }
    }

    fn external(name: &str) -> Option<i32> {
        match name {
            "one" => Some(1),
            "three" => Some(3),
            "five" => Some(5),
            _ => None,
        }
    }

    type Edge<'e> = (&'e [&'e str], &'e str, Option<i32>);

    fn check(edges: &[Edge<'_>], together: &[&str], expect: &str) {
        let mut builder = TopologyBuilder::new();
        copies(&mut builder, edges);
        let read: Vec<TopicName> = edges
            .iter()
            .map(|(_, to, _)| TopicName::internal(*to))
            .collect();
        let unread: Vec<TopicName> = read
            .into_iter()
            .filter(|to| !edges.iter().any(|(from, _, _)| from.contains(&to.as_str())))
            .collect();
        if !unread.is_empty() {
            builder.add_source("last", unread, Consumed::<String, String>::new());
        }
        if !together.is_empty() {
            builder.copartition(together.iter().map(|name| match external(name) {
                Some(_) => TopicName::from(*name),
                None => TopicName::internal(*name),
            }));
        }
        let counts = builder.build().unwrap().partition_counts(external);
        let told = match counts {
            Ok(counts) => counts
                .iter()
                .map(|(topic, count)| format!("{topic}={count}"))
                .collect(),
            Err(error) => vec![error.to_string()],
        };
        assert_eq!(told.join(" "), expect);
    }

    #[test]
    fn a_repartition_topic_is_as_wide_as_its_widest_input() {
        check(&[(&["one", "three"], "r", None)], &[], "one=1 r=3 three=3");
    }

    #[test]
    fn a_declared_count_stays() {
        check(&[(&["three"], "r", Some(7))], &[], "r=7 three=3");
    }

    #[test]
    fn a_count_travels_through_a_chain() {
        check(
            &[(&["b"], "c", None), (&["three"], "b", None)],
            &[],
            "b=3 c=3 three=3",
        );
    }

    #[test]
    fn a_cycle_takes_what_enters_it() {
        check(
            &[(&["three", "b"], "a", None), (&["a"], "b", None)],
            &[],
            "a=3 b=3 three=3",
        );
    }

    #[test]
    fn what_is_joined_with_a_topic_has_its_count() {
        let edges: &[Edge<'_>] = &[(&["five"], "r", None), (&["three"], "s", None)];
        check(edges, &["r", "s"], "five=5 r=5 s=5 three=3");
        let declared: &[Edge<'_>] = &[(&["five"], "r", None), (&["three"], "s", Some(2))];
        check(declared, &["r", "s"], "five=5 r=2 s=2 three=3");
    }

    #[test]
    fn what_cannot_be_is_told() {
        check(
            &[(&["nowhere"], "r", None)],
            &[],
            "these input topics do not exist: nowhere",
        );
        check(
            &[(&["one", "three"], "r", None)],
            &["one", "three"],
            "topics that are joined need the same number of partitions: one (1, read by \
             source-0), three (3, read by source-0); repartition one of them",
        );
    }
}
