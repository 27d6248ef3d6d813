//! What a suppression hands on as old was handed on as new before, whatever its changelog holds.
//!
//! The tables are counted by value downstream of the suppression. A count of a value is right if it
//! is the number of the keys whose last change that left the buffer has that value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onceflow::prelude::*;
use proptest::prelude::*;

const LIMIT: Duration = Duration::from_millis(4);

/// A sum from 0 on: a row may be told as what rows begin with.
fn sums<K: 'static>(key: impl Serde<Item = K>) -> Materialized<K, i64> {
    Materialized::with(key, i64())
}

/// Hands the table on as a stream, by "told", and counted by value, by "counts".
fn counted<K: Clone + std::fmt::Debug + Send + Sync + PartialEq + 'static>(
    table: &KTable<K, i64>,
    name: fn(&K) -> String,
) {
    let told = table.to_stream().map(move |key, sum| (name(&key), sum));
    told.to("told", Produced::with(utf8(), nullable(i64())));
    table
        .group_by(
            move |key, sum| (sum.to_string(), name(key)),
            Grouped::with(utf8(), utf8()),
        )
        .count()
        .to_stream()
        .to("counts", Produced::with(utf8(), nullable(i64())));
}

fn in_windows() -> impl Serde<Item = Windowed<String>> {
    time_windowed(utf8(), Duration::from_millis(10))
}

fn of_window(key: &Windowed<String>) -> String {
    key.to_string()
}

fn build(aggregate: usize) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, i64>::new());
    let grouped = input.group_by_key(Grouped::new());
    let ten = Duration::from_millis(10);
    let add = |_: &String, value: i64, sum: i64| sum + value;
    match aggregate {
        0 => {
            let table = grouped.aggregate(|| 0, add, sums(utf8()));
            let suppressed = Suppressed::until_time_limit(LIMIT, utf8(), i64());
            counted(&table.suppress(suppressed), String::clone);
        }
        1 => {
            let windows = TimeWindows::of_size_and_grace(ten, ten);
            let table = grouped
                .windowed_by(windows)
                .aggregate(|| 0, add, sums(utf8()));
            let suppressed = Suppressed::until_time_limit(LIMIT, in_windows(), i64());
            counted(&table.suppress(suppressed), of_window);
        }
        2 => {
            let windows = SlidingWindows::of_time_difference_and_grace(ten, ten);
            let table = grouped
                .windowed_by(windows)
                .aggregate(|| 0, add, sums(utf8()));
            let suppressed = Suppressed::until_time_limit(LIMIT, in_windows(), i64());
            counted(&table.suppress(suppressed), of_window);
        }
        3 => {
            let windows = SlidingWindows::of_time_difference_and_grace(ten, ten);
            let table = grouped
                .windowed_by(windows)
                .aggregate(|| 0, add, sums(utf8()));
            let suppressed = Suppressed::until_window_closes(in_windows(), i64());
            counted(&table.suppress(suppressed), of_window);
        }
        4 => {
            let windows = SessionWindows::of_inactivity_gap_and_grace(LIMIT, ten);
            let merge = |_: &String, one: i64, two: i64| one + two;
            let table = grouped
                .windowed_by(windows)
                .aggregate(|| 0, add, merge, sums(utf8()));
            let suppressed = Suppressed::until_time_limit(LIMIT, session_windowed(utf8()), i64());
            counted(&table.suppress(suppressed), of_window);
        }
        _ => {
            let table = grouped.aggregate(|| 0, add, sums(utf8()));
            let first = Suppressed::until_time_limit(LIMIT, utf8(), i64());
            let second = Suppressed::until_time_limit(2 * LIMIT, utf8(), i64());
            counted(&table.suppress(first).suppress(second), String::clone);
        }
    }
    builder.build()
}

/// A record, or a restart before it.
type Step = (char, i64, i64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop::char::range('a', 'c'),
        -1i64..=1,
        0i64..4,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(step, 1..40)
}

/// How many keys were told each value last.
fn by_value(told: &[(String, Option<i64>)]) -> BTreeMap<String, i64> {
    let last: BTreeMap<_, _> = told.iter().cloned().collect();
    let mut counts = BTreeMap::new();
    for sum in last.into_values().flatten() {
        *counts.entry(sum.to_string()).or_default() += 1;
    }
    counts
}

/// What was told last and what was counted, by value.
fn play(aggregate: usize, steps: &[Step]) -> Result<[BTreeMap<String, i64>; 2], Error> {
    let driver = TestDriver::new(build(aggregate)?)?;
    let input = driver.input_topic("in", utf8(), i64());
    let mut now = 100;
    for (key, value, later, restarts) in steps {
        if *restarts {
            driver.restart()?;
        }
        now += later;
        input.pipe(key.to_string(), *value, Timestamp::from_millis(now))?;
    }
    let told = driver.output_topic("told", utf8(), nullable(i64()));
    let told = by_value(&told.read_key_values()?);
    let counts = driver.output_topic("counts", utf8(), nullable(i64()));
    let counts: BTreeMap<_, _> = counts.read_key_values()?.into_iter().collect();
    let counts = counts
        .into_iter()
        .filter_map(|(sum, count)| Some((sum, count.filter(|count| *count != 0)?)));
    Ok([told, counts.collect()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_never_told_is_not_subtracted(aggregate in 0usize..6, steps in steps()) {
        let [told, counts] = play(aggregate, &steps).unwrap();
        prop_assert_eq!(counts, told);
    }
}

#[test]
fn a_row_that_is_told_as_what_rows_begin_with_is_subtracted_when_it_changes() {
    // The sum of a is 0 when it leaves, then 1; b only moves the time.
    let steps = [
        ('a', 0, 0, false),
        ('b', 1, 4, false),
        ('a', 1, 0, false),
        ('b', 0, 4, false),
    ];
    let [told, counts] = play(0, &steps).unwrap();
    assert_eq!(told, BTreeMap::from([("1".to_owned(), 2)]));
    assert_eq!(counts, told);
}

#[test]
fn what_has_not_left_the_buffer_is_not_subtracted() {
    // a is 1, then 0 before it leaves; b has left with 1 before.
    let steps = [
        ('b', 1, 0, false),
        ('a', 1, 4, false),
        ('a', -1, 0, true),
        ('b', 0, 4, true),
    ];
    let [told, counts] = play(0, &steps).unwrap();
    let keys: BTreeSet<_> = told.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["0", "1"]));
    assert_eq!(counts, told);
}
