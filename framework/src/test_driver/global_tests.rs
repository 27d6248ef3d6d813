use std::sync::Arc;

use bytes::Bytes;

use super::TestDriver;
use super::testing::{Each, Text, TextContext, driver, each, history, pipe, sink, source};
use crate::error::Fault;
use crate::processor::{OnBadRecord, PunctuationKind};
use crate::record::Record;
use crate::serde::utf8;
use crate::state::StoreBuilder;
use crate::time::Timestamp;
use crate::topology::{Consumed, Produced, TopologyBuilder};

/// Fills store `names` from topic `names`: a value `gone` deletes, `poison` fails.
fn fill(builder: &mut TopologyBuilder) {
    let source = builder.add_global_source("global", "names", Consumed::<String, String>::new());
    let fill = Arc::new(|record: Text, ctx: &mut TextContext| {
        let names = ctx.key_value_store::<String, String>("names")?;
        names.put(&record.key, &record.value)?;
        match &*record.value {
            "poison" => Err(Fault::message("poisoned")),
            "gone" => Ok(names.delete(&record.key).map(drop)?),
            _ => Ok(()),
        }
    });
    let store = StoreBuilder::key_value("names", utf8(), utf8());
    builder.add_global_store(store, "fill", move || Each(Arc::clone(&fill)), &source);
}

/// Replaces each value of topic `in` by the name that it stands for.
fn naming() -> TopologyBuilder {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let names = ctx.key_value_store::<String, String>("names")?;
        let name = names.get(&record.value)?.unwrap_or("-".to_owned());
        ctx.forward(record.with_value(name))
    });
    fill(&mut builder);
    builder
}

#[test]
fn a_global_store_is_read_as_it_is_when_the_record_is_processed() {
    let driver = driver(naming());
    pipe(&driver, "in", "a=nz@1").unwrap();
    pipe(&driver, "names", "nz=Zealand@9").unwrap();
    pipe(&driver, "in", "a=nz@2").unwrap();
    pipe(&driver, "names", "nz=gone@10").unwrap();
    pipe(&driver, "in", "a=nz@3").unwrap();
    assert_eq!(history(&driver, "out"), "a=-@1 a=Zealand@2 a=-@3");
}

#[test]
fn every_task_reads_all_partitions_and_a_restart_reads_them_again() {
    let topology = naming().build().unwrap();
    let driver = TestDriver::builder(topology)
        .partitions("in", 3)
        .partitions("names", 2)
        .build()
        .unwrap();
    let names = driver.input_topic("names", utf8(), utf8());
    let inputs = driver.input_topic("in", utf8(), utf8());
    let at = Timestamp::from_millis(1);
    let record = |key: &str, value: &str| Record::new(key.to_owned(), value.to_owned(), at);
    names.pipe_to_partition(0, record("x", "X")).unwrap();
    names.pipe_to_partition(1, record("y", "Y")).unwrap();
    let ask = || {
        for partition in 0..3 {
            for name in ["x", "y"] {
                inputs
                    .pipe_to_partition(partition, record("k", name))
                    .unwrap();
            }
        }
    };
    ask();
    assert_eq!(history(&driver, "out"), ["k=X@1 k=Y@1"; 3].join(" "));
    driver.restart().unwrap();
    ask();
    assert_eq!(history(&driver, "out"), ["k=X@1 k=Y@1"; 6].join(" "));
    assert!(
        !driver
            .topics()
            .iter()
            .any(|topic| topic.contains("changelog"))
    );
}

#[test]
fn what_the_topology_writes_to_the_topic_is_there_for_the_next_record() {
    let mut builder = naming();
    let written = source(&mut builder, "written");
    builder.add_sink("to-names", "names", Produced::new(), &[&written]);
    let driver = driver(builder);
    pipe(&driver, "written", "nz=Zealand@1").unwrap();
    pipe(&driver, "in", "a=nz@2").unwrap();
    assert_eq!(history(&driver, "out"), "a=Zealand@2");
}

#[test]
fn a_global_store_is_written_by_its_own_processor_alone() {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let names = ctx.key_value_store::<String, String>("names")?;
        Ok(names.put(&record.key, &record.value)?)
    });
    fill(&mut builder);
    let driver = driver(builder);
    let error = pipe(&driver, "in", "a=b@1").unwrap_err().to_string();
    assert!(
        error.contains("store names: a global store is read-only"),
        "{error}"
    );
    let names = driver.key_value_store::<String, String>("names").unwrap();
    assert_eq!(names.all().unwrap(), []);
}

#[test]
fn a_record_that_fails_is_named_and_leaves_the_store_as_it_was() {
    let driver = driver(naming());
    pipe(&driver, "names", "nz=Zealand@1").unwrap();
    let error = pipe(&driver, "names", "nz=poison@2")
        .unwrap_err()
        .to_string();
    for told in ["fill", "names-0", "offset 1", "poisoned"] {
        assert!(error.contains(told), "{told}: {error}");
    }
    pipe(&driver, "in", "a=nz@3").unwrap();
    assert_eq!(history(&driver, "out"), "a=Zealand@3");
}

#[test]
fn a_row_that_cannot_be_read_is_dropped_and_counted_once() {
    let driver = TestDriver::builder(naming().build().unwrap())
        .on_bad_record(OnBadRecord::Continue)
        .build()
        .unwrap();
    let not_utf8 = Some(Bytes::from_static(b"\xff"));
    let row = Record::new(not_utf8.clone(), not_utf8, Timestamp::from_millis(1));
    driver
        .input_topic("names", utf8(), utf8())
        .pipe_raw(row)
        .unwrap();
    driver.restart().unwrap();
    assert_eq!(driver.dropped_total(), 1);
}

#[test]
fn a_connection_to_a_global_store_and_children_of_its_processor_are_refused() {
    let mut builder = naming();
    builder.connect_processor_and_stores("each", &["names"]);
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("node each is connected to global store names"),
        "{error}"
    );

    let mut builder = naming();
    sink(
        &mut builder,
        "elsewhere",
        &crate::topology::NodeRef::named("fill"),
    );
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("processor fill fills a global store"),
        "{error}"
    );

    let mut builder = naming();
    source(&mut builder, "names");
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("both read topic names"), "{error}");

    let mut builder = naming();
    builder.add_global_source("idle", "more", Consumed::<String, String>::new());
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("global source idle feeds 0 processors"),
        "{error}"
    );
}

#[test]
fn a_processor_that_fills_a_global_store_has_no_punctuations() {
    let mut builder = TopologyBuilder::new();
    source(&mut builder, "in");
    let global = builder.add_global_source("global", "names", Consumed::<String, String>::new());
    let store = StoreBuilder::key_value("names", utf8(), utf8());
    let tick = || super::testing::Tick(PunctuationKind::WallClock, 10);
    builder.add_global_store(store, "fill", tick, &global);
    let error = TestDriver::new(builder.build().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("schedules a punctuation"), "{error}");
}
