use std::sync::Arc;

use super::testing::{Count, Each, Text, TextContext, driver, history, pipe, sink, source};
use super::{CapturedRecord, TestDriver};
use crate::processor::Partitions;
use crate::record::Record;
use crate::serde::{nullable, utf8};
use crate::state::StoreBuilder;
use crate::time::Timestamp;
use crate::topology::{Consumed, Produced, TopologyBuilder};

/// `in` → its value becomes the key → repartition topic → counted.
fn regrouped(partitions: Option<i32>) -> TopologyBuilder {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let swap = |record: Text, ctx: &mut TextContext| {
        let (key, value) = (record.key.clone(), record.value.clone());
        ctx.forward(record.with_key(value).with_value(key))
    };
    let swap = Arc::new(swap);
    let swapped = builder.add_processor("swap", move || Each(Arc::clone(&swap)), &[&input]);
    let topic = builder.add_internal_topic("by-value-repartition", partitions);
    builder.add_sink(
        "to-repartition",
        topic.clone(),
        Produced::new(),
        &[&swapped],
    );
    let again = builder.add_source("again", [topic], Consumed::<String, String>::new());
    let count = builder.add_processor("count", Count::default, &[&again]);
    let store = StoreBuilder::key_value("counts", utf8(), crate::serde::i64());
    builder.add_state_store(store, &["count"]);
    sink(&mut builder, "out", &count);
    builder
}

#[test]
fn a_repartitioned_record_is_processed_by_the_task_of_its_new_key() {
    for (declared, tasks) in [(None, 3), (Some(5), 5)] {
        let driver = TestDriver::builder(regrouped(declared).build().unwrap())
            .application_id("shop")
            .partitions("in", 3)
            .build()
            .unwrap();
        for number in 0..12 {
            let record = format!("k{number}=v{}@{number}", number % 4);
            pipe(&driver, "in", &record).unwrap();
        }
        let repartition = driver.topic_history("shop-by-value-repartition");
        let changelog = driver.topic_history("shop-counts-changelog");
        let places = |records: &[CapturedRecord]| -> Vec<_> {
            records
                .iter()
                .map(|record| (record.partition, record.key.clone()))
                .collect()
        };
        assert_eq!(
            places(&repartition),
            places(&changelog),
            "a task logs to its own partition"
        );
        let key = |record: &CapturedRecord| record.key.clone().unwrap();
        let murmur2 = |key: &[u8]| crate::processor::partition_of_key(key, tasks);
        assert!(
            repartition
                .iter()
                .all(|record| record.partition == murmur2(&key(record)))
        );
        assert!(
            repartition
                .iter()
                .any(|record| record.partition != repartition[0].partition)
        );
        let counts = driver
            .key_value_store::<String, i64>("counts")
            .unwrap()
            .all()
            .unwrap();
        assert_eq!(counts.len(), 4);
        assert!(counts.iter().all(|(_, count)| *count == 3));
    }
}

#[test]
fn the_same_input_gives_the_same_history() {
    let play = || {
        let driver = driver(regrouped(Some(4)));
        pipe(&driver, "in", "a=x@5 b=y@5 c=z@1 d=x@9 e=q@9").unwrap();
        driver
            .topics()
            .iter()
            .map(|topic| history(&driver, topic))
            .collect::<Vec<_>>()
    };
    assert_eq!(play(), play());
}

#[test]
fn records_without_a_key_go_to_one_partition_after_the_other() {
    let mut builder = TopologyBuilder::new();
    let serdes = || (nullable(utf8()), utf8());
    let consumed = Consumed::with(serdes().0, serdes().1);
    let input = builder.add_source("in", ["in"], consumed);
    let produced = Produced::with(serdes().0, serdes().1).with_partitioner(
        |record: &Record<Option<String>, String>, count: i32| {
            if record.value == "all" {
                Partitions::Many((0..count).collect())
            } else {
                Partitions::Default
            }
        },
    );
    builder.add_sink("out", "out", produced, &[&input]);
    let driver = TestDriver::builder(builder.build().unwrap());
    let driver = driver
        .partitions("in", 2)
        .partitions("out", 3)
        .build()
        .unwrap();
    let input = driver.input_topic("in", serdes().0, serdes().1);
    let output = driver.output_topic("out", serdes().0, serdes().1);
    let at = Timestamp::from_millis(0);
    for _ in 0..3 {
        input.pipe(None::<String>, "x", at).unwrap();
    }
    input
        .pipe_to_partition(1, Record::new(None, "all".to_owned(), at))
        .unwrap();
    let read = driver
        .topic_history("in")
        .iter()
        .map(|record| record.partition)
        .collect::<Vec<_>>();
    assert_eq!(read, [0, 1, 0, 1]);
    let mut written = Vec::new();
    while let Some((position, _)) = output.read_with_position().unwrap() {
        written.push(position.to_string());
    }
    let expect = [
        "out-0 at offset 0",
        "out-1 at offset 0",
        "out-2 at offset 0",
    ];
    assert_eq!(written[..3], expect);
    assert_eq!(
        written[3..],
        expect.map(|place| place.replace("offset 0", "offset 1"))
    );
    assert!(output.is_empty().unwrap());
}
