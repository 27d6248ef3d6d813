//! Which records a batch holds that leaves calls to the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::active_task::{ActiveTask, Lane, OpenCalls, Progress};
use super::metadata::{OffsetMetadata, Stamp};
use super::task::{Task, TaskSettings};
use crate::error::{Error, Fault};
use crate::handler::Handlers;
use crate::metrics::{DropReason, Drops};
use crate::processor::{
    AsyncCalls, AsyncProcessor, CallSettings, Collector, Context, OnFailedRecord, OutgoingRecord,
    Processor, TopicId,
};
use crate::record::{Headers, Offset, Record, TaskId, TopicPartition};
use crate::time::{ManualClock, Timestamp};
use crate::topology::{Consumed, NodeRef, Produced, TopologyBuilder};

/// Answers about numbers below the one that it is told.
struct Service(watch::Receiver<i64>);

impl AsyncProcessor for Service {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;
    type Results = [Record<String, String>; 1];

    async fn call(&self, record: Record<String, String>) -> Result<Self::Results, Fault> {
        let number: i64 = record.value.parse()?;
        let mut told = self.0.clone();
        told.wait_for(|below| number < *below).await?;
        Ok([record])
    }
}

/// Forwards each word, and keeps nothing.
struct Words;

impl Processor for Words {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    const STATELESS: bool = true;

    fn process(
        &mut self,
        line: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let mut words = line.value.split_whitespace();
        words.try_for_each(|word| {
            let key = word.to_owned(); // calls of a key would wait for each other
            ctx.forward(Record::new(key, word.to_owned(), line.timestamp))
        })
    }
}

/// As [`Words`], which it does not tell anybody.
struct Reticent;

impl Processor for Reticent {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        line: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        Words.process(line, ctx)
    }
}

/// What goes out.
#[derive(Debug, Default)]
struct Outputs(RefCell<Vec<String>>);

impl Outputs {
    fn take(&self) -> String {
        std::mem::take(&mut *self.0.borrow_mut()).join(" ")
    }
}

impl Collector for Outputs {
    fn topic(&self, _: &str) -> Result<TopicId, Error> {
        Ok(TopicId(0))
    }

    fn partitions(&self, _: TopicId) -> Result<i32, Error> {
        Ok(1)
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        let value = record.value.unwrap_or_default();
        let value = String::from_utf8_lossy(value).into_owned();
        self.0.borrow_mut().push(value);
        Ok(())
    }
}

/// What stands before and behind the service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// lines ─> words ─> service ─> out
    Straight,
    /// The words come from a processor that may keep something.
    Reticent,
    /// Words go to `out` beside the service.
    Forked,
    /// Lines of two topics.
    TwoTopics,
    /// Results of different keys may pass each other.
    KeyOrder,
}

/// A task, and the service that it asks.
struct Bench {
    active: ActiveTask,
    outputs: Rc<Outputs>,
    answers: watch::Sender<i64>,
}

