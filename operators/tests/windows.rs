//! Windowed aggregations against naive re-computations over the whole history: records out of
//! order, several keys, crashes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onceflow::prelude::*;
use proptest::prelude::*;

/// Whose, how much, when; and whether a crash follows.
type Event = (u8, i64, i64, bool);

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Time goes on in the large and back and forth in the small.
    let event = (0..3u8, 1..9i64, 0..30i64, prop::bool::weighted(0.1));
    prop::collection::vec(event, 0..40).prop_map(|events| {
        let events = events.into_iter().enumerate();
        let timed = |(index, (who, what, when, crashes)): (usize, Event)| {
            let base = 2 * i64::try_from(index).expect("a short history");
            (who, what, base + when, crashes)
        };
        events.map(timed).collect()
    })
}

/// By key, start and end.
type Rows = BTreeMap<(String, i64, i64), i64>;

/// What a topology told: each update in order, and how many records it dropped.
struct Told {
    updates: Vec<((String, i64, i64), Option<i64>)>,
    dropped: u64,
}

impl Told {
    /// The last value of each row that is not deleted.
    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for (key, value) in &self.updates {
            match value {
                Some(value) => rows.insert(key.clone(), *value),
                None => rows.remove(key),
            };
        }
        rows
    }
}

/// Plays events through an aggregation of `in`.
fn told(
    aggregate: impl FnOnce(KGroupedStream<String, i64>) -> KTable<Windowed<String>, i64>,
    events: &[Event],
) -> Result<Told, Error> {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, i64>::new());
    let table = aggregate(input.group_by_key(Grouped::new()));
    let text = |key: &Windowed<String>, _: &Option<i64>| {
        format!("{} {} {}", key.key, key.window.start, key.window.end)
    };
    let out = table.to_stream().select_key(text);
    out.to("out", Produced::with(utf8(), nullable(i64())));
    let driver = TestDriver::new(builder.build()?)?;
    let input = driver.input_topic("in", utf8(), i64());
    for (who, what, when, crashes) in events {
        let at = Timestamp::from_millis(*when);
        input.pipe(who.to_string(), *what, at)?;
        if *crashes {
            driver.restart()?;
        }
    }
    let out = driver.output_topic("out", utf8(), nullable(i64()));
    let updates = out.read_key_values()?.into_iter();
    let parsed = updates.map(|(key, value)| {
        let parts: Vec<&str> = key.split(' ').collect();
        let time = |part: &str| part.parse().expect("a time");
        ((parts[0].to_owned(), time(parts[1]), time(parts[2])), value)
    });
    Ok(Told {
        updates: parsed.collect(),
        dropped: driver.dropped_total(),
    })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// The rows of hopping windows, and how often a record came too late for one.
fn hopping(events: &[Event], size: i64, advance: i64, grace: i64) -> (Rows, u64) {
    let (mut rows, mut late, mut stream_time) = (Rows::new(), 0, -1);
    for (who, what, when, _) in events {
        stream_time = stream_time.max(*when);
        let starts = (0..=*when).filter(|start| start % advance == 0);
        for start in starts.filter(|start| start + size > *when) {
            if start + size <= stream_time - grace {
                late += 1;
            } else {
                let row = (who.to_string(), start, start + size);
                *rows.entry(row).or_default() += what;
            }
        }
    }
    (rows, late)
}

/// The rows of sliding windows into which no record came too late.
fn sliding(events: &[Event], difference: i64) -> Rows {
    let mut rows = Rows::new();
    for (who, _, when, _) in events {
        let left = (when - difference).max(0);
        for start in [left, when + 1] {
            let within =
                |other: &&Event| other.0 == *who && (start..=start + difference).contains(&other.2);
            let sum: i64 = events.iter().filter(within).map(|event| event.1).sum();
            if sum > 0 {
                rows.insert((who.to_string(), start, start + difference), sum);
            }
        }
    }
    rows
}

