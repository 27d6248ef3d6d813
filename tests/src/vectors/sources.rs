//! Where records come from: streams and tables of topics, and stores beside the operators.

use std::time::Duration;

use onceflow::RawRecord;
use onceflow::prelude::*;
use onceflow::time::TimestampExtractor;
use serde_json::Value;

use super::build::{Applied, Build};
use super::fields::Fields;
use super::handles::{Global, Kinds, Stream, Table};
use super::tables::materialized;
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, ValSerde};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    match op.text("op") {
        "stream" => build.stream_of_topics(op)?,
        "table" => build.table_of_topic(op)?,
        "global_table" => build.global_table_of_topic(op)?,
        "add_store" => build.add_store(op)?,
        "add_global_store" => build.add_global_store(op),
        _ => return Ok(false),
    }
    Ok(true)
}

impl Build {
    /// How a source reads.
    pub(super) fn consumed(
        &self,
        op: &Fields<'_>,
    ) -> Result<(Consumed<Val, Val>, Kinds), Unplayable> {
        let key = Kind::named(op.text_or("ks"));
        let value = Kind::named(op.text_or("vs"));
        let consumed = Consumed::with(ValSerde(key), ValSerde(value));
        let consumed = match op.text_or("extractor").unwrap_or(&self.extractor) {
            "fail" => consumed,
            "skip" => consumed.with_record_time(RecordTime::SkipOnInvalid),
            "partition_time" => consumed.with_record_time(RecordTime::PartitionTimeOnInvalid),
            "previous" => consumed.with_timestamp_extractor(PreviousOnInvalid),
            "value_ts" => consumed.with_timestamps(value_time),
            other => return unplayable(format!("timestamp extractor {other}")),
        };
        let consumed = match op.text_or("name") {
            Some(name) => consumed.with_name(name),
            None => consumed,
        };
        Ok((consumed, Kinds { key, value }))
    }

    fn stream_of_topics(&mut self, op: &Fields<'_>) -> Result<(), Unplayable> {
        let (consumed, kinds) = self.consumed(op)?;
        let consumed = match op.text_or("reset") {
            None => consumed,
            Some("earliest") => consumed.with_offset_reset(OffsetReset::Earliest),
            Some("latest") => consumed.with_offset_reset(OffsetReset::Latest),
            Some("none") => consumed.with_offset_reset(OffsetReset::None),
            Some(other) => return unplayable(format!("offset reset {other}")),
        };
        let stream = match op.text_or("pattern") {
            Some(pattern) => self.builder.stream_pattern(pattern, consumed),
            None => {
                let topics = op.list("topics").iter();
                let topics: Vec<&str> = topics.map(|t| t.as_str().expect("a topic")).collect();
                self.builder.stream(topics, consumed)
            }
        };
        self.keep(op, Stream::new(stream, kinds));
        Ok(())
    }

    fn table_of_topic(&mut self, op: &Fields<'_>) -> Result<(), Unplayable> {
        let (consumed, kinds) = self.consumed(op)?;
        let topic = op.text("topic");
        let table = match materialized(op, kinds)? {
            Some(materialized) => self.builder.table_with(topic, consumed, materialized),
            None => self.builder.table(topic, consumed),
        };
        self.keep(op, Table::new(table, kinds));
        Ok(())
    }

    fn global_table_of_topic(&mut self, op: &Fields<'_>) -> Result<(), Unplayable> {
        let (consumed, kinds) = self.consumed(op)?;
        let topic = op.text("topic");
        let table = match materialized(op, kinds)? {
            Some(materialized) => {
                let builder = &self.builder;
                builder.global_table_with(topic, consumed, materialized)
            }
            None => self.builder.global_table(topic, consumed),
        };
        let key = kinds.key;
        self.keep(op, Global { table, key });
        Ok(())
    }

    fn add_global_store(&self, op: &Fields<'_>) {
        let (text, name) = (|| ValSerde(Kind::Text), op.text("store"));
        let store = StoreBuilder::key_value(name, text(), text());
        let consumed = Consumed::with(text(), text());
        let name = name.to_owned();
        let supplier = move || Mirror(name.clone(), None);
        let topic = op.text("topic");
        self.builder
            .add_global_store(store, topic, consumed, supplier);
    }

    fn add_store(&self, op: &Fields<'_>) -> Result<(), Unplayable> {
        self.builder.add_state_store(store_of(op)?);
        Ok(())
    }
}

/// Puts each record into a store; ignores null keys, and deletes for null values.
struct Mirror(String, Option<KeyValueStore<Val, Val>>);

impl Processor for Mirror {
    type KeyIn = Val;
    type ValueIn = Val;
    type KeyOut = ();
    type ValueOut = ();

    fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        self.1 = Some(ctx.key_value_store(&self.0)?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<Val, Val>,
        _ctx: &mut Context<(), ()>,
    ) -> Result<(), Fault> {
        let store = self.1.as_ref().expect("init ran");
        if record.key != Val::Null {
            store.put(&record.key, &record.value)?;
        }
        Ok(())
    }
}

/// The store that an op describes.
pub(super) fn store_of(op: &Fields<'_>) -> Result<StoreBuilder<Val, Val>, Unplayable> {
    let millis = |name: &str| {
        let millis = op.number_or(name).unwrap_or(0);
        Duration::from_millis(millis.unsigned_abs())
    };
    let (retention, window) = (millis("retention_ms"), millis("window_ms"));
    let duplicates = op.get("duplicates").and_then(Value::as_bool);
    let values = ValSerde(Kind::named(op.text_or("vs")));
    let (keys, name) = (ValSerde(Kind::Text), op.text("store"));
    let store = match op.text("kind") {
        "kv" => StoreBuilder::key_value(name, keys, values),
        "timestamped_kv" => StoreBuilder::timestamped_key_value(name, keys, values),
        "versioned" => StoreBuilder::versioned_key_value(name, retention, keys, values),
        "window" => {
            let store = StoreBuilder::window(name, retention, window, keys, values);
            match duplicates {
                Some(true) => store.with_duplicates(),
                _ => store,
            }
        }
        other => return unplayable(format!("stores of kind {other}")),
    };
    let store = match op.number_or("lru") {
        Some(entries) => {
            store.with_lru_entries_max(usize::try_from(entries).expect("a number of entries"))
        }
        None => store,
    };
    let logged = op.get("logging").and_then(Value::as_bool).unwrap_or(true);
    op.get("type");
    op.get("caching");
    Ok(match logged {
        true => store,
        false => store.with_logging_disabled(),
    })
}

/// The record's time; a negative one becomes the partition's, or drops the record if it has none.
struct PreviousOnInvalid;

impl TimestampExtractor<Val, Val> for PreviousOnInvalid {
    fn extract(
        &self,
        record: &Record<Val, Val>,
        _raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, String> {
        let is_valid = record.timestamp.is_some();
        Ok(if is_valid {
            record.timestamp
        } else {
            partition_time
        })
    }
}

/// The decimal behind the last `@` of the value, else the record's own time.
fn value_time(record: &Record<Val, Val>) -> Timestamp {
    let text = record.value.as_text().unwrap_or_default();
    let millis = text
        .rsplit_once('@')
        .and_then(|(_, millis)| millis.parse().ok());
    millis.map_or(record.timestamp, Timestamp::from_millis)
}
