//! Plays a case on the test driver and collects what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use onceflow::handler::FailureScope;
use onceflow::metrics::{DropReason, Drops};
use onceflow::prelude::*;
use onceflow::processor::{OnBadRecord, OnFailedRecord};
use onceflow::test_driver::{CapturedRecord, RawBytes};
use onceflow::{ErrorKind, Header};
use serde_json::Value;

use super::build::Build;
use super::compare::{self, Difference, Listing};
use super::fields::Fields;
use super::unplayable::{Unplayable, unplayable};

/// What Java answered, with what is right where Java is wrong.
struct Expected<'j> {
    java: Fields<'j>,
    fixed: Option<Fields<'j>>,
    /// The stores in memory that processors use, and those with versions: what they refuse, Java
    /// counts.
    counting_stores: BTreeSet<String>,
    /// Whether its rows have headers.
    has_headers: bool,
}

impl<'j> Expected<'j> {
    fn of(case: &Fields<'j>) -> Self {
        case.get("known_java_bug");
        Expected {
            java: Fields::of("expect", case.value("expect")),
            fixed: case.object_or("expect_fixed"),
            counting_stores: counting_stores(case.list("topology")),
            has_headers: keeps_headers(&Fields::of("config", case.value("config"))),
        }
    }

    fn get(&self, name: &str) -> Option<&'j Value> {
        let java = self.java.get(name);
        let fixed = self.fixed.as_ref().and_then(|fixed| fixed.get(name));
        // What stores hold at the end of a wrong run is no more right than its outputs.
        let is_wrong = name == "stores" && self.fixed.is_some();
        fixed.or(java.filter(|_| !is_wrong))
    }

    /// Whether the right outputs are known, but of this only what Java did with the wrong ones.
    fn is_of_wrong_run(&self, name: &str) -> bool {
        let is_missing = |fixed: &Fields<'_>| fixed.get(name).is_none();
        self.fixed.as_ref().is_some_and(is_missing)
    }
}

/// How keys within windows are written on output topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowedKeys {
    Time,
    Session,
}

impl WindowedKeys {
    /// No case has both.
    fn of(ops: &[Value]) -> Self {
        let in_sessions = |op: &Value| op["window"]["kind"] == "session";
        match ops.iter().any(in_sessions) {
            true => WindowedKeys::Session,
            false => WindowedKeys::Time,
        }
    }

    /// The bytes of an output's key.
    pub(super) fn bytes(self, key: &Value) -> Option<Bytes> {
        let Some(inner) = key.get("w") else {
            return bytes(key);
        };
        let time = |name: &str| key[name].as_i64().expect("a time").to_be_bytes();
        let mut written = bytes(inner)?.to_vec();
        if self == WindowedKeys::Session {
            written.extend_from_slice(&time("e"));
        }
        written.extend_from_slice(&time("s"));
        Some(Bytes::from(written))
    }
}

/// Plays a case; answers what differs.
pub(super) fn case(case: &Fields<'_>) -> Result<Vec<Difference>, Unplayable> {
    for about in ["id", "family", "about", "v"] {
        case.value(about);
    }
    let expected = Expected::of(case);
    let ops = case.list("topology");
    let config = Fields::of("config", case.value("config"));
    let handlers = handlers(&config);
    let extractor = config.text_or("default.timestamp.extractor");
    let mut build = Build::new(extractor.unwrap_or("fail"));
    let options = build_options(&config);
    config.done();
    for op in ops {
        build.apply(op)?;
    }
    let (start, steps) = (case.number_or("clock_start_ms"), case.list("steps"));
    case.done();
    let branches = std::mem::take(&mut build.branches);
    // What Java finds when it starts may be found before.
    let failure = expected.get("build_error").or(expected.get("start_error"));
    match build.refused.take() {
        Some(_) if failure.is_some() => return Ok(Vec::new()),
        Some(reason) => return unplayable(format!("{reason}: it does not compile")),
        None => {}
    }
    let topology = build.finish(&options);
    let topology = match topology {
        Ok(topology) => topology,
        Err(_) if failure.is_some() => return Ok(Vec::new()),
        Err(error) => {
            return Ok(vec![Difference::of(
                "build",
                format!("cannot be built: {error}"),
            )]);
        }
    };
    if expected.get("build_error").is_some() {
        return Ok(vec![Difference::of("build", "building does not fail")]);
    }
    let described = topology.describe();
    let driver = driver(topology, handlers, start);
    let driver = match driver {
        Ok(_) if failure.is_some() => {
            return Ok(vec![Difference::of("start", "starting does not fail")]);
        }
        Ok(driver) => driver,
        Err(_) if failure.is_some() => return Ok(Vec::new()),
        Err(error) => {
            return Ok(vec![Difference::of(
                "start",
                format!("does not start: {error}"),
            )]);
        }
    };
    let mut differences = Vec::new();
    compare::description(&described, expected.get("describe"), &mut differences);
    compare::branches(&branches, expected.get("branches"), &mut differences);
    let keys = WindowedKeys::of(ops);
    play_all(&driver, (steps, keys), &expected, &mut differences);
    Ok(differences)
}

