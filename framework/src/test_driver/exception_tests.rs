//! Handlers of the user's own: what they are told, what they may answer, and what is left then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::testing::{Text, TextContext, counting, each, history, pipe, source};
use super::{TestDriver, TestDriverBuilder};
use crate::error::{Error, ErrorKind, Fault};
use crate::handler::{DeadLetter, ErrorContext, OnFailedRecord, Response, Retry, Stage};
use crate::metrics::DropReason;
use crate::processor::{AsyncCalls, AsyncProcessor, Processor, Punctuation, PunctuationKind};
use crate::record::{Headers, Record};
use crate::serde::{Encoded, Serde, SerdeError, SharedSerde, utf8};
use crate::time::Timestamp;
use crate::topology::{Consumed, Produced, TopologyBuilder};

fn builder(topology: TopologyBuilder) -> TestDriverBuilder {
    TestDriver::builder(topology.build().unwrap())
}

/// What a handler was told, a line a failure.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, failure: &ErrorContext<'_>) {
        let text =
            |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let input = failure.input().map(|raw| (text(raw.key), text(raw.value)));
        let output = failure.output().map(|out| (out.topic, text(out.key)));
        let line = format!(
            "{:?} {} {:?} {:?}-{:?}@{:?} {input:?} {output:?} #{}{}",
            failure.stage(),
            failure.task_id(),
            failure.node(),
            failure.topic(),
            failure.partition(),
            failure.offset().map(crate::record::Offset::get),
            failure.attempt(),
            if failure.can_retry() { "+" } else { "" },
        );
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Text that can neither be written nor read if it is `bad`, and panics if it is `panic`.
struct Picky;

impl Serde for Picky {
    type Item = String;

    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        match value.as_str() {
            "bad" => Err(SerdeError::new("it is bad")),
            _ => utf8().serialize(value, out),
        }
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        match utf8().deserialize(bytes)?.as_str() {
            "bad" => Err(SerdeError::new("it is bad")),
            "panic" => panic!("out of luck"),
            text => Ok(text.to_owned()),
        }
    }
}

/// `in` → `out`, which is picky; each value is sent, and then once more as `ok`.
fn picky_output() -> TopologyBuilder {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        ctx.forward(record.clone())?;
        ctx.forward(record.with_value("ok".to_owned()))
    });
    let input = source(&mut builder, "more");
    let produced = Produced::with(utf8(), SharedSerde::new(Picky));
    let twice = |record: Text, ctx: &mut TextContext| {
        ctx.forward(record.clone())?;
        ctx.forward(record.with_value("ok".to_owned()))
    };
    let twice = Arc::new(twice);
    let node = builder.add_processor(
        "twice",
        move || super::testing::Each(Arc::clone(&twice)),
        &[&input],
    );
    builder.add_sink("picky", "picked", produced, &[&node]);
    builder
}

/// `in`, which is picky, → `out`.
fn picky_input() -> TopologyBuilder {
    let mut builder = TopologyBuilder::new();
    let consumed = Consumed::with(utf8(), SharedSerde::new(Picky));
    let input = builder.add_source("in", ["in"], consumed);
    super::testing::sink(&mut builder, "out", &input);
    builder
}

#[test]
fn a_handler_is_told_what_failed_where_and_at_which_record() {
    let told = Told::default();
    let notes = told.clone();
    let driver = builder(counting(true))
        .on_failed_record(move |failure: &ErrorContext<'_>| {
            notes.note(failure);
            Response::Resume(Vec::new())
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "a=x@1 b=fail@2 a=x@3").unwrap();
    let expected = r#"Processing 0_0 Some("count") Some("in")-Some(0)@Some(1) Some((Some("b"), Some("fail"))) None #1"#;
    assert_eq!(told.lines(), [expected]);
    assert_eq!(history(&driver, "out"), "a=1/1@1 a=2/1@3");
    assert_eq!(driver.dropped_total(), 1);
}

