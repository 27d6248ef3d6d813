//! What an external sink is given when batches fail, repeat and are cut elsewhere.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::active_task::{ActiveTask, Lane, Progress};
use super::metadata::Stamp;
use super::task::{Task, TaskSettings};
use crate::error::{Error, ErrorKind, Fault, Recovery};
use crate::handler::Handlers;
use crate::processor::external::{
    Applied, AppliedPosition, ExternalBatch, ExternalFault, ExternalSession, ExternalSink,
    ExternalTask,
};
use crate::processor::{
    CallSettings, Collector, Context, OnFailedRecord, OutgoingRecord, Processor, Punctuation,
    PunctuationKind, TopicId,
};
use crate::record::{Headers, Offset, Record, TaskId, TopicPartition};
use crate::serde::utf8;
use crate::time::{Clock, ManualClock, Timestamp};
use crate::topology::{Consumed, NodeRef, Topology, TopologyBuilder};

const WITHIN: Duration = Duration::from_secs(1);

/// A system that keeps positions, and refuses the rows that it is told to.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    rows: Vec<String>,
    positions: Vec<AppliedPosition>,
    refuses: &'static str,
    away: bool,
}

impl Database {
    fn rows(&self) -> String {
        self.0.lock().unwrap().rows.join(" ")
    }
}

impl ExternalSink<String, String> for Database {
    type Session = Database;

    fn open(&self, _: &ExternalTask) -> Result<(Database, Applied), ExternalFault> {
        let positions = self.0.lock().unwrap().positions.clone();
        Ok((self.clone(), Applied::UpTo(positions)))
    }
}

impl ExternalSession<String, String> for Database {
    type Row = String;

    fn row(&mut self, record: &Record<String, String>) -> Result<String, Fault> {
        Ok(record.value.clone())
    }

    fn commit(
        &mut self,
        batch: &ExternalBatch<'_, String>,
        _within: Duration,
    ) -> Result<(), ExternalFault> {
        let mut tables = self.0.lock().unwrap();
        if tables.away {
            return Err(ExternalFault::Unreachable("no route".into()));
        }
        let refused = batch.rows.iter().enumerate();
        let refused = refused.filter(|(_, row)| row.row == tables.refuses);
        let refused: Vec<_> = refused.map(|(at, _)| (at, "too dear".into())).collect();
        if !refused.is_empty() {
            return Err(ExternalFault::Refused(refused));
        }
        tables
            .rows
            .extend(batch.rows.iter().map(|row| row.row.clone()));
        tables.positions = batch.positions.to_vec();
        Ok(())
    }
}

/// Forwards each word of a line, and fails at `!`; a punctuation forwards `tick`.
struct Words;

impl Processor for Words {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        ctx.schedule(Duration::from_secs(1), PunctuationKind::WallClock);
        Ok(())
    }

    fn process(
        &mut self,
        line: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        for word in line.value.split_whitespace() {
            if word == "!" {
                return Err(Fault::message("no such word"));
            }
            let word = Record::new(line.key.clone(), word.to_owned(), line.timestamp);
            ctx.forward(word)?;
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        ctx.forward(Record::new("k".to_owned(), "tick".to_owned(), now))
    }
}

/// Takes records and forgets them.
#[derive(Debug)]
struct Nowhere;

impl Collector for Nowhere {
    fn topic(&self, _: &str) -> Result<TopicId, Error> {
        Ok(TopicId(0))
    }

    fn partitions(&self, _: TopicId) -> Result<i32, Error> {
        Ok(1)
    }

    fn send(&self, _: &OutgoingRecord<'_>) -> Result<(), Error> {
        Ok(())
    }
}

fn topology(database: &Database) -> Arc<Topology> {
    let mut builder = TopologyBuilder::new();
    let lines: NodeRef<String, String> = builder.add_source("lines", ["a", "b"], Consumed::new());
    let words = builder.add_processor("words", || Words, &[&lines]);
    builder.add_external_sink("database", database.clone(), &[&words]);
    Arc::new(builder.build().unwrap())
}

