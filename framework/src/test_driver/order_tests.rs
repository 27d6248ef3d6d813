use std::sync::Arc;

use super::testing::{Each, Text, TextContext, check, counting, driver, history, pipe};
use super::testing::{sink, source};
use crate::time::Timestamp;
use crate::topology::{NodeRef, Produced, TopologyBuilder};

#[test]
fn records_are_counted_by_key() {
    check(
        counting(true),
        "a=x@1 b=x@2 a=x@3",
        "a=1/1@1 b=1/2@2 a=2/3@3",
    );
}

/// `in` fans out to `left` and `right` as `fan` says; both are copied to `out`.
fn two_ways(fan: &'static [(&'static str, i64)]) -> TopologyBuilder {
    let fan = move |record: Text, ctx: &mut TextContext| {
        for (number, (to, timestamp)) in fan.iter().enumerate() {
            let copy = record.clone().with_value(format!("{to}{number}"));
            ctx.forward_to(
                &format!("to-{to}"),
                copy.with_timestamp(Timestamp::from_millis(*timestamp)),
            )?;
        }
        Ok(())
    };
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let fan = Arc::new(fan);
    let node = builder.add_processor("fan", move || Each(Arc::clone(&fan)), &[&input]);
    let sides: Vec<NodeRef<String, String>> = ["left", "right"]
        .map(|side| {
            sink(&mut builder, side, &node);
            source(&mut builder, side)
        })
        .into();
    builder.add_sink("out", "out", Produced::new(), &[&sides[0], &sides[1]]);
    builder
}

#[test]
fn the_lowest_timestamp_goes_first_and_of_two_the_queue_that_was_filled_first() {
    check(
        two_ways(&[("right", 5), ("left", 3)]),
        "k=v@0",
        "k=left1@3 k=right0@5",
    );
    check(
        two_ways(&[("right", 5), ("left", 5)]),
        "k=v@0",
        "k=right0@5 k=left1@5",
    );
    // A queue that keeps records rejoins behind.
    check(
        two_ways(&[("right", 5), ("right", 5), ("left", 5), ("left", 5)]),
        "k=v@0",
        "k=right0@5 k=left2@5 k=right1@5 k=left3@5",
    );
}

#[test]
fn a_sink_topic_that_is_a_source_topic_feeds_it() {
    // 3, then 2, then 1: each run through the topology writes the next.
    let countdown = |record: Text, ctx: &mut TextContext| {
        let next: i64 = record.value.parse::<i64>()? - 1;
        if next > 0 {
            ctx.forward(record.with_value(next.to_string()))
        } else {
            Ok(())
        }
    };
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let countdown = Arc::new(countdown);
    let node = builder.add_processor("n", move || Each(Arc::clone(&countdown)), &[&input]);
    sink(&mut builder, "in", &node);
    let driver = driver(builder);
    pipe(&driver, "in", "k=3@9").unwrap();
    assert_eq!(history(&driver, "in"), "k=3@9 k=2@9 k=1@9");
}
