//! What a new topology changes about the state and topics of the one that runs.
//!
//! ```text
//!   old describe() ──parse──> stores, topics by sub-topology ─┐
//!   new describe() ──parse──> stores, topics by sub-topology ─┴─> changes, each with its impact
//! ```
//!
//! # Invariants
//!
//! - Only names decide: offsets belong to a topic, a changelog to the name of its store. The number of
//!   a sub-topology is in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Topology;
use crate::error::{Error, ErrorKind};

/// What a change means for an application that has run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Stop the old version, start the new one.
    Safe,
    /// The same, and state is rebuilt from its changelog, or from its input, before work goes on.
    Restore,
    /// Something would be lost or left out: reset the application, or accept it knowingly.
    Reset,
}

/// One difference of two topologies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TopologyChange {
    /// A store that is new: it begins empty, whatever of its input was consumed before.
    StoreAdded(String),
    /// A store that is gone; its changelog topic is left over.
    StoreRemoved(String),
    /// A store whose generated name changed, as far as one can tell: its state stays behind.
    StoreRenamed(String, String),
    /// A store in a sub-topology of another number, before and after.
    StoreMoved(String, usize, usize),
    /// An input that is new.
    InputAdded(String),
    /// An input that is no longer read; the group's offsets for it are left over.
    InputRemoved(String),
    /// An input in a sub-topology of another number, before and after.
    InputMoved(String, usize, usize),
    /// A repartition topic that is new.
    RepartitionAdded(String),
    /// A repartition topic that is no longer read: what waits in it is not processed.
    RepartitionRemoved(String),
    /// An output that is new.
    OutputAdded(String),
    /// An output that is no longer written.
    OutputRemoved(String),
}

impl TopologyChange {
    /// What it means for an application that has run already.
    #[must_use]
    pub fn impact(&self) -> Impact {
        match self {
            TopologyChange::StoreAdded(_)
            | TopologyChange::StoreRenamed(..)
            | TopologyChange::RepartitionRemoved(_) => Impact::Reset,
            TopologyChange::StoreMoved(..) => Impact::Restore,
            _ => Impact::Safe,
        }
    }
}

impl fmt::Display for TopologyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopologyChange::StoreAdded(store) => write!(
                f,
                "store {store} is new and begins empty: reset the application to have it hold \
                 what was consumed before"
            ),
            TopologyChange::StoreRemoved(store) => {
                write!(f, "store {store} is gone: delete its changelog topic")
            }
            TopologyChange::StoreRenamed(old, new) => write!(
                f,
                "store {old} seems to be {new} now, which begins empty: name it {old}, or reset \
                 the application"
            ),
            TopologyChange::StoreMoved(store, from, to) => write!(
                f,
                "store {store} moves from sub-topology {from} to {to} and is restored from its \
                 changelog"
            ),
            TopologyChange::InputAdded(topic) => {
                write!(
                    f,
                    "input {topic} is new and begins where auto.offset.reset says"
                )
            }
            TopologyChange::InputRemoved(topic) => {
                write!(f, "input {topic} is no longer read")
            }
            TopologyChange::InputMoved(topic, from, to) => {
                write!(f, "input {topic} moves from sub-topology {from} to {to}")
            }
            TopologyChange::RepartitionAdded(topic) => {
                write!(f, "repartition topic {topic} is new")
            }
            TopologyChange::RepartitionRemoved(topic) => write!(
                f,
                "repartition topic {topic} is no longer read: let the old version drain it before \
                 it stops, or reset the application"
            ),
            TopologyChange::OutputAdded(topic) => write!(f, "output {topic} is new"),
            TopologyChange::OutputRemoved(topic) => {
                write!(f, "output {topic} is no longer written")
            }
        }
    }
}

/// The differences of two topologies, made by [`Topology::diff`]. Prints one a line, the graver first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyDiff {
    changes: Vec<TopologyChange>,
}

impl TopologyDiff {
    /// Every difference, the graver first.
    #[must_use]
    pub fn changes(&self) -> &[TopologyChange] {
        &self.changes
    }

    /// The gravest impact; [`Impact::Safe`] if nothing differs.
    #[must_use]
    pub fn impact(&self) -> Impact {
        let impacts = self.changes.iter().map(TopologyChange::impact);
        impacts.max().unwrap_or(Impact::Safe)
    }
}

impl fmt::Display for TopologyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes
            .iter()
            .try_for_each(|change| writeln!(f, "{:?}: {change}", change.impact()))
    }
}

