//! The processors that cases name: each kind is a line or two of the Processor API.

use std::marker::PhantomData;
use std::time::Duration;

use onceflow::prelude::*;
use serde_json::Value;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions::{self, Map};
use super::handles::{Kinds, Stream};
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if !matches!(op.text("op"), "process" | "process_values") {
        return Ok(false);
    }
    let Stream { any, kinds } = build.stream(op)?;
    build.keep(op, any.processed(op, kinds)?);
    Ok(true)
}

/// What a processor does with each record.
#[derive(Clone)]
pub(super) enum Does {
    Forward,
    Drop,
    Map(Map),
    Rekey(Map),
    Route(Vec<(char, String)>, Option<String>),
    Twice,
    ShiftTime(i64),
    SetHeader(String, Map),
    DropHeaders,
    Meta,
    StreamTime,
    Count(String),
    Latest(String),
    Range(String),
    ReadTable(String),
    ReadStore(String),
    WindowPut(String, i64),
    VersionedPut(String, i64),
    Tick(Ticks),
    Buffer(String, Ticks),
}

/// A schedule.
#[derive(Clone)]
pub(super) struct Ticks {
    kind: PunctuationKind,
    interval: Duration,
    start: Option<i64>,
    times: Option<i64>,
}

impl Does {
    pub(super) fn read(spec: &Fields<'_>) -> Result<Self, Unplayable> {
        let store = || spec.text("store").to_owned();
        let function = || functions::map(spec.text("fn"));
        let does = match spec.text("kind") {
            "forward" => Does::Forward,
            "drop" => Does::Drop,
            "map" => Does::Map(function()?),
            "rekey" => Does::Rekey(function()?),
            "route" => Does::Route(
                routes(spec.value("to")),
                spec.text_or("default").map(str::to_owned),
            ),
            "twice" => Does::Twice,
            "shift_ts" => Does::ShiftTime(spec.number_or("by").expect("a shift")),
            "set_header" => Does::SetHeader(spec.text("header").to_owned(), function()?),
            "drop_headers" => Does::DropHeaders,
            "meta" => Does::Meta,
            "stream_time" => Does::StreamTime,
            "count" => Does::Count(store()),
            "latest" => Does::Latest(store()),
            "range" => Does::Range(store()),
            "read_table" => Does::ReadTable(store()),
            "read_store" => Does::ReadStore(store()),
            "window_put" => Does::WindowPut(store(), spec.number_or("back_ms").unwrap_or(0)),
            "versioned_put" => Does::VersionedPut(store(), spec.number_or("back_ms").unwrap_or(0)),
            "tick" => Does::Tick(ticks(spec)),
            "buffer" => Does::Buffer(store(), ticks(spec)),
            other => return unplayable(format!("processor {other}")),
        };
        spec.done();
        Ok(does)
    }

    /// The kind of the values it forwards.
    fn values(&self, input: Kind) -> Kind {
        match self {
            Does::Forward | Does::Drop | Does::Rekey(_) | Does::Route(..) => input,
            Does::ShiftTime(_) | Does::SetHeader(..) | Does::DropHeaders => input,
            Does::Buffer(..) | Does::Tick(_) => input,
            _ => Kind::Text,
        }
    }

    /// The kind of the keys it forwards.
    fn keys(&self, input: Kind) -> Kind {
        match self {
            Does::Rekey(_) => Kind::Text,
            _ => input,
        }
    }
}

fn routes(to: &Value) -> Vec<(char, String)> {
    let to = to.as_object().expect("children by first character").iter();
    to.map(|(first, child)| {
        let child = child.as_str().expect("a child");
        (first.chars().next().expect("a character"), child.to_owned())
    })
    .collect()
}

fn ticks(spec: &Fields<'_>) -> Ticks {
    let millis = spec.number_or("interval_ms").expect("an interval");
    Ticks {
        kind: match spec.text("clock") {
            "stream" => PunctuationKind::StreamTime,
            _ => PunctuationKind::WallClock,
        },
        interval: Duration::from_millis(millis.unsigned_abs()),
        start: spec.number_or("start_ms"),
        times: spec.number_or("times"),
    }
}

/// What a processor hangs on.
pub(super) trait Processed {
    fn processed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable>;
}

impl<K: View, V: View> Processed for KStream<K, V> {
    fn processed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable> {
        let does = Does::read(&Fields::of("processor", op.value("processor")))?;
        let stores: Vec<&str> = op.list("stores").iter().filter_map(Value::as_str).collect();
        let kinds = Kinds {
            key: does.keys(kinds.key),
            value: does.values(kinds.value),
        };
        let stream = named!(self, op);
        Ok(match op.text("op") {
            "process" => {
                let stream = stream.process(move || Player::<K, V>::new(&does), &stores);
                Stream::new(stream, kinds)
            }
            _ => {
                let supplier = move || ValuePlayer(Player::<K, V>::new(&does));
                Stream::new(stream.process_values(supplier, &stores), kinds)
            }
        })
    }
}

