//! Compares what was played with what Kafka Streams answered.

use std::collections::{BTreeMap, BTreeSet};

use onceflow::prelude::*;
use onceflow::state::ValueAndTimestamp;
use onceflow::test_driver::CapturedRecord;
use serde_json::{Value, json};

use super::play::{Answer, WindowedKeys, bytes};
use super::val::Val;

/// What is not as expected.
pub(super) struct Difference {
    /// Which part of the answer, the same for all cases.
    pub(super) what: &'static str,
    /// Expected and actual.
    pub(super) details: String,
}

impl Difference {
    pub(super) fn of(what: &'static str, details: impl Into<String>) -> Self {
        let details = details.into();
        Difference { what, details }
    }
}

pub(super) fn description(ours: &str, expected: Option<&Value>, differences: &mut Vec<Difference>) {
    let expected = expected.and_then(Value::as_str).unwrap_or(ours);
    // Lists are sets: sorted in both.
    if expected.trim_end() != ours.trim_end() {
        let details = format!("--- Java\n{expected}\n--- ours\n{ours}");
        differences.push(Difference::of("describe", details));
    }
}

pub(super) fn branches(
    ours: &BTreeMap<String, Vec<String>>,
    expected: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    let ours = json!(ours);
    if let Some(expected) = expected.filter(|expected| **expected != ours) {
        let details = format!("branches: Java {expected}\n          ours {ours}");
        differences.push(Difference::of("branches", details));
    }
}

pub(super) fn step(
    (step, keys): (usize, WindowedKeys),
    ours: &Answer,
    expected: &Value,
    differences: &mut Vec<Difference>,
) {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in expected["out"].as_array().into_iter().flatten() {
        let topic = record["topic"].as_str().expect("an output has a topic");
        out.entry(topic.to_owned())
            .or_default()
            .push(printed_expected(record, keys));
    }
    let ours_out: BTreeMap<String, Vec<String>> = ours
        .out
        .iter()
        .map(|(topic, records)| (topic.clone(), records.iter().map(printed).collect()))
        .collect();
    if out != ours_out {
        let details = format!("step {step}: Java {out:?}\n        ours {ours_out:?}");
        differences.push(Difference::of("output", details));
    }
    let number = |name: &str| expected[name].as_u64().unwrap_or(0);
    let dropped = number("dropped") - number("store_refused");
    // Java counts what a window store refuses if it lies in memory; not every case tells which.
    let is_refusal = number("dropped") == ours.dropped_and_refused;
    if dropped != ours.dropped && !is_refusal {
        let details = format!("step {step}: Java drops {dropped}, ours {}", ours.dropped);
        differences.push(Difference::of("drops", details));
    }
    match (&ours.failed, expected.get("error")) {
        (Some(error), None) => {
            let details = format!("step {step} fails: {error}");
            differences.push(Difference::of("failure", details));
        }
        (None, Some(error)) => {
            let details = format!("step {step} does not fail with {error}");
            differences.push(Difference::of("failure", details));
        }
        _ => {}
    }
}

/// A record on one line: bytes as text where they are, with `\x` where not.
fn line(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64, headers: &[String]) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(
            || "null".to_owned(),
            |bytes| format!("'{}'", bytes.escape_ascii()),
        )
    };
    let headers = headers.join(",");
    format!("{}={}@{timestamp}[{headers}]", text(key), text(value))
}

fn printed_expected(record: &Value, keys: WindowedKeys) -> String {
    let headers = record["h"].as_array().into_iter().flatten();
    let headers: Vec<String> = headers
        .map(|pair| {
            let key = pair[0].as_str().expect("a header has a name");
            format!(
                "{key}={:?}",
                bytes(&pair[1])
                    .as_deref()
                    .map(<[u8]>::escape_ascii)
                    .map(|e| e.to_string())
            )
        })
        .collect();
    let timestamp = record["ts"].as_i64().expect("an output has a time");
    line(
        keys.bytes(&record["k"]).as_deref(),
        bytes(&record["v"]).as_deref(),
        timestamp,
        &headers,
    )
}

