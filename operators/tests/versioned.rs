//! Versioned tables against a naive history: every update ever accepted, searched from the start.

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow::prelude::*;
use proptest::prelude::*;

/// How far back the tables can be read, in milliseconds.
const HISTORY: i64 = 20;

/// A record of one of the inputs: which, the key, the value (none: null), the time; and whether a
/// crash follows.
type Input = (usize, u8, Option<u8>, i64, bool);

const LEFT: usize = 0;
const RIGHT: usize = 1;
const TOPICS: [&str; 2] = ["left", "right"];

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = (
        0..2usize,
        0..3u8,
        prop::option::weighted(0.85, 0..10u8),
        0..60i64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(input, 0..40)
}

/// Key, value and time of a record.
type Output = (String, Option<String>, i64);

/// Plays the inputs.
fn play(topology: Topology, inputs: &[Input]) -> Result<TestDriver, Error> {
    let driver = TestDriver::new(topology)?;
    for (topic, key, value, at, crashes) in inputs {
        let value = value.map(|value| value.to_string());
        let topic = driver.input_topic(TOPICS[*topic], utf8(), nullable(utf8()));
        topic.pipe(key.to_string(), value, Timestamp::from_millis(*at))?;
        if *crashes {
            driver.restart()?;
        }
    }
    Ok(driver)
}

/// What was told after these inputs.
fn out(topology: Topology, inputs: &[Input]) -> Result<Vec<Output>, Error> {
    let driver = play(topology, inputs)?;
    let out = driver.output_topic("out", utf8(), nullable(utf8()));
    let out = out.read_all()?.into_iter();
    let out = out.map(|r| (r.key, r.value, r.timestamp.as_millis()));
    Ok(out.collect())
}

fn build(builder: StreamsBuilder, is_optimized: bool) -> Result<Topology, Error> {
    let options = BuildOptions::new();
    let options = match is_optimized {
        true => options.with_optimization(),
        false => options,
    };
    builder.build_with(&options)
}

fn versions(store: &str) -> Materialized<String, String> {
    let history = Duration::from_millis(HISTORY.unsigned_abs());
    Materialized::as_versioned(store, history)
}

fn pair(left: &str, right: Option<&str>) -> String {
    format!("{left}/{}", right.unwrap_or("-"))
}

/// Every update that a versioned table took, in the order in which they came.
#[derive(Default)]
struct Naive {
    taken: Vec<(u8, Option<u8>, i64)>,
    highest: i64,
}

impl Naive {
    /// Whether the row is that now; none if the update is past the history.
    fn update(&mut self, key: u8, value: Option<u8>, at: i64) -> Option<bool> {
        if at < self.highest - HISTORY {
            return None;
        }
        self.highest = self.highest.max(at);
        let later = self.of(key).filter(|(_, other)| *other > at).count();
        self.taken.push((key, value, at));
        Some(later == 0)
    }

    fn of(&self, key: u8) -> impl Iterator<Item = (Option<u8>, i64)> {
        let taken = self.taken.iter().filter(move |(other, ..)| *other == key);
        taken.map(|(_, value, at)| (*value, *at))
    }

    /// The row at a time, as far as it can be known.
    fn as_of(&self, key: u8, time: i64) -> Option<u8> {
        let begun = self.of(key).filter(|(_, at)| *at <= time);
        let (value, from) = begun.max_by_key(|(_, at)| *at)?;
        let is_latest = self.of(key).all(|(_, at)| at <= from);
        value.filter(|_| is_latest || time >= self.highest - HISTORY)
    }

    fn latest(&self, key: u8) -> Option<u8> {
        self.as_of(key, i64::MAX)
    }
}

/// What the joins of these tests say of a record and the row that it meets.
fn joined(key: u8, value: u8, row: Option<u8>, at: i64, is_left: bool) -> Option<Output> {
    let row = row.map(|row| row.to_string());
    let meets = row.is_some() || is_left;
    meets.then(|| {
        let pair = pair(&value.to_string(), row.as_deref());
        (key.to_string(), Some(pair), at)
    })
}

