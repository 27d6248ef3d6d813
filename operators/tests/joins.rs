//! Joins against naive ones, which know the whole history, and the partitions that joins need.

use std::collections::BTreeMap;

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

/// The error that a driver with so many partitions of `left` and `right` starts with.
fn refusal(topology: Topology, left: i32, right: i32) -> Option<String> {
    let driver = TestDriver::builder(topology)
        .partitions("left", left)
        .partitions("right", right);
    driver.build().err().map(|error| error.to_string())
}

fn check_refused(topology: Topology) {
    let error = refusal(topology, 2, 3).expect("topics of different counts are not joined");
    assert!(
        error.contains("left (2), right (3)"),
        "names both topics and their counts: {error}"
    );
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