impl Bench {
    /// Lines at offsets and times 0, 1, 2...; `-` is a record without a time.
    fn new(shape: Shape, on_failed: OnFailedRecord, lines: &[&str]) -> Self {
        let (answers, told) = watch::channel(0);
        let mut builder = TopologyBuilder::new();
        let topics: &[&str] = match shape {
            Shape::TwoTopics => &["lines", "more"],
            _ => &["lines"],
        };
        let topics = topics.iter().copied();
        let consumed = Consumed::new().with_timestamps(|line: &Record<String, String>| {
            let timed = line.value != "-";
            if timed {
                line.timestamp
            } else {
                Timestamp::NONE
            }
        });
        let source: NodeRef<String, String> = builder.add_source("lines", topics, consumed);
        let words = match shape {
            Shape::Reticent => builder.add_processor("words", || Reticent, &[&source]),
            _ => builder.add_processor("words", || Words, &[&source]),
        };
        let calls = match shape {
            Shape::KeyOrder => AsyncCalls::new().in_key_order(),
            _ => AsyncCalls::new(),
        };
        let service = builder.add_async_processor("service", Service(told), calls, &[&words]);
        builder.add_sink("out", "out", Produced::new(), &[&service]);
        if shape == Shape::Forked {
            builder.add_sink("beside", "out", Produced::new(), &[&words]);
        }
        let outputs = Rc::new(Outputs::default());
        let settings = TaskSettings {
            application_id: Arc::from("test"),
            clock: Arc::new(ManualClock::starting_at(Timestamp::from_millis(0))),
            handlers: Arc::new(Handlers {
                processing: Arc::new(on_failed),
                ..Handlers::default()
            }),
            global_stores: Rc::default(),
            log_at_close: true,
            calls: CallSettings::default(),
        };
        let id = TaskId {
            sub_topology: 0,
            partition: 0,
        };
        let topology = Arc::new(builder.build().unwrap());
        let collector = Rc::clone(&outputs) as Rc<dyn Collector>;
        let mut task = Task::new(topology, id, settings, collector).unwrap();
        task.init().unwrap();
        let partition = TopicPartition::new("lines", 0);
        let mut lane = Lane::new(partition, 0, 0, Offset::ZERO);
        for (at, line) in (0..).zip(lines) {
            let bytes = (Some(&b"k"[..]), Some(line.as_bytes()));
            let time = Timestamp::from_millis(at);
            lane.queue
                .push(Offset::new(at), time, bytes, Headers::new());
        }
        let mut active = ActiveTask::new(task, vec![lane], Stamp::default(), 1);
        active.running = true;
        Bench {
            active,
            outputs,
            answers,
        }
    }

    fn straight(lines: &[&str]) -> Self {
        Bench::new(Shape::Straight, OnFailedRecord::Fail, lines)
    }

    /// Processes all that there is.
    fn process(&mut self) {
        loop {
            match self.active.process_next().unwrap() {
                Progress::Done => {}
                Progress::Unreadable(error) => panic!("{error}"),
                Progress::Idle | Progress::Waits => return,
            }
        }
    }

    /// The service answers about what is below.
    fn answer_below(&self, below: i64) {
        self.answers.send_replace(below);
    }

    /// A little later, so that it must be waited for.
    fn answer_below_soon(&self, below: i64) {
        let answers = self.answers.clone();
        let soon = std::thread::Builder::new().spawn(move || {
            let never = crate::broker::Wake::default();
            never.sleep(Duration::from_millis(50));
            answers.send_replace(below);
        });
        drop(soon.unwrap());
    }

    /// Closes the batch: its outputs, its position, its partition time and its drops.
    fn close(&mut self, calls: OpenCalls) -> (String, i64, i64, Drops) {
        self.active.flush(calls).unwrap();
        let offsets: Vec<_> = self.active.offsets().collect();
        let [(_, committed)] = &offsets[..] else {
            panic!("one position of one partition: {offsets:?}");
        };
        let time = OffsetMetadata::decode(&committed.metadata).partition_time;
        let drops = self.active.committed().unwrap();
        let (offset, time) = (committed.offset.get(), time.as_millis());
        (self.outputs.take(), offset, time, drops)
    }

    /// As [`close`](Self::close), of what no record was dropped.
    fn leave(&mut self) -> (String, i64, i64) {
        let (outputs, offset, time, drops) = self.close(OpenCalls::Leave);
        assert!(drops.is_empty(), "{drops:?}");
        (outputs, offset, time)
    }

    /// Until the first of the calls in flight has been answered, which takes the executor a while.
    fn wait_for_answers(&mut self, count: usize) {
        for _ in 0..2_000 {
            self.active.task.take_results().unwrap();
            if self.outputs.0.borrow().len() >= count {
                return;
            }
            crate::broker::Wake::default().sleep(Duration::from_millis(1));
        }
        panic!("no answers");
    }
}

fn told(outputs: &str, offset: i64, time: i64) -> (String, i64, i64) {
    (outputs.to_owned(), offset, time)
}

#[test]
fn a_batch_ends_at_the_first_record_whose_call_is_in_flight() {
    let mut bench = Bench::straight(&["0", "1", "2", "3"]);
    bench.process();
    bench.answer_below(2);
    bench.wait_for_answers(2);
    assert_eq!(bench.leave(), told("0 1", 2, 1));
    assert!(bench.active.is_touched(), "the rest is begun");
    bench.answer_below(4);
    bench.wait_for_answers(2);
    assert_eq!(bench.leave(), told("2 3", 4, 3));
    assert!(!bench.active.is_touched());
}

