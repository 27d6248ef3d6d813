//! A record that waits for a table and cannot be joined, or whose result fails: it is given up once, as
//! itself, and the records that come after it take effect as if it had never waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onceflow::handler::{FailureScope, Retry};
use onceflow::metrics::DropReason;
use onceflow::prelude::*;
use onceflow::processor::OnFailedRecord;
use onceflow::state::KeyValueStore;
use onceflow::test_driver::TestDriverBuilder;

const GRACE: Duration = Duration::from_millis(5);

/// `left` waits for `right`; the joiner panics at what is `bad`.
fn joined(builder: &StreamsBuilder, stream: &KStream<String, String>) -> KStream<String, String> {
    let versions = Materialized::as_versioned("versions", Duration::from_secs(1));
    let table = builder.table_with("right", Consumed::<String, String>::new(), versions);
    let join = |left: String, right: String| {
        assert_ne!(left, "bad", "it is bad");
        format!("{left}/{right}")
    };
    stream.join_table(&table, join, Joined::new().with_grace_period(GRACE))
}

fn left(builder: &StreamsBuilder) -> KStream<String, String> {
    builder.stream("left", Consumed::new())
}

fn going_on(builder: StreamsBuilder, scope: FailureScope) -> TestDriverBuilder {
    TestDriver::builder(builder.build().expect("it is a topology"))
        .on_failed_record(OnFailedRecord::Continue)
        .failure_scope(scope)
        .dead_letter_topic("dead")
}

/// A row of `right` for key `k`, then values of `left`, each at its time.
fn pipe(driver: &TestDriver, records: &[(&str, i64)]) -> Result<(), Error> {
    let right = driver.input_topic("right", utf8(), utf8());
    right.pipe("k", "row", Timestamp::from_millis(0))?;
    let left = driver.input_topic("left", utf8(), utf8());
    let at = Timestamp::from_millis;
    records
        .iter()
        .try_for_each(|(value, time)| left.pipe("k", *value, at(*time)))
}

/// The values of a topic, each with its time.
fn values(driver: &TestDriver, topic: &str) -> Vec<String> {
    let history = driver.topic_history(topic).into_iter();
    let text = history.map(|record| {
        let value = record.value.unwrap_or_default();
        format!("{}@{}", String::from_utf8_lossy(&value), record.timestamp)
    });
    text.collect()
}

const RECORDS: [(&str, i64); 6] = [
    ("bad", 1),
    ("x", 2),
    ("bad", 3),
    ("y", 9),
    ("z", 10),
    ("end", 20),
];

const SCOPES: [FailureScope; 2] = [FailureScope::Record, FailureScope::Node];

#[test]
fn what_cannot_be_joined_is_given_up_once_and_named_by_its_letter() {
    for scope in SCOPES {
        let builder = StreamsBuilder::new();
        joined(&builder, &left(&builder)).to("out", Produced::new());
        let driver = going_on(builder, scope).build().unwrap();
        pipe(&driver, &RECORDS).unwrap();
        assert_eq!(
            values(&driver, "out"),
            ["x/row@2", "y/row@9", "z/row@10"],
            "{scope}"
        );
        assert_eq!(values(&driver, "dead"), ["bad@1", "bad@3"], "{scope}");
        assert_eq!(driver.dropped_total(), 2, "{scope}");
        let offsets: Vec<String> = driver
            .topic_history("dead")
            .iter()
            .map(|letter| {
                let mut headers = letter.headers.iter();
                let offset = headers.find(|header| *header.key == *"__streams.errors.offset");
                let offset = offset.unwrap();
                String::from_utf8_lossy(offset.value.as_deref().unwrap()).into_owned()
            })
            .collect();
        assert_eq!(offsets, ["0", "2"], "of those that waited, {scope}");
    }
}

#[test]
fn the_buffer_and_its_changelog_forget_what_was_given_up() {
    for scope in SCOPES {
        let builder = StreamsBuilder::new();
        joined(&builder, &left(&builder)).to("out", Produced::new());
        let driver = going_on(builder, scope).build().unwrap();
        pipe(&driver, &[("bad", 1), ("end", 20)]).unwrap();
        let topics = driver.topics();
        let changelog = topics.iter().find(|topic| topic.contains("-Buffer-"));
        let log = driver.topic_history(changelog.unwrap());
        let mut of_bad = log.iter().filter(|record| record.key == log[0].key);
        assert_eq!(of_bad.next_back().unwrap().value, None, "{scope}");
    }
}

