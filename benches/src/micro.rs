//! The hot path in small pieces, reachable without a broker: for criterion's clock and for
//! valgrind's instruction counts.

use std::hint::black_box;

use onceflow::prelude::*;

use crate::onceflow_worker::topology;
use crate::workload::{Records, VALUE_BYTES, Workload};

/// A piece.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, as in the file of instruction counts.
    pub name: &'static str,
    /// Prepares it; each call of the result is one operation.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All pieces.
#[must_use]
pub fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("serde/i64", || round_trip(i64(), 258)),
        case("serde/bytes_100", || {
            round_trip(vec(), vec![7; VALUE_BYTES])
        }),
        case("serde/utf8_20", || {
            round_trip(utf8(), "twenty ascii letters".to_owned())
        }),
        case("driver/map", || driven(Workload::Map)),
        case("driver/count", || driven(Workload::Count)),
        case("driver/repartition", || driven(Workload::Repartition)),
        case("driver/chain_of_five", chain_of_five),
    ]
}

fn round_trip<T: PartialEq + 'static>(serde: impl Serde<Item = T>, value: T) -> Box<dyn FnMut()> {
    // As nodes hold it: behind a reference count.
    let serde = onceflow::serde::SharedSerde::new(serde);
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    Box::new(move || {
        bytes.clear();
        let written = serde.serialize(black_box(&value), &mut bytes);
        let read = serde.deserialize(Some(black_box(&bytes)));
        assert!(written.is_ok() && read.is_ok_and(|read| read == value));
    })
}

/// One record in, one out, with the test driver's bookkeeping.
fn driven(workload: Workload) -> Box<dyn FnMut()> {
    let topology = topology(workload, "in", "out").expect("the workload's topology is sound");
    let driver = TestDriver::new(topology).expect("nothing is missing to drive it");
    let input = driver.input_topic("in", i64(), vec());
    let output = driver.output_topic("out", i64(), vec());
    let mut records = Records::new(1_000);
    Box::new(move || {
        let (key, value) = records.next(std::time::Duration::ZERO);
        let piped = input.pipe(key, value.to_vec(), Timestamp::from_millis(1));
        piped.expect("the record is sound");
        let read = output.read().expect("the output is sound");
        assert!(read.is_some(), "each record has an output");
    })
}

fn chain_of_five() -> Box<dyn FnMut()> {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<i64, i64>::new())
        .filter(|_, value| *value >= 0)
        .map_values(|value| value + 1)
        .filter(|key, _| *key >= 0)
        .map_values(|value| value * 2)
        .map_values(|value| value - 1)
        .to("out", Produced::new());
    let topology = builder.build().expect("the chain is sound");
    let driver = TestDriver::new(topology).expect("nothing is missing to drive it");
    let input = driver.input_topic("in", i64(), i64());
    let output = driver.output_topic("out", i64(), i64());
    Box::new(move || {
        let piped = input.pipe(1, 20, Timestamp::from_millis(1));
        piped.expect("the record is sound");
        let read = output.read().expect("the output is sound");
        assert_eq!(read.map(|record| record.value), Some(41));
    })
}

/// Runs an operation so often. Valgrind counts what is below this function: it keeps its name.
#[inline(never)]
pub fn measured_by_valgrind(operation: &mut dyn FnMut(), times: u64) {
    for _ in 0..times {
        operation();
    }
}