/// The rows of sessions, and how many records came too late for theirs.
fn sessions(events: &[Event], gap: i64, grace: i64) -> (Rows, u64) {
    let (mut rows, mut late, mut stream_time) = (Rows::new(), 0, -1);
    for (who, what, when, _) in events {
        stream_time = stream_time.max(*when);
        let closed = stream_time - grace - gap;
        let touched = |(key, start, end): &(String, i64, i64)| {
            *key == who.to_string() && *end >= (when - gap).max(closed) && *start <= when + gap
        };
        let touched: Vec<_> = rows.keys().filter(|row| touched(row)).cloned().collect();
        let start = touched
            .iter()
            .map(|row| row.1)
            .min()
            .unwrap_or(*when)
            .min(*when);
        let end = touched
            .iter()
            .map(|row| row.2)
            .max()
            .unwrap_or(*when)
            .max(*when);
        if end < closed {
            late += 1;
            continue;
        }
        let merged: i64 = touched.iter().filter_map(|row| rows.remove(row)).sum();
        rows.insert((who.to_string(), start, end), merged + what);
    }
    (rows, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sum_in_hopping_windows_is_that_of_the_records_in_time(
        events in events(), size in 1..12i64, step in 1..12i64, grace in 0..12i64,
    ) {
        let advance = step.min(size);
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(advance));
        let told = told(|grouped| grouped.windowed_by(windows).reduce(|a, b| a + b), &events).unwrap();
        let (rows, late) = hopping(&events, size, advance, grace);
        prop_assert_eq!((told.rows(), told.dropped), (rows, late));
    }

    #[test]
    fn a_window_that_closes_is_told_once_with_all_that_came_in_time(
        events in events(), size in 1..12i64, step in 1..12i64, grace in 0..12i64,
    ) {
        let advance = step.min(size);
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(advance));
        let told = told(|grouped| {
            let windowed = grouped.windowed_by(windows);
            windowed.emit_strategy(EmitStrategy::on_window_close()).reduce(|a, b| a + b)
        }, &events).unwrap();
        let (mut rows, _) = hopping(&events, size, advance, grace);
        let stream_time = events.iter().map(|event| event.2).max().unwrap_or(-1);
        rows.retain(|(_, _, end), _| *end <= stream_time - grace);
        prop_assert_eq!(told.updates.len(), rows.len());
        prop_assert_eq!(told.rows(), rows);
        let order: Vec<i64> = told.updates.iter().map(|((_, start, _), _)| *start).collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
    }

    #[test]
    fn a_suppressed_window_is_told_as_one_that_is_emitted_on_close(
        events in events(), size in 1..12i64, grace in 0..12i64,
    ) {
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace));
        let sum = |a: i64, b: i64| a + b;
        let on_close = EmitStrategy::on_window_close();
        let emitted = told(|g| g.windowed_by(windows).emit_strategy(on_close).reduce(sum), &events).unwrap();
        let suppressed = told(|grouped| {
            let until_closed = Suppressed::until_window_closes(time_windowed(utf8(), ms(size)), i64());
            grouped.windowed_by(windows).reduce(sum).suppress(until_closed)
        }, &events).unwrap();
        prop_assert_eq!(suppressed.updates, emitted.updates);
    }

    #[test]
    fn a_sum_in_sliding_windows_is_that_of_the_records_within(
        events in events(), difference in 1..15i64,
    ) {
        let forever = ms(1_000_000);
        let windows = SlidingWindows::of_time_difference_and_grace(ms(difference), forever);
        let told = told(|grouped| grouped.windowed_by(windows).reduce(|a, b| a + b), &events).unwrap();
        prop_assert_eq!((told.rows(), told.dropped), (sliding(&events, difference), 0));
    }

    #[test]
    fn sliding_windows_of_no_difference_group_equal_timestamps(events in events()) {
        let windows = SlidingWindows::of_time_difference_and_grace(Duration::ZERO, ms(1_000_000));
        let told = told(|grouped| grouped.windowed_by(windows).reduce(|a, b| a + b), &events).unwrap();
        let mut rows = Rows::new();
        for (who, what, when, _) in &events {
            *rows.entry((who.to_string(), *when, *when)).or_default() += what;
        }
        prop_assert_eq!(told.rows(), rows);
    }

    #[test]
    fn a_sum_in_sessions_is_that_of_the_records_within_the_gap_of_each_other(
        events in events(), gap in 0..8i64, grace in 0..12i64,
    ) {
        let windows = SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace));
        let told = told(|grouped| grouped.windowed_by(windows).reduce(|a, b| a + b), &events).unwrap();
        let (rows, late) = sessions(&events, gap, grace);
        prop_assert_eq!((told.rows(), told.dropped), (rows, late));
    }

    #[test]
    fn a_session_that_closes_is_told_once(
        events in events(), gap in 0..8i64, grace in 0..12i64,
    ) {
        let windows = SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace));
        let told = told(|grouped| {
            let windowed = grouped.windowed_by(windows);
            windowed.emit_strategy(EmitStrategy::on_window_close()).reduce(|a, b| a + b)
        }, &events).unwrap();
        let (mut rows, _) = sessions(&events, gap, grace);
        let stream_time = events.iter().map(|event| event.2).max().unwrap_or(-1);
        rows.retain(|(_, _, end), _| *end < stream_time - grace - gap);
        prop_assert_eq!(told.updates.len(), rows.len());
        prop_assert_eq!(told.rows(), rows);
    }
}

