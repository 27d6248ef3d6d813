//! Nodes that fail alone: what they did before stays, the nodes before them go on, and each failure
//! is asked about once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::{Each, Text, TextContext, counting, each, history, pipe, sink, source};
use super::{TestDriver, TestDriverBuilder};
use crate::error::{ErrorKind, Fault};
use crate::handler::{
    ErrorContext, FailureScope, OnFailedRecord, OnRefusedOutput, Response, Retry,
};
use crate::metrics::DropReason;
use crate::processor::external::{
    Applied, ExternalBatch, ExternalFault, ExternalSession, ExternalSink, ExternalTask,
};
use crate::processor::{AsyncCalls, AsyncProcessor, Processor, Punctuation, PunctuationKind};
use crate::record::Record;
use crate::serde::{Encoded, Serde, SerdeError, SharedSerde, utf8};
use crate::time::Timestamp;
use crate::topology::{NodeRef, Produced, TopologyBuilder};

fn alone(topology: TopologyBuilder) -> TestDriverBuilder {
    TestDriver::builder(topology.build().unwrap())
        .failure_scope(FailureScope::Node)
        .on_failed_record(OnFailedRecord::Continue)
        .dead_letter_topic("dead")
}

fn node(
    builder: &mut TopologyBuilder,
    (name, parent): (&str, &NodeRef<String, String>),
    code: impl Fn(Text, &mut TextContext) -> Result<(), Fault> + Send + Sync + 'static,
) -> NodeRef<String, String> {
    let code = Arc::new(code);
    builder.add_processor(name, move || Each(Arc::clone(&code)), &[parent])
}

/// Passes everything on but what is bad, by error or by panic.
fn picky(record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
    match record.value.as_str() {
        "bad" => Err(Fault::message("it is bad")),
        "worse" => panic!("it is worse"),
        _ => ctx.forward(record),
    }
}

#[test]
fn what_a_node_wrote_and_forwarded_before_it_failed_stays() {
    let driver = alone(counting(true)).build().unwrap();
    pipe(&driver, "in", "a=x@1 a=fail@2 a=x@3").unwrap();
    // The instance goes on, too: it has seen all three.
    assert_eq!(history(&driver, "out"), "a=1/1@1 a=2/2@2 a=3/3@3");
    let topics = driver.topics();
    let changelog = topics.iter().find(|topic| topic.ends_with("-changelog"));
    assert_eq!(history(&driver, changelog.unwrap()), "a=1@1 a=2@2 a=3@3");
    assert_eq!(history(&driver, "dead"), "a=fail@2");
    let drops = driver.drops();
    assert_eq!(drops[&("count".to_owned(), DropReason::Processing)], 1);
}

#[test]
fn the_nodes_before_one_that_fails_go_on_and_so_do_other_branches() {
    for bad in ["bad", "worse"] {
        let mut topology = TopologyBuilder::new();
        let input = source(&mut topology, "in");
        let twice = node(
            &mut topology,
            ("twice", &input),
            |record: Text, ctx: &mut TextContext| {
                ctx.forward(record.clone())?;
                ctx.forward(record.with_value("more".to_owned()))
            },
        );
        let fussy = node(&mut topology, ("fussy", &twice), picky);
        sink(&mut topology, "out", &fussy);
        sink(&mut topology, "all", &twice);
        let driver = alone(topology).build().unwrap();
        pipe(&driver, "in", &format!("a=x@1 b={bad}@2")).unwrap();
        assert_eq!(history(&driver, "out"), "a=x@1 a=more@1 b=more@2", "{bad}");
        let all = format!("a=x@1 a=more@1 b={bad}@2 b=more@2");
        assert_eq!(history(&driver, "all"), all);
        assert_eq!(history(&driver, "dead"), format!("b={bad}@2"));
        let drops = driver.drops();
        assert_eq!(
            drops[&("fussy".to_owned(), DropReason::Processing)],
            1,
            "{bad}"
        );
        assert_eq!(
            driver.dropped_total(),
            1,
            "it is told once, by the nearest node"
        );
    }
}

#[test]
fn each_call_that_fails_is_told_counted_and_buried() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let twice = node(
        &mut topology,
        ("twice", &input),
        |record: Text, ctx: &mut TextContext| {
            ctx.forward(record.clone())?;
            ctx.forward(record)
        },
    );
    let fussy = node(&mut topology, ("fussy", &twice), picky);
    sink(&mut topology, "out", &fussy);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=bad@1").unwrap();
    assert_eq!(history(&driver, "dead"), "a=bad@1 a=bad@1");
    assert_eq!(driver.dropped_total(), 2);
}