#[test]
fn a_handler_leaves_any_bytes_in_any_topics() {
    let driver = builder(counting(true))
        .on_failed_record(|failure: &ErrorContext<'_>| {
            let letter = DeadLetter {
                topic: "elsewhere".to_owned(),
                partition: None,
                key: None,
                value: Some(Bytes::from_static(b"gone")),
                timestamp: Timestamp::from_millis(77),
                headers: Headers::new(),
            };
            Response::Resume(
                failure
                    .dead_letter("dead")
                    .into_iter()
                    .chain([letter])
                    .collect(),
            )
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "b=fail@2").unwrap();
    assert_eq!(history(&driver, "dead"), "b=fail@2");
    assert_eq!(history(&driver, "elsewhere"), "-=gone@77");
}

#[test]
fn a_handler_that_panics_has_said_fail_and_both_causes_are_told() {
    let panics = |_: &ErrorContext<'_>| -> Response { panic!("handler out of luck") };
    let check = |error: Error, kind: ErrorKind, cause: &str| {
        assert_eq!(error.kind(), kind);
        let told = error.to_string();
        assert!(told.contains("panicked: handler out of luck"), "{told}");
        assert!(told.contains(cause), "{told}");
        assert!(told.contains("at offset 0"), "{told}");
    };
    let driver = builder(counting(true)).on_failed_record(panics).build();
    let driver = driver.unwrap();
    let error = pipe(&driver, "in", "a=fail@1").unwrap_err();
    check(error, ErrorKind::Processing, "told to fail");
    pipe(&driver, "in", "a=x@2").unwrap();
    assert_eq!(history(&driver, "out"), "a=1/1@2");

    let driver = builder(picky_input())
        .on_bad_record(panics)
        .build()
        .unwrap();
    let error = pipe(&driver, "in", "a=bad@1").unwrap_err();
    check(error, ErrorKind::Deserialization, "it is bad");

    let driver = builder(picky_output()).on_refused_output(panics).build();
    let error = pipe(&driver.unwrap(), "more", "a=bad@1").unwrap_err();
    check(error, ErrorKind::Serialization, "it is bad");
}

#[test]
fn an_output_that_cannot_be_written_is_left_out_and_its_neighbours_are_sent() {
    let told = Told::default();
    let notes = told.clone();
    let driver = builder(picky_output())
        .on_refused_output(move |failure: &ErrorContext<'_>| {
            notes.note(failure);
            Response::resume_with(failure.dead_letter("dead"))
        })
        .build()
        .unwrap();
    pipe(&driver, "more", "a=x@1 b=bad@2 c=y@3").unwrap();
    assert_eq!(
        history(&driver, "picked"),
        "a=x@1 a=ok@1 b=ok@2 c=y@3 c=ok@3"
    );
    assert_eq!(
        history(&driver, "dead"),
        "b=bad@2",
        "the input, not the output"
    );
    let expected = r#"Production 1_0 Some("picky") Some("more")-Some(0)@Some(1) Some((Some("b"), Some("bad"))) Some((Some("picked"), Some("b"))) #1"#;
    assert_eq!(told.lines(), [expected]);
    let drops = driver.drops();
    assert_eq!(drops[&("picky".to_owned(), DropReason::Production)], 1);
}