fn printed(record: &CapturedRecord) -> String {
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|header| {
            let value = header.value.as_deref().map(<[u8]>::escape_ascii);
            format!("{}={:?}", header.key, value.map(|e| e.to_string()))
        })
        .collect();
    let timestamp = record.timestamp.as_millis();
    line(
        record.key.as_deref(),
        record.value.as_deref(),
        timestamp,
        &headers,
    )
}

/// The stores that a case lists, and how.
pub(super) struct Listing<'j> {
    pub(super) rows: &'j Value,
    /// The records' times: versions are listed if they can be read at one of them.
    pub(super) times: &'j BTreeSet<i64>,
    /// Whether a row ends with its headers. Those of tables are empty, in Java too; those of the
    /// stores of joins are not.
    pub(super) has_headers: bool,
}

/// Compares the stores that are listed.
pub(super) fn stores(
    driver: &TestDriver,
    listing: &Listing<'_>,
    differences: &mut Vec<Difference>,
) {
    for (name, rows) in listing.rows.as_object().expect("stores by name") {
        let mut expected: Vec<String> = rows
            .as_array()
            .expect("rows")
            .iter()
            .map(Value::to_string)
            .collect();
        expected.sort();
        match listed_rows_of(driver, name, listing) {
            Ok(mut ours) => {
                ours.sort();
                if ours != expected && !differ_by_nulls(driver, name, &ours, &expected) {
                    let details = format!("store {name}: Java {expected:?}\n      ours {ours:?}");
                    differences.push(Difference::of("store", details));
                }
            }
            Err(error) => {
                let details = format!("store {name}: {error}");
                differences.push(Difference::of("store", details));
            }
        }
    }
}

/// Whether ours has more rows, each older than a null that was put after it where duplicates are
/// kept: such a null is no entry, but it ages Java's stores in memory. It ages neither RocksDB's,
/// which are Java's default, nor ours.
fn differ_by_nulls(driver: &TestDriver, name: &str, ours: &[String], expected: &[String]) -> bool {
    let nulls = driver.topic_history(&format!("app-{name}-changelog"));
    let nulls = nulls.iter().filter(|record| record.value.is_none());
    let Some(latest) = nulls.map(|record| record.timestamp.as_millis()).max() else {
        return false;
    };
    let is_join_store = driver.window_store::<Val, Val>(name).is_ok();
    let mut more = ours.iter().filter(|row| !expected.contains(row));
    let is_older = |row: &String| {
        let row: Option<Value> = serde_json::from_str(row).ok();
        row.and_then(|row| row[1].as_i64())
            .is_some_and(|start| start < latest)
    };
    is_join_store && expected.iter().all(|row| ours.contains(row)) && more.all(is_older)
}

/// The rows of a store, with headers if they are listed with them.
fn listed_rows_of(
    driver: &TestDriver,
    name: &str,
    listing: &Listing<'_>,
) -> Result<Vec<String>, Error> {
    if let Ok(store) = driver.window_store::<Val, Val>(name)
        && store.keeps_headers()
    {
        let rows = store.all_with_headers()?.into_iter();
        return Ok(rows.map(headed_row).collect());
    }
    let rows = rows_of(driver, name, listing.times)?;
    let is_versioned = driver.versioned_key_value_store::<Val, Val>(name).is_ok();
    if !listing.has_headers || is_versioned {
        return Ok(rows);
    }
    let with_headers = |row: String| format!("{},[]]", row.strip_suffix(']').unwrap_or(&row));
    Ok(rows.into_iter().map(with_headers).collect())
}

/// A row of a join's store, whose time is the start of its window.
fn headed_row((key, value, headers): (Windowed<Val>, Val, Headers)) -> String {
    let headers = headers.iter().map(|header| {
        let value = header.value.as_deref();
        json!([&*header.key, value.map(String::from_utf8_lossy)])
    });
    let start = key.window.start.as_millis();
    let (key, value) = (json_of(&key.key), json_of(&value));
    json!([key, start, value, start, headers.collect::<Vec<_>>()]).to_string()
}