/// Does it.
pub(super) struct Player<K, V> {
    does: Does,
    values: Option<KeyValueStore<Val, Val>>,
    table: Option<TimestampedKeyValueStore<Val, Val>>,
    window: Option<WindowStore<Val, Val>>,
    versioned: Option<VersionedKeyValueStore<Val, Val>>,
    punctuated: i64,
    types: PhantomData<fn(K, V)>,
}

impl<K: View, V: View> Player<K, V> {
    pub(super) fn new(does: &Does) -> Self {
        Player {
            does: does.clone(),
            values: None,
            table: None,
            window: None,
            versioned: None,
            punctuated: 0,
            types: PhantomData,
        }
    }

    fn store(&self) -> &KeyValueStore<Val, Val> {
        self.values.as_ref().expect("init opened it")
    }

    /// Puts a version; answers what became of it, and what was there so long before.
    fn put_version(
        &self,
        key: &Val,
        value: &Val,
        timestamp: Timestamp,
        back: i64,
    ) -> Result<String, Fault> {
        let store = self.versioned.as_ref().expect("init opened it");
        let value = Some(value).filter(|value| **value != Val::Null);
        let put = match store.put(key, value, timestamp)? {
            VersionPut::Latest => -1,
            VersionPut::ValidUntil(time) => time.as_millis(),
            VersionPut::Refused => i64::MIN,
        };
        let back = timestamp.as_millis().saturating_sub(back);
        let found = match back < 0 {
            true => None,
            false => store.get_as_of(key, Timestamp::from_millis(back))?,
        };
        let found = found.map(|v| format!("{}@{}", v.value.printed(), v.timestamp));
        Ok(format!("{put}/{}", found.as_deref().unwrap_or("null")))
    }

    /// What becomes of a value whose key is kept.
    fn value(&self, key: &Val, value: &Val, timestamp: Timestamp) -> Result<Option<Val>, Fault> {
        Ok(Some(match &self.does {
            Does::Map(map) => map(key, value),
            Does::Count(_) if *key != Val::Null => {
                let count = match self.store().get(key)? {
                    Some(Val::Int(count)) => count + 1,
                    _ => 1,
                };
                self.store().put(key, &Val::Int(count))?;
                Val::Text(count.to_string())
            }
            Does::Latest(_) if *key != Val::Null => {
                let old = self.store().get(key)?.unwrap_or(Val::Null);
                self.store().put(key, value)?;
                Val::Text(format!("{}>{}", old.printed(), value.printed()))
            }
            Does::Range(_) if *key != Val::Null => {
                self.store().put(key, value)?;
                let entries = self.store().all().map(|entry| {
                    let (key, value) = entry?;
                    Ok(format!("{}={}", key.printed(), value.printed()))
                });
                let entries: Result<Vec<String>, Error> = entries.collect();
                Val::Text(entries?.join("|"))
            }
            Does::ReadTable(_) if *key != Val::Null => {
                let table = self.table.as_ref().expect("init opened it");
                let row = table.get(key)?;
                let row = row.map(|row| format!("{}@{}", row.value.printed(), row.timestamp));
                Val::Text(format!(
                    "{}/{}",
                    value.printed(),
                    row.as_deref().unwrap_or("null")
                ))
            }
            Does::ReadStore(_) if *key != Val::Null => {
                let read = self.store().get(key)?.unwrap_or(Val::Null);
                Val::Text(format!("{}/{}", value.printed(), read.printed()))
            }
            Does::WindowPut(_, back) if *key != Val::Null => {
                let window = self.window.as_ref().expect("init opened it");
                let value = Some(value).filter(|value| **value != Val::Null);
                window.put(key, value, timestamp)?;
                let from = timestamp.as_millis().saturating_sub(*back).max(0);
                let found = window.fetch(key, Timestamp::from_millis(from), timestamp)?;
                let found = found.map(|entry| {
                    let (at, value) = entry?;
                    Ok(format!("{}@{at}", value.printed()))
                });
                let found: Result<Vec<String>, Error> = found.collect();
                Val::Text(found?.join("|"))
            }
            Does::VersionedPut(_, back) if *key != Val::Null => {
                Val::Text(self.put_version(key, value, timestamp, *back)?)
            }
            Does::Count(_) | Does::Latest(_) | Does::Range(_) => return Ok(None),
            Does::VersionedPut(..) | Does::WindowPut(..) => return Ok(None),
            Does::ReadTable(_) | Does::ReadStore(_) => return Ok(None),
            _ => value.clone(),
        }))
    }
}

