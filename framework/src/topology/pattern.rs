//! Sources that name their topics by a regular expression.
//!
//! ```text
//!   t[0-9] ── until a cluster is looked at ──> a topic of that very name: the test driver's
//!          └─ matching(t1, t2, ui) ─────────> the topics t1, t2, in a topology of its own
//! ```
//!
//! # Invariants
//!
//! - An expression matches a whole name, as in Kafka Streams.
//! - A topic has one source: what another source reads, or two expressions match, is refused.
//! - The application's own topics and the broker's are never matched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;

use super::builder::TopologyBuilder;
use super::node::{NodeKind, NodeSpec};
use super::options::TopicName;
use super::sub_topology::split;
use super::{SubTopology, Topology};
use crate::error::{Error, ErrorKind};

/// What brokers keep their own state in.
const TOPICS_OF_BROKERS: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// A regular expression for names of topics.
#[derive(Debug, Clone)]
pub(crate) struct TopicPattern {
    text: Arc<str>,
    whole: Regex,
}

impl TopicPattern {
    pub(super) fn new(text: &str) -> Result<Self, regex::Error> {
        // By itself first: parentheses around it could close what it leaves open.
        Regex::new(text)?;
        Ok(TopicPattern {
            text: Arc::from(text),
            whole: Regex::new(&format!("^(?:{text})$"))?,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }
}

impl TopologyBuilder {
    /// A topic has one source, whether that names it or describes it.
    pub(super) fn check_patterns(&mut self) {
        let patterns = self.nodes.iter().filter_map(|node| {
            let pattern = node.pattern()?;
            Some((&node.name, pattern))
        });
        let mut problems = Vec::new();
        for (name, pattern) in patterns {
            for other in self.nodes.iter().filter(|node| node.name != *name) {
                let topics = other.source_topics().iter();
                let read = topics.filter(|topic| !topic.is_internal());
                for topic in read.filter(|topic| is_overlap(pattern, other, topic)) {
                    let (other, pattern) = (&other.name, pattern.as_str());
                    problems.push(format!(
                        "source {name} reads the topics that match {pattern}, among them {topic}, \
                         which source {other} reads"
                    ));
                }
            }
        }
        self.problems.append(&mut problems);
    }
}

/// Whether an expression matches a topic of another source, or is that of the other source.
fn is_overlap(pattern: &TopicPattern, other: &NodeSpec, topic: &TopicName) -> bool {
    match other.pattern() {
        Some(other) => other.as_str() == pattern.as_str(),
        None => pattern.matches(topic.as_str()),
    }
}

/// Which topics each expression matches.
pub(crate) type Matches = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

impl Topology {
    /// The expressions of sources.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &TopicPattern> {
        self.nodes.iter().filter_map(NodeSpec::pattern)
    }

    /// Finds the topics of each expression.
    ///
    /// # Errors
    ///
    /// When two expressions match one topic.
    pub(crate) fn matches(
        &self,
        topics: &[Arc<str>],
        application_id: &str,
    ) -> Result<Matches, Error> {
        let own: BTreeSet<String> = self.internal_topics(application_id).into_iter().collect();
        let open = topics
            .iter()
            .filter(|topic| !own.contains(&***topic) && !TOPICS_OF_BROKERS.contains(&&***topic));
        let mut matches: Matches = self.patterns().map(no_topics).collect();
        for topic in open {
            let mut found = self.patterns().filter(|pattern| pattern.matches(topic));
            let Some(first) = found.next() else { continue };
            if let Some(second) = found.next() {
                let (first, second) = (first.as_str(), second.as_str());
                let message = format!(
                    "topic {topic} matches {first} and {second}, which are read by two sources; \
                     make one of them match less"
                );
                return Err(Error::new(ErrorKind::Topics, message));
            }
            let of_first = matches.entry(Arc::clone(&first.text)).or_default();
            of_first.insert(Arc::clone(topic));
        }
        Ok(matches)
    }

    /// The topology as it is with those topics in place of the expressions.
    pub(crate) fn with_matches(&self, matches: &Matches) -> Topology {
        let resolved = |topic: &TopicName| match matches.get(topic.as_str()) {
            Some(found) if !topic.is_internal() => found.iter().map(external).collect(),
            _ => vec![topic.clone()],
        };
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            if let NodeKind::Source { topics, .. } = &mut node.kind {
                *topics = topics.iter().flat_map(resolved).collect();
            }
        }
        let sets = self
            .sub_topologies
            .iter()
            .flat_map(|part| &part.copartitions);
        let sets: BTreeSet<BTreeSet<TopicName>> = sets
            .map(|set| set.iter().flat_map(resolved).collect())
            .collect();
        let sub_topologies: Vec<SubTopology> = split(&nodes, &Vec::from_iter(sets));
        Topology {
            nodes,
            stores: self.stores.clone(),
            source_stores: self.source_stores.clone(),
            internal_topics: self.internal_topics.clone(),
            sub_topologies,
        }
    }
}

