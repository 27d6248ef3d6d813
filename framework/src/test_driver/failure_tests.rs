use std::sync::Arc;

use bytes::Bytes;

use super::TestDriver;
use super::testing::{Each, Text, TextContext, counting, driver, each, history, pipe};
use super::testing::{sink, source, ticking};
use crate::error::{ErrorKind, Fault};
use crate::metrics::DropReason;
use crate::processor::{OnBadRecord, PunctuationKind};
use crate::record::Record;
use crate::serde::utf8;
use crate::time::Timestamp;

#[test]
fn a_record_that_fails_leaves_no_trace_and_the_driver_goes_on() {
    let driver = driver(counting(true));
    pipe(&driver, "in", "a=x@1").unwrap();
    // It has forwarded and put before it fails.
    let error = pipe(&driver, "in", "a=fail@2").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!(
        error.to_string(),
        "a processor failed (node count, in-0 at offset 1): told to fail"
    );
    assert_eq!(history(&driver, "out"), "a=1/1@1");
    assert_eq!(history(&driver, "app-counts-changelog"), "a=1@1");
    pipe(&driver, "in", "a=x@3").unwrap();
    // The count goes on where it was; the processor was made anew.
    assert_eq!(history(&driver, "out"), "a=1/1@1 a=2/1@3");
}

#[test]
fn what_waits_behind_a_failed_record_is_processed_by_the_next_step() {
    // Every record is copied to `in` twice; copies end here, and the first copy fails.
    let twice = |record: Text, ctx: &mut TextContext| match record.value.as_str() {
        "bad" => Err(Fault::message("bad")),
        "good" => Ok(()),
        _ => {
            ctx.forward(record.clone().with_value("bad".to_owned()))?;
            ctx.forward(record.with_value("good".to_owned()))
        }
    };
    let mut builder = each(|record, ctx| ctx.forward(record));
    let again = source(&mut builder, "again");
    let twice = Arc::new(twice);
    let node = builder.add_processor("twice", move || Each(Arc::clone(&twice)), &[&again]);
    sink(&mut builder, "again", &node);
    let driver = driver(builder);
    let error = pipe(&driver, "again", "k=v@1").unwrap_err();
    assert_eq!(error.position().unwrap().to_string(), "again-0 at offset 1");
    assert_eq!(history(&driver, "again"), "k=v@1 k=bad@1 k=good@1");
    pipe(&driver, "in", "k=v@0").unwrap();
    let error = pipe(&driver, "again", "k=v@1").unwrap_err();
    assert_eq!(error.position().unwrap().to_string(), "again-0 at offset 4");
}

#[test]
fn bytes_that_cannot_be_read_follow_the_handler() {
    let bad = || {
        Record::new(
            None,
            Some(Bytes::from_static(b"v")),
            Timestamp::from_millis(1),
        )
    };
    for handler in [OnBadRecord::Fail, OnBadRecord::Continue] {
        let topology = counting(true).build().unwrap();
        let driver = TestDriver::builder(topology)
            .on_bad_record(handler)
            .build()
            .unwrap();
        let input = driver.input_topic("in", utf8(), utf8());
        let outcome = input.pipe_raw(bad());
        match handler {
            OnBadRecord::Fail => {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Deserialization);
                assert!(
                    error.to_string().contains("node in, in-0 at offset 0"),
                    "{error}"
                );
                assert_eq!(driver.dropped_total(), 0);
            }
            OnBadRecord::Continue => {
                outcome.unwrap();
                let drops = driver.drops();
                assert_eq!(drops[&("in".to_owned(), DropReason::Deserialization)], 1);
            }
        }
        // Either way the next record is the next.
        input.pipe("a", "x", Timestamp::from_millis(2)).unwrap();
        assert_eq!(history(&driver, "out"), "a=1/1@2");
    }
}

