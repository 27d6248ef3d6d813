//! What every operator does with bad input: null keys, null values, late records, negative
//! timestamps, bytes that cannot be read. Nothing is lost without being counted.
//!
//! Each row of [`OPERATORS`] is a program that reads `in` and writes `out`, and what it says to a
//! null key, a null value and a late record. What the source drops is the same for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow::metrics::DropReason;
use onceflow::prelude::*;
use onceflow::test_driver::RawBytes;

type Key = Option<String>;
type Value = Option<i64>;
type Input = KStream<Key, Value>;

/// What becomes of a bad record: it goes through, or changes something, or has no effect by what the
/// operator is for; or it is dropped, and counted by each node that would have had a use for it.
type Fate = &'static [(DropReason, u64)];

const TAKEN: Fate = &[];
const NO_KEY: Fate = &[(DropReason::NullKey, 1)];
const NO_VALUE: Fate = &[(DropReason::NullValue, 1)];
const LATE: Fate = &[(DropReason::Late, 1)];
/// Refused by the store that would keep it.
const EXPIRED: Fate = &[(DropReason::Expired, 1)];

/// A program, and its answers to a null key, a null value and a late record.
type Operator = (&'static str, fn(&StreamsBuilder), [Fate; 3]);

/// Where late records are dropped: windows of ten milliseconds without a grace, at stream time
/// 100 000.
const SPAN: Duration = Duration::from_millis(10);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn consumed<K: DefaultSerde + Clone, V: DefaultSerde + Clone>() -> Consumed<K, V> {
    Consumed::new()
        .with_record_time(RecordTime::SkipOnInvalid)
        .with_name("in")
}

fn stream(builder: &StreamsBuilder) -> Input {
    builder.stream("in", consumed())
}

fn table(builder: &StreamsBuilder) -> KTable<String, i64> {
    builder.table("in", consumed())
}

fn other(builder: &StreamsBuilder) -> KStream<Key, Value> {
    builder.stream("other", Consumed::new())
}

fn other_table(builder: &StreamsBuilder) -> KTable<String, i64> {
    builder.table("other", Consumed::new())
}

fn grouped(builder: &StreamsBuilder) -> KGroupedStream<String, i64, Key, Value> {
    stream(builder).group_by_key(Grouped::<String, i64>::new())
}

fn plus(one: i64, two: i64) -> i64 {
    one + two
}

fn add_up(_: &String, one: i64, sum: i64) -> i64 {
    one + sum
}

fn tumbling() -> TimeWindows {
    TimeWindows::of_size_with_no_grace(SPAN)
}

fn sessions() -> SessionWindows {
    SessionWindows::of_inactivity_gap_with_no_grace(SPAN)
}

fn soon() -> JoinWindows {
    JoinWindows::of(SPAN)
}

fn joined() -> StreamJoined<String, i64, i64> {
    StreamJoined::new()
}

fn or_zero(value: Option<i64>) -> i64 {
    value.unwrap_or(0)
}

/// Writes a stream of any types to `out`.
fn out<K: Data, V: Data>(stream: &KStream<K, V>) {
    let text = stream.map(|_, _| (String::new(), String::new()));
    text.to("out", Produced::new());
}

/// Writes the changes of a table to `out`.
fn changes<K: Data, V: Data>(table: &KTable<K, V>) {
    out(&table.to_stream());
}

/// Hands on what comes.
struct Pass;

impl Processor for Pass {
    type KeyIn = Key;
    type ValueIn = Value;
    type KeyOut = Key;
    type ValueOut = Value;

    fn process(
        &mut self,
        record: Record<Key, Value>,
        ctx: &mut Context<Key, Value>,
    ) -> Result<(), Fault> {
        ctx.forward(record)
    }
}

/// Hands on what comes, under its key.
struct PassValues;

impl FixedKeyProcessor for PassValues {
    type Key = Key;
    type ValueIn = Value;
    type ValueOut = Value;

    fn process(
        &mut self,
        record: FixedKeyRecord<Key, Value>,
        ctx: &mut FixedKeyContext<'_, Key, Value>,
    ) -> Result<(), Fault> {
        ctx.forward(record)
    }
}

/// Operators that look at one record: null is a value to them, and time is nothing. Only a
/// repartition topic has no partition for a null key.
const STATELESS: &[Operator] = &[
    (
        "filter",
        |b| out(&stream(b).filter(|_, _| true)),
        [TAKEN; 3],
    ),
    (
        "filter_not",
        |b| out(&stream(b).filter_not(|_, _| false)),
        [TAKEN; 3],
    ),
    ("map", |b| out(&stream(b).map(|k, v| (k, v))), [TAKEN; 3]),
    (
        "map_values",
        |b| out(&stream(b).map_values(or_zero)),
        [TAKEN; 3],
    ),
    (
        "map_values_with_key",
        |b| out(&stream(b).map_values_with_key(|_, v| or_zero(v))),
        [TAKEN; 3],
    ),
    (
        "flat_map",
        |b| out(&stream(b).flat_map(|k, v| [(k, v)])),
        [TAKEN; 3],
    ),
    (
        "flat_map_values",
        |b| out(&stream(b).flat_map_values(|v| [v])),
        [TAKEN; 3],
    ),
    (
        "flat_map_values_with_key",
        |b| out(&stream(b).flat_map_values_with_key(|_, v| [v])),
        [TAKEN; 3],
    ),
    (
        "select_key",
        |b| out(&stream(b).select_key(|k, _| k.clone())),
        [TAKEN; 3],
    ),
    ("peek", |b| out(&stream(b).peek(|_, _| {})), [TAKEN; 3]),
    ("for_each", |b| stream(b).for_each(|_, _| {}), [TAKEN; 3]),
    ("merge", |b| out(&stream(b).merge(&other(b))), [TAKEN; 3]),
    (
        "split",
        |b| out(&stream(b).split().branch(|_, _| true)),
        [TAKEN; 3],
    ),
    (
        "set_header",
        |b| out(&stream(b).set_header("seen", |_, _| Some("yes"))),
        [TAKEN; 3],
    ),
    (
        "process",
        |b| out(&stream(b).process(|| Pass, &[])),
        [TAKEN; 3],
    ),
    (
        "process_values",
        |b| out(&stream(b).process_values(|| PassValues, &[])),
        [TAKEN; 3],
    ),
    ("to", |b| stream(b).to("out", Produced::new()), [TAKEN; 3]),
    (
        "to_extracted",
        |b| stream(b).to_extracted(|_| "out".to_owned(), Produced::new()),
        [TAKEN; 3],
    ),
    (
        "repartition",
        |b| out(&stream(b).repartition(Repartitioned::new())),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "map_async",
        |b| out(&stream(b).map_async(|k, v| async move { Ok((k, v)) }, AsyncCalls::new())),
        [TAKEN; 3],
    ),
    (
        "flat_map_async",
        |b| out(&stream(b).flat_map_async(|k, v| async move { Ok([(k, v)]) }, AsyncCalls::new())),
        [TAKEN; 3],
    ),
    (
        "map_values_async",
        |b| out(&stream(b).map_values_async(|v| async move { Ok(v) }, AsyncCalls::new())),
        [TAKEN; 3],
    ),
    (
        "flat_map_values_async",
        |b| out(&stream(b).flat_map_values_async(|v| async move { Ok([v]) }, AsyncCalls::new())),
        [TAKEN; 3],
    ),
    (
        "for_each_async",
        |b| stream(b).for_each_async(|_, _| async { Ok(()) }, AsyncCalls::new()),
        [TAKEN; 3],
    ),
];

/// Rows of a key: they need the key. A null value deletes, or has nothing to add; a late record is
/// as good as any.
const TABLES: &[Operator] = &[
    (
        "count",
        |b| changes(&grouped(b).count()),
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "reduce",
        |b| changes(&grouped(b).reduce(plus)),
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "aggregate",
        |b| changes(&grouped(b).aggregate(|| 0, add_up, Materialized::new())),
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "group_by",
        |b| {
            let by_key = stream(b).group_by(|k, _| k.clone(), Grouped::<String, i64>::new());
            changes(&by_key.count());
        },
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "cogroup",
        |b| {
            let sums = grouped(b).cogroup(add_up);
            changes(&sums.aggregate(|| 0, Materialized::new()));
        },
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "to_table",
        |b| changes(&stream(b).to_table(Materialized::<String, i64>::new())),
        [NO_KEY, TAKEN, TAKEN],
    ),
    ("table", |b| changes(&table(b)), [NO_KEY, TAKEN, TAKEN]),
    (
        "versioned table",
        |b| {
            let versions = Materialized::as_versioned("rows", SPAN);
            let rows: KTable<String, i64> = b.table_with("in", consumed(), versions);
            changes(&rows);
        },
        [NO_KEY, TAKEN, EXPIRED],
    ),
    (
        "table filter",
        |b| changes(&table(b).filter(|_, _| true)),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table filter_not",
        |b| changes(&table(b).filter_not(|_, _| false)),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table map_values",
        |b| changes(&table(b).map_values(|v| v)),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table filter_map_values",
        |b| changes(&table(b).filter_map_values(|_, v| Some(v))),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "transform_values",
        |b| changes(&table(b).transform_values(|_, v| v)),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table count",
        |b| {
            let by_value = table(b).group_by(|k, v| (k.clone(), v), Grouped::<String, i64>::new());
            changes(&by_value.count());
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table reduce",
        |b| {
            let by_value = table(b).group_by(|k, v| (k.clone(), v), Grouped::<String, i64>::new());
            changes(&by_value.reduce(plus, |sum, less| sum - less));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table aggregate",
        |b| {
            let by_value = table(b).group_by(|k, v| (k.clone(), v), Grouped::<String, i64>::new());
            let less = |_: &String, one, sum| sum - one;
            changes(&by_value.aggregate(|| 0, add_up, less, Materialized::new()));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "suppress",
        |b| changes(&table(b).suppress(Suppressed::until_time_limit(SPAN, utf8(), i64()))),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table-table join",
        |b| changes(&table(b).join(&other_table(b), plus)),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table-table left join",
        |b| changes(&table(b).left_join(&other_table(b), |l, r| l + or_zero(r))),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "table-table outer join",
        |b| changes(&table(b).outer_join(&other_table(b), |l, r| or_zero(l) + or_zero(r))),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "foreign-key join",
        |b| {
            let named = TableJoined::new();
            let by_value = table(b).on_foreign_key(&other_table(b), |_, v| v.to_string(), named);
            changes(&by_value.join(plus, Materialized::new()));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "foreign-key left join",
        |b| {
            let named = TableJoined::new();
            let by_value = table(b).on_foreign_key(&other_table(b), |_, v| v.to_string(), named);
            changes(&by_value.left_join(|l, r| l + or_zero(r), Materialized::new()));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "foreign-key join, right side",
        |b| {
            let named = TableJoined::new();
            let by_value = other_table(b).on_foreign_key(&table(b), |_, v| v.to_string(), named);
            changes(&by_value.join(plus, Materialized::new()));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
];

/// What is kept by key and time: what comes after its time is late. A count in windows counts nulls,
/// but in sliding ones, as in Kafka Streams; an id that is null is nobody's duplicate.
const WINDOWS: &[Operator] = &[
    (
        "tumbling count",
        |b| changes(&grouped(b).windowed_by(tumbling()).count()),
        [NO_KEY, TAKEN, LATE],
    ),
    (
        "tumbling reduce",
        |b| changes(&grouped(b).windowed_by(tumbling()).reduce(plus)),
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "tumbling aggregate",
        |b| {
            let windowed = grouped(b).windowed_by(tumbling());
            changes(&windowed.aggregate(|| 0, add_up, Materialized::new()));
        },
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "tumbling count on close",
        |b| {
            let windowed = grouped(b).windowed_by(tumbling());
            let on_close = windowed.emit_strategy(EmitStrategy::on_window_close());
            changes(&on_close.count());
        },
        [NO_KEY, TAKEN, LATE],
    ),
    (
        "hopping count",
        |b| {
            let hops = tumbling().advance_by(SPAN);
            changes(&grouped(b).windowed_by(hops).count());
        },
        [NO_KEY, TAKEN, LATE],
    ),
    (
        "sliding count",
        |b| {
            let sliding = SlidingWindows::of_time_difference_with_no_grace(SPAN);
            changes(&grouped(b).windowed_by(sliding).count());
        },
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "session count",
        |b| changes(&grouped(b).windowed_by(sessions()).count()),
        [NO_KEY, TAKEN, LATE],
    ),
    (
        "session reduce",
        |b| changes(&grouped(b).windowed_by(sessions()).reduce(plus)),
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "session aggregate",
        |b| {
            let windowed = grouped(b).windowed_by(sessions());
            let merge = |_: &String, one, two| one + two;
            changes(&windowed.aggregate(|| 0, add_up, merge, Materialized::new()));
        },
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "unlimited count",
        |b| changes(&grouped(b).windowed_by(UnlimitedWindows::of()).count()),
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "windowed cogroup",
        |b| {
            let windowed = grouped(b).cogroup(add_up).windowed_by(tumbling());
            changes(&windowed.aggregate(|| 0, Materialized::new()));
        },
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "session cogroup",
        |b| {
            let windowed = grouped(b).cogroup(add_up).windowed_by(sessions());
            let merge = |_: &String, one, two| one + two;
            changes(&windowed.aggregate(|| 0, merge, Materialized::new()));
        },
        [NO_KEY, NO_VALUE, LATE],
    ),
    (
        "suppress until windows close",
        |b| {
            let counts = grouped(b).windowed_by(tumbling()).count();
            let key = time_windowed(utf8(), SPAN);
            changes(&counts.suppress(Suppressed::until_window_closes(key, i64())));
        },
        [NO_KEY, TAKEN, LATE],
    ),
    (
        "deduplicate",
        |b| {
            let id = |_: &Key, v: &Value| *v;
            out(&stream(b).deduplicate(id, Deduplicated::<i64>::within(SPAN)));
        },
        [TAKEN, TAKEN, LATE],
    ),
    (
        "deduplicate_by_key",
        |b| out(&stream(b).deduplicate_by_key(Deduplicated::<String>::within(SPAN))),
        [TAKEN, TAKEN, LATE],
    ),
];

/// An outer side drops what is too late to wait, and its store what is too late to be kept.
const LATE_AND_EXPIRED: Fate = &[(DropReason::Late, 1), (DropReason::Expired, 1)];

// A stream that is joined with itself is on both sides of its join.
const NO_KEY_TWICE: Fate = &[(DropReason::NullKey, 2)];
const NO_VALUE_TWICE: Fate = &[(DropReason::NullValue, 2)];
const EXPIRED_TWICE: Fate = &[(DropReason::Expired, 2)];

/// Joins of streams: a side that stands without a match does so with a null key, too (KIP-962).
const JOINS: &[Operator] = &[
    (
        "stream-stream join",
        |b| out(&stream(b).join(&other(b), plus, soon(), joined())),
        [NO_KEY, NO_VALUE, EXPIRED],
    ),
    (
        "stream-stream join, right side",
        |b| out(&other(b).join(&stream(b), plus, soon(), joined())),
        [NO_KEY, NO_VALUE, EXPIRED],
    ),
    (
        "self join",
        |b| {
            let stream = stream(b);
            out(&stream.join(&stream, plus, soon(), joined()));
        },
        [NO_KEY_TWICE, NO_VALUE_TWICE, EXPIRED_TWICE],
    ),
    (
        "stream-stream left join",
        |b| {
            let join = |l: i64, r: Option<i64>| l + or_zero(r);
            out(&stream(b).left_join(&other(b), join, soon(), joined()));
        },
        [TAKEN, NO_VALUE, LATE_AND_EXPIRED],
    ),
    (
        "stream-stream left join, right side",
        |b| {
            let join = |l: i64, r: Option<i64>| l + or_zero(r);
            out(&other(b).left_join(&stream(b), join, soon(), joined()));
        },
        [NO_KEY, NO_VALUE, EXPIRED],
    ),
    (
        "stream-stream outer join",
        |b| {
            let join = |l: Option<i64>, r: Option<i64>| or_zero(l) + or_zero(r);
            out(&stream(b).outer_join(&other(b), join, soon(), joined()));
        },
        [TAKEN, NO_VALUE, LATE_AND_EXPIRED],
    ),
    (
        "stream-table join",
        |b| out(&stream(b).join_table(&other_table(b), plus, Joined::new())),
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "stream-table left join",
        |b| {
            let join = |l: i64, r: Option<i64>| l + or_zero(r);
            out(&stream(b).left_join_table(&other_table(b), join, Joined::new()));
        },
        [TAKEN, NO_VALUE, TAKEN],
    ),
    (
        "stream-table join, table side",
        |b| {
            let stream: Input = other(b);
            out(&stream.join_table(&table(b), plus, Joined::new()));
        },
        [NO_KEY, TAKEN, TAKEN],
    ),
    (
        "stream-global join",
        |b| {
            let rows: GlobalKTable<String, i64> = b.global_table("other", Consumed::new());
            let join = |_: &Key, l: i64, r: i64| l + r;
            out(&stream(b).join_global(&rows, |k, _| k.clone(), join, Joined::new()));
        },
        [NO_KEY, NO_VALUE, TAKEN],
    ),
    (
        "stream-global left join",
        |b| {
            let rows: GlobalKTable<String, i64> = b.global_table("other", Consumed::new());
            let join = |_: &Key, l: i64, r: Option<i64>| l + or_zero(r);
            out(&stream(b).left_join_global(&rows, |k, _| k.clone(), join, Joined::new()));
        },
        [TAKEN, NO_VALUE, TAKEN],
    ),
];

fn operators() -> impl Iterator<Item = &'static Operator> {
    [STATELESS, TABLES, WINDOWS, JOINS].into_iter().flatten()
}

/// A run of one program, its own records at stream time 100 000.
struct Run {
    driver: TestDriver,
}

impl Run {
    fn new(write: fn(&StreamsBuilder)) -> Self {
        let builder = StreamsBuilder::new();
        write(&builder);
        let topology = builder.build().expect("a valid topology");
        let driver = TestDriver::builder(topology).on_bad_record(OnBadRecord::Continue);
        let run = Run {
            driver: driver.build().expect("a driver"),
        };
        run.pipe(Some("a"), Some(1), 100_000);
        assert_eq!(run.drops(), BTreeMap::new(), "a good record is dropped");
        run
    }

    fn pipe(&self, key: Option<&str>, value: Value, millis: i64) {
        let input = self
            .driver
            .input_topic("in", nullable(utf8()), nullable(i64()));
        let key = key.map(str::to_owned);
        input.pipe(key, value, at(millis)).expect("it is handled");
    }

    fn pipe_raw(&self, value: &[u8], millis: i64) {
        let (key, value) = (b"a".to_vec().into(), value.to_vec().into());
        let input = self
            .driver
            .input_topic("in", nullable(utf8()), nullable(i64()));
        let raw = RawBytes::new(Some(key), Some(value), at(millis));
        input.pipe_raw(raw).expect("it is handled");
    }

    fn drops(&self) -> BTreeMap<DropReason, u64> {
        let mut by_reason = BTreeMap::new();
        for ((_, reason), count) in self.driver.drops() {
            *by_reason.entry(reason).or_default() += count;
        }
        by_reason
    }

    fn written(&self) -> usize {
        self.driver.topic_history("out").len()
    }

    /// Pipes one bad record; answers what was counted.
    fn fate(&self, pipe: impl FnOnce(&Self)) -> Vec<(DropReason, u64)> {
        let written = self.written();
        pipe(self);
        let drops: Vec<(DropReason, u64)> = self.drops().into_iter().collect();
        if !drops.is_empty() {
            assert_eq!(self.written(), written, "a dropped record has an output");
        }
        drops
    }
}

#[test]
fn null_keys_null_values_and_late_records_are_taken_or_counted_with_their_reason() {
    let mut wrong = Vec::new();
    for (operator, write, expected) in operators() {
        let fates = [
            Run::new(*write).fate(|run| run.pipe(None, Some(9), 100_000)),
            Run::new(*write).fate(|run| run.pipe(Some("b"), None, 100_000)),
            Run::new(*write).fate(|run| run.pipe(Some("a"), Some(2), 1)),
        ];
        if fates != *expected {
            wrong.push(format!("{operator}: {fates:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Why the source drops it, and how it is piped.
type BadRecord = (DropReason, fn(&Run));

#[test]
fn what_has_no_time_or_no_meaning_is_dropped_by_the_source_of_every_operator() {
    for (operator, write, _) in operators() {
        let bad: [BadRecord; 2] = [
            (DropReason::NegativeTimestamp, |run| {
                run.pipe(Some("a"), Some(2), -1)
            }),
            (DropReason::Deserialization, |run| {
                run.pipe_raw(b"not a number", 100_000)
            }),
        ];
        for (reason, pipe) in bad {
            let run = Run::new(*write);
            assert_eq!(run.fate(pipe), [(reason, 1)], "{operator}");
            let drops = run.driver.drops();
            let nodes: Vec<&String> = drops.keys().map(|(node, _)| node).collect();
            assert!(
                ["in", "in-source"].contains(&&**nodes[0]),
                "{operator}: {nodes:?}"
            );
        }
    }
}

#[test]
fn without_a_handler_each_stops_the_task_with_its_position() {
    let builder = StreamsBuilder::new();
    let strict: Input = builder.stream("in", Consumed::new().with_name("in"));
    strict.to("out", Produced::new());
    let driver = TestDriver::new(builder.build().expect("valid")).expect("a driver");
    let input = driver.input_topic("in", nullable(utf8()), nullable(i64()));
    let untimed = input.pipe(None, None, at(-1)).expect_err("no time");
    let unreadable = RawBytes::new(None, Some(b"x".to_vec().into()), at(0));
    let unreadable = input.pipe_raw(unreadable).expect_err("no meaning");
    for (error, because) in [
        (untimed, "no timestamp"),
        (unreadable, "deserialize the value"),
    ] {
        let told = error.to_string();
        assert!(told.contains(because) && told.contains("in-0"), "{told}");
        assert_eq!(error.node(), Some("in"));
    }
}

#[test]
fn every_operator_goes_on_after_bad_records() {
    for (operator, write, _) in operators() {
        let run = Run::new(*write);
        run.pipe(None, Some(1), 100_000);
        run.pipe(Some("a"), None, 100_000);
        run.pipe(Some("a"), Some(2), 1);
        run.pipe(Some("a"), Some(2), -1);
        run.pipe_raw(b"not a number", 100_000);
        let dropped = run.driver.dropped_total();
        run.driver
            .restart()
            .unwrap_or_else(|error| panic!("{operator}: {error}"));
        run.pipe(Some("b"), Some(3), 200_000);
        assert_eq!(run.driver.dropped_total(), dropped, "{operator}");
    }
}
