//! The text of a topology, as Kafka Streams prints it; lists are sorted, where Java's hash.

use std::cmp::Reverse;
use std::fmt::Write;

use super::Topology;
use super::node::{NodeKind, NodeSpec};
use super::sub_topology::SubTopology;

pub(super) fn describe(topology: &Topology) -> String {
    let mut text = String::from("Topologies:\n ");
    for (number, part) in topology.sub_topologies.iter().enumerate() {
        write_part(&mut text, topology, number, part).expect("a String takes all that is written");
    }
    text
}

fn write_part(
    text: &mut String,
    topology: &Topology,
    number: usize,
    part: &SubTopology,
) -> std::fmt::Result {
    match part.is_global {
        false => writeln!(text, "  Sub-topology: {number}")?,
        true => writeln!(
            text,
            "  Sub-topology: {number} for global store (will not generate tasks)"
        )?,
    }
    let sizes = sizes(topology, part);
    let mut order = part.nodes.clone();
    order.sort_by_key(|index| (Reverse(sizes[*index]), &topology.nodes[*index].name));
    for index in order {
        write_node(text, topology, &topology.nodes[index])?;
    }
    if !part.is_global {
        text.push('\n');
    }
    Ok(())
}

/// How many nodes hang below each, one counted once per path: Kafka Streams prints large first.
fn sizes(topology: &Topology, part: &SubTopology) -> Vec<u64> {
    let mut sizes = vec![0u64; topology.nodes.len()];
    for index in part.nodes.iter().rev() {
        let below = topology.nodes[*index]
            .children
            .iter()
            .map(|child| sizes[*child]);
        sizes[*index] = below.fold(1u64, u64::saturating_add);
    }
    sizes
}

fn write_node(text: &mut String, topology: &Topology, node: &NodeSpec) -> std::fmt::Result {
    let name = &node.name;
    match &node.kind {
        NodeKind::Source {
            pattern: Some(pattern),
            ..
        } => writeln!(text, "    Source: {name} (topics: {})", pattern.as_str())?,
        NodeKind::Source { .. } | NodeKind::GlobalSource { .. } => {
            let topics = sorted(node.source_topics().iter());
            writeln!(text, "    Source: {name} (topics: [{topics}])")?;
        }
        NodeKind::Processor { stores } => {
            writeln!(
                text,
                "    Processor: {name} (stores: [{}])",
                sorted(stores.iter())
            )?;
        }
        NodeKind::Sink { topic: Some(topic) } => {
            writeln!(text, "    Sink: {name} (topic: {topic})")?
        }
        NodeKind::Sink { topic: None } => {
            writeln!(text, "    Sink: {name} (extractor class: *)")?;
        }
    }
    let names = |indices: &[usize]| match indices {
        [] => "none".to_owned(),
        indices => sorted(indices.iter().map(|index| &topology.nodes[*index].name)),
    };
    if !matches!(node.kind, NodeKind::Sink { .. }) {
        writeln!(text, "      --> {}", names(&node.children))?;
    }
    if node.source_topics().is_empty() && node.pattern().is_none() {
        writeln!(text, "      <-- {}", names(&node.parents))?;
    }
    Ok(())
}

fn sorted(names: impl Iterator<Item = impl ToString>) -> String {
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort();
    names.join(", ")
}
