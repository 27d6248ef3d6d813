//! What time drives: punctuations are exactly once like records, and time itself outlives a restart.

use std::time::Duration;

use onceflow_framework::{
    BatchPoint, Context, Fault, Processor, RawRecord, Record, Timestamp, Topology, TopologyBuilder,
    time::TimestampExtractor,
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Outgoing, Program,
    ledger::Ledger,
    punctual, texts,
    wait::{holds_for, unix_millis, wait_until},
    worker::{Application, At, Orders, Worker},
};

use super::WORKER;

/// A worker of the punctual application.
fn punctual_worker(ledger: &Ledger<'_>, at: Option<At>) -> Worker {
    let mut properties = ledger.properties("a");
    properties.push(("static.membership".to_owned(), "true".to_owned()));
    let topics = ledger.topics.clone();
    let application = Application::Punctual;
    Worker::obeying(
        WORKER,
        &Orders {
            properties,
            application,
            topics,
            at,
        },
    )
}

/// Dies at each point in turn, with records and ticks in its batches.
#[test]
fn punctuations_are_exactly_once_across_crashes() {
    let ledger = Ledger::new(Cluster::shared(), "punctual", 2);
    let points = [
        BatchPoint::BeforeBegin,
        BatchPoint::BeforeSendOffsets,
        BatchPoint::AfterSendOffsets,
        BatchPoint::BeforeCommit,
        BatchPoint::AfterCommit,
        BatchPoint::AfterApply,
    ];
    for point in points {
        ledger.feed(60);
        punctual_worker(&ledger, Some(At::abort(point, 6))).wait_for_abort();
    }
    ledger.feed(60);
    let last = punctual_worker(&ledger, None);
    wait_until("everything is consumed", || ledger.input_is_consumed());
    assert!(
        holds_for(Duration::from_millis(100), || true),
        "it ticks on"
    );
    last.close();
    punctual::audit(&ledger, points.len());
}

/// Without any input there is a batch all the same, once a tick.
#[test]
fn ticks_without_input_are_exactly_once_across_crashes() {
    let ledger = Ledger::new(Cluster::shared(), "ticking", 1);
    for point in [
        BatchPoint::AfterSendOffsets,
        BatchPoint::AfterCommit,
        BatchPoint::AfterApply,
    ] {
        punctual_worker(&ledger, Some(At::abort(point, 4))).wait_for_abort();
    }
    let mut last = punctual_worker(&ledger, None);
    last.wait_until_running();
    assert!(
        holds_for(Duration::from_millis(100), || true),
        "it ticks on"
    );
    last.close();
    punctual::audit(&ledger, 6);
}

/// Tells, for each record, the stream time that it was processed at.
struct TellTime;

impl Processor for TellTime {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let told = format!("{} {}", record.timestamp, ctx.stream_time());
        ctx.forward(record.with_value(told))
    }
}

/// Times a record that says "?" by the partition time, which is all that is known of it.
struct Guess;

impl TimestampExtractor<String, String> for Guess {
    fn extract(
        &self,
        record: &Record<String, String>,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, String> {
        Ok(if record.value == "?" {
            partition_time
        } else {
            raw.timestamp
        })
    }
}

fn telling_time(input: &str, output: &str) -> Topology {
    let mut builder = TopologyBuilder::new();
    let source = Consumed::<String, String>::new().with_timestamp_extractor(Guess);
    let input = builder.add_source("in", [input], source);
    let told = builder.add_processor("tell-time", || TellTime, &[&input]);
    builder.add_sink("out", output, Produced::new(), &[&told]);
    builder.build().unwrap()
}

#[test]
fn stream_time_and_partition_time_outlive_a_restart() {
    let ledger = Ledger::new(Cluster::shared(), "times", 1);
    let (input, output) = (&ledger.topics.input, &ledger.topics.totals);
    let now = unix_millis();
    let put = |value: &str, at: i64| {
        let record = Outgoing::value(value).key("k").timestamp(now + at);
        ledger.cluster.produce(input, [record]);
    };
    let start = || {
        let config = ledger.config("a").build().unwrap();
        Program::start(telling_time(input, output), config).unwrap()
    };
    let told = |at: i64, stream_time: i64| format!("{} {}", now + at, now + stream_time);
    put("first", 0);
    put("ahead", 5_000);
    put("late", 100);
    let first = start();
    ledger.wait_for(3);
    first.close().unwrap();
    put("later still", 200);
    put("?", 300);
    put("on", 6_000);
    let second = start();
    ledger.wait_for(6);
    second.close().unwrap();
    let expected = [
        told(0, 0),
        told(5_000, 5_000),
        told(100, 5_000),
        // Another process, the same time.
        told(200, 5_000),
        told(5_000, 5_000),
        told(6_000, 6_000),
    ];
    assert_eq!(texts(&ledger.cluster.settled(output)), expected);
}