impl Topology {
    /// What this topology changes about the one that printed `old`, by
    /// [`describe`](Topology::describe) or by Kafka Streams.
    ///
    /// ```
    /// use onceflow_framework::topology::{Consumed, Impact, Produced, TopologyBuilder};
    ///
    /// let copy = |to: &str| {
    ///     let mut builder = TopologyBuilder::new();
    ///     let source = builder.add_source("in", ["orders"], Consumed::<String, String>::new());
    ///     builder.add_sink("out", to, Produced::new(), &[&source]);
    ///     builder.build()
    /// };
    /// let diff = copy("copies-v2")?.diff(&copy("copies")?.describe())?;
    /// assert_eq!(diff.impact(), Impact::Safe);
    /// assert_eq!(
    ///     diff.to_string(),
    ///     "Safe: output copies-v2 is new\nSafe: output copies is no longer written\n"
    /// );
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topology`] when the text is no description of a topology.
    pub fn diff(&self, old: &str) -> Result<TopologyDiff, Error> {
        let (old, new) = (Parts::read(old)?, Parts::read(&self.describe())?);
        let mut changes = stores(&old.stores, &new.stores);
        changes.extend(topics(&old, &new));
        changes.sort();
        changes.sort_by_key(|change| std::cmp::Reverse(change.impact()));
        Ok(TopologyDiff { changes })
    }
}

/// What has a name that outlives a topology, by name: the number of its sub-topology.
#[derive(Debug, Default)]
struct Parts {
    stores: BTreeMap<String, usize>,
    read: BTreeMap<String, usize>,
    written: BTreeSet<String>,
}

impl Parts {
    fn read(text: &str) -> Result<Self, Error> {
        let mut parts = Parts::default();
        let mut number = None;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("Sub-topology: ") {
                let digits = rest.split_whitespace().next().unwrap_or_default();
                number = digits.parse::<usize>().ok();
            }
            let Some(number) = number else { continue };
            let listed = |mark: &str| {
                let inside = line
                    .split_once(mark)
                    .and_then(|(_, rest)| rest.strip_suffix(')'));
                let inside = inside.map(|list| list.trim_start_matches('[').trim_end_matches(']'));
                let names = inside.into_iter().flat_map(|list| list.split(", "));
                names.filter(|name| !name.is_empty()).map(str::to_owned)
            };
            if line.starts_with("Source: ") {
                parts
                    .read
                    .extend(listed("(topics: ").map(|topic| (topic, number)));
            } else if line.starts_with("Processor: ") {
                parts
                    .stores
                    .extend(listed("(stores: ").map(|store| (store, number)));
            } else if line.starts_with("Sink: ") {
                parts.written.extend(listed("(topic: "));
            }
        }
        if number.is_none() {
            let message = "the text describes no topology: it names no sub-topology";
            return Err(Error::new(ErrorKind::Topology, message));
        }
        Ok(parts)
    }

    /// Whether a topic is the application's own, between two of its sub-topologies.
    fn is_internal(&self, topic: &str) -> bool {
        let is_named_so = topic.ends_with("-repartition")
            || topic.ends_with("-subscription-registration-topic")
            || topic.ends_with("-subscription-response-topic");
        is_named_so && self.written.contains(topic) && self.read.contains_key(topic)
    }
}

fn stores(old: &BTreeMap<String, usize>, new: &BTreeMap<String, usize>) -> Vec<TopologyChange> {
    let mut changes = Vec::new();
    let mut added: BTreeSet<&String> = new.keys().filter(|name| !old.contains_key(*name)).collect();
    for (name, from) in old {
        if let Some(to) = new.get(name) {
            if from != to {
                changes.push(TopologyChange::StoreMoved(name.clone(), *from, *to));
            }
            continue;
        }
        let is_same_kind = |other: &&&String| {
            prefix_of(name).is_some_and(|prefix| prefix_of(other) == Some(prefix))
        };
        match added.iter().find(is_same_kind).copied() {
            Some(other) => {
                added.remove(other);
                changes.push(TopologyChange::StoreRenamed(name.clone(), other.clone()));
            }
            None => changes.push(TopologyChange::StoreRemoved(name.clone())),
        }
    }
    let added = added.into_iter().cloned().map(TopologyChange::StoreAdded);
    changes.extend(added);
    changes
}

/// A generated name without its index.
fn prefix_of(name: &str) -> Option<&str> {
    let (prefix, index) = name.rsplit_once('-')?;
    let is_generated = index.len() == 10 && index.bytes().all(|byte| byte.is_ascii_digit());
    is_generated.then_some(prefix)
}

fn topics(old: &Parts, new: &Parts) -> Vec<TopologyChange> {
    let mut changes = Vec::new();
    for (topic, from) in &old.read {
        changes.extend(match new.read.get(topic) {
            None if old.is_internal(topic) => {
                Some(TopologyChange::RepartitionRemoved(topic.clone()))
            }
            None => Some(TopologyChange::InputRemoved(topic.clone())),
            Some(to) if from != to && !new.is_internal(topic) => {
                Some(TopologyChange::InputMoved(topic.clone(), *from, *to))
            }
            Some(_) => None,
        });
    }
    for topic in new
        .read
        .keys()
        .filter(|topic| !old.read.contains_key(*topic))
    {
        changes.push(match new.is_internal(topic) {
            true => TopologyChange::RepartitionAdded(topic.clone()),
            false => TopologyChange::InputAdded(topic.clone()),
        });
    }
    let added = new.written.difference(&old.written);
    let added = added.filter(|topic| !new.is_internal(topic));
    changes.extend(added.cloned().map(TopologyChange::OutputAdded));
    let removed = old.written.difference(&new.written);
    let removed = removed.filter(|topic| !old.is_internal(topic));
    changes.extend(removed.cloned().map(TopologyChange::OutputRemoved));
    changes
}