#[test]
fn a_handler_that_fails_is_asked_once_however_many_nodes_are_before() {
    let mut topology = TopologyBuilder::new();
    let mut last = source(&mut topology, "in");
    for name in ["one", "two"] {
        last = node(
            &mut topology,
            (name, &last),
            |record: Text, ctx: &mut TextContext| ctx.forward(record),
        );
    }
    let fussy = node(&mut topology, ("fussy", &last), picky);
    sink(&mut topology, "out", &fussy);
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let driver = alone(topology)
        .on_failed_record(move |failure: &ErrorContext<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            assert_eq!(failure.node(), Some("fussy"));
            assert_eq!(failure.input().and_then(|raw| raw.value), Some(&b"bad"[..]));
            assert!(!failure.can_retry(), "what stays would be there twice");
            Response::Fail
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "a=x@1").unwrap();
    let error = pipe(&driver, "in", "b=bad@2").unwrap_err();
    assert_eq!(error.node(), Some("fussy"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(history(&driver, "out"), "a=x@1");
}

#[test]
fn retries_contradict_what_stays_of_an_attempt() {
    let driver = alone(counting(true)).retry(Retry::times(1)).build();
    let error = driver.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error
            .to_string()
            .contains("processing.exception.scope=node"),
        "{error}"
    );
}

/// Forwards a tick and then fails; passes records on.
struct Ticks;

impl Processor for Ticks {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        ctx.schedule(Duration::from_millis(10), PunctuationKind::StreamTime);
        Ok(())
    }

    fn process(&mut self, record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
        ctx.forward(record)
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut TextContext,
    ) -> Result<(), Fault> {
        let tick = |value: &str| Record::new("tick".to_owned(), value.to_owned(), now);
        ctx.forward(tick("bad"))?;
        ctx.forward(tick("good"))?;
        Err(Fault::message("enough"))
    }
}

#[test]
fn a_punctuation_keeps_what_it_forwarded_and_so_do_the_nodes_behind_it() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let ticks = topology.add_processor("ticks", || Ticks, &[&input]);
    let fussy = node(&mut topology, ("fussy", &ticks), picky);
    sink(&mut topology, "out", &fussy);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=x@10 a=x@11 a=x@20").unwrap();
    let expected = "a=x@10 tick=good@10 a=x@11 a=x@20 tick=good@20";
    assert_eq!(history(&driver, "out"), expected);
    let drops = driver.drops();
    assert_eq!(drops[&("fussy".to_owned(), DropReason::Processing)], 2);
    assert_eq!(drops[&("ticks".to_owned(), DropReason::Processing)], 2);
    assert_eq!(history(&driver, "dead"), "", "there is no record to bury");
}

/// Puts off what it gets, and forwards it before the commit.
#[derive(Default)]
struct PutsOff(Vec<Text>);

impl Processor for PutsOff {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&mut self, record: Text, _: &mut TextContext) -> Result<(), Fault> {
        self.0.push(record);
        Ok(())
    }

    fn flush(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        let is_last = self.0.iter().any(|record| record.value == "last");
        self.0
            .drain(..)
            .try_for_each(|record| ctx.forward(record))?;
        match is_last {
            true => Err(Fault::message("that was the last")),
            false => Ok(()),
        }
    }
}

#[test]
fn what_was_put_off_fails_alone_too_and_has_no_record_to_bury() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let cache = topology.add_processor("cache", PutsOff::default, &[&input]);
    let fussy = node(&mut topology, ("fussy", &cache), picky);
    sink(&mut topology, "out", &fussy);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=x@1 b=worse@2 c=last@3 d=y@4").unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1 c=last@3 d=y@4");
    let drops = driver.drops();
    assert_eq!(drops[&("fussy".to_owned(), DropReason::Processing)], 1);
    assert_eq!(drops[&("cache".to_owned(), DropReason::Processing)], 1);
    assert_eq!(history(&driver, "dead"), "");
}

/// Answers with the value and one more, but for some.
struct Ask;

impl AsyncProcessor for Ask {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;
    type Results = Vec<Text>;

    async fn call(&self, record: Text) -> Result<Vec<Text>, Fault> {
        match record.value.as_str() {
            "away" => Err(Fault::transient("the service is away")),
            _ => Ok(vec![record.clone(), record.with_value("more".to_owned())]),
        }
    }
}

