//! What the tests of the driver share: topologies from closures, histories as text.

use std::sync::Arc;
use std::time::Duration;

use super::TestDriver;
use crate::error::{Error, Fault};
use crate::processor::{Context, Processor, Punctuation, PunctuationKind};
use crate::record::Record;
use crate::serde::{i64, utf8};
use crate::state::{KeyValueStore, StoreBuilder};
use crate::time::Timestamp;
use crate::topology::{Consumed, NodeRef, Produced, TopologyBuilder};

pub(super) type Text = Record<String, String>;
pub(super) type TextContext = Context<String, String>;

/// A processor that is a closure.
pub(super) struct Each<F>(pub(super) Arc<F>);

impl<F: Fn(Text, &mut TextContext) -> Result<(), Fault> + 'static> Processor for Each<F> {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&mut self, record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
        (self.0)(record, ctx)
    }
}

/// Counts records by key; forwards and remembers the count.
#[derive(Default)]
pub(super) struct Count {
    store: Option<KeyValueStore<String, i64>>,
    /// Records that this instance has seen: lost in a restart.
    seen: i64,
}

impl Processor for Count {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        self.store = Some(ctx.key_value_store("counts")?);
        Ok(())
    }

    fn process(&mut self, record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
        let store = self.store.as_ref().expect("init ran");
        let count = store.get(&record.key)?.unwrap_or(0) + 1;
        store.put(&record.key, &count)?;
        self.seen += 1;
        let seen = self.seen;
        ctx.forward(record.clone().with_value(format!("{count}/{seen}")))?;
        if record.value == "fail" {
            return Err(Fault::message("told to fail"));
        }
        Ok(())
    }
}

/// Forwards ("tick", the time) at every punctuation, and drops its input.
pub(super) struct Tick(pub(super) PunctuationKind, pub(super) u64);

impl Processor for Tick {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        ctx.schedule(Duration::from_millis(self.1), self.0);
        Ok(())
    }

    fn process(&mut self, _: Text, _: &mut TextContext) -> Result<(), Fault> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut TextContext,
    ) -> Result<(), Fault> {
        ctx.forward(Record::new("tick".to_owned(), now.to_string(), now))
    }
}

/// A source of texts, named after its topic.
pub(super) fn source(builder: &mut TopologyBuilder, topic: &str) -> NodeRef<String, String> {
    builder.add_source(topic, [topic], Consumed::new())
}

/// A sink of texts.
pub(super) fn sink(builder: &mut TopologyBuilder, topic: &str, parent: &NodeRef<String, String>) {
    builder.add_sink(&format!("to-{topic}"), topic, Produced::new(), &[parent]);
}

/// `in` → a closure → `out`.
pub(super) fn each(
    f: impl Fn(Text, &mut TextContext) -> Result<(), Fault> + Send + Sync + 'static,
) -> TopologyBuilder {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let f = Arc::new(f);
    let node = builder.add_processor("each", move || Each(Arc::clone(&f)), &[&input]);
    sink(&mut builder, "out", &node);
    builder
}

/// `in` → counted by key in store `counts` → `out`.
pub(super) fn counting(logged: bool) -> TopologyBuilder {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let count = builder.add_processor("count", Count::default, &[&input]);
    let store = StoreBuilder::key_value("counts", utf8(), i64());
    let store = if logged {
        store
    } else {
        store.with_logging_disabled()
    };
    builder.add_state_store(store, &["count"]);
    sink(&mut builder, "out", &count);
    builder
}

/// `in` → ticks → `out`.
pub(super) fn ticking(kind: PunctuationKind, interval_ms: u64) -> TopologyBuilder {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder, "in");
    let tick = builder.add_processor("tick", move || Tick(kind, interval_ms), &[&input]);
    sink(&mut builder, "out", &tick);
    builder
}

pub(super) fn driver(builder: TopologyBuilder) -> TestDriver {
    TestDriver::new(builder.build().unwrap()).unwrap()
}

/// Pipes `key=value@timestamp`, separated by blanks.
pub(super) fn pipe(driver: &TestDriver, topic: &str, records: &str) -> Result<(), Error> {
    let topic = driver.input_topic(topic, utf8(), utf8());
    records.split_whitespace().try_for_each(|record| {
        let (pair, timestamp) = record.split_once('@').unwrap();
        let (key, value) = pair.split_once('=').unwrap();
        topic.pipe(
            key,
            value,
            Timestamp::from_millis(timestamp.parse().unwrap()),
        )
    })
}

/// A topic as `key=value@timestamp`, in the order of writing; counts in decimal, null as `-`.
pub(super) fn history(driver: &TestDriver, topic: &str) -> String {
    let shown = |bytes: Option<&[u8]>| match bytes {
        None => "-".to_owned(),
        Some(bytes) => match <[u8; 8]>::try_from(bytes) {
            Ok(count) if count[0] == 0 => i64::from_be_bytes(count).to_string(),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        },
    };
    let records = driver.topic_history(topic).into_iter().map(|record| {
        let (key, value) = (shown(record.key.as_deref()), shown(record.value.as_deref()));
        format!("{key}={value}@{}", record.timestamp)
    });
    records.collect::<Vec<_>>().join(" ")
}

/// Plays `input` into `in`; `expect` is what `out` then holds.
pub(super) fn check(builder: TopologyBuilder, input: &str, expect: &str) {
    let driver = driver(builder);
    pipe(&driver, "in", input).unwrap();
    assert_eq!(history(&driver, "out"), expect, "{input}");
}