#[test]
fn what_the_handler_of_outputs_fails_is_not_passed_over_by_that_of_records() {
    let both = |on_refused: fn(&ErrorContext<'_>) -> Response| {
        let driver = builder(picky_output()).on_failed_record(OnFailedRecord::Continue);
        driver.on_refused_output(on_refused).build().unwrap()
    };
    let driver = both(|_| Response::Fail);
    let error = pipe(&driver, "more", "a=bad@1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    // Without a word of its own it is the record's failure.
    let driver = builder(picky_output()).on_failed_record(OnFailedRecord::Continue);
    let driver = driver.build().unwrap();
    pipe(&driver, "more", "a=bad@1 b=x@2").unwrap();
    assert_eq!(history(&driver, "picked"), "b=x@2 b=ok@2");
}

/// Fails so many times at `bad`, for a reason that may pass, and then does not.
fn passing(failures: u32) -> (TopologyBuilder, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let topology = each(move |record: Text, ctx: &mut TextContext| {
        ctx.forward(record.clone())?;
        let is_bad = record.value == "bad";
        match is_bad && counted.fetch_add(1, Ordering::Relaxed) < failures {
            true => Err(Fault::transient("the service is away")),
            false => Ok(()),
        }
    });
    (topology, calls)
}

#[test]
fn a_transient_failure_is_tried_again_and_leaves_nothing_of_the_attempts() {
    let (topology, calls) = passing(3);
    let driver = builder(topology).retry(Retry::times(3)).build().unwrap();
    pipe(&driver, "in", "a=x@1 b=bad@2 c=y@3").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(history(&driver, "out"), "a=x@1 b=bad@2 c=y@3");
    assert_eq!(driver.dropped_total(), 0);
}

#[test]
fn after_the_last_attempt_the_handler_has_the_word() {
    let (topology, calls) = passing(u32::MAX);
    let driver = builder(topology).retry(Retry::times(2)).build().unwrap();
    let error = pipe(&driver, "in", "a=x@1 b=bad@2").unwrap_err();
    assert!(error.to_string().contains("the service is away"), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 3);

    let (topology, _) = passing(u32::MAX);
    let told = Told::default();
    let notes = told.clone();
    let driver = builder(topology)
        .retry(Retry::times(2))
        .on_failed_record(move |failure: &ErrorContext<'_>| {
            notes.note(failure);
            Response::resume_with(failure.dead_letter("dead"))
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "a=x@1 b=bad@2 c=y@3").unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1 c=y@3");
    assert_eq!(history(&driver, "dead"), "b=bad@2");
    let lines = told.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("#3"), "{lines:?}");
}

#[test]
fn without_leave_to_try_again_a_transient_failure_is_like_any_other() {
    let (topology, calls) = passing(u32::MAX);
    let driver = builder(topology).build().unwrap();
    pipe(&driver, "in", "a=bad@1").unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_handler_may_ask_for_another_attempt_as_often_as_there_are_any() {
    let told = Told::default();
    let notes = told.clone();
    let retry = move |failure: &ErrorContext<'_>| {
        notes.note(failure);
        Response::Retry
    };
    let driver = builder(counting(true)).retry(Retry::times(2));
    let driver = driver.on_failed_record(retry).build().unwrap();
    let error = pipe(&driver, "in", "a=fail@1").unwrap_err().to_string();
    assert!(error.contains("one more attempt after 3"), "{error}");
    assert!(error.contains("told to fail"), "{error}");
    let ends: Vec<String> = told.lines();
    let ends = ends.iter().map(|line| line.rsplit(' ').next().unwrap());
    assert_eq!(ends.collect::<Vec<_>>(), ["#1+", "#2+", "#3"]);
}

/// Reads only at the third attempt.
struct Late(AtomicU32);

impl Serde for Late {
    type Item = String;

    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        utf8().serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(SerdeError::new("the schema is not there yet")),
            _ => utf8().deserialize(bytes),
        }
    }
}

#[test]
fn bytes_that_can_be_read_later_are_read_later() {
    let mut topology = TopologyBuilder::new();
    let late = SharedSerde::new(Late(AtomicU32::new(0)));
    let input = topology.add_source("in", ["in"], Consumed::with(utf8(), late));
    super::testing::sink(&mut topology, "out", &input);
    let driver = builder(topology).retry(Retry::times(2));
    let driver = driver.on_bad_record(|_: &ErrorContext<'_>| Response::Retry);
    let driver = driver.build().unwrap();
    pipe(&driver, "in", "a=x@1 b=y@2").unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1 b=y@2");
}

#[test]
fn a_serde_that_panics_is_passed_over_like_one_that_fails() {
    let driver = builder(picky_input())
        .on_bad_record(|failure: &ErrorContext<'_>| {
            assert_eq!(failure.stage(), Stage::Deserialization);
            Response::resume_with(failure.dead_letter("dead"))
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "a=x@1 b=panic@2 c=bad@3 d=y@4").unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1 d=y@4");
    assert_eq!(history(&driver, "dead"), "b=panic@2 c=bad@3");
}

/// Fails at each punctuation.
struct FailsAlways;

impl Processor for FailsAlways {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        let every = std::time::Duration::from_millis(10);
        ctx.schedule(every, PunctuationKind::WallClock);
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
        ctx.forward(Record::new("tick".to_owned(), now.to_string(), now))?;
        Err(Fault::transient("no tick"))
    }
}