#[test]
fn each_record_too_late_is_counted_with_the_reason_at_its_node() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, i64>::new());
    let windows = TimeWindows::of_size_with_no_grace(ms(10));
    let grouped = input.group_by_key(Grouped::new());
    let _counts = grouped.windowed_by(windows).named("counts").count();
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", utf8(), i64());
    for at in [25, 3, 4, 24] {
        input.pipe("k", 1, Timestamp::from_millis(at)).unwrap();
    }
    let late = ("counts".to_owned(), onceflow::metrics::DropReason::Late);
    assert_eq!(driver.drops(), BTreeMap::from([(late, 2)]));
}

#[test]
fn windows_that_cannot_be_are_told_when_the_topology_is_built() {
    let told = |windows: TimeWindows| {
        let builder = StreamsBuilder::new();
        let input = builder.stream("in", Consumed::<String, i64>::new());
        let _counts = input
            .group_by_key(Grouped::new())
            .windowed_by(windows)
            .count();
        builder
            .build()
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let sized = TimeWindows::of_size_with_no_grace;
    assert_eq!(told(sized(ms(10)).advance_by(ms(10))), Ok(()));
    let wrong = BTreeSet::from([
        told(sized(ms(10)).advance_by(ms(11))).unwrap_err(),
        told(sized(ms(10)).advance_by(ms(0))).unwrap_err(),
        told(sized(ms(0))).unwrap_err(),
    ]);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
}

#[test]
fn a_window_that_one_record_makes_twice_is_counted_once_downstream() {
    let builder = StreamsBuilder::new();
    let within = SlidingWindows::of_time_difference_and_grace(ms(7), ms(100));
    builder
        .stream("in", Consumed::<String, i64>::new())
        .group_by_key(Grouped::new())
        .windowed_by(within)
        .count()
        .group_by(
            |row, count: i64| (row.window.start.as_millis(), count),
            Grouped::new(),
        )
        .reduce(|a, b| a + b, |a, b| a - b)
        .to_stream()
        .to("counted", Produced::with(i64(), nullable(i64())));
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", utf8(), i64());
    // [2, 9] begins right behind the first record and ends at the second: it is the right window
    // of the one and the left window of the other.
    for at in [1, 9] {
        input.pipe("a", 1, Timestamp::from_millis(at)).unwrap();
    }
    let counted = driver.output_topic("counted", i64(), i64());
    let last: BTreeMap<_, _> = counted.read_key_values().unwrap().into_iter().collect();
    assert_eq!(last, BTreeMap::from([(0, 1), (2, 1)]));
}
