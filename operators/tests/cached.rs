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

/// Makes a record of each letter of a line: `a` is at the line's time, `b` 4 ms and `c` 9 ms later.
/// So one batch makes windows, and deletes sessions that it made itself.
struct Letters;

impl Processor for Letters {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        line: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        line.value.chars().try_for_each(|letter| {
            let later_ms = match letter {
                'a' => 0,
                'b' => 4,
                _ => 9,
            };
            let at = Timestamp::from_millis(line.timestamp.as_millis() + later_ms);
            ctx.forward(Record::new(line.key.clone(), letter.to_string(), at))
        })
    }
}

/// Tables in windows and in sessions, each of which a table without windows sums up by start.
const TABLES: [&str; 5] = [
    "hopping",
    "sliding",
    "sessions",
    "cogrouped",
    "cogrouped-sessions",
];

/// Counts letters in windows and in sessions.
fn counts_in_windows(options: &BuildOptions) -> TestDriver {
    let ms = std::time::Duration::from_millis;
    let builder = StreamsBuilder::new();
    let lines = builder.stream("lines", Consumed::<String, String>::new());
    let grouped = lines.process(|| Letters, &[]).group_by_key(Grouped::new());
    let hopping = TimeWindows::of_size_and_grace(ms(10), ms(20)).advance_by(ms(5));
    let sliding = SlidingWindows::of_time_difference_and_grace(ms(7), ms(20));
    let sessions = SessionWindows::of_inactivity_gap_and_grace(ms(6), ms(20));
    // Both streams change the same rows within one batch.
    let letters = lines.flat_map_values(|line| line.chars().map(String::from).collect::<Vec<_>>());
    let once_more = letters.map_values(|letter| letter.repeat(2));
    let once_more = once_more.group_by_key(Grouped::new());
    let cogrouped = letters
        .group_by_key(Grouped::new())
        .cogroup(|_, _, count: i64| count + 1)
        .cogroup(&once_more, |_, _, count| count + 1);
    let tables = [
        grouped.windowed_by(hopping).count(),
        grouped.windowed_by(sliding).count(),
        grouped.windowed_by(sessions).count(),
        cogrouped
            .windowed_by(hopping)
            .aggregate(|| 0, Materialized::new()),
        cogrouped
            .windowed_by(sessions)
            .aggregate(|| 0, |_, a, b| a + b, Materialized::new()),
    ];
    for (name, table) in TABLES.iter().zip(tables) {
        let rows = table.to_stream();
        let text =
            |row: &Windowed<String>| format!("{} {} {}", row.window.start, row.window.end, row.key);
        rows.select_key(move |row, _| text(row))
            .to(name, Produced::with(utf8(), nullable(i64())));
        let by_start =
            |window: &Windowed<String>, count: i64| (window.window.start.as_millis(), count);
        table
            .group_by(by_start, Grouped::new())
            .reduce_with(
                |a, b| a + b,
                |a, b| a - b,
                Materialized::as_store(format!("{name}-sums")),
            )
            .to_stream()
            .to(
                &format!("{name}-sums"),
                Produced::with(i64(), nullable(i64())),
            );
    }
    TestDriver::new(builder.build_with(options).unwrap()).unwrap()
}

/// The last value of each key of a topic; none if it was deleted, or never there.
fn last_values(driver: &TestDriver, topic: &str) -> BTreeMap<Vec<u8>, i64> {
    let history = driver.topic_history(topic).into_iter();
    let last: BTreeMap<_, _> = history
        .map(|record| (record.key.unwrap().to_vec(), record.value))
        .collect();
    let there = last.into_iter();
    there
        .filter_map(|(key, value)| Some((key, i64::from_be_bytes(value?[..].try_into().unwrap()))))
        .collect()
}

/// By start, the sum of a table's rows, as they themselves say.
fn sums_of_rows(driver: &TestDriver, table: &str) -> BTreeMap<Vec<u8>, i64> {
    let mut sums = BTreeMap::new();
    for (row, count) in last_values(driver, table) {
        let row = String::from_utf8(row).unwrap();
        let start: i64 = row.split(' ').next().unwrap().parse().unwrap();
        *sums.entry(start.to_be_bytes().to_vec()).or_default() += count;
    }
    sums
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
    #[test]
    fn what_is_held_back_changes_no_table_in_windows(
        lines in prop::collection::vec(("[ab]", "[a-c]{0,4}", 0..90_i64, prop::bool::weighted(0.1)), 0..12),
        bytes_max in prop::sample::select(vec![1, 300, 1 << 20]),
    ) {
        let cached = counts_in_windows(&BuildOptions::new().with_cache_bytes(bytes_max));
        let plain = counts_in_windows(&BuildOptions::new());
        for (key, line, at, crashes) in &lines {
            for driver in [&cached, &plain] {
                let input = driver.input_topic("lines", utf8(), utf8());
                input.pipe(key.clone(), line.clone(), Timestamp::from_millis(*at)).unwrap();
                if *crashes {
                    driver.restart().unwrap();
                }
            }
        }
        let topics = plain.topics();
        let of_rows = topics.iter().filter(|topic| {
            TABLES.contains(&&***topic)
                || topic.ends_with("-changelog") && !topic.contains("sums")
        });
        for topic in of_rows {
            prop_assert_eq!(last_values(&cached, topic), last_values(&plain, topic), "{}", topic);
        }
        prop_assert_eq!(cached.drops(), plain.drops());
        for (table, driver) in TABLES.iter().flat_map(|table| [(table, &cached), (table, &plain)]) {
            let expected = sums_of_rows(driver, table);
            for topic in [format!("{table}-sums"), format!("app-{table}-sums-changelog")] {
                let mut sums = last_values(driver, &topic);
                // Of rows that came and went: nothing, or, if that was told, a sum of nothing.
                sums.retain(|_, sum| *sum != 0);
                prop_assert_eq!(&sums, &expected, "{}", topic);
            }
        }
    }
}
