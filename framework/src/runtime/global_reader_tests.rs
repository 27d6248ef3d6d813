//! Filling global stores from a topic that is read, held up and truncated at will.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::global_reader::{GlobalReader, Limits, fill};
use super::globals::Globals;
use super::shared::Shared;
use super::task::TaskSettings;
use crate::broker::{BrokerError, ChangelogReader, Chunk};
use crate::error::{Error, ErrorKind, Fault, Recovery};
use crate::processor::{CallSettings, Context, GlobalStores, Processor};
use crate::record::{Headers, Offset, RawRecord, Record, TopicPartition};
use crate::serde::utf8;
use crate::state::{KeyValueStore, StoreBuilder};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::topology::{Consumed, Topology, TopologyBuilder};

/// What one reading brings of the only partition.
#[derive(Clone)]
enum Step {
    /// A record at this offset: its key and value.
    Record(i64, &'static str, &'static str),
    /// The last stable offset.
    End(i64),
    /// Retention was faster.
    Deleted,
}

/// A topic that ends at an offset and brings its steps; then nothing, for 100 ms each time.
struct Scripted {
    high: i64,
    steps: VecDeque<Step>,
    clock: Arc<ManualClock>,
}

impl ChangelogReader for Scripted {
    fn watermarks(
        &mut self,
        partitions: &[TopicPartition],
        _timeout: Duration,
    ) -> Result<Vec<(Offset, Offset)>, BrokerError> {
        Ok(vec![
            (Offset::new(0), Offset::new(self.high));
            partitions.len()
        ])
    }

    fn assign(&mut self, _partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn read(
        &mut self,
        _timeout: Duration,
        _records_max: usize,
        sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let (partition, headers) = (0, &Headers::default());
        match self.steps.pop_front() {
            None => {
                self.clock.advance(Duration::from_millis(100));
                Ok(0)
            }
            Some(Step::Deleted) => {
                let error = Error::new(ErrorKind::Broker, "no such offset any more");
                Err(error.recover_by(Recovery::Restore))
            }
            Some(Step::End(offset)) => {
                let offset = Offset::new(offset);
                sink(Chunk::End { partition, offset }).map(|()| 0)
            }
            Some(Step::Record(offset, key, value)) => {
                let record = RawRecord {
                    offset: Offset::new(offset),
                    timestamp: Timestamp::from_millis(0),
                    key: Some(key.as_bytes()),
                    value: Some(value.as_bytes()),
                    headers,
                };
                sink(Chunk::Record { partition, record }).map(|()| 1)
            }
        }
    }
}

/// Keeps what it gets.
#[derive(Default)]
struct Keep(Option<KeyValueStore<String, String>>);

impl Processor for Keep {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = ();
    type ValueOut = ();

    fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("names")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        _ctx: &mut Context<(), ()>,
    ) -> Result<(), Fault> {
        let names = self.0.as_ref().expect("init opens it");
        Ok(names.put(&record.key, &record.value)?)
    }
}

fn topology() -> Arc<Topology> {
    let mut builder = TopologyBuilder::new();
    let source = builder.add_global_source("source", "names", Consumed::new());
    let store = StoreBuilder::key_value("names", utf8(), utf8());
    builder.add_global_store(store, "keep", Keep::default, &source);
    Arc::new(builder.build().unwrap())
}

/// What came of filling the store, each time with the next script, of a topic that ends at `high`.
struct Filled {
    stores: Result<Rc<GlobalStores>, Error>,
    took: Duration,
}

fn filled(high: i64, scripts: &[&[Step]]) -> Filled {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(0)));
    let settings = TaskSettings {
        application_id: Arc::from("app"),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        handlers: Arc::default(),
        log_at_close: false,
        global_stores: Rc::default(),
        calls: CallSettings::default(),
    };
    let scripts = RefCell::new(scripts.iter());
    let make = || {
        let script = scripts.borrow_mut().next().expect("no more attempts");
        let reader = Scripted {
            high,
            steps: script.iter().cloned().collect(),
            clock: Arc::clone(&clock),
        };
        let globals = Globals::new(&topology(), &settings)?;
        let partition = TopicPartition::new("names", 0);
        Ok(GlobalReader::new(
            reader,
            globals,
            [(0, partition)].into_iter(),
        ))
    };
    let limits = Limits {
        clock: &*clock,
        shared: &Shared::new(),
        ends_within: Duration::from_secs(1),
    };
    let stores = fill(make, &limits).map(|(reader, _drops)| reader.stores());
    let took = clock.elapsed();
    Filled { stores, took }
}

impl Filled {
    fn name(&self, key: &str) -> Option<Vec<u8>> {
        let stores = self.stores.as_ref().unwrap();
        let store = stores.0["names"].store.borrow();
        let own = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        store.get(key.as_bytes(), own).unwrap()
    }
}

#[test]
fn it_is_filled_to_the_high_watermark_of_its_beginning() {
    let steps = [
        Step::Record(0, "nz", "Zealand"),
        // A transaction is open behind it, which is committed then.
        Step::End(1),
        Step::Record(1, "at", "Austria"),
        Step::End(3),
        Step::Record(3, "nz", "after the beginning"),
    ];
    let filled = filled(3, &[&steps]);
    assert_eq!(filled.name("at").as_deref(), Some(&b"Austria"[..]));
    assert_eq!(filled.name("nz").as_deref(), Some(&b"Zealand"[..]));
    assert_eq!(filled.took, Duration::ZERO);
}

#[test]
fn a_transaction_that_hangs_is_left_for_later_after_ten_seconds() {
    let filled = filled(3, &[&[Step::Record(0, "nz", "Zealand"), Step::End(1)]]);
    assert_eq!(filled.name("nz").as_deref(), Some(&b"Zealand"[..]));
    assert_eq!(filled.took, Duration::from_secs(10));
}

#[test]
fn a_topic_that_holds_nothing_has_nothing_to_wait_for() {
    assert_eq!(filled(0, &[&[]]).took, Duration::ZERO);
}

#[test]
fn records_that_are_deleted_before_they_are_read_have_it_begin_with_empty_stores() {
    let first = [Step::Record(0, "gone", "deleted meanwhile"), Step::Deleted];
    let second = [Step::Record(2, "nz", "Zealand")];
    let filled = filled(3, &[&first, &second]);
    assert_eq!(filled.name("gone"), None);
    assert_eq!(filled.name("nz").as_deref(), Some(&b"Zealand"[..]));
}

#[test]
fn a_topic_that_is_deleted_again_and_again_stops_it_and_is_named() {
    let filled = filled(3, &[&[Step::Deleted], &[Step::Deleted], &[Step::Deleted]]);
    let error = filled.stores.unwrap_err();
    assert_eq!(error.recovery(), Recovery::Stop);
    let says = |words: &str| error.to_string().contains(words);
    assert!(says("records of names were deleted"), "{error}");
    assert!(says("start the application again"), "{error}");
}
