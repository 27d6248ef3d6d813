//! Topologies that cannot work, and what `build` says of them.

use super::{Consumed, NodeRef, Produced, TopologyBuilder};
use crate::error::{ErrorKind, Fault};
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::serde::{i64, utf8};
use crate::state::StoreBuilder;

/// Hands on what comes.
struct Pass;

impl Processor for Pass {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        ctx: &mut Context<String, i64>,
    ) -> Result<(), Fault> {
        ctx.forward(record)
    }
}

type Node = NodeRef<String, i64>;

fn source(builder: &mut TopologyBuilder, name: &str, topic: &str) -> Node {
    builder.add_source(name, [topic], Consumed::new())
}

fn pass(builder: &mut TopologyBuilder, name: &str, parent: &Node) -> Node {
    builder.add_processor(name, || Pass, &[parent])
}

fn store(name: &str) -> StoreBuilder<String, i64> {
    StoreBuilder::key_value(name, utf8(), i64())
}

/// Beside what it adds, every topology has the source `in`.
fn check(add: impl FnOnce(&mut TopologyBuilder, &Node), expect: &str) {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in", "orders");
    add(&mut builder, &input);
    let error = builder.build().expect_err(expect);
    assert_eq!(error.kind(), ErrorKind::Topology);
    let told = error.to_string();
    assert!(told.contains(expect), "{expect:?} is not in: {told}");
}

#[test]
fn a_cycle_is_refused() {
    check(
        |builder, _| {
            let later = NodeRef::named("second");
            let first = pass(builder, "first", &later);
            let _second = pass(builder, "second", &first);
        },
        "node first has parent second, which is added after it: that would allow for a cycle",
    );
    check(
        |builder, _| {
            let _node = pass(builder, "alone", &NodeRef::named("alone"));
        },
        "node alone is its own parent: that is a cycle",
    );
}

#[test]
fn what_is_not_there_is_refused() {
    check(
        |builder, _| builder.add_sink("out", "copy", Produced::new(), &[&Node::named("typo")]),
        "node out has unknown parent typo",
    );
    check(
        |builder, input| {
            let _node = pass(builder, "pass", input);
            builder.connect_processor_and_stores("pass", &["totals"]);
        },
        "node pass uses store totals, which does not exist",
    );
    check(
        |builder, _| builder.add_state_store(store("totals"), &["typo"]),
        "stores totals are connected to typo, which is no processor",
    );
    check(
        |builder, _| builder.add_state_store(store("totals"), &["in"]),
        "stores totals are connected to in, which is no processor",
    );
}

#[test]
fn what_would_do_nothing_is_refused() {
    check(
        |builder, _| builder.add_state_store(store("totals"), &[]),
        "store totals is connected to no processor",
    );
    check(
        |builder, _| {
            let topics: [&str; 0] = [];
            let _source: Node = builder.add_source("deaf", topics, Consumed::new());
        },
        "source deaf reads no topic",
    );
    check(
        |builder, _| {
            let _node = builder.add_processor("lost", || Pass, &[]);
        },
        "node lost has no parent: nothing would reach it",
    );
}

#[test]
fn what_is_there_twice_is_refused() {
    check(
        |builder, input| {
            let _one = pass(builder, "same", input);
            let _two = pass(builder, "same", input);
        },
        "two nodes are named same",
    );
    check(
        |builder, input| {
            let _node = pass(builder, "pass", input);
            builder.add_state_store(store("totals"), &["pass"]);
            builder.add_state_store(store("totals"), &["pass"]);
        },
        "two stores are named totals",
    );
    check(
        |builder, _| {
            let consumed = Consumed::with(utf8(), utf8());
            let _other = builder.add_source("other", ["orders"], consumed);
        },
        "sources in and other both read topic orders",
    );
    check(
        |builder, _| {
            let _one = builder.add_internal_topic("again", None);
            let _two = builder.add_internal_topic("again", None);
        },
        "two repartition topics are named again",
    );
}

#[test]
fn repartition_topics_of_a_join_that_were_declared_with_different_counts_are_refused() {
    check(
        |builder, input| {
            let mut read = |name: &str, count| {
                let topic = builder.add_internal_topic(name, Some(count));
                let source = format!("source-of-{name}");
                let _source: Node = builder.add_source(&source, [topic.clone()], Consumed::new());
                let sink = format!("sink-of-{name}");
                builder.add_sink(&sink, topic.clone(), Produced::new(), &[input]);
                topic
            };
            let topics = [read("left", 2), read("right", 3)];
            builder.copartition(topics);
        },
        "repartition topics that are joined need the same number of partitions: left (2, read by \
         source-of-left), right (3, read by source-of-right)",
    );
    check(
        |builder, _| {
            let _topic = builder.add_internal_topic("none", Some(0));
        },
        "repartition topic none needs at least one partition",
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut builder = TopologyBuilder::new();
    let _node = pass(&mut builder, "same", &NodeRef::named("nowhere"));
    let _node = pass(&mut builder, "same", &NodeRef::named("same"));
    builder.connect_processor_and_stores("same", &["nothing"]);
    let told = builder.build().expect_err("refused").to_string();
    for problem in [
        "two nodes are named same",
        "node same has unknown parent nowhere",
        "node same uses store nothing, which does not exist",
        "there is no source",
    ] {
        assert!(told.contains(problem), "{problem:?} is not in: {told}");
    }
}