fn driver(
    topology: Topology,
    (on_bad_record, on_failed_record): (OnBadRecord, OnFailedRecord),
    start: Option<i64>,
) -> Result<TestDriver, Error> {
    TestDriver::builder(topology)
        .start_time(Timestamp::from_millis(start.unwrap_or(0)))
        .on_bad_record(on_bad_record)
        .on_failed_record(on_failed_record)
        // What Java's processors did before they failed stays.
        .failure_scope(FailureScope::Node)
        .shared_stream_time()
        .build()
}

/// Plays the steps, and compares what they answer and what they leave.
fn play_all(
    driver: &TestDriver,
    (steps, keys): (&[Value], WindowedKeys),
    expected: &Expected<'_>,
    differences: &mut Vec<Difference>,
) {
    let answers = expected.get("steps").and_then(Value::as_array);
    let answers = answers.expect("a topology that starts answers steps");
    let ends_early = answers
        .last()
        .is_some_and(|last| last.get("error").is_some());
    assert!(
        answers.len() == steps.len() || ends_early,
        "a step has an answer"
    );
    let mut played = Played {
        counting_stores: expected.counting_stores.clone(),
        ..Played::default()
    };
    for (step, expected) in steps.iter().zip(answers) {
        let answer = played.step(driver, &Fields::of("step", step));
        compare::step((played.steps - 1, keys), &answer, expected, differences);
    }
    if let Some(stores) = expected.get("stores") {
        let times = steps.iter().filter_map(|step| step["ts"].as_i64());
        let times: BTreeSet<i64> = times.collect();
        let listing = Listing {
            rows: stores,
            times: &times,
            has_headers: expected.has_headers,
        };
        compare::stores(driver, &listing, differences);
    }
    if let Some(internal) = expected.get("internal") {
        let logged = match expected.is_of_wrong_run("internal") {
            true => compare::Logged::AtLeast(internal),
            false => compare::Logged::Just(internal),
        };
        compare::internal(&played.internal, &logged, differences);
    }
    // The sum of the steps' drops.
    expected.get("dropped");
    expected.java.done();
}

/// Whether Java's stores keep headers: those in memory do not, whatever the format.
fn keeps_headers(config: &Fields<'_>) -> bool {
    let is_on_disk = config.text_or("dsl.store.suppliers.class") == Some("rocksdb");
    config.text_or("dsl.store.format") == Some("HEADERS") && is_on_disk
}

fn build_options(config: &Fields<'_>) -> BuildOptions {
    let mut options = BuildOptions::new();
    if keeps_headers(config) {
        options = options.with_headers_of_deletions().with_headers_in_joins();
    }
    if config.text_or("dsl.store.suppliers.class") == Some("rocksdb") {
        options = options.with_store_type(StoreType::RocksDb);
    }
    if config.text_or("topology.optimization") == Some("all") {
        options = options.with_optimization();
    }
    if let Some(bytes) = config.text_or("statestore.cache.max.bytes") {
        options = options.with_cache_bytes(bytes.parse().expect("a number of bytes"));
    }
    if config.text_or("ensure.explicit.internal.resource.naming") == Some("true") {
        options = options.with_explicit_names();
    }
    options
}

/// Which settings are understood; what they leave to the driver.
fn handlers(config: &Fields<'_>) -> (OnBadRecord, OnFailedRecord) {
    // The guarantee changes no answer.
    config.text_or("processing.guarantee");
    let goes_on = |name| config.text_or(name) == Some("continue");
    let on_bad_record = match goes_on("deserialization.exception.handler") {
        true => OnBadRecord::Continue,
        false => OnBadRecord::Fail,
    };
    let on_failed_record = match goes_on("processing.exception.handler") {
        true => OnFailedRecord::Continue,
        false => OnFailedRecord::Fail,
    };
    (on_bad_record, on_failed_record)
}

fn counting_stores(ops: &[Value]) -> BTreeSet<String> {
    let stores = ops
        .iter()
        .filter(|op| op["op"] == "add_store" || op["op"] == "pa_store");
    let in_memory = stores.filter(|op| op["type"] != "rocks" || op["kind"] == "versioned");
    let tables = ops.iter().filter_map(|op| op.get("mat"));
    let versioned = tables.filter(|mat| mat.get("versioned_ms").is_some());
    in_memory
        .chain(versioned)
        .filter_map(|op| Some(op["store"].as_str()?.to_owned()))
        .collect()
}