/// The rows of a store, whose types are tried.
fn rows_of(driver: &TestDriver, name: &str, times: &BTreeSet<i64>) -> Result<Vec<String>, Error> {
    if let Ok(store) = driver.timestamped_key_value_store::<Val, Val>(name) {
        let rows = store.all()?.into_iter();
        return Ok(rows
            .map(|(k, row)| {
                json!([json_of(&k), json_of(&row.value), row.timestamp.as_millis()]).to_string()
            })
            .collect());
    }
    if let Ok(store) = driver.timestamped_key_value_store::<Val, i64>(name) {
        let rows = store.all()?.into_iter();
        return Ok(rows
            .map(|(k, row)| json!([json_of(&k), row.value, row.timestamp.as_millis()]).to_string())
            .collect());
    }
    if let Ok(store) = driver.versioned_key_value_store::<Val, Val>(name) {
        let read = |k: &Val, at| store.get_as_of(k, at);
        return versions_of(store.all()?, times, read, json_of);
    }
    if let Ok(store) = driver.versioned_key_value_store::<Val, i64>(name) {
        let read = |k: &Val, at| store.get_as_of(k, at);
        return versions_of(store.all()?, times, read, |value| json!(value));
    }
    if let Some(rows) = windowed_rows_of(driver, name)? {
        return Ok(rows);
    }
    if let Err(error) = driver.key_value_store::<Val, Val>(name) {
        return rows_of_changelog(driver, name).ok_or(error);
    }
    let rows = driver.key_value_store::<Val, Val>(name)?.all()?.into_iter();
    Ok(rows
        .map(|(k, v)| json!([json_of(&k), json_of(&v)]).to_string())
        .collect())
}

/// Those of the versions that can be read at one of the times.
fn versions_of<V>(
    all: Vec<(Val, VersionedRecord<V>)>,
    times: &BTreeSet<i64>,
    read: impl Fn(&Val, Timestamp) -> Result<Option<VersionedRecord<V>>, Error>,
    json_of_value: impl Fn(&V) -> Value,
) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    for (key, version) in all {
        let mut is_read = false;
        for at in times {
            let found = read(&key, Timestamp::from_millis(*at))?;
            is_read |= found.is_some_and(|found| found.timestamp == version.timestamp);
        }
        if is_read {
            let (value, from) = (json_of_value(&version.value), version.timestamp.as_millis());
            rows.push(json!([json_of(&key), value, from]).to_string());
        }
    }
    Ok(rows)
}

/// The rows of a window or session store, if it is one.
fn windowed_rows_of(driver: &TestDriver, name: &str) -> Result<Option<Vec<String>>, Error> {
    let time_row = |key: Windowed<Val>, value: Value, timestamp: Timestamp| {
        let start = key.window.start.as_millis();
        json!([json_of(&key.key), start, value, timestamp.as_millis()]).to_string()
    };
    let session_row = |key: Windowed<Val>, value: Value| {
        let (start, end) = (key.window.start.as_millis(), key.window.end.as_millis());
        json!([json_of(&key.key), start, end, value]).to_string()
    };
    if let Ok(store) = driver.timestamped_window_store::<Val, Val>(name) {
        let rows = store.all()?.into_iter();
        let row = |(key, row): (_, ValueAndTimestamp<Val>)| {
            time_row(key, json_of(&row.value), row.timestamp)
        };
        return Ok(Some(rows.map(row).collect()));
    }
    if let Ok(store) = driver.timestamped_window_store::<Val, i64>(name) {
        let rows = store.all()?.into_iter();
        let row = |(key, row): (_, ValueAndTimestamp<i64>)| {
            time_row(key, json!(row.value), row.timestamp)
        };
        return Ok(Some(rows.map(row).collect()));
    }
    if let Ok(store) = driver.window_store::<Val, Val>(name) {
        let rows = store.all()?.into_iter();
        let row = |(key, value): (Windowed<Val>, Val)| {
            let start = key.window.start.as_millis();
            json!([json_of(&key.key), start, json_of(&value)]).to_string()
        };
        return Ok(Some(rows.map(row).collect()));
    }
    if let Ok(store) = driver.session_store::<Val, Val>(name) {
        let rows = store.all()?.into_iter();
        return Ok(Some(
            rows.map(|(k, v)| session_row(k, json_of(&v))).collect(),
        ));
    }
    if let Ok(store) = driver.session_store::<Val, i64>(name) {
        let rows = store.all()?.into_iter();
        return Ok(Some(rows.map(|(k, v)| session_row(k, json!(v))).collect()));
    }
    Ok(None)
}