/// Joins `left` as a stream with `right` as a versioned table, of which a filter may take the rows
/// above four.
fn stream_join(is_left: bool, is_filtered: bool, grace: Option<i64>) -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, Option<String>> = builder.stream("left", Consumed::new());
    let table = builder.table_with("right", Consumed::new(), versions("versions"));
    let table = match is_filtered {
        true => table.filter(|_, value| value.as_str() < "5"),
        false => table,
    };
    let how = Joined::<String, String>::new();
    let how = match grace {
        Some(grace) => how.with_grace_period(Duration::from_millis(grace.unsigned_abs())),
        None => how,
    };
    let result = match is_left {
        true => stream.left_join_table(
            &table,
            |l: String, r: Option<String>| pair(&l, r.as_deref()),
            how,
        ),
        false => stream.join_table(&table, |l: String, r: String| pair(&l, Some(&r)), how),
    };
    result.to("out", Produced::new());
    builder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_record_meets_the_row_of_its_own_time(
        inputs in inputs(),
        is_left: bool,
        is_filtered: bool,
        is_optimized: bool,
    ) {
        let builder = stream_join(is_left, is_filtered, None);
        let out = out(build(builder, is_optimized).unwrap(), &inputs).unwrap();

        let (mut table, mut expected) = (Naive::default(), Vec::new());
        for (topic, key, value, at, _) in &inputs {
            if *topic == RIGHT {
                table.update(*key, *value, *at);
                continue;
            }
            let Some(value) = value else { continue };
            let row = table.as_of(*key, *at).filter(|row| !is_filtered || *row < 5);
            expected.extend(joined(*key, *value, row, *at, is_left));
        }
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn a_record_that_waits_meets_what_came_for_its_time_meanwhile(
        inputs in inputs(),
        is_left: bool,
        is_optimized: bool,
        grace in 0..=HISTORY,
    ) {
        let builder = stream_join(is_left, false, Some(grace));
        let out = out(build(builder, is_optimized).unwrap(), &inputs).unwrap();

        let (mut table, mut expected) = (Naive::default(), Vec::new());
        let (mut time, mut waiting) = (-1, Vec::new());
        for (arrival, (topic, key, value, at, _)) in inputs.iter().enumerate() {
            if *topic == RIGHT {
                table.update(*key, *value, *at);
                continue;
            }
            let Some(value) = value else { continue };
            if *at < time - grace {
                expected.extend(joined(*key, *value, table.as_of(*key, *at), *at, is_left));
                continue;
            }
            time = time.max(*at);
            waiting.push((*at, *key, arrival, *value));
            waiting.sort_unstable();
            while let Some((at, key, _, value)) = waiting.first().copied().filter(|w| w.0 <= time - grace) {
                waiting.remove(0);
                expected.extend(joined(key, value, table.as_of(key, at), at, is_left));
            }
        }
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn tables_join_by_what_their_rows_are_now(inputs in inputs(), is_optimized: bool) {
        let builder = StreamsBuilder::new();
        let [left, right] = TOPICS.map(|topic| builder.table_with(topic, Consumed::new(), versions(topic)));
        let both = |l: Option<String>, r: Option<String>| pair(l.as_deref().unwrap_or("-"), r.as_deref());
        left.outer_join(&right, both).to_stream().to("out", Produced::new());
        let out = out(build(builder, is_optimized).unwrap(), &inputs).unwrap();

        let (mut tables, mut expected) = ([Naive::default(), Naive::default()], Vec::new());
        let latest_at = |table: &Naive, key| {
            let there = table.latest(key).and(table.of(key).map(|(_, at)| at).max());
            there.unwrap_or(-1)
        };
        for (side, key, value, at, _) in &inputs {
            let before = tables[*side].latest(*key);
            if tables[*side].update(*key, *value, *at) != Some(true) {
                continue;
            }
            let other = &tables[1 - side];
            let rows = [LEFT, RIGHT].map(|side| tables[side].latest(*key));
            if other.latest(*key).is_none() && before.is_none() && value.is_none() {
                continue;
            }
            let [l, r] = rows.map(|row| row.map(|row| row.to_string()));
            let there = l.is_some() || r.is_some();
            let pair = there.then(|| pair(l.as_deref().unwrap_or("-"), r.as_deref()));
            expected.push((key.to_string(), pair, (*at).max(latest_at(other, *key))));
        }
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn groups_count_the_rows_that_are_there_now(inputs in inputs(), is_optimized: bool) {
        let builder = StreamsBuilder::new();
        let rows = builder.table_with("left", Consumed::new(), versions("rows"));
        rows.filter_map_values(|_, value: String| (value != "0").then_some(value))
            .group_by(|_, value: String| (value.clone(), value), Grouped::<String, String>::new())
            .count_with(Materialized::as_store("counts"));
        let topology = build(builder, is_optimized).unwrap();
        let inputs: Vec<Input> = inputs.into_iter().filter(|input| input.0 == LEFT).collect();
        let driver = play(topology, &inputs).unwrap();
        let counts = driver.timestamped_key_value_store::<String, i64>("counts").unwrap();
        let counts = counts.all().unwrap().into_iter().map(|(value, count)| (value, count.value));
        let counts: BTreeMap<String, i64> = counts.filter(|(_, count)| *count != 0).collect();

        let mut table = Naive::default();
        for (_, key, value, at, _) in &inputs {
            table.update(*key, *value, *at);
        }
        let mut expected = BTreeMap::new();
        for value in (0..3).filter_map(|key| table.latest(key)).filter(|value| *value != 0) {
            *expected.entry(value.to_string()).or_insert(0) += 1;
        }
        prop_assert_eq!(counts, expected);
    }

    #[test]
    fn a_foreign_key_names_the_row_that_is_there_now(inputs in inputs(), is_optimized: bool) {
        let builder = StreamsBuilder::new();
        let [left, right] = TOPICS.map(|topic| builder.table_with(topic, Consumed::new(), versions(topic)));
        left.on_foreign_key(&right, |_, value: &String| (value < &"3".to_owned()).then(|| value.clone()), TableJoined::new())
            .left_join(|l: String, r: Option<String>| pair(&l, r.as_deref()), Materialized::as_store("result"));
        let driver = play(build(builder, is_optimized).unwrap(), &inputs).unwrap();
        let result = driver.timestamped_key_value_store::<String, String>("result").unwrap();
        let result = result.all().unwrap().into_iter().map(|(key, row)| (key, row.value));
        let result: BTreeMap<String, String> = result.collect();

        let mut tables = [Naive::default(), Naive::default()];
        for (side, key, value, at, _) in &inputs {
            tables[*side].update(*key, *value, *at);
        }
        let rows = (0..3u8).filter_map(|key| Some((key, tables[LEFT].latest(key)?)));
        let expected = rows.map(|(key, named)| {
            let row = Some(named).filter(|named| *named < 3);
            let row = row.and_then(|named| tables[RIGHT].latest(named));
            let row = row.map(|row| row.to_string());
            (key.to_string(), pair(&named.to_string(), row.as_deref()))
        });
        prop_assert_eq!(result, expected.collect::<BTreeMap<String, String>>());
    }
}

/// What `build` says is wrong.
fn problem(builder: StreamsBuilder) -> String {
    let problem = builder.build().err();
    problem.map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn records_wait_for_versioned_tables_only() {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String> = builder.stream("left", Consumed::new());
    let table: KTable<String, String> = builder.table("right", Consumed::new());
    let waits = Joined::new().with_grace_period(Duration::from_millis(1));
    let _joined = stream.join_table(&table, |l: String, r: String| pair(&l, Some(&r)), waits);
    let problem = problem(builder);
    assert!(
        problem.contains("a grace period needs a versioned table"),
        "{problem}"
    );
}

#[test]
fn records_wait_no_longer_than_versions_are_kept() {
    assert!(stream_join(false, true, Some(HISTORY)).build().is_ok());
    let problem = problem(stream_join(false, true, Some(HISTORY + 1)));
    let expected = "a grace period of 21 ms is longer than the table's history retention of 20 ms";
    assert!(problem.contains(expected), "{problem}");
}

#[test]
fn a_table_kept_without_versions_has_none() {
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String> = builder.stream("left", Consumed::new());
    let table = builder.table_with("right", Consumed::new(), versions("versions"));
    let kept = table.filter_with(|_, _| true, Materialized::as_store("kept"));
    let waits = Joined::new().with_grace_period(Duration::from_millis(1));
    let _joined = stream.join_table(&kept, |l: String, r: String| pair(&l, Some(&r)), waits);
    let problem = problem(builder);
    assert!(
        problem.contains("a grace period needs a versioned table"),
        "{problem}"
    );
}

#[test]
fn neither_windows_nor_global_tables_have_versions() {
    let builder = StreamsBuilder::new();
    let _global = builder.global_table_with("all", Consumed::new(), versions("global"));
    let stream: KStream<String, String> = builder.stream("left", Consumed::new());
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    let history = Duration::from_millis(20);
    let _counts = stream
        .group_by_key(Grouped::new())
        .windowed_by(windows)
        .count_with(Materialized::as_versioned("windows", history));
    let problem = problem(builder);
    assert!(
        problem.contains("global table global cannot be versioned"),
        "{problem}"
    );
    assert!(
        problem.contains("a table in windows cannot be versioned"),
        "{problem}"
    );
}

#[test]
fn a_left_record_without_a_key_does_not_wait() {
    let builder = StreamsBuilder::new();
    let stream: KStream<Option<String>, String> = builder.stream("left", Consumed::new());
    let table = builder.table_with("right", Consumed::new(), versions("versions"));
    let waits = Joined::<String, String>::new().with_grace_period(Duration::from_millis(5));
    stream
        .left_join_table(
            &table,
            |l: String, r: Option<String>| pair(&l, r.as_deref()),
            waits,
        )
        .to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let left = driver.input_topic("left", nullable(utf8()), utf8());
    left.pipe(Some("a".to_owned()), "waits", Timestamp::from_millis(1))
        .unwrap();
    left.pipe(None, "passes", Timestamp::from_millis(2))
        .unwrap();
    let out = driver.output_topic("out", nullable(utf8()), utf8());
    let out = out.read_all().unwrap();
    let out: Vec<_> = out.iter().map(|record| &*record.value).collect();
    assert_eq!(out, ["passes/-"]);
}
