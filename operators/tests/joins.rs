//! Joins against naive ones, which know the whole history, and the partitions that joins need.

use std::collections::BTreeMap;

use onceflow::prelude::*;
use proptest::prelude::*;

/// A record of one of two inputs: which, the key, the value (none: null), the time; and whether a
/// crash follows.
type Input = (bool, u8, Option<u8>, i64, bool);

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = (
        any::<bool>(),
        0..3u8,
        prop::option::weighted(0.85, any::<u8>()),
        0..60i64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(input, 0..40)
}

/// Key, value and time of a record.
type Output = (String, Option<String>, i64);

/// Plays records of `left` and `right` on three partitions each; answers `out` in the order of the
/// inputs, as key, value and time.
fn play(topology: Topology, inputs: &[Input]) -> Result<Vec<Output>, Error> {
    let driver = TestDriver::builder(topology)
        .partitions("left", 3)
        .partitions("right", 3);
    let driver = driver.build()?;
    let [left, right] =
        ["left", "right"].map(|topic| driver.input_topic(topic, utf8(), nullable(utf8())));
    let out = driver.output_topic("out", utf8(), nullable(utf8()));
    let mut told = Vec::new();
    for (is_left, key, value, at, crashes) in inputs {
        let topic = if *is_left { &left } else { &right };
        let value = value.map(|value| value.to_string());
        topic.pipe(key.to_string(), value, Timestamp::from_millis(*at))?;
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
    fn a_stream_record_meets_the_last_row_before_it(inputs in inputs(), is_left_join: bool) {
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
        for (index, (is_left, key, value, at, _)) in inputs.iter().enumerate() {
            let (true, Some(value)) = (is_left, value) else { continue };
            let before = inputs[..index].iter().rev();
            let mut rows = before.filter(|(is_left, other, ..)| !is_left && other == key);
            let row = rows.next().and_then(|(_, _, row, ..)| *row).map(|row| row.to_string());
            if row.is_some() || is_left_join {
                let pair = pair(&value.to_string(), row.as_deref());
                expected.push((key.to_string(), Some(pair), *at));
            }
        }
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