fn json_of(val: &Val) -> Value {
    match val {
        Val::Null => Value::Null,
        Val::Text(text) => json!(text),
        Val::Int(number) => json!(number),
    }
}

/// What is left in the changelog of a store whose types are the library's own; none if it has none.
fn rows_of_changelog(driver: &TestDriver, name: &str) -> Option<Vec<String>> {
    let changelog = format!("app-{name}-changelog");
    let topics = driver.topics();
    topics.iter().find(|topic| ***topic == *changelog)?;
    let mut rows = BTreeMap::new();
    for record in driver.topic_history(&changelog) {
        match record.value {
            Some(value) => rows.insert(record.key, value),
            None => rows.remove(&record.key),
        };
    }
    let rows = rows.into_iter();
    Some(rows.map(|(k, v)| format!("{k:?}={v:?}")).collect())
}

/// None for a record without a timestamp.
fn millis(timestamp: Timestamp) -> Option<i64> {
    timestamp.is_some().then(|| timestamp.as_millis())
}

/// What internal topics are to hold.
pub(super) enum Logged<'j> {
    Just(&'j Value),
    /// Java's, where it told something too early: what waits instead is logged beside it.
    AtLeast(&'j Value),
}

impl Logged<'_> {
    fn is_met_by(&self, ours: &Value) -> bool {
        match self {
            Logged::Just(expected) => *ours == by_step((*expected).clone()),
            Logged::AtLeast(expected) => {
                let expected = by_step((*expected).clone());
                let mut topics = expected.as_object().into_iter().flatten();
                topics.all(|(topic, rows)| is_within(rows, &ours[topic]))
            }
        }
    }

    fn rows(&self) -> &Value {
        match self {
            Logged::Just(rows) | Logged::AtLeast(rows) => rows,
        }
    }
}

/// Whether some rows are among others, in their order.
fn is_within(rows: &Value, others: &Value) -> bool {
    let (rows, others) = (rows.as_array(), others.as_array());
    let mut others = others.into_iter().flatten();
    let mut rows = rows.into_iter().flatten();
    rows.all(|row| others.any(|other| other == row))
}

pub(super) fn internal(
    ours: &BTreeMap<String, Vec<(usize, CapturedRecord)>>,
    expected: &Logged<'_>,
    differences: &mut Vec<Difference>,
) {
    let hex = |bytes: Option<&[u8]>| {
        bytes.map(|bytes| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
    };
    let ours = ours.iter().filter(|(_, records)| !records.is_empty());
    let ours: BTreeMap<&String, Vec<Value>> = ours
        .map(|(topic, records)| {
            let rows = records.iter().map(|(step, record)| {
                let mut row = vec![
                    json!(step),
                    json!(hex(record.key.as_deref())),
                    json!(hex(record.value.as_deref())),
                    json!(millis(record.timestamp)),
                ];
                let headers = record.headers.iter();
                let headers: Vec<Value> = headers
                    .map(|h| json!([&*h.key, hex(h.value.as_deref())]))
                    .collect();
                if !headers.is_empty() {
                    row.push(Value::Array(headers));
                }
                Value::Array(row)
            });
            (topic, rows.collect())
        })
        .collect();
    let ours = by_step(json!(ours));
    if !expected.is_met_by(&ours) {
        let expected = expected.rows();
        let details = format!("internal topics: Java {expected}\n           ours {ours}");
        differences.push(Difference::of("internal topics", details));
    }
}

/// A suppress buffer writes its changelog in no order within a step: its rows are sorted.
fn by_step(mut topics: Value) -> Value {
    for rows in topics
        .as_object_mut()
        .into_iter()
        .flat_map(|topics| topics.values_mut())
    {
        let rows = rows.as_array_mut().expect("rows of a topic");
        let is_buffered = |row: &Value| row[4][0] == json!(["v", "03"]);
        if rows.iter().any(is_buffered) {
            rows.sort_by_key(|row| (row[0].as_u64(), row.to_string()));
        }
    }
    topics
}
