//! Windowed aggregations and joins of their tables behind a repartition topic, on several
//! partitions, against naive re-computations over the whole history: every kind of window with
//! every aggregation, records out of order, caches, crashes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onceflow::prelude::*;
use proptest::prelude::*;

/// Whose, how much, when; and whether a crash follows.
type Event = (u8, i64, i64, bool);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..4u8, 1..9i64, 0..60i64, prop::bool::weighted(0.1));
    prop::collection::vec(event, 0..30)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Time { size: i64, advance: i64 },
    Sliding { difference: i64 },
    Session { gap: i64 },
    Unlimited,
}

fn kinds() -> impl Strategy<Value = Kind> {
    let time = (1..20i64, 1..20i64).prop_map(|(size, advance)| Kind::Time {
        size,
        advance: advance.min(size),
    });
    prop_oneof![
        time,
        (1..15i64).prop_map(|difference| Kind::Sliding { difference }),
        (1..10i64).prop_map(|gap| Kind::Session { gap }),
        Just(Kind::Unlimited),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Fold {
    Count,
    Greatest,
    Sum,
}

fn folds() -> impl Strategy<Value = Fold> {
    prop::sample::select(vec![Fold::Count, Fold::Greatest, Fold::Sum])
}

impl Fold {
    fn of(self, values: &[i64]) -> i64 {
        match self {
            Fold::Count => i64::try_from(values.len()).expect("a short history"),
            Fold::Greatest => *values.iter().max().expect("a window has records"),
            Fold::Sum => values.iter().sum(),
        }
    }
}

/// By key, and start of the window; a session also has an end.
type Rows = BTreeMap<String, i64>;

fn name(who: u8, start: i64, end: i64) -> String {
    format!("{who} {start} {end}")
}

/// The windows of one key's records: start, end, and what is in them.
fn windows(kind: Kind, records: &[(i64, i64)]) -> Vec<(i64, i64, Vec<i64>)> {
    let times: BTreeSet<i64> = records.iter().map(|(when, _)| *when).collect();
    let spans: BTreeSet<(i64, i64)> = match kind {
        Kind::Unlimited => times.iter().map(|_| (0, i64::MAX)).collect(),
        Kind::Time { size, advance } => {
            let around =
                |when: i64| (0..=when).filter(move |s| s % advance == 0 && s + size > when);
            let spans = times.iter().flat_map(|when| around(*when));
            spans.map(|start| (start, start + size)).collect()
        }
        Kind::Sliding { difference } => {
            let starts = |when: i64| [(when - difference).max(0), when + 1];
            let spans = times.iter().flat_map(|when| starts(*when));
            spans.map(|start| (start, start + difference)).collect()
        }
        Kind::Session { gap } => {
            let mut spans: Vec<(i64, i64)> = Vec::new();
            for when in &times {
                match spans.last_mut() {
                    Some((_, end)) if when - *end <= gap => *end = *when,
                    _ => spans.push((*when, *when)),
                }
            }
            spans.into_iter().collect()
        }
    };
    let is_open = matches!(kind, Kind::Time { .. });
    let within = |(start, end): (i64, i64)| {
        let there = records
            .iter()
            .filter(|(when, _)| start <= *when && (*when < end || *when == end && !is_open));
        let values: Vec<i64> = there.map(|(_, what)| *what).collect();
        (!values.is_empty()).then_some((start, end, values))
    };
    spans.into_iter().filter_map(within).collect()
}

/// What a look at all records says.
fn naive(kind: Kind, fold: Fold, events: &[Event]) -> Rows {
    let mut rows = Rows::new();
    for who in 0..4u8 {
        let own = events.iter().filter(|event| event.0 == who);
        let records: Vec<(i64, i64)> = own.map(|event| (event.2, event.1)).collect();
        for (start, end, values) in windows(kind, &records) {
            rows.insert(name(who, start, end), fold.of(&values));
        }
    }
    rows
}

type Counted = KTable<Windowed<String>, i64>;

fn in_time(windowed: &TimeWindowedKStream<String, i64>, fold: Fold) -> Counted {
    match fold {
        Fold::Count => windowed.count(),
        Fold::Greatest => windowed.reduce(i64::max),
        Fold::Sum => windowed.aggregate(|| 0, |_, more, sum| sum + more, Materialized::new()),
    }
}

fn in_sessions(windowed: &SessionWindowedKStream<String, i64>, fold: Fold) -> Counted {
    let add = |_: &String, one: i64, two: i64| one + two;
    match fold {
        Fold::Count => windowed.count(),
        Fold::Greatest => windowed.reduce(i64::max),
        Fold::Sum => windowed.aggregate(|| 0, add, add, Materialized::new()),
    }
}

/// Aggregates in windows that wait for all records.
fn aggregate(grouped: &KGroupedStream<String, i64>, kind: Kind, fold: Fold) -> Counted {
    let ms = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    let grace = ms(1_000);
    match kind {
        Kind::Time { size, advance } => {
            let windows = TimeWindows::of_size_and_grace(ms(size), grace).advance_by(ms(advance));
            in_time(&grouped.windowed_by(windows), fold)
        }
        Kind::Sliding { difference } => {
            let windows = SlidingWindows::of_time_difference_and_grace(ms(difference), grace);
            in_time(&grouped.windowed_by(windows), fold)
        }
        Kind::Session { gap } => {
            let windows = SessionWindows::of_inactivity_gap_and_grace(ms(gap), grace);
            in_sessions(&grouped.windowed_by(windows), fold)
        }
        Kind::Unlimited => in_time(&grouped.windowed_by(UnlimitedWindows::of()), fold),
    }
}

/// Plays events, which are keyed by their number, on three partitions; answers the last rows of `out`.
fn last_rows(
    table: impl FnOnce(KGroupedStream<String, i64>) -> KTable<Windowed<String>, i64>,
    is_cached: bool,
    events: &[Event],
) -> Result<Rows, Error> {
    let builder = StreamsBuilder::new();
    let input = builder.stream(
        "in",
        Consumed::<String, (String, i64)>::with(utf8(), json()),
    );
    let by_owner = input.map(|_, (who, what)| (who, what));
    let table = table(by_owner.group_by_key(Grouped::new()));
    let text = |key: &Windowed<String>, _: &Option<i64>| {
        format!("{} {} {}", key.key, key.window.start, key.window.end)
    };
    let out = table.to_stream().select_key(text);
    out.to("out", Produced::with(utf8(), nullable(i64())));
    let bytes = if is_cached { 1 << 20 } else { 0 };
    let topology = builder.build_with(&BuildOptions::new().with_cache_bytes(bytes))?;
    let driver = TestDriver::builder(topology).partitions("in", 3).build()?;
    let input = driver.input_topic("in", utf8(), json::<(String, i64)>());
    for (number, (who, what, when, crashes)) in events.iter().enumerate() {
        let at = Timestamp::from_millis(*when);
        input.pipe(number.to_string(), (who.to_string(), *what), at)?;
        if *crashes {
            driver.restart()?;
        }
    }
    let mut rows = Rows::new();
    let out = driver.output_topic("out", utf8(), nullable(i64()));
    for (key, value) in out.read_key_values()? {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
    Ok(rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_in_windows_are_those_of_the_whole_history(
        events in events(), kind in kinds(), fold in folds(), is_cached: bool,
    ) {
        let rows = last_rows(|grouped| aggregate(&grouped, kind, fold), is_cached, &events).unwrap();
        prop_assert_eq!(rows, naive(kind, fold, &events));
    }

    #[test]
    fn tables_in_windows_join_row_by_row(
        events in events(), kind in kinds(), (one, two) in (folds(), folds()), is_inner: bool,
    ) {
        // Small rows have no partner: 0 stands for it where the join has a use for that.
        let rows = last_rows(|grouped| {
            let left = aggregate(&grouped, kind, one);
            let right = aggregate(&grouped, kind, two).filter(|_, value| *value > 3);
            match is_inner {
                true => left.join(&right, |l: i64, r: i64| 100 * l + r),
                false => left.left_join(&right, |l: i64, r: Option<i64>| 100 * l + r.unwrap_or(0)),
            }
        }, false, &events).unwrap();
        let (left, right) = (naive(kind, one, &events), naive(kind, two, &events));
        let partner = |key: &String| right.get(key).copied().filter(|value| *value > 3);
        let joined = left.iter().filter_map(|(key, l)| match (partner(key), is_inner) {
            (None, true) => None,
            (r, _) => Some((key.clone(), 100 * l + r.unwrap_or(0))),
        });
        prop_assert_eq!(rows, joined.collect::<Rows>());
    }

    #[test]
    fn a_record_meets_the_last_row_of_a_global_table(
        inputs in prop::collection::vec((any::<bool>(), 0..4u8, prop::option::of(0..9i64)), 0..30),
        is_left: bool,
    ) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream("in", Consumed::<String, String>::new());
        let table: GlobalKTable<String, i64> = builder.global_table("rows", Consumed::new());
        let select = |_: &String, named: &String| named.clone();
        let joined = match is_left {
            true => stream.left_join_global(&table, select, |_, _, r: Option<i64>| r.unwrap_or(-1), Joined::<String, String>::new()),
            false => stream.join_global(&table, select, |_, _, r: i64| r, Joined::<String, String>::new()),
        };
        joined.to("out", Produced::with(utf8(), i64()));
        let driver = TestDriver::builder(builder.build().unwrap()).partitions("in", 3).build().unwrap();
        let records = driver.input_topic("in", utf8(), utf8());
        let table = driver.input_topic("rows", utf8(), nullable(i64()));
        let out = driver.output_topic("out", utf8(), i64());
        let (mut rows, mut expected, mut told) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (number, (is_row, key, value)) in inputs.iter().enumerate() {
            if *is_row {
                table.pipe(key.to_string(), *value, Timestamp::from_millis(1)).unwrap();
                rows.insert(*key, *value);
                continue;
            }
            records.pipe(number.to_string(), key.to_string(), Timestamp::from_millis(1)).unwrap();
            let row = rows.get(key).copied().flatten();
            expected.extend(row.or(is_left.then_some(-1)).map(|row| (number.to_string(), row)));
            told.extend(out.read_key_values().unwrap());
        }
        prop_assert_eq!(told, expected);
    }
}
