use bytes::Bytes;

use super::TestDriver;
use super::testing::{Text, TextContext, counting, each, history, pipe, sink, source};
use crate::error::Fault;
use crate::metrics::DropReason;
use crate::processor::{OnBadRecord, OnFailedRecord, Processor, Punctuation, PunctuationKind};
use crate::record::Record;
use crate::serde::utf8;
use crate::time::Timestamp;
use crate::topology::TopologyBuilder;

/// Goes on after whatever fails, with a topic of dead letters.
fn going_on(builder: TopologyBuilder) -> TestDriver {
    let driver = TestDriver::builder(builder.build().unwrap())
        .on_bad_record(OnBadRecord::Continue)
        .on_failed_record(OnFailedRecord::Continue)
        .dead_letter_topic("dead");
    driver.build().unwrap()
}

/// The headers of the only dead letter, as text.
fn reason(driver: &TestDriver) -> Vec<(String, String)> {
    let letters = driver.topic_history("dead");
    assert_eq!(letters.len(), 1);
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    let headers = letters[0].headers.into_iter();
    headers
        .map(|header| (header.key.to_string(), text(header.value.as_deref())))
        .collect()
}

fn named(reason: &[(String, String)], name: &str) -> String {
    let name = format!("__streams.errors.{name}");
    let found = reason.iter().find(|(header, _)| *header == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

#[test]
fn a_record_that_is_given_up_leaves_its_dead_letter_and_nothing_else() {
    let driver = going_on(counting(true));
    // It has forwarded and put before it fails.
    pipe(&driver, "in", "a=x@1 a=fail@2 b=x@3 a=x@4").unwrap();
    assert_eq!(history(&driver, "out"), "a=1/1@1 b=1/1@3 a=2/2@4");
    let changelog = history(&driver, "app-counts-changelog");
    assert_eq!(changelog, "a=1@1 b=1@3 a=2@4");
    assert_eq!(history(&driver, "dead"), "a=fail@2");
    let drops = driver.drops();
    assert_eq!(drops[&("count".to_owned(), DropReason::Processing)], 1);
    let reason = reason(&driver);
    let told = ["exception", "topic", "partition", "offset"].map(|name| named(&reason, name));
    assert_eq!(told, ["Processing", "in", "0", "1"]);
    let message = named(&reason, "message");
    assert!(message.contains("node count"), "{message}");
    assert!(named(&reason, "stacktrace").contains("told to fail"));
}

#[test]
fn a_panic_is_given_up_like_an_error() {
    let driver = going_on(each(|record: Text, ctx: &mut TextContext| {
        ctx.forward(record.clone())?;
        match record.value.as_str() {
            "panic" => panic!("out of luck"),
            _ => Ok(()),
        }
    }));
    pipe(&driver, "in", "a=x@1 b=panic@2 c=y@3").unwrap();
    assert_eq!(history(&driver, "out"), "a=x@1 c=y@3");
    assert_eq!(history(&driver, "dead"), "b=panic@2");
    let message = named(&reason(&driver), "message");
    assert!(message.contains("panicked: out of luck"), "{message}");
}

#[test]
fn bytes_that_cannot_be_read_are_buried_as_they_are() {
    let driver = going_on(counting(true));
    let input = driver.input_topic("in", utf8(), utf8());
    let value = Bytes::from_static(b"\xff\xfe");
    let key = Some(Bytes::from_static(b"k"));
    input
        .pipe_raw(Record::new(
            key,
            Some(value.clone()),
            Timestamp::from_millis(7),
        ))
        .unwrap();
    let letters = driver.topic_history("dead");
    assert_eq!(letters[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(letters[0].value, Some(value));
    assert_eq!(letters[0].timestamp, Timestamp::from_millis(7));
    assert_eq!(named(&reason(&driver), "exception"), "Deserialization");
}

/// Forwards at every punctuation, and fails at one.
struct FailsAt(u64);

impl Processor for FailsAt {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        let every = std::time::Duration::from_millis(10);
        ctx.schedule(every, PunctuationKind::StreamTime);
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
        if now.as_millis() == i64::try_from(self.0)? {
            return Err(Fault::message("no tick"));
        }
        Ok(())
    }
}

#[test]
fn a_punctuation_that_is_given_up_is_counted_and_the_next_one_comes() {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let node = builder.add_processor("tick", || FailsAt(20), &[&input]);
    sink(&mut builder, "out", &node);
    let driver = going_on(builder);
    pipe(&driver, "in", "a=x@10 a=x@20 a=x@25 a=x@30").unwrap();
    let expected = "a=x@10 tick=10@10 a=x@20 a=x@25 a=x@30 tick=30@30";
    assert_eq!(history(&driver, "out"), expected);
    let drops = driver.drops();
    assert_eq!(drops[&("tick".to_owned(), DropReason::Processing)], 1);
    assert_eq!(history(&driver, "dead"), "", "there is no record to bury");
}