impl<K: View, V: View> Processor for Player<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Val;
    type ValueOut = Val;

    fn init(&mut self, ctx: &mut Context<Val, Val>) -> Result<(), Fault> {
        match &self.does {
            Does::Count(store) | Does::Latest(store) | Does::Range(store) => {
                self.values = Some(ctx.key_value_store(store)?);
            }
            Does::ReadStore(store) | Does::Buffer(store, _) => {
                self.values = Some(ctx.key_value_store(store)?);
            }
            Does::VersionedPut(store, _) => {
                self.versioned = Some(ctx.versioned_key_value_store(store)?);
            }
            Does::WindowPut(store, _) => self.window = Some(ctx.window_store(store)?),
            Does::ReadTable(store) => self.table = Some(ctx.timestamped_key_value_store(store)?),
            _ => {}
        }
        if let Does::Tick(ticks) | Does::Buffer(_, ticks) = &self.does {
            let _punctuation = match ticks.start {
                Some(start) => {
                    ctx.schedule_from(Timestamp::from_millis(start), ticks.interval, ticks.kind)
                }
                None => ctx.schedule(ticks.interval, ticks.kind),
            };
        }
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<Val, Val>) -> Result<(), Fault> {
        let mut record = Record {
            key: record.key.view(),
            value: record.value.view(),
            timestamp: record.timestamp,
            headers: record.headers,
        };
        match &self.does {
            Does::Drop => return Ok(()),
            Does::Rekey(map) => record.key = map(&record.key, &record.value),
            Does::Route(to, default) => {
                let first = record.value.as_text().and_then(|text| text.chars().next());
                let child = to.iter().find(|(character, _)| Some(*character) == first);
                return match child.map(|(_, child)| child).or(default.as_ref()) {
                    Some(child) => ctx.forward_to(child, record),
                    None => Ok(()),
                };
            }
            Does::Twice => {
                let again = Val::Text(format!("{}'", record.value.printed()));
                record.value = record.value.to_text();
                ctx.forward(record.clone())?;
                record.value = again;
            }
            Does::ShiftTime(by) => {
                let shifted = record.timestamp.as_millis() + by;
                if shifted < 0 {
                    return Err(Fault::message("a timestamp below zero"));
                }
                record.timestamp = Timestamp::from_millis(shifted);
            }
            Does::SetHeader(name, map) => {
                let value = map(&record.key, &record.value).as_text();
                record
                    .headers
                    .push(name, value.as_deref().map(str::as_bytes));
            }
            Does::DropHeaders => record.headers.clear(),
            Does::Meta => {
                let position = ctx.position().ok_or_else(|| Fault::message("no record"))?;
                let at = &position.topic_partition;
                let meta = format!("{}/{}/{}", at.topic, at.partition, position.offset);
                record.value = Val::Text(meta);
            }
            Does::StreamTime => record.value = Val::Text(ctx.stream_time().to_string()),
            Does::Buffer(..) => {
                if record.key != Val::Null {
                    self.store().put(&record.key, &record.value)?;
                }
                return Ok(());
            }
            _ => match self.value(&record.key, &record.value, record.timestamp)? {
                Some(value) => record.value = value,
                None => return Ok(()),
            },
        }
        ctx.forward(record)
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: Timestamp,
        ctx: &mut Context<Val, Val>,
    ) -> Result<(), Fault> {
        match &self.does {
            Does::Tick(ticks) => {
                self.punctuated += 1;
                if Some(self.punctuated) == ticks.times {
                    ctx.cancel(punctuation);
                }
                let time = Val::Text(timestamp.to_string());
                ctx.forward(Record::new(Val::text("tick"), time, timestamp))
            }
            Does::Buffer(..) => {
                let entries: Vec<(Val, Val)> = self.store().all().collect::<Result<_, Error>>()?;
                for (key, value) in entries {
                    ctx.forward(Record::new(key.clone(), value, timestamp))?;
                    let _old = self.store().delete(&key)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Does it without touching the key.
struct ValuePlayer<K, V>(Player<K, V>);

impl<K: View, V: View> FixedKeyProcessor for ValuePlayer<K, V> {
    type Key = K;
    type ValueIn = V;
    type ValueOut = Val;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, K, Val>) -> Result<(), Fault> {
        if let Does::Count(store) | Does::Latest(store) = &self.0.does {
            self.0.values = Some(ctx.key_value_store(store)?);
        }
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<K, V>,
        ctx: &mut FixedKeyContext<'_, K, Val>,
    ) -> Result<(), Fault> {
        match self
            .0
            .value(&record.key().view(), &record.value.view(), record.timestamp)?
        {
            Some(value) => ctx.forward(record.with_value(value)),
            None => Ok(()),
        }
    }
}
