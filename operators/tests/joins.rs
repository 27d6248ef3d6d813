//! Joins against naive ones, which know the whole history, and the partitions that joins need.

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow::metrics::DropReason;
use onceflow::prelude::*;
use proptest::prelude::*;

/// A record of one of the inputs: which, the key, the value (none: null), the time; and whether a
/// crash follows.
type Input = (usize, u8, Option<u8>, i64, bool);

const LEFT: usize = 0;
const RIGHT: usize = 1;
const TOPICS: [&str; 3] = ["left", "right", "third"];

/// Records of so many topics.
fn inputs(topics: usize) -> impl Strategy<Value = Vec<Input>> {
    let input = (
        0..topics,
        0..3u8,
        prop::option::weighted(0.85, any::<u8>()),
        0..60i64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(input, 0..40)
}

/// Key, value and time of a record.
type Output = (String, Option<String>, i64);

/// Plays records on three partitions a topic; answers `out` in the order of the inputs.
fn play(topology: Topology, inputs: &[Input]) -> Result<Vec<Output>, Error> {
    let driver = TOPICS
        .iter()
        .fold(TestDriver::builder(topology), |driver, topic| {
            driver.partitions(*topic, 3)
        });
    let driver = driver.build()?;
    let topics = TOPICS.map(|topic| driver.input_topic(topic, utf8(), nullable(utf8())));
    let out = driver.output_topic("out", utf8(), nullable(utf8()));
    let mut told = Vec::new();
    for (topic, key, value, at, crashes) in inputs {
        let value = value.map(|value| value.to_string());
        topics[*topic].pipe(key.to_string(), value, Timestamp::from_millis(*at))?;
        if *crashes {
            driver.restart()?;
        }
        let new = out.read_all()?.into_iter();
        told.extend(new.map(|r| (r.key, r.value, r.timestamp.as_millis())));
    }
    Ok(told)
}

fn pair(left: &str, right: Option<&str>) -> String {
    format!("{left}/{}", right.unwrap_or("-"))
}

fn stream_and_table(
    builder: &StreamsBuilder,
) -> (KStream<String, Option<String>>, KTable<String, String>) {
    let stream = builder.stream("left", Consumed::new());
    (stream, builder.table("right", Consumed::new()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_record_meets_the_last_row_before_it(inputs in inputs(2), is_left_join: bool) {
        let builder = StreamsBuilder::new();
        let (stream, table) = stream_and_table(&builder);
        let joined = Joined::<String, String>::new();
        let result = if is_left_join {
            stream.left_join_table(&table, |l: String, r: Option<String>| pair(&l, r.as_deref()), joined)
        } else {
            stream.join_table(&table, |l: String, r: String| pair(&l, Some(&r)), joined)
        };
        result.to("out", Produced::new());
        let out = play(builder.build().unwrap(), &inputs).unwrap();

        let mut expected = Vec::new();
        for (index, (topic, key, value, at, _)) in inputs.iter().enumerate() {
            let (&LEFT, Some(value)) = (topic, value) else { continue };
            let before = inputs[..index].iter().rev();
            let mut rows = before.filter(|(topic, other, ..)| *topic == RIGHT && other == key);
            let row = rows.next().and_then(|(_, _, row, ..)| *row).map(|row| row.to_string());
            if row.is_some() || is_left_join {
                let pair = pair(&value.to_string(), row.as_deref());
                expected.push((key.to_string(), Some(pair), *at));
            }
        }
        prop_assert_eq!(out, expected);
    }
}

/// How two tables are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Outer,
}

impl Kind {
    /// The row that two rows make.
    fn row(self, left: Option<&str>, right: Option<&str>) -> Option<String> {
        let meets = match self {
            Kind::Inner => left.is_some() && right.is_some(),
            Kind::Left => left.is_some(),
            Kind::Outer => left.is_some() || right.is_some(),
        };
        meets.then(|| pair(left.unwrap_or("-"), right))
    }

    fn join(
        self,
        left: &KTable<String, String>,
        right: &KTable<String, String>,
        kept: Option<Materialized<String, String>>,
    ) -> KTable<String, String> {
        let kept = kept.unwrap_or_default();
        let both = |l: String, r: String| pair(&l, Some(&r));
        let lefts = |l: String, r: Option<String>| pair(&l, r.as_deref());
        let either =
            |l: Option<String>, r: Option<String>| pair(l.as_deref().unwrap_or("-"), r.as_deref());
        match (self, kept.store_name()) {
            (Kind::Inner, None) => left.join(right, both),
            (Kind::Inner, Some(_)) => left.join_with(right, both, kept),
            (Kind::Left, None) => left.left_join(right, lefts),
            (Kind::Left, Some(_)) => left.left_join_with(right, lefts, kept),
            (Kind::Outer, None) => left.outer_join(right, either),
            (Kind::Outer, Some(_)) => left.outer_join_with(right, either, kept),
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Inner, Kind::Left, Kind::Outer])
}

type Rows = BTreeMap<String, String>;

/// The rows of each table after these inputs.
fn tables(inputs: &[Input]) -> [Rows; 3] {
    let mut tables = [(); 3].map(|()| Rows::new());
    for (topic, key, value, ..) in inputs {
        match value {
            Some(value) => tables[*topic].insert(key.to_string(), value.to_string()),
            None => tables[*topic].remove(&key.to_string()),
        };
    }
    tables
}

/// The rows that two tables make.
fn rows(kind: Kind, left: &Rows, right: &Rows) -> Rows {
    let keys = left.keys().chain(right.keys());
    let row = |key: &String| {
        let [left, right] = [left, right].map(|table| table.get(key).map(String::as_str));
        Some((key.clone(), kind.row(left, right)?))
    };
    keys.filter_map(row).collect()
}

/// The rows that are left after these changes.
fn replayed(changes: &[Output]) -> Rows {
    let mut rows = Rows::new();
    for (key, value, _) in changes {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn joined_tables_tell_the_rows_that_meet(inputs in inputs(2), kind in kinds(), kept: bool) {
        let builder = StreamsBuilder::new();
        let (left, right) = (builder.table("left", Consumed::new()), builder.table("right", Consumed::new()));
        let kept = kept.then(|| Materialized::as_store("joined"));
        kind.join(&left, &right, kept).to_stream().to("out", Produced::new());
        let out = play(builder.build().unwrap(), &inputs).unwrap();
        let [left, right, _] = tables(&inputs);
        prop_assert_eq!(replayed(&out), rows(kind, &left, &right));
    }

    #[test]
    fn a_join_of_a_join_looks_through_to_the_tables(inputs in inputs(3), one in kinds(), two in kinds()) {
        let builder = StreamsBuilder::new();
        let left: KTable<String, String> = builder.table("left", Consumed::new());
        let right = builder.table("right", Consumed::new()).filter(|_, _: &String| true);
        let third = builder.table("third", Consumed::new());
        let joined = one.join(&left, &right, None);
        two.join(&third, &joined, None).to_stream().to("out", Produced::new());
        let out = play(builder.build().unwrap(), &inputs).unwrap();
        let [left, right, third] = tables(&inputs);
        prop_assert_eq!(replayed(&out), rows(two, &third, &rows(one, &left, &right)));
    }

    #[test]
    fn a_sum_over_a_join_adds_each_row_once(inputs in inputs(2), kind in kinds(), kept: bool) {
        let builder = StreamsBuilder::new();
        let (left, right) = (builder.table("left", Consumed::new()), builder.table("right", Consumed::new()));
        let kept = kept.then(|| Materialized::as_store("joined"));
        let grouped = kind.join(&left, &right, kept).group_by(|_, row| (row, 1), Grouped::new());
        let counts = grouped.reduce(|sum: i64, more: i64| sum + more, |sum: i64, less: i64| sum - less);
        counts.to_stream().map_values(|count| count.map(|n| n.to_string())).to("out", Produced::new());
        let out = play(builder.build().unwrap(), &inputs).unwrap();

        let mut expected = Rows::new();
        let [left, right, _] = tables(&inputs);
        for row in rows(kind, &left, &right).into_values() {
            let count = expected.get(&row).map_or(0, |n: &String| n.parse::<i64>().unwrap());
            expected.insert(row, (count + 1).to_string());
        }
        let mut out = replayed(&out);
        out.retain(|_, count| count != "0");
        prop_assert_eq!(out, expected);
    }
}

/// How far apart records may be, and how long late ones are awaited.
#[derive(Debug, Clone, Copy)]
struct Span {
    before: i64,
    after: i64,
    grace: i64,
}

impl Span {
    /// The window seen from a record of that side.
    fn of(self, topic: usize) -> (i64, i64) {
        match topic {
            LEFT => (self.before, self.after),
            _ => (self.after, self.before),
        }
    }

    fn closes(self, topic: usize, at: i64) -> i64 {
        at + self.of(topic).1 + self.grace
    }

    fn retention(self) -> i64 {
        self.before + self.after + self.grace
    }
}

fn spans() -> impl Strategy<Value = Span> {
    let span = |(before, after, grace)| Span {
        before,
        after,
        grace,
    };
    (0..8i64, 1..8i64, 0..8i64).prop_map(span)
}

/// The pairs that meet, by the numbers of their inputs, in order.
fn pairs(span: Span, inputs: &[Input]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut latest = [-1; 2];
    let mut kept: [Vec<(i64, usize)>; 2] = [Vec::new(), Vec::new()];
    for (number, (topic, key, value, at, _)) in inputs.iter().enumerate() {
        if value.is_none() {
            continue;
        }
        latest[*topic] = latest[*topic].max(*at);
        let (other, (before, after)) = (1 - topic, span.of(*topic));
        let mut met: Vec<(i64, usize)> = kept[other].clone();
        met.retain(|(time, number)| {
            let is_kept = *time > latest[other] - span.retention();
            let is_near = *at - before <= *time && *time <= *at + after;
            is_kept && is_near && inputs[*number].1 == *key
        });
        met.sort_unstable();
        pairs.extend(met.into_iter().map(|(_, other)| match *topic {
            LEFT => (number, other),
            _ => (other, number),
        }));
        if *at > latest[*topic] - span.retention() {
            kept[*topic].push((*at, number));
        }
    }
    pairs
}

/// What a join told: the numbers of left and right input.
type Told = (Option<usize>, Option<usize>);

/// Joins the inputs, whose values are their numbers; ends with a record of each side far ahead.
fn met(kind: Kind, span: Span, inputs: &[Input]) -> Result<(Vec<Told>, u64), Error> {
    let builder = StreamsBuilder::new();
    let streams: [KStream<String, Option<i64>>; 2] =
        [LEFT, RIGHT].map(|topic| builder.stream(TOPICS[topic], Consumed::new()));
    let windows = JoinWindows::between_millis(-span.before, span.after);
    let windows = windows.grace(Duration::from_millis(span.grace.unsigned_abs()));
    let joined = StreamJoined::<String, i64, i64>::new();
    let told = |l: Option<i64>, r: Option<i64>| (l.unwrap_or(-1), r.unwrap_or(-1));
    let [left, right] = &streams;
    let result = match kind {
        Kind::Inner => left.join(
            right,
            move |l: i64, r: i64| told(Some(l), Some(r)),
            windows,
            joined,
        ),
        Kind::Left => {
            let join = move |l: i64, r: Option<i64>| told(Some(l), r);
            left.left_join(right, join, windows, joined)
        }
        Kind::Outer => left.outer_join(right, told, windows, joined),
    };
    result.to("out", Produced::with(utf8(), json::<(i64, i64)>()));
    let driver = TestDriver::new(builder.build()?)?;
    let topics =
        [LEFT, RIGHT].map(|topic| driver.input_topic(TOPICS[topic], utf8(), nullable(i64())));
    for (number, (topic, key, value, at, crashes)) in (0..).zip(inputs) {
        let at = Timestamp::from_millis(*at);
        topics[*topic].pipe(key.to_string(), value.map(|_| number), at)?;
        if *crashes {
            driver.restart()?;
        }
    }
    let end = 1_000_000;
    for (at, topic) in (end..).step_by(10_000).zip([LEFT, RIGHT, LEFT, RIGHT]) {
        topics[topic].pipe("end", end, Timestamp::from_millis(at))?;
    }
    let out = driver
        .output_topic("out", utf8(), json::<(i64, i64)>())
        .read_all()?;
    let out = out.into_iter().filter(|r| r.key != "end");
    let number = |number: i64| usize::try_from(number).ok();
    let out = out.map(|r| (number(r.value.0), number(r.value.1)));
    let late = driver.drops().into_iter();
    let late = late.filter(|((_, reason), _)| *reason == DropReason::Late);
    Ok((out.collect(), late.map(|(_, count)| count).sum()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn records_near_in_time_meet_and_others_leave_alone_once(
        inputs in inputs(2), kind in kinds(), span in spans(),
    ) {
        let (told, dropped) = met(kind, span, &inputs).unwrap();
        let expected = pairs(span, &inputs);
        let met: Vec<_> = told.iter().filter_map(|(left, right)| left.zip(*right)).collect();
        prop_assert_eq!(&met, &expected);

        let (mut stream_time, mut late) = (-1, 0);
        for (number, (topic, _, value, at, _)) in inputs.iter().enumerate() {
            stream_time = stream_time.max(*at);
            let is_outer = kind == Kind::Outer || (kind == Kind::Left && *topic == LEFT);
            if value.is_none() || !is_outer {
                continue;
            }
            let own = |pair: &(usize, usize)| if *topic == LEFT { pair.0 } else { pair.1 };
            let other = |pair: &(usize, usize)| if *topic == LEFT { pair.1 } else { pair.0 };
            let mut matches = expected.iter().filter(|pair| own(pair) == number).map(other);
            let alone = match *topic {
                LEFT => (Some(number), None),
                _ => (None, Some(number)),
            };
            let alone = told.iter().filter(|told| **told == alone).count();
            let closes = span.closes(*topic, *at);
            if matches.clone().any(|other| other < number) {
                prop_assert_eq!(alone, 0, "{} met somebody when it came", number);
            } else if closes < stream_time {
                prop_assert_eq!(alone, 0, "{} came too late", number);
                late += 1;
            } else if let Some(first) = matches.next() {
                let times = inputs[..=first].iter().map(|(_, _, _, at, _)| *at);
                let is_open = times.max().is_some_and(|now| closes >= now);
                prop_assert!(alone <= usize::from(!is_open), "{} left before it met", number);
            } else {
                prop_assert_eq!(alone, 1, "{} leaves alone", number);
            }
        }
        prop_assert_eq!(dropped, late);
    }
}

/// The right row that a left value names: its last digit, in base 4; 3 names none.
fn named(value: &str) -> Option<String> {
    let digit = value.parse::<u8>().ok().map(|value| value % 4);
    digit
        .filter(|digit| *digit < 3)
        .map(|digit| digit.to_string())
}

/// A join of the rows of `left` with those of `right` that they name.
fn by_foreign_key(is_left_join: bool, kept: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let left: KTable<String, String> = builder.table("left", Consumed::new());
    let right: KTable<String, String> = builder.table("right", Consumed::new());
    let named = left.on_foreign_key(&right, |_, value| named(value), TableJoined::new());
    let materialized = match kept {
        true => Materialized::as_store("joined"),
        false => Materialized::new(),
    };
    let joined: KTable<String, String> = match is_left_join {
        true => named.left_join(
            |l: String, r: Option<String>| pair(&l, r.as_deref()),
            materialized,
        ),
        false => named.join(|l: String, r: String| pair(&l, Some(&r)), materialized),
    };
    joined.to_stream().to("out", Produced::new());
    builder.build().expect("the topology is valid")
}

fn rows_by_foreign_key(is_left_join: bool, inputs: &[Input]) -> Rows {
    let [left, right, _] = tables(inputs);
    let row = |(key, value): (&String, &String)| {
        let other = named(value).and_then(|name| right.get(&name));
        let is_row = other.is_some() || is_left_join;
        is_row.then(|| (key.clone(), pair(value, other.map(String::as_str))))
    };
    left.iter().filter_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_left_row_is_joined_with_the_right_row_that_it_names(
        inputs in inputs(2), is_left_join: bool, kept: bool,
    ) {
        let out = play(by_foreign_key(is_left_join, kept), &inputs).unwrap();
        prop_assert_eq!(replayed(&out), rows_by_foreign_key(is_left_join, &inputs));
    }
}

#[test]
fn tables_of_different_partition_counts_join_by_a_foreign_key() {
    let driver = TestDriver::builder(by_foreign_key(false, false))
        .partitions("left", 5)
        .partitions("right", 2)
        .build()
        .unwrap();
    let [left, right] = ["left", "right"].map(|topic| driver.input_topic(topic, utf8(), utf8()));
    for key in ["0", "1", "2"] {
        right.pipe(key, key, Timestamp::from_millis(0)).unwrap();
    }
    for key in 0..9 {
        let (key, at) = (key.to_string(), Timestamp::from_millis(1));
        left.pipe(key.clone(), key, at).unwrap();
    }
    let out = driver.output_topic("out", utf8(), utf8());
    let out: BTreeMap<String, String> = out.read_key_values().unwrap().into_iter().collect();
    let named = out.values().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(named, ["0/0", "1/1", "2/2", "4/0", "5/1", "6/2", "8/0"]);
}

/// The error that a driver with so many partitions of `left` and `right` starts with.
fn refusal(topology: Topology, left: i32, right: i32) -> Option<String> {
    let driver = TestDriver::builder(topology)
        .partitions("left", left)
        .partitions("right", right);
    driver.build().err().map(|error| error.to_string())
}

fn check_refused(topology: Topology) {
    let error = refusal(topology, 2, 3).expect("topics of different counts are not joined");
    for told in [
        "left (2, read by KSTREAM-SOURCE",
        "right (3, read by KSTREAM-SOURCE",
    ] {
        assert!(
            error.contains(told),
            "names both topics, their counts and who reads them: {error}"
        );
    }
}

#[test]
fn a_stream_and_a_table_of_different_partition_counts_are_refused() {
    let topology = || {
        let builder = StreamsBuilder::new();
        let (stream, table) = stream_and_table(&builder);
        let filtered = stream.filter(|_, _| true);
        let mapped = table.map_values(|value| value + "!");
        let joined = Joined::<String, String>::new();
        filtered.join_table(&mapped, |l: String, _| l, joined);
        builder.build().unwrap()
    };
    check_refused(topology());
    assert_eq!(refusal(topology(), 3, 3), None);
}

#[test]
fn tables_of_different_partition_counts_are_refused() {
    let builder = StreamsBuilder::new();
    let left: KTable<String, String> = builder.table("left", Consumed::new());
    let right: KTable<String, String> = builder.table("right", Consumed::new());
    Kind::Outer.join(&left, &right, None);
    check_refused(builder.build().unwrap());
}

#[test]
fn streams_of_different_partition_counts_are_refused() {
    let builder = StreamsBuilder::new();
    let left: KStream<String, String> = builder.stream("left", Consumed::new());
    let right: KStream<String, String> = builder.stream("right", Consumed::new());
    let windows = JoinWindows::of(Duration::from_secs(1));
    left.join(
        &right,
        |l: String, _: String| l,
        windows,
        StreamJoined::new(),
    );
    check_refused(builder.build().unwrap());
}

#[test]
fn a_window_that_ends_before_it_begins_is_refused() {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String> = builder.stream("left", Consumed::new());
    let windows = JoinWindows::between_millis(5, 4);
    stream.join(
        &stream,
        |l: String, _: String| l,
        windows,
        StreamJoined::new(),
    );
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("ends before it begins"), "{error}");
}

#[test]
fn a_rekeyed_stream_is_repartitioned_as_the_table_is() {
    let builder = StreamsBuilder::new();
    let (stream, table) = stream_and_table(&builder);
    let rekeyed = stream.select_key(|_, value| value.clone().unwrap_or_default());
    let joined = Joined::<String, String>::new();
    rekeyed
        .join_table(&table, |l: String, r: String| pair(&l, Some(&r)), joined)
        .to("out", Produced::new());
    let driver = TestDriver::builder(builder.build().unwrap())
        .partitions("left", 1)
        .partitions("right", 7)
        .build()
        .unwrap();
    let right = driver.input_topic("right", utf8(), utf8());
    let left = driver.input_topic("left", utf8(), utf8());
    for key in ["a", "b", "c", "d", "e"] {
        right.pipe(key, key, Timestamp::from_millis(0)).unwrap();
        left.pipe("k", key, Timestamp::from_millis(1)).unwrap();
    }
    let out = driver.output_topic("out", utf8(), utf8());
    let out: BTreeMap<String, String> = out.read_key_values().unwrap().into_iter().collect();
    assert_eq!(out.len(), 5, "every key met its row: {out:?}");
}