#[test]
fn drops_count_once_their_record_is_committed() {
    let driver = driver(each(|record: Text, ctx: &mut TextContext| {
        ctx.dropped(DropReason::NullValue);
        if record.value == "fail" {
            Err(Fault::message("no"))
        } else {
            Ok(())
        }
    }));
    pipe(&driver, "in", "a=fail@1").unwrap_err();
    assert_eq!(driver.dropped_total(), 0);
    pipe(&driver, "in", "a=x@1 b=x@2").unwrap();
    assert_eq!(
        driver.drops()[&("each".to_owned(), DropReason::NullValue)],
        2
    );
    // A negative timestamp is the extractor's to judge: the default one fails.
    assert_eq!(
        pipe(&driver, "in", "a=x@-1").unwrap_err().kind(),
        ErrorKind::Processing
    );
}

#[test]
fn a_name_that_is_mistyped_is_an_error() {
    let driver = driver(counting(true));
    let error = pipe(&driver, "im", "a=x@1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no source reads topic im; the sources read: in"
    );
    let error = driver
        .output_topic("uot", utf8(), utf8())
        .read()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the topology has no topic uot; its topics: app-counts-changelog, in, out"
    );
    let error = driver.input_topic("in", utf8(), utf8()).pipe_to_partition(
        1,
        Record::new("a".to_owned(), "x".to_owned(), Timestamp::from_millis(0)),
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("topic in has no partition 1: it has 1")
    );
    let topology = counting(true).build().unwrap();
    let error = TestDriver::builder(topology)
        .partitions("in", 0)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic in needs at least one partition, not 0"
    );
}

#[test]
fn a_restart_restores_what_was_logged_and_loses_the_rest() {
    for (logged, expect) in [
        (true, "a=1/1@1 a=2/2@2 a=3/1@3"),
        (false, "a=1/1@1 a=2/2@2 a=1/1@3"),
    ] {
        let driver = driver(counting(logged));
        pipe(&driver, "in", "a=x@1 a=x@2").unwrap();
        let counts = driver.key_value_store::<String, i64>("counts").unwrap();
        driver.restart().unwrap();
        assert_eq!(counts.get(&"a".to_owned()).unwrap(), logged.then_some(2));
        pipe(&driver, "in", "a=x@3").unwrap();
        assert_eq!(history(&driver, "out"), expect, "logged: {logged}");
    }
}

#[test]
fn a_restart_keeps_stream_time_and_offsets() {
    let report = |record: Text, ctx: &mut TextContext| {
        let position = ctx.position().expect("a record is in process");
        let value = format!("{}/{}", ctx.stream_time(), position.offset);
        ctx.forward(record.with_value(value))
    };
    let driver = driver(each(report));
    pipe(&driver, "in", "a=x@50").unwrap();
    driver.restart().unwrap();
    pipe(&driver, "in", "a=x@20").unwrap();
    assert_eq!(history(&driver, "out"), "a=50/0@50 a=50/1@20");
}

#[test]
fn a_failed_record_does_not_advance_stream_time() {
    let driver = driver(each(|record: Text, ctx: &mut TextContext| {
        if record.value == "fail" {
            return Err(Fault::message("no"));
        }
        let stream_time = ctx.stream_time().to_string();
        ctx.forward(record.with_value(stream_time))
    }));
    pipe(&driver, "in", "a=fail@90").unwrap_err();
    pipe(&driver, "in", "a=x@10").unwrap();
    assert_eq!(history(&driver, "out"), "a=10@10");
}

#[test]
fn a_punctuation_that_was_made_is_not_made_again_after_a_failure() {
    let driver = driver(ticking(PunctuationKind::StreamTime, 10));
    pipe(&driver, "in", "a=x@10").unwrap();
    pipe(&driver, "in", "a=x@-1").unwrap_err();
    pipe(&driver, "in", "a=x@11 a=x@20").unwrap();
    assert_eq!(history(&driver, "out"), "tick=10@10 tick=20@20");
}

#[test]
fn a_closed_driver_says_so() {
    let driver = driver(counting(true));
    pipe(&driver, "in", "a=x@1").unwrap();
    driver.close();
    assert_eq!(
        pipe(&driver, "in", "a=x@2").unwrap_err().to_string(),
        "the driver is closed: its topics can be read, nothing can be piped; make a new driver"
    );
    assert_eq!(history(&driver, "out"), "a=1/1@1");
}