#[test]
fn an_application_that_stops_names_the_record_that_waited() {
    let builder = StreamsBuilder::new();
    let words = joined(&builder, &left(&builder));
    words
        .process(|| Fussy::new(None), &[])
        .to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let error = pipe(&driver, &[("poor", 1), ("x", 2), ("end", 20)]).unwrap_err();
    let position = error.position().unwrap();
    assert_eq!(
        (&*position.topic_partition.topic, position.offset.get()),
        ("left", 0),
        "{error}"
    );
}

/// Counts what it gets in a store and passes it on; it fails at what is `poor`, now or for good.
struct Fussy {
    store: Option<KeyValueStore<String, i64>>,
    /// How often it still fails for a reason that passes, if it does.
    away: Option<Arc<AtomicU32>>,
}

impl Fussy {
    fn new(away: Option<Arc<AtomicU32>>) -> Self {
        Fussy { store: None, away }
    }
}

impl Processor for Fussy {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.store = ctx.key_value_store("counts").ok();
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        if let Some(store) = &self.store {
            let count = store.get(&record.key)?.unwrap_or(0) + 1;
            store.put(&record.key, &count)?;
        }
        let is_poor = record.value.starts_with("poor");
        ctx.forward(record)?;
        match &self.away {
            _ if !is_poor => Ok(()),
            None => Err(Fault::message("that is poor")),
            Some(away) if away.load(Ordering::Relaxed) == 0 => Ok(()),
            Some(away) => {
                away.fetch_sub(1, Ordering::Relaxed);
                Err(Fault::transient("away"))
            }
        }
    }
}

/// `left` waits for `right`, is counted and passed on.
fn counted(away: Option<Arc<AtomicU32>>) -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    builder.add_state_store(StoreBuilder::key_value("counts", utf8(), i64()));
    let words = joined(&builder, &left(&builder));
    let fussy = words.process(move || Fussy::new(away.clone()), &["counts"]);
    fussy.to("out", Produced::new());
    builder
}

const POOR: [(&str, i64); 4] = [("x", 1), ("poor", 2), ("y", 9), ("end", 20)];

#[test]
fn of_what_a_record_that_waited_led_to_as_much_stays_as_is_asked_for() {
    for (scope, stays) in [(FailureScope::Record, false), (FailureScope::Node, true)] {
        let driver = going_on(counted(None), scope).build().unwrap();
        pipe(&driver, &POOR).unwrap();
        let mut out = vec!["x/row@1", "poor/row@2", "y/row@9"];
        out.retain(|value| stays || !value.starts_with("poor"));
        assert_eq!(values(&driver, "out"), out, "{scope}");
        assert_eq!(values(&driver, "dead"), ["poor@2"], "{scope}");
        let counts = driver.key_value_store::<String, i64>("counts").unwrap();
        let expected = if stays { 3 } else { 2 };
        assert_eq!(
            counts.get(&"k".to_owned()).unwrap(),
            Some(expected),
            "{scope}"
        );
        let drops = driver.drops();
        let of_processing = drops
            .iter()
            .filter(|((_, reason), _)| *reason == DropReason::Processing);
        assert_eq!(
            of_processing.map(|(_, count)| count).sum::<u64>(),
            1,
            "{scope}"
        );
    }
}

#[test]
fn a_failure_that_passes_is_waited_for_and_one_that_does_not_is_given_up() {
    for (failures, is_buried) in [(2, false), (3, true)] {
        let away = Arc::new(AtomicU32::new(failures));
        let driver = going_on(counted(Some(away)), FailureScope::Record)
            .retry(Retry::times(2))
            .build()
            .unwrap();
        pipe(&driver, &POOR).unwrap();
        let mut out = vec!["x/row@1", "poor/row@2", "y/row@9"];
        out.retain(|value| !is_buried || !value.starts_with("poor"));
        assert_eq!(values(&driver, "out"), out);
        assert_eq!(values(&driver, "dead").len(), usize::from(is_buried));
    }
}

#[test]
fn the_result_of_a_call_takes_effect_though_what_waited_for_it_fails() {
    for scope in SCOPES {
        let builder = StreamsBuilder::new();
        let asked = left(&builder).map_values_async(
            |value: String| async move { Ok::<_, Fault>(value) },
            AsyncCalls::new(),
        );
        joined(&builder, &asked).to("out", Produced::new());
        let driver = going_on(builder, scope).build().unwrap();
        pipe(&driver, &RECORDS).unwrap();
        assert_eq!(
            values(&driver, "out"),
            ["x/row@2", "y/row@9", "z/row@10"],
            "{scope}"
        );
        assert_eq!(values(&driver, "dead"), ["bad@1", "bad@3"], "{scope}");
    }
}