fn no_topics(pattern: &TopicPattern) -> (Arc<str>, BTreeSet<Arc<str>>) {
    (Arc::clone(&pattern.text), BTreeSet::new())
}

fn external(name: &Arc<str>) -> TopicName {
    TopicName::external(Arc::clone(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Consumed, Produced};

    fn topics(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn strings() -> Consumed<String, String> {
        Consumed::new()
    }

    fn built(patterns: &[&str], topics: &[&str]) -> Result<Topology, Error> {
        let mut builder = TopologyBuilder::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let name = format!("matching-{number}");
            let source = builder.add_source_pattern(&name, pattern, strings());
            builder.add_sink(
                &format!("sink-{number}"),
                "out",
                Produced::new(),
                &[&source],
            );
        }
        if !topics.is_empty() {
            builder.add_source("named", topics.iter().copied(), strings());
        }
        builder.build()
    }

    fn problem(patterns: &[&str], topics: &[&str]) -> String {
        built(patterns, topics).unwrap_err().to_string()
    }

    #[test]
    fn an_expression_matches_whole_names() {
        let topology = built(&["a|b[0-9]"], &[]).unwrap();
        let found = topology.matches(&topics(&["a", "ab", "b1", "b12", "xb1"]), "app");
        assert_eq!(
            found.unwrap()["a|b[0-9]"]
                .iter()
                .map(|t| &**t)
                .collect::<Vec<_>>(),
            ["a", "b1"]
        );
    }

    #[test]
    fn a_matched_topic_takes_the_place_of_its_expression() {
        let topology = built(&["t[0-9]"], &["named"]).unwrap();
        let found = topology
            .matches(&topics(&["t1", "t2", "u1"]), "app")
            .unwrap();
        let text = topology.with_matches(&found).sub_topologies()[0]
            .source_topics
            .clone();
        assert_eq!(text, [TopicName::from("t1"), TopicName::from("t2")]);
        assert!(
            topology
                .describe()
                .contains("Source: matching-0 (topics: t[0-9])\n")
        );
    }

    #[test]
    fn topics_of_brokers_are_nobodys() {
        let topology = built(&[".*"], &[]).unwrap();
        let found = topology
            .matches(&topics(&["__consumer_offsets", "in"]), "app")
            .unwrap();
        assert_eq!(found[".*"].len(), 1);
    }

    #[test]
    fn overlaps_are_refused() {
        let both = "reads the topics that match t.*, among them t1, which source named reads";
        assert!(problem(&["t.*"], &["t1"]).contains(both));
        assert!(problem(&["t.*", "t.*"], &[]).contains("source matching-1 reads"));
        let topology = built(&["t[0-9]", "t[1-3]"], &[]).unwrap();
        let error = topology.matches(&topics(&["t0", "t2"]), "app").unwrap_err();
        let claim = "topic t2 matches t[0-9] and t[1-3]";
        assert!(error.to_string().contains(claim), "{error}");
    }

    #[test]
    fn what_is_no_expression_is_a_problem_of_the_build() {
        for wrong in ["t[", "a)(b", "(?x) a #"] {
            assert!(
                problem(&[wrong], &[]).contains("source matching-0"),
                "{wrong}"
            );
        }
    }
}
