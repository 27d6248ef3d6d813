//! From a case's ops to a topology, by the operators of this crate.
//!
//! Keys are [`Val`]; a stream's values are `Val`, or what `to_stream` makes of a table's.

use std::collections::BTreeMap;

use onceflow::RawRecord;
use onceflow::prelude::*;
use onceflow::serde::SharedSerde;
use onceflow::time::TimestampExtractor;
use serde_json::Value;

use crate::fields::Fields;
use crate::functions;
use crate::skip::{Skip, skip};
use crate::stateless;
use crate::tables::{AnyGrouped, Table};
use crate::val::{Kind, Val, ValSerde, View};

/// A stream of one of the value types that occur.
#[derive(Clone)]
pub(crate) enum AnyStream {
    Plain(KStream<Val, Val>),
    OfTable(KStream<Val, Option<Val>>),
    OfCounts(KStream<Val, Option<i64>>),
}

#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) any: AnyStream,
    pub(crate) key: Kind,
    pub(crate) value: Kind,
}

/// Does the same with a stream of any type.
macro_rules! each {
    ($any:expr, $stream:ident => $same:expr) => {
        match $any {
            AnyStream::Plain($stream) => $same,
            AnyStream::OfTable($stream) => $same,
            AnyStream::OfCounts($stream) => $same,
        }
    };
}
pub(crate) use each;

impl From<KStream<Val, Val>> for AnyStream {
    fn from(stream: KStream<Val, Val>) -> Self {
        AnyStream::Plain(stream)
    }
}

impl From<KStream<Val, Option<Val>>> for AnyStream {
    fn from(stream: KStream<Val, Option<Val>>) -> Self {
        AnyStream::OfTable(stream)
    }
}

impl From<KStream<Val, Option<i64>>> for AnyStream {
    fn from(stream: KStream<Val, Option<i64>>) -> Self {
        AnyStream::OfCounts(stream)
    }
}

/// The serde of a stream's values.
pub(crate) trait ValueSerde: Sized {
    fn serde(kind: Kind) -> SharedSerde<Self>;
}

impl ValueSerde for Val {
    fn serde(kind: Kind) -> SharedSerde<Val> {
        SharedSerde::new(ValSerde(kind))
    }
}

impl ValueSerde for i64 {
    fn serde(_kind: Kind) -> SharedSerde<i64> {
        SharedSerde::new(i64())
    }
}

impl<V: ValueSerde + 'static> ValueSerde for Option<V> {
    fn serde(kind: Kind) -> SharedSerde<Self> {
        SharedSerde::new(nullable(V::serde(kind)))
    }
}

/// A topology in the making.
pub(crate) struct Build {
    pub(crate) builder: StreamsBuilder,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) grouped: BTreeMap<String, AnyGrouped>,
    /// By split: the names of its branches.
    pub(crate) branches: BTreeMap<String, Vec<String>>,
    extractor: String,
}

/// Names the operator that follows, if the op has a name.
macro_rules! named {
    ($handle:expr, $op:expr) => {
        match $op.text_or("name") {
            Some(name) => $handle.named(name),
            None => $handle.clone(),
        }
    };
}
pub(crate) use named;

impl Build {
    pub(crate) fn new(extractor: &str) -> Self {
        Build {
            builder: StreamsBuilder::new(),
            streams: BTreeMap::new(),
            tables: BTreeMap::new(),
            grouped: BTreeMap::new(),
            branches: BTreeMap::new(),
            extractor: extractor.to_owned(),
        }
    }

    pub(crate) fn apply(&mut self, op: &Value) -> Result<(), Skip> {
        let op = &Fields::of("op", op);
        let input = op.text_or("in").unwrap_or_default();
        match op.text("op") {
            "stream" => self.stream(op)?,
            "add_store" => self.add_store(op)?,
            "filter" | "filter_not" | "map_values" | "transform_values" | "to_stream"
            | "group_by"
                if self.tables.contains_key(input) =>
            {
                self.on_table(op)?;
            }
            "table" => self.table(op)?,
            "to_table" => self.table_of_stream(op)?,
            "count" | "reduce" | "aggregate" => self.aggregation(op)?,
            "group_by_key" | "group_by" => self.group(op)?,
            "join" => self.join(op)?,
            "split" => self.split(op)?,
            "process" | "process_values" => self.process(op)?,
            "foreach" => {
                let stream = self.input(op);
                each!(stream.any, s => named!(s, op).for_each(|_, _| {}));
            }
            "to" => self.to(op)?,
            other => {
                if !stateless::OPS.contains(&other) {
                    return skip(format!("op {other}"));
                }
                let result = stateless::apply(self, op)?;
                self.streams.insert(op.text("id").to_owned(), result);
            }
        }
        op.text_or("id");
        op.text_or("name");
        op.done();
        Ok(())
    }

