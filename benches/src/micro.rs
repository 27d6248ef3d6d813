//! The hot path in small pieces, reachable without a broker: for criterion's clock and for
//! valgrind's instruction counts.
//!
//! ```text
//!   queue ── picker ── deserialize ── chain ── staged write ── serialize ──> (not here: the client)
//!   └────────────────────────── task/* ──────────────────────────────┘
//! ```
//!
//! | pieces | are |
//! |---|---|
//! | `serialize`, `deserialize` | one serde, as nodes hold it |
//! | `task` | the runtime's own queue, picker and task, in batches; clients are left out |
//! | `given_up_record`, `given_up_call` | the same, with a handler that goes on and either scope; none fails |
//! | `driver` | the test driver, with the history that it keeps: a transaction for each record |

use std::hint::black_box;
use std::time::Duration;

use onceflow::handler::FailureScope;
use onceflow::prelude::*;
use onceflow::serde::SharedSerde;
use onceflow::test_driver::BatchDriver;

use crate::onceflow_worker::{Topics, topology};
use crate::workload::{Records, VALUE_BYTES, Workload, row};

/// Operations of one call: a small batch of the runtime.
pub const OPERATIONS: u64 = 1_000;

/// A topology, and the topics that its first sub-topology reads.
type Piece = (Topology, Vec<&'static str>);

/// Keys of the stateful pieces: some hundreds fit a processor's cache, a million would not.
const KEYS: u64 = 1_000;

const TOPICS: Topics<'static> = Topics {
    input: "in",
    table: "table",
    output: "out",
};

/// A piece.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, as in the file of instruction counts.
    pub name: &'static str,
    /// Prepares it; each call of the result is [`OPERATIONS`] operations.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All pieces.
#[must_use]
pub fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("deserialize/i64", || deserialized(i64(), 258)),
        case("deserialize/bytes_100", || {
            deserialized(vec(), vec![7; VALUE_BYTES])
        }),
        case("deserialize/utf8_20", || deserialized(utf8(), text())),
        case("serialize/i64", || serialized(i64(), 258)),
        case("serialize/bytes_100", || {
            serialized(vec(), vec![7; VALUE_BYTES])
        }),
        case("serialize/utf8_20", || serialized(utf8(), text())),
        case("task/source", || numbers(source(&["in"]))),
        case("task/pick_of_four", || {
            numbers(source(&["a", "b", "c", "d"]))
        }),
        case("task/source_to_sink", || numbers(copied())),
        case("task/chain_of_five", || numbers(chain_of_five())),
        case("task/staged_write", || numbers(staged_write())),
        case("task/staged_read_write", || numbers(counted())),
        case("task/tumbling_count", || numbers(tumbling())),
        case("task/map", || records(Workload::Map)),
        case("task/count", || records(Workload::Count)),
        case("task/join", || records(Workload::Join)),
        case("task/rekey", || records(Workload::Repartition)),
        case("given_up_record/map", || {
            going_on(Workload::Map, FailureScope::Record)
        }),
        case("given_up_record/count", || {
            going_on(Workload::Count, FailureScope::Record)
        }),
        case("given_up_call/map", || {
            going_on(Workload::Map, FailureScope::Node)
        }),
        case("given_up_call/count", || {
            going_on(Workload::Count, FailureScope::Node)
        }),
        case("driver/map", || driven(Workload::Map)),
        case("driver/count", || driven(Workload::Count)),
    ]
}

fn text() -> String {
    "twenty ascii letters".to_owned()
}

fn serialized<T: 'static>(serde: impl Serde<Item = T>, value: T) -> Box<dyn FnMut()> {
    let serde = SharedSerde::new(serde);
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    Box::new(move || {
        for _ in 0..OPERATIONS {
            bytes.clear();
            let written = serde.serialize(black_box(&value), &mut bytes);
            assert!(written.is_ok() && !black_box(&bytes).is_empty());
        }
    })
}

fn deserialized<T: 'static>(serde: impl Serde<Item = T>, value: T) -> Box<dyn FnMut()> {
    let serde = SharedSerde::new(serde);
    let bytes = serde.to_vec(&value).expect("the value is sound");
    Box::new(move || {
        for _ in 0..OPERATIONS {
            let read = serde.deserialize(black_box(bytes.as_deref()));
            assert!(black_box(read).is_ok());
        }
    })
}

/// Keys and values of 8 bytes, through the first sub-topology, over all of its inputs in turn.
fn numbers((topology, inputs): Piece) -> Box<dyn FnMut()> {
    let mut driver = BatchDriver::new(topology, 0).expect("nothing is missing to drive it");
    let inputs: Vec<usize> = inputs
        .iter()
        .map(|topic| driver.input(topic).expect("the source reads it"))
        .collect();
    let mut time = 0;
    Box::new(move || {
        let mut turns = inputs.iter().cycle();
        for _ in 0..OPERATIONS {
            time += 1;
            let input = *turns.next().expect("there is an input");
            let key = (time % KEYS.cast_signed()).to_be_bytes();
            let value = time.to_be_bytes();
            let timestamp = Timestamp::from_millis(time);
            driver.push(input, timestamp, Some(&key), Some(&value));
        }
        black_box(driver.commit().expect("the records are sound"));
    })
}