#[test]
fn results_of_calls_fail_one_by_one_as_of_their_record() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let ask = topology.add_async_processor("ask", Ask, AsyncCalls::new(), &[&input]);
    let fussy = node(&mut topology, ("fussy", &ask), picky);
    sink(&mut topology, "out", &fussy);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=x@1 b=away@2 c=bad@3 d=worse@4").unwrap();
    let expected = "a=x@1 a=more@1 c=more@3 d=more@4";
    assert_eq!(history(&driver, "out"), expected);
    assert_eq!(history(&driver, "dead"), "b=away@2 c=bad@3 d=worse@4");
}

/// Text that cannot be written if it is `bad`.
struct Unwritable;

impl Serde for Unwritable {
    type Item = String;

    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        match value.as_str() {
            "bad" => Err(SerdeError::new("it is bad")),
            "worse" => panic!("it is worse"),
            _ => utf8().serialize(value, out),
        }
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        utf8().deserialize(bytes)
    }
}

#[test]
fn an_output_without_bytes_is_the_call_that_forwards_it_even_of_a_source() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let produced = || Produced::with(utf8(), SharedSerde::new(Unwritable));
    topology.add_sink("straight", "copies", produced(), &[&input]);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=x@1 b=bad@2 c=worse@3 d=y@4").unwrap();
    assert_eq!(history(&driver, "copies"), "a=x@1 d=y@4");
    assert_eq!(history(&driver, "dead"), "b=bad@2 c=worse@3");
}

#[test]
fn an_output_that_is_left_out_leaves_the_rest_of_its_record() {
    let mut topology = each(picky);
    let input = source(&mut topology, "more");
    let produced = Produced::with(utf8(), SharedSerde::new(Unwritable));
    topology.add_sink("straight", "copies", produced, &[&input]);
    let driver = alone(topology)
        .on_refused_output(OnRefusedOutput::Continue)
        .build()
        .unwrap();
    pipe(&driver, "more", "a=x@1 b=bad@2 d=y@4").unwrap();
    pipe(&driver, "in", "a=x@1 b=bad@2 d=y@4").unwrap();
    assert_eq!(history(&driver, "copies"), "a=x@1 d=y@4");
    assert_eq!(history(&driver, "out"), "a=x@1 d=y@4");
    let drops = driver.drops();
    assert_eq!(drops[&("straight".to_owned(), DropReason::Production)], 1);
    assert_eq!(drops[&("each".to_owned(), DropReason::Processing)], 1);
    assert_eq!(history(&driver, "dead"), "b=bad@2 b=bad@2");
}

/// Takes rows, but none that is bad.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<String>>>);

impl ExternalSink<String, String> for Rows {
    type Session = Rows;

    fn open(&self, _: &ExternalTask) -> Result<(Rows, Applied), ExternalFault> {
        Ok((self.clone(), Applied::Unknown))
    }
}

impl ExternalSession<String, String> for Rows {
    type Row = String;

    fn row(&mut self, record: &Text) -> Result<String, Fault> {
        match record.value.as_str() {
            "bad" => Err(Fault::message("no row of that")),
            value => Ok(value.to_owned()),
        }
    }

    fn commit(
        &mut self,
        batch: &ExternalBatch<'_, String>,
        _: Duration,
    ) -> Result<(), ExternalFault> {
        let rows = batch.rows.iter().map(|row| row.row.clone());
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }
}

#[test]
fn a_row_that_cannot_be_made_leaves_the_other_rows_and_outputs_of_its_record() {
    let rows = Rows::default();
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let twice = node(
        &mut topology,
        ("twice", &input),
        |record: Text, ctx: &mut TextContext| {
            ctx.forward(record.clone())?;
            ctx.forward(record.with_value("more".to_owned()))
        },
    );
    topology.add_external_sink("rows", rows.clone(), &[&twice]);
    sink(&mut topology, "out", &twice);
    let driver = alone(topology).build().unwrap();
    pipe(&driver, "in", "a=x@1 b=bad@2").unwrap();
    assert_eq!(*rows.0.lock().unwrap(), ["x", "more", "more"]);
    assert_eq!(history(&driver, "out"), "a=x@1 a=more@1 b=bad@2 b=more@2");
    assert_eq!(history(&driver, "dead"), "b=bad@2");
}