/// What a step answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) out: BTreeMap<String, Vec<CapturedRecord>>,
    pub(super) dropped: u64,
    /// With those that only a store did not keep.
    pub(super) dropped_and_refused: u64,
    pub(super) failed: Option<String>,
}

/// What was played so far.
#[derive(Debug, Default)]
struct Played {
    counting_stores: BTreeSet<String>,
    steps: usize,
    seen: BTreeMap<String, usize>,
    drops: u64,
    refused: u64,
    /// By topic: each record with its step.
    internal: BTreeMap<String, Vec<(usize, CapturedRecord)>>,
}

impl Played {
    fn step(&mut self, driver: &TestDriver, step: &Fields<'_>) -> Answer {
        let played = catch_unwind(AssertUnwindSafe(|| play(driver, step)));
        let result = played
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Processing, "a function panicked")));
        step.done();
        let mut answer = self.collect(driver, step.text_or("topic"));
        answer.failed = result.err().map(|error| error.to_string());
        self.steps += 1;
        answer
    }

    /// What is new since the last step.
    fn collect(&mut self, driver: &TestDriver, input: Option<&str>) -> Answer {
        let mut answer = Answer::default();
        for topic in driver.topics() {
            let history = driver.topic_history(&topic);
            let seen = self.seen.entry(topic.to_string()).or_default();
            // The record that was piped is no output, should the topic be one.
            let piped = usize::from(input == Some(&*topic));
            let new = history[*seen..].iter().skip(piped).cloned();
            if topic.starts_with("app-") {
                let log = self.internal.entry(topic.to_string()).or_default();
                log.extend(new.map(|record| (self.steps, record)));
            } else {
                let new: Vec<_> = new.collect();
                if !new.is_empty() {
                    answer.out.insert(topic.to_string(), new);
                }
            }
            *seen = history.len();
        }
        let drops = counted(&driver.drops(), &self.counting_stores);
        answer.dropped = drops - self.drops;
        self.drops = drops;
        let expired = |((_, reason), count): (&(String, DropReason), &u64)| {
            (*reason == DropReason::Expired).then_some(*count)
        };
        let refused: u64 = driver.drops().iter().filter_map(expired).sum();
        answer.dropped_and_refused = answer.dropped + refused - self.refused;
        self.refused = refused;
        answer
    }
}

/// Drops as Java counts them: without those at a repartition's null-key filter, and without what
/// only a store did not keep, unless a processor put it into a store in memory.
fn counted(drops: &Drops, counting_stores: &BTreeSet<String>) -> u64 {
    let uncounted = |node: &str, reason: DropReason| {
        let is_filter =
            node.starts_with("KSTREAM-FILTER-") || node.ends_with("-repartition-filter");
        let is_refused = reason == DropReason::Expired; // `store_refused`
        let is_of_processor = counting_stores.contains(node);
        (is_refused && !is_of_processor) || (is_filter && reason == DropReason::NullKey)
    };
    let counted = drops
        .iter()
        .filter(|((node, reason), _)| !uncounted(node, *reason));
    counted.map(|(_, count)| count).sum()
}

fn play(driver: &TestDriver, step: &Fields<'_>) -> Result<(), Error> {
    if let Some(millis) = step.number_or("advance_wall_ms") {
        return driver.advance_wall_clock(Duration::from_millis(millis.unsigned_abs()));
    }
    let headers = step.list("h").iter().map(header).collect();
    let record: RawBytes = Record {
        key: bytes(step.value("k")),
        value: bytes(step.value("v")),
        timestamp: Timestamp::from_millis(step.number_or("ts").expect("a record has a time")),
        headers,
    };
    // The serdes are not asked.
    driver
        .input_topic(
            step.text("topic"),
            onceflow::serde::bytes(),
            onceflow::serde::bytes(),
        )
        .pipe_raw(record)
}

fn header(pair: &Value) -> Header {
    Header {
        key: pair[0].as_str().expect("a header has a name").into(),
        value: pair[1]
            .as_str()
            .map(|text| Bytes::copy_from_slice(text.as_bytes())),
    }
}

/// Input and output as the cases write it: null, text, an int64, or raw bytes.
pub(super) fn bytes(value: &Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        Value::Number(number) => {
            let number = number.as_i64().expect("an int64");
            Some(Bytes::copy_from_slice(&number.to_be_bytes()))
        }
        Value::Object(windowed) if windowed.contains_key("w") => {
            unreachable!("keys within windows are outputs")
        }
        Value::Object(raw) => Some(unhex(raw["hex"].as_str().expect("raw bytes"))),
        other => panic!("{other} is no key or value"),
    }
}

fn unhex(hex: &str) -> Bytes {
    let pairs: Vec<&str> = (0..hex.len())
        .step_by(2)
        .map(|at| &hex[at..at + 2])
        .collect();
    let bytes = pairs
        .iter()
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"));
    bytes.collect::<Vec<u8>>().into()
}
