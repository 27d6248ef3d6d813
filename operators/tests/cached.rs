//! Changes that are held back until a commit: fewer records, the same tables.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

use std::collections::BTreeMap;

use onceflow::prelude::*;
use proptest::prelude::*;

/// Counts words, and how many words were counted how often: one cached table behind another.
fn counts(options: &BuildOptions) -> TestDriver {
    let builder = StreamsBuilder::new();
    let lines = builder.stream("lines", Consumed::<String, String>::new());
    let words = lines.flat_map_values(|line| line.chars().map(String::from).collect::<Vec<_>>());
    let counts = words
        .group_by(|_, word| word.clone(), Grouped::new())
        .count_with(Materialized::as_store("counts"));
    counts.to_stream().to("counts", Produced::new());
    counts
        .group_by(|word, count| (count, word.clone()), Grouped::new())
        .count_with(Materialized::as_store("histogram"))
        .to_stream()
        .to("histogram", Produced::new());
    TestDriver::new(builder.build_with(options).unwrap()).unwrap()
}

/// A store's rows, and the last value of each key of an output and of a changelog.
type Ends = (
    BTreeMap<String, i64>,
    [BTreeMap<Vec<u8>, Option<Vec<u8>>>; 2],
);

fn ends(driver: &TestDriver) -> Ends {
    let rows = driver
        .timestamped_key_value_store::<String, i64>("counts")
        .unwrap();
    let rows = rows.all().unwrap().into_iter();
    let last = ["counts", "app-counts-changelog"].map(|topic| {
        let history = driver.topic_history(topic).into_iter();
        history
            .map(|record| {
                let value = record.value.map(|value| value.to_vec());
                (record.key.unwrap().to_vec(), value)
            })
            .collect()
    });
    (rows.map(|(word, row)| (word, row.value)).collect(), last)
}

#[test]
fn a_batch_tells_a_row_once_with_its_last_value() {
    let driver = counts(&BuildOptions::new().with_cache_bytes(1 << 20));
    let lines = driver.input_topic("lines", utf8(), utf8());
    lines
        .pipe("k", "abaaab", Timestamp::from_millis(0))
        .unwrap();
    // Behind a repartition topic each word is a batch of its own: nothing is left to be held back.
    assert_eq!(driver.topic_history("app-counts-changelog").len(), 6);

    let builder = StreamsBuilder::new();
    let lines = builder.stream("lines", Consumed::<String, String>::new());
    lines
        .flat_map_values(|line| line.chars().map(String::from).collect::<Vec<_>>())
        .group_by_key(Grouped::new())
        .count_with(Materialized::as_store("counts"))
        .to_stream()
        .to("counts", Produced::new());
    let options = BuildOptions::new().with_cache_bytes(1 << 20);
    let driver = TestDriver::new(builder.build_with(&options).unwrap()).unwrap();
    let lines = driver.input_topic("lines", utf8(), utf8());
    lines
        .pipe("k", "abaaab", Timestamp::from_millis(0))
        .unwrap();
    lines.pipe("k", "a", Timestamp::from_millis(1)).unwrap();
    let counts = driver.output_topic("counts", utf8(), i64());
    let expected = [("k".to_owned(), 6), ("k".to_owned(), 7)];
    assert_eq!(counts.read_key_values().unwrap(), expected);
    assert_eq!(driver.topic_history("app-counts-changelog").len(), 2);
}

/// The sum of all rows of a cogroup whose two streams change the same row within one batch.
fn sum_of_cogroup(options: &BuildOptions) -> Vec<i64> {
    let builder = StreamsBuilder::new();
    let points = builder.stream("points", Consumed::<String, i64>::new());
    let doubled = points.map_values(|points| points * 2);
    points
        .group_by_key(Grouped::new())
        .cogroup(|_, points, sum: i64| sum + points)
        .cogroup(&doubled.group_by_key(Grouped::new()), |_, points, sum| {
            sum + points
        })
        .aggregate(|| 0, Materialized::as_store("sums"))
        .group_by(|_, sum| ("all".to_owned(), sum), Grouped::new())
        .reduce(|a, b| a + b, |a, b| a - b)
        .to_stream()
        .to("sum", Produced::with(utf8(), nullable(i64())));
    let driver = TestDriver::new(builder.build_with(options).unwrap()).unwrap();
    let points = driver.input_topic("points", utf8(), i64());
    for (at, key) in (0..).zip(["a", "b", "a"]) {
        points.pipe(key, 1, Timestamp::from_millis(at)).unwrap();
    }
    let sums = driver.output_topic("sum", utf8(), i64()).read_all();
    sums.unwrap().iter().map(|sum| sum.value).collect()
}

#[test]
fn a_cached_cogroup_subtracts_what_it_told() {
    let cached = sum_of_cogroup(&BuildOptions::new().with_cache_bytes(1 << 20));
    let plain = sum_of_cogroup(&BuildOptions::new());
    assert_eq!(plain.last(), Some(&9));
    assert_eq!(cached.last(), Some(&9));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_held_back_changes_no_table(
        lines in prop::collection::vec(("[a-d]{0,6}", prop::bool::weighted(0.15)), 0..12),
        bytes_max in prop::sample::select(vec![1, 300, 1 << 20]),
    ) {
        let cached = counts(&BuildOptions::new().with_cache_bytes(bytes_max));
        let plain = counts(&BuildOptions::new());
        for (at, (line, crashes)) in (0..).zip(&lines) {
            for driver in [&cached, &plain] {
                let input = driver.input_topic("lines", utf8(), utf8());
                input.pipe("k", line.clone(), Timestamp::from_millis(at)).unwrap();
                if *crashes {
                    driver.restart().unwrap();
                }
            }
        }
        prop_assert_eq!(ends(&cached), ends(&plain));
        let last = |driver: &TestDriver| {
            let histogram = driver.output_topic("histogram", i64(), i64()).read_key_values();
            histogram.unwrap().into_iter().collect::<BTreeMap<i64, i64>>()
        };
        prop_assert_eq!(last(&cached), last(&plain));
    }
}