#[test]
fn a_batch_that_finishes_its_calls_holds_what_was_left_to_it() {
    let mut bench = Bench::straight(&["0", "1"]);
    bench.process();
    assert_eq!(bench.leave(), told("", 0, -1));
    bench.answer_below_soon(2);
    let (outputs, offset, time, _) = bench.close(OpenCalls::Finish);
    assert_eq!((outputs, offset, time), told("0 1", 2, 1));
}

/// After the commit before it, which had left them.
#[test]
fn an_aborted_batch_processes_again_what_was_left_to_it_and_nothing_before() {
    let mut bench = Bench::straight(&["0", "1", "2", "3"]);
    bench.process();
    bench.answer_below(2);
    bench.wait_for_answers(2);
    assert_eq!(bench.leave(), told("0 1", 2, 1));
    bench.answer_below(3);
    bench.wait_for_answers(1);
    assert_eq!(bench.outputs.take(), "2", "and the batch is aborted");
    bench.active.rolled_back().unwrap();
    assert_eq!(bench.active.task.scope().stream_time.get().as_millis(), 1);
    bench.process();
    bench.answer_below_soon(4);
    let (outputs, offset, time, _) = bench.close(OpenCalls::Finish);
    assert_eq!((outputs, offset, time), told("2 3", 4, 3));
}

#[test]
fn an_aborted_batch_that_left_calls_processes_all_of_itself_again() {
    let mut bench = Bench::straight(&["0", "1", "2"]);
    bench.process();
    bench.answer_below(1);
    bench.wait_for_answers(1);
    bench.active.flush(OpenCalls::Leave).unwrap();
    bench.active.rolled_back().unwrap();
    assert_eq!(bench.outputs.take(), "0");
    bench.process();
    bench.answer_below_soon(3);
    let (outputs, offset, time, _) = bench.close(OpenCalls::Finish);
    assert_eq!((outputs, offset, time), told("0 1 2", 3, 2));
}

#[test]
fn a_record_with_two_calls_is_of_one_batch() {
    let mut bench = Bench::straight(&["0 5", "9"]);
    bench.process();
    bench.answer_below(1);
    bench.wait_for_answers(1);
    bench.answer_below_soon(6);
    assert_eq!(bench.leave(), told("0 5", 1, 0));
}

#[test]
fn records_without_a_call_are_passed_where_the_calls_before_them_are_done() {
    let mut bench = Bench::straight(&["", "1", "", "3"]);
    bench.process();
    assert_eq!(bench.leave(), told("", 1, 0));
    bench.answer_below(2);
    bench.wait_for_answers(1);
    assert_eq!(bench.leave(), told("1", 3, 2));
}

#[test]
fn a_drop_is_counted_with_all_that_comes_before_it() {
    let mut bench = Bench::straight(&["0", "-", "2"]);
    bench.process();
    bench.answer_below_soon(1);
    let (outputs, offset, time, drops) = bench.close(OpenCalls::Leave);
    assert_eq!((outputs, offset, time), told("0", 2, 0));
    let of_source = ("lines".to_owned(), DropReason::NegativeTimestamp);
    assert_eq!(drops[&of_source], 1);
}

#[test]
fn calls_are_finished_where_records_may_have_done_more_than_call() {
    let rows = [
        (Shape::Straight, OnFailedRecord::Fail, true),
        (Shape::Straight, OnFailedRecord::Continue, false),
        (Shape::Reticent, OnFailedRecord::Fail, false),
        (Shape::Forked, OnFailedRecord::Fail, false),
        (Shape::TwoTopics, OnFailedRecord::Fail, false),
        (Shape::KeyOrder, OnFailedRecord::Fail, false),
    ];
    for (at, (shape, on_failed, leaves)) in rows.into_iter().enumerate() {
        let mut bench = Bench::new(shape, on_failed, &["0"]);
        bench.process();
        if !leaves {
            bench.answer_below_soon(1);
        }
        let (_, offset, ..) = bench.close(OpenCalls::Leave);
        assert_eq!(offset, i64::from(!leaves), "row {at}");
    }
}
