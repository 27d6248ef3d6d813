//! Topologies without operators: sources, processors, sinks and stores, node by node.

use onceflow::TopologyBuilder;
use onceflow::prelude::*;
use onceflow::topology::NodeRef;
use serde_json::Value;

use super::build::{Applied, Build};
use super::fields::Fields;
use super::processor::{Does, Player};
use super::sources::store_of;
use super::val::{Kind, Val, ValSerde};

type Node = NodeRef<Val, Val>;

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if !op.text("op").starts_with("pa_") {
        return Ok(false);
    }
    let text = || ValSerde(Kind::Text);
    let nodes = build.low_level.get_or_insert_with(TopologyBuilder::new);
    let parents: Vec<Node> = names(op, "parents").into_iter().map(Node::named).collect();
    let parents: Vec<&Node> = parents.iter().collect();
    match op.text("op") {
        "pa_source" => {
            let (consumed, _) = build.consumed(op)?;
            let nodes = build.low_level.get_or_insert_with(TopologyBuilder::new);
            nodes.add_source(op.text("name"), names(op, "topics"), consumed);
        }
        "pa_processor" => {
            let spec = Fields::of("processor", op.value("processor"));
            let does = Does::read(&spec)?;
            let supplier = move || Player::<Val, Val>::new(&does);
            nodes.add_processor(op.text("name"), supplier, &parents);
        }
        "pa_sink" => {
            let produced = Produced::with(text(), text());
            nodes.add_sink(op.text("name"), op.text("topic"), produced, &parents);
        }
        "pa_store" => nodes.add_state_store(store_of(op)?, &names(op, "processors")),
        _ => return Ok(false),
    }
    Ok(true)
}

fn names<'o>(op: &Fields<'o>, field: &str) -> Vec<&'o str> {
    op.list(field).iter().filter_map(Value::as_str).collect()
}
