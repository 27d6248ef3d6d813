//! Streams that share windows: each has a time of its own, and finds what is open for it.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow::prelude::*;
use proptest::prelude::*;

/// Which stream, how much, when; and whether a crash follows.
type Event = (usize, i64, i64, bool);

const STREAMS: [&str; 2] = ["left", "right"];

/// Longer than the segments of a store, which are a minute at least.
const SIZE: i64 = 100_000;
const GRACE: i64 = 20_000;

/// Sums up two streams in windows of [`SIZE`].
fn sums(materialized: Materialized<String, i64>) -> TestDriver {
    let builder = StreamsBuilder::new();
    let [left, right] = STREAMS.map(|topic| {
        let stream = builder.stream(topic, Consumed::<String, i64>::new());
        stream.group_by_key(Grouped::new())
    });
    let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    left.cogroup(|_, points, sum: i64| sum + points)
        .cogroup(&right, |_, points, sum| sum + points)
        .windowed_by(TimeWindows::of_size_and_grace(millis(SIZE), millis(GRACE)))
        .aggregate(|| 0, materialized)
        .to_stream()
        .map(|window, sum| (window.window.start.as_millis(), sum))
        .to("sums", Produced::with(i64(), nullable(i64())));
    TestDriver::new(builder.build().unwrap()).unwrap()
}

/// Plays events; answers the last sum of each window, by start.
fn play(driver: &TestDriver, events: &[Event]) -> BTreeMap<i64, i64> {
    for (stream, points, at, crashes) in events {
        let input = driver.input_topic(STREAMS[*stream], utf8(), i64());
        let at = Timestamp::from_millis(*at);
        input.pipe("k", *points, at).unwrap();
        if *crashes {
            driver.restart().unwrap();
        }
    }
    let sums = driver.output_topic("sums", i64(), i64());
    sums.read_key_values().unwrap().into_iter().collect()
}

/// The sums by start, and how many records came too late for their stream.
fn expected(events: &[Event]) -> (BTreeMap<i64, i64>, u64) {
    let (mut sums, mut late, mut stream_times) = (BTreeMap::new(), 0, [-1; 2]);
    for (stream, points, at, _) in events {
        let stream_time = &mut stream_times[*stream];
        *stream_time = (*stream_time).max(*at);
        let start = at - at % SIZE;
        if start + SIZE <= *stream_time - GRACE {
            late += 1;
        } else {
            *sums.entry(start).or_default() += points;
        }
    }
    (sums, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_is_found_as_long_as_it_is_open_for_its_stream(
        events in prop::collection::vec(
            (0..2usize, 1..9i64, 0..900_000i64, prop::bool::weighted(0.2)), 0..30,
        ),
    ) {
        let driver = sums(Materialized::as_store("sums"));
        let (sums, late) = expected(&events);
        prop_assert_eq!(play(&driver, &events), sums);
        prop_assert_eq!(driver.dropped_total(), late);
    }
}

const DAY: i64 = 24 * 60 * 60 * 1000;

#[test]
fn a_silent_stream_holds_windows_for_a_day() {
    let driver = sums(Materialized::as_store("sums"));
    let events = [(0, 1, 0, false), (0, 2, DAY, true), (1, 4, 1, false)];
    assert_eq!(play(&driver, &events)[&0], 5);
    let driver = sums(Materialized::as_store("sums"));
    let events = [(0, 1, 0, false), (0, 2, 2 * DAY, false), (1, 4, 1, false)];
    assert_eq!(play(&driver, &events)[&0], 4);
}

#[test]
fn windows_with_a_retention_are_held_for_nobody() {
    let minutes = Duration::from_secs(4 * 60);
    let driver = sums(Materialized::as_store("sums").with_retention(minutes));
    let events = [(0, 1, 0, false), (0, 2, 4 * SIZE, false), (1, 4, 1, false)];
    assert_eq!(play(&driver, &events)[&0], 4);
}

#[test]
fn what_is_held_is_not_shown_to_readers() {
    let driver = sums(Materialized::as_store("sums"));
    play(&driver, &[(0, 1, 0, false), (0, 2, 4 * SIZE, false)]);
    let store = driver.timestamped_window_store::<String, i64>("sums");
    let rows = store.unwrap().all().unwrap();
    let starts: Vec<i64> = rows
        .iter()
        .map(|(key, _)| key.window.start.as_millis())
        .collect();
    assert_eq!(starts, [4 * SIZE]);
}