/// The task with `lines` in its two inputs, of which Kafka has committed nothing.
fn task(database: &Database, lines: [&[(i64, &str)]; 2], on_failed: OnFailedRecord) -> ActiveTask {
    let settings = TaskSettings {
        application_id: Arc::from("app"),
        clock: Arc::new(ManualClock::starting_at(Timestamp::from_millis(0))) as Arc<dyn Clock>,
        handlers: Arc::new(Handlers {
            processing: Arc::new(on_failed),
            ..Handlers::default()
        }),
        log_at_close: false,
        global_stores: Rc::default(),
        calls: CallSettings::default(),
    };
    let id = TaskId {
        sub_topology: 0,
        partition: 0,
    };
    let mut task = Task::new(topology(database), id, settings, Rc::new(Nowhere)).unwrap();
    task.init().unwrap();
    let lanes = (0..).zip(["a", "b"]).map(|(input, topic)| {
        let partition = TopicPartition::new(topic, 0);
        Lane::new(partition, input, input, Offset::ZERO)
    });
    let mut active = ActiveTask::new(task, lanes.collect(), Stamp::default(), 0);
    active.open_external().unwrap();
    for (lane, lines) in active.lanes.iter_mut().zip(lines) {
        for (offset, (time, line)) in (0..).zip(lines) {
            let bytes = (Some(&b"k"[..]), Some(line.as_bytes()));
            let time = Timestamp::from_millis(*time);
            lane.queue
                .push(Offset::new(offset), time, bytes, Headers::new());
        }
    }
    active
}

fn process(active: &mut ActiveTask, records: usize) -> usize {
    let mut processed = 0;
    while processed < records {
        match active.process_next().unwrap() {
            Progress::Done => processed += 1,
            Progress::Unreadable(error) => panic!("{error}"),
            Progress::Idle | Progress::Waits => break,
        }
    }
    processed
}

fn commit(active: &mut ActiveTask) -> Result<(), Error> {
    active.task.flush()?;
    active.commit_external(WITHIN)
}

#[test]
fn a_replay_leaves_out_the_rows_that_are_there_and_only_those() {
    let database = Database::default();
    let lines: [&[_]; 2] = [&[(1, "one two"), (2, "three"), (3, "four")], &[]];
    let mut task = task(&database, lines, OnFailedRecord::Fail);
    process(&mut task, 2);
    commit(&mut task).unwrap();
    assert_eq!(database.rows(), "one two three");

    // Kafka's transaction fails: the batch comes again, cut elsewhere.
    task.rolled_back().unwrap();
    process(&mut task, 1);
    commit(&mut task).unwrap();
    task.committed().unwrap();
    process(&mut task, 2);
    commit(&mut task).unwrap();
    assert_eq!(database.rows(), "one two three four");
}

#[test]
fn a_successor_leaves_out_the_rows_of_its_predecessor() {
    let database = Database::default();
    let lines: [&[_]; 2] = [&[(1, "one"), (2, "two")], &[]];
    let mut first = task(&database, lines, OnFailedRecord::Fail);
    process(&mut first, 1);
    commit(&mut first).unwrap();

    let mut second = task(&database, lines, OnFailedRecord::Fail);
    process(&mut second, 2);
    commit(&mut second).unwrap();
    assert_eq!(database.rows(), "one two");
}

#[test]
fn inputs_meet_where_the_system_is_before_any_goes_on() {
    let database = Database::default();
    // The first worker has b late: it takes a1, a3, then b2.
    let first: [&[_]; 2] = [&[(1, "a1"), (3, "a3")], &[]];
    let mut first = task(&database, first, OnFailedRecord::Fail);
    process(&mut first, 2);
    let late = (Some(&b"k"[..]), Some(&b"b2"[..]));
    let queue = &mut first.lanes[1].queue;
    queue.push(
        Offset::ZERO,
        Timestamp::from_millis(2),
        late,
        Headers::new(),
    );
    process(&mut first, 1);
    commit(&mut first).unwrap();
    assert_eq!(database.rows(), "a1 a3 b2");

    // The second has everything of a, and b late again: a4 has to wait for b2.
    let second: [&[_]; 2] = [&[(1, "a1"), (3, "a3"), (4, "a4")], &[]];
    let mut second = task(&database, second, OnFailedRecord::Fail);
    second.running = true;
    assert_eq!(
        process(&mut second, 9),
        2,
        "a4 is beyond what the database has"
    );
    assert!(
        !second.has_records(),
        "what waits is nothing to begin a batch for"
    );
    let queue = &mut second.lanes[1].queue;
    queue.push(
        Offset::ZERO,
        Timestamp::from_millis(2),
        late,
        Headers::new(),
    );
    assert_eq!(process(&mut second, 9), 2);
    commit(&mut second).unwrap();
    assert_eq!(database.rows(), "a1 a3 b2 a4");
}