/// The records of the macro comparison, through the first sub-topology of one of its workloads.
fn records(workload: Workload) -> Box<dyn FnMut()> {
    let topology = topology(workload, TOPICS).expect("the workload's topology is sound");
    let driver = BatchDriver::new(topology, 0).expect("nothing is missing to drive it");
    records_of(workload, driver)
}

/// As [`records`], where records that fail would be given up: none does.
fn going_on(workload: Workload, scope: FailureScope) -> Box<dyn FnMut()> {
    let topology = topology(workload, TOPICS).expect("the workload's topology is sound");
    let driver = BatchDriver::going_on(topology, 0, scope);
    records_of(workload, driver.expect("nothing is missing to drive it"))
}

fn records_of(workload: Workload, mut driver: BatchDriver) -> Box<dyn FnMut()> {
    let input = driver.input("in").expect("the source reads it");
    if workload == Workload::Join {
        fill_table(&mut driver);
    }
    let mut source = Records::new(KEYS);
    Box::new(move || {
        for _ in 0..OPERATIONS {
            let (key, value) = source.next(Duration::ZERO);
            let (key, time) = (key.to_be_bytes(), Timestamp::from_millis(1));
            driver.push(input, time, Some(&key), Some(value));
        }
        let sent = driver.commit().expect("the records are sound");
        assert!(sent >= OPERATIONS, "each record has an output");
    })
}

fn fill_table(driver: &mut BatchDriver) {
    let table = driver.input(TOPICS.table).expect("the source reads it");
    for key in 0..KEYS.cast_signed() {
        let (time, bytes) = (Timestamp::from_millis(0), key.to_be_bytes());
        driver.push(table, time, Some(&bytes), Some(&row(key)));
    }
    driver.commit().expect("the rows are sound");
}

fn source(topics: &[&'static str]) -> Piece {
    let builder = StreamsBuilder::new();
    let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    builder
        .stream(names, Consumed::<i64, i64>::new())
        .for_each(|key, value| {
            black_box((key, value));
        });
    (built(builder), topics.to_vec())
}

fn copied() -> Piece {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .to("out", Produced::new());
    (built(builder), vec!["in"])
}

/// Five stateless operators between a source and the end: none drops a record.
fn chain_of_five() -> Piece {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .filter(|_, value| *value >= 0)
        .map_values(|value| value + 1)
        .filter(|key, _| *key >= 0)
        .map_values(|value| value * 2)
        .map_values(|value| value - 1)
        .for_each(|key, value| {
            black_box((key, value));
        });
    (built(builder), vec!["in"])
}

/// A count without its sink: a store in memory, and its changelog.
fn counted() -> Piece {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .group_by_key(Grouped::new())
        .count_with(Materialized::as_store("counts"));
    (built(builder), vec!["in"])
}

/// As [`counted`], by windows in which each key comes ten times.
fn tumbling() -> Piece {
    let builder = StreamsBuilder::new();
    let size = Duration::from_millis(10 * KEYS);
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .group_by_key(Grouped::new())
        .windowed_by(TimeWindows::of_size_with_no_grace(size))
        .count();
    (built(builder), vec!["in"])
}

fn staged_write() -> Piece {
    let builder = StreamsBuilder::new();
    let store = StoreBuilder::key_value("last", i64(), i64());
    builder.add_state_store(store.with_logging_disabled());
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .process(Put::default, &["last"]);
    (built(builder), vec!["in"])
}

fn built(builder: StreamsBuilder) -> Topology {
    builder.build().expect("the topology is sound")
}

/// Writes each record to a store, and forwards none.
#[derive(Default)]
struct Put(Option<KeyValueStore<i64, i64>>);

impl Processor for Put {
    type KeyIn = i64;
    type ValueIn = i64;
    type KeyOut = i64;
    type ValueOut = i64;

    fn init(&mut self, ctx: &mut Context<i64, i64>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("last")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<i64, i64>,
        _ctx: &mut Context<i64, i64>,
    ) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        Ok(store.put(&record.key, &record.value)?)
    }
}

/// One record in, one out, with the test driver's bookkeeping.
fn driven(workload: Workload) -> Box<dyn FnMut()> {
    let topology = topology(workload, TOPICS).expect("the workload's topology is sound");
    let driver = TestDriver::new(topology).expect("nothing is missing to drive it");
    let input = driver.input_topic("in", i64(), vec());
    let output = driver.output_topic("out", i64(), vec());
    let mut source = Records::new(KEYS);
    Box::new(move || {
        for _ in 0..OPERATIONS {
            let (key, value) = source.next(Duration::ZERO);
            let piped = input.pipe(key, value.to_vec(), Timestamp::from_millis(1));
            piped.expect("the record is sound");
            let read = output.read().expect("the output is sound");
            assert!(read.is_some(), "each record has an output");
        }
    })
}

/// Runs a piece so often. Valgrind counts what is below this function: it keeps its name.
#[inline(never)]
pub fn measured_by_valgrind(piece: &mut dyn FnMut(), times: u64) {
    for _ in 0..times {
        piece();
    }
}