#[test]
fn a_punctuation_has_no_record_and_its_next_time_is_its_retry() {
    let failing = || {
        let mut topology = TopologyBuilder::new();
        let input = source(&mut topology, "in");
        let node = topology.add_processor("tick", || FailsAlways, &[&input]);
        super::testing::sink(&mut topology, "out", &node);
        builder(topology).retry(Retry::times(5))
    };
    let told = Told::default();
    let notes = told.clone();
    let driver = failing().on_failed_record(move |failure: &ErrorContext<'_>| {
        notes.note(failure);
        Response::resume_with(failure.dead_letter("dead"))
    });
    let driver = driver.build().unwrap();
    let tick = std::time::Duration::from_millis(10);
    pipe(&driver, "in", "a=x@1").unwrap();
    driver.advance_wall_clock(tick).unwrap();
    driver.advance_wall_clock(tick).unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1");
    let expected = r#"Processing 0_0 Some("tick") None-None@None None None #1"#;
    assert_eq!(told.lines(), [expected, expected]);

    let driver = failing().on_failed_record(|_: &ErrorContext<'_>| Response::Retry);
    let error = driver
        .build()
        .unwrap()
        .advance_wall_clock(tick)
        .unwrap_err();
    assert!(error.to_string().contains("no tick"), "{error}");
}

#[test]
fn the_time_of_a_node_forgets_a_record_that_is_given_up() {
    let driver = builder(each(|record: Text, ctx: &mut TextContext| {
        let time = ctx.node_time().advance(record.timestamp);
        let is_bad = record.value == "bad";
        ctx.forward(record.with_value(time.to_string()))?;
        match is_bad {
            true => Err(Fault::message("bad")),
            false => Ok(()),
        }
    }));
    let driver = driver.on_failed_record(OnFailedRecord::Continue);
    let driver = driver.build().unwrap();
    pipe(&driver, "in", "a=x@10 a=bad@90 a=x@20").unwrap();
    assert_eq!(history(&driver, "out"), "a=10@10 a=20@20");
}

/// Answers with the value, but for some.
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
            _ => Ok(vec![record.clone(), record.with_value("ok".to_owned())]),
        }
    }
}

#[test]
fn the_handlers_of_a_calls_result_are_shown_the_record_that_was_called_for() {
    let mut topology = TopologyBuilder::new();
    let input = source(&mut topology, "in");
    let node = topology.add_async_processor("ask", Ask, AsyncCalls::new(), &[&input]);
    let produced = Produced::with(utf8(), SharedSerde::new(Picky));
    topology.add_sink("picky", "picked", produced, &[&node]);
    let driver = builder(topology)
        .retry(Retry::times(3))
        .on_failed_record(|failure: &ErrorContext<'_>| {
            assert!(!failure.can_retry(), "a call has retries of its own");
            Response::resume_with(failure.dead_letter("dead"))
        })
        .on_refused_output(|failure: &ErrorContext<'_>| {
            Response::resume_with(failure.dead_letter("unsent"))
        })
        .build()
        .unwrap();
    pipe(&driver, "in", "a=x@1 b=away@2 c=bad@3 d=y@4").unwrap();
    let expected = "a=x@1 a=ok@1 c=ok@3 d=y@4 d=ok@4";
    assert_eq!(history(&driver, "picked"), expected);
    assert_eq!(history(&driver, "dead"), "b=away@2");
    assert_eq!(history(&driver, "unsent"), "c=bad@3");
}