#[test]
fn a_record_that_fails_takes_its_rows_along_and_no_others() {
    let database = Database::default();
    let lines: [&[_]; 2] = [&[(1, "one"), (2, "two !"), (3, "three")], &[]];
    let mut task = task(&database, lines, OnFailedRecord::Continue);
    process(&mut task, 3);
    commit(&mut task).unwrap();
    assert_eq!(database.rows(), "one three");
}

#[test]
fn a_refused_row_stops_at_its_record() {
    let database = Database::default();
    database.0.lock().unwrap().refuses = "yacht";
    let lines: [&[_]; 2] = [&[(1, "tea"), (2, "cake yacht")], &[]];
    let mut task = task(&database, lines, OnFailedRecord::Fail);
    process(&mut task, 2);
    let error = commit(&mut task).unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::External, Recovery::Stop)
    );
    let text = "an external system refuses a row (node database, a-0 at offset 1): too dear";
    assert_eq!(error.to_string(), text);
    assert_eq!(database.rows(), "");
}

#[test]
fn a_refused_row_takes_its_record_along_where_the_handler_goes_on() {
    let database = Database::default();
    database.0.lock().unwrap().refuses = "yacht";
    let lines: [&[_]; 2] = [&[(1, "tea"), (2, "cake yacht"), (3, "milk")], &[]];
    let mut first = task(&database, lines, OnFailedRecord::Continue);
    process(&mut first, 3);
    let error = commit(&mut first).unwrap_err();
    assert_eq!(error.recovery(), Recovery::Replay);
    first.rolled_back().unwrap();
    process(&mut first, 3);
    commit(&mut first).unwrap();
    assert_eq!(database.rows(), "tea milk");

    // It dies before Kafka has committed: the successor gives up the same record, not its row only.
    let mut second = task(&database, lines, OnFailedRecord::Continue);
    process(&mut second, 3);
    commit(&mut second).unwrap();
    let drops = second.committed().unwrap();
    assert_eq!(drops.values().sum::<u64>(), 1);
    assert_eq!(database.rows(), "tea milk");
}

#[test]
fn a_record_that_was_given_up_stops_a_successor_that_gives_up_nothing() {
    let database = Database::default();
    database.0.lock().unwrap().refuses = "yacht";
    let lines: [&[_]; 2] = [&[(1, "tea"), (2, "yacht"), (3, "milk")], &[]];
    let mut first = task(&database, lines, OnFailedRecord::Continue);
    process(&mut first, 3);
    commit(&mut first).unwrap_err();
    first.rolled_back().unwrap();
    process(&mut first, 3);
    commit(&mut first).unwrap();

    // Its row is not there, though the positions are beyond it: that must not pass for written.
    let mut second = task(&database, lines, OnFailedRecord::Fail);
    process(&mut second, 1);
    let error = second.process_next().err().expect("it stops there");
    let text = error.to_string();
    assert!(text.contains("node database, a-0 at offset 1"), "{text}");
}

#[test]
fn a_system_that_is_away_is_named_with_where_the_batch_begins_and_tried_again() {
    let database = Database::default();
    database.0.lock().unwrap().away = true;
    let lines: [&[_]; 2] = [&[(1, "tea")], &[]];
    let mut task = task(&database, lines, OnFailedRecord::Fail);
    process(&mut task, 1);
    let error = commit(&mut task).unwrap_err();
    assert_eq!(error.recovery(), Recovery::Replay);
    let text = "an external system is away (node database, a-0 at offset 0): no route";
    assert_eq!(error.to_string(), text);

    database.0.lock().unwrap().away = false;
    task.rolled_back().unwrap();
    process(&mut task, 1);
    commit(&mut task).unwrap();
    assert_eq!(database.rows(), "tea");
}

#[test]
fn a_row_of_a_punctuation_has_no_position_and_is_refused() {
    let mut builder = TopologyBuilder::new();
    let lines = builder.add_source("lines", ["a"], Consumed::<String, String>::new());
    let words = builder.add_processor("words", || Words, &[&lines]);
    builder.add_external_sink("database", Database::default(), &[&words]);
    let driver = crate::test_driver::TestDriver::new(builder.build().unwrap()).unwrap();
    let lines = driver.input_topic("a", utf8(), utf8());
    lines.pipe("k", "one", Timestamp::from_millis(0)).unwrap();
    let error = driver
        .advance_wall_clock(Duration::from_secs(1))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a punctuation made a row") && text.contains("database"),
        "{text}"
    );
}