    pub(crate) fn input(&self, op: &Fields<'_>) -> Stream {
        let id = op.text("in");
        let stream = self.streams.get(id);
        stream.unwrap_or_else(|| panic!("no stream {id}")).clone()
    }

    /// How a source reads, but for its types.
    pub(crate) fn consumed(
        &self,
        op: &Fields<'_>,
    ) -> Result<(Consumed<Val, Val>, Kind, Kind), Skip> {
        let (key, value) = (Kind::named(op.text_or("ks")), Kind::named(op.text_or("vs")));
        let consumed = Consumed::with(ValSerde(key), ValSerde(value));
        let consumed = match op.text_or("extractor").unwrap_or(&self.extractor) {
            "fail" => consumed,
            "skip" => consumed.with_record_time(RecordTime::SkipOnInvalid),
            "partition_time" => consumed.with_record_time(RecordTime::PartitionTimeOnInvalid),
            "previous" => consumed.with_timestamp_extractor(PreviousOnInvalid),
            "value_ts" => consumed.with_timestamps(value_time),
            other => return skip(format!("timestamp extractor {other}")),
        };
        let consumed = match op.text_or("name") {
            Some(name) => consumed.with_name(name),
            None => consumed,
        };
        Ok((consumed, key, value))
    }

    fn stream(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        if op.get("pattern").is_some() {
            return skip("sources by pattern");
        }
        if op.get("reset").is_some() {
            return skip("offset reset");
        }
        let topics = op.list("topics").iter();
        let topics: Vec<&str> = topics
            .map(|topic| topic.as_str().expect("a topic"))
            .collect();
        let (consumed, key, value) = self.consumed(op)?;
        let any = AnyStream::Plain(self.builder.stream(topics, consumed));
        self.streams
            .insert(op.text("id").to_owned(), Stream { any, key, value });
        Ok(())
    }

    fn add_store(&self, op: &Fields<'_>) -> Result<(), Skip> {
        for unsupported in ["lru", "retention_ms", "window_ms", "duplicates"] {
            if op.get(unsupported).is_some() {
                return skip(format!("stores with {unsupported}"));
            }
        }
        let values = ValSerde(Kind::named(op.text_or("vs")));
        let (keys, name) = (ValSerde(Kind::Text), op.text("store"));
        let store = match op.text("kind") {
            "kv" => StoreBuilder::key_value(name, keys, values),
            "timestamped_kv" => StoreBuilder::timestamped_key_value(name, keys, values),
            other => return skip(format!("stores of kind {other}")),
        };
        let logged = op.get("logging").and_then(Value::as_bool).unwrap_or(true);
        op.text_or("type");
        op.get("caching");
        self.builder.add_state_store(match logged {
            true => store,
            false => store.with_logging_disabled(),
        });
        Ok(())
    }

    fn split(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let Stream { any, key, value } = self.input(op);
        let mut names = Vec::new();
        each!(any, s => {
            let mut split = named!(s, op).split();
            let branches = op.list("branches").iter().map(|branch| Fields::of("branch", branch));
            let default = op.object_or("default");
            for branch in branches.chain(default) {
                if let Some(name) = branch.text_or("name") {
                    split.named(name);
                }
                let made = match branch.text_or("fn") {
                    Some(accepts) => {
                        let accepts = functions::predicate(accepts)?;
                        split.branch(move |k, v| accepts(k, &v.view()))
                    }
                    None => split.default_branch(),
                };
                names.push(made.name().to_owned());
                let any = AnyStream::from(made);
                self.streams.insert(branch.text("id").to_owned(), Stream { any, key, value });
                branch.done();
            }
        });
        names.sort();
        self.branches.insert(op.text("id").to_owned(), names);
        Ok(())
    }

    fn to(&self, op: &Fields<'_>) -> Result<(), Skip> {
        let stream = self.input(op);
        let extract = op.text_or("topic_fn").map(functions::topic).transpose()?;
        each!(stream.any, s => {
            let s = named!(s, op);
            let produced = Produced::with(ValSerde(stream.key), ValueSerde::serde(stream.value));
            match extract {
                Some(extract) => s.to_extracted(move |r| extract(&r.key, &r.value.view()), produced),
                None => s.to(op.text("topic"), produced),
            }
        });
        Ok(())
    }
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
