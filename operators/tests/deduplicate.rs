//! Deduplication against a naive recomputation: every record that went through, looked at again.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

use std::time::Duration;

use onceflow::metrics::DropReason;
use onceflow::prelude::*;
use proptest::prelude::*;

const SPAN: i64 = 10;

fn millis(span: i64) -> Duration {
    Duration::from_millis(span.unsigned_abs())
}

/// Deduplicates the values of a stream; a value of `""` has no id.
fn topology(deduplicated: Deduplicated<String>) -> Topology {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, String>::new());
    let id = |_: &String, value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let once = input.named("once").deduplicate(id, deduplicated);
    once.to("out", Produced::new());
    builder.build().unwrap()
}

/// What came, `a@10 b@12 ...`; `|` is a crash.
fn check(grace: i64, came: &str, through: &str, dropped: &[(DropReason, u64)]) {
    let once = Deduplicated::within(millis(SPAN)).with_grace(millis(grace));
    let driver = TestDriver::new(topology(once)).unwrap();
    let input = driver.input_topic("in", utf8(), utf8());
    for event in came.split_whitespace() {
        let Some((id, at)) = event.split_once('@') else {
            driver.restart().unwrap();
            continue;
        };
        let at = Timestamp::from_millis(at.parse().unwrap());
        input.pipe("k", id, at).unwrap();
    }
    let out = driver
        .output_topic("out", utf8(), utf8())
        .read_all()
        .unwrap();
    let out = out
        .iter()
        .map(|r| format!("{}@{}", r.value, r.timestamp.as_millis()));
    assert_eq!(out.collect::<Vec<_>>().join(" "), through);
    let drops: Vec<_> = driver.drops().into_iter().collect();
    let drops: Vec<_> = drops
        .iter()
        .map(|((_, reason), count)| (*reason, *count))
        .collect();
    assert_eq!(drops, dropped);
}

const TWICE: DropReason = DropReason::Duplicate;

#[test]
fn a_repeat_within_the_span_is_dropped_and_one_after_it_goes_through() {
    check(0, "a@10 a@20 a@21", "a@10 a@21", &[(TWICE, 1)]);
}

#[test]
fn a_repeat_does_not_prolong_the_span() {
    check(0, "a@0 a@10 a@11", "a@0 a@11", &[(TWICE, 1)]);
}

#[test]
fn a_record_that_is_earlier_than_the_first_is_a_repeat_of_it() {
    check(50, "a@20 a@10 a@9", "a@20 a@9", &[(TWICE, 1)]);
}

#[test]
fn ids_do_not_know_of_each_other() {
    check(0, "a@1 b@1 aa@1 a@1", "a@1 b@1 aa@1", &[(TWICE, 1)]);
}

#[test]
fn what_has_no_id_goes_through_however_late() {
    check(0, "@1 @1 a@50 @2", "@1 @1 a@50 @2", &[]);
}

#[test]
fn a_record_behind_the_grace_is_dropped_as_late_whatever_its_id() {
    check(
        5,
        "a@20 b@15 b@14 c@14",
        "a@20 b@15",
        &[(DropReason::Late, 2)],
    );
}

#[test]
fn what_went_through_is_known_after_a_crash() {
    check(0, "a@10 | a@15 b@15 | b@20", "a@10 b@15", &[(TWICE, 2)]);
}

#[test]
fn the_stream_time_that_decides_what_is_late_survives_a_crash() {
    check(
        5,
        "a@100 | b@94 b@95",
        "a@100 b@95",
        &[(DropReason::Late, 1)],
    );
}

#[test]
fn deduplication_by_a_key_that_was_changed_is_refused_until_it_is_repartitioned() {
    let once = || Deduplicated::<String>::within(millis(SPAN));
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, String>::new());
    let rekeyed = input.select_key(|_, value| value.clone());
    rekeyed
        .deduplicate_by_key(once())
        .to("out", Produced::new());
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("repartition the stream before"), "{error}");

    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, String>::new());
    let rekeyed = input.select_key(|_, value| value.clone());
    let spread = rekeyed.repartition(Repartitioned::new().with_name("spread"));
    spread.deduplicate_by_key(once()).to("out", Produced::new());
    let driver = TestDriver::builder(builder.build().unwrap()).partitions("in", 4);
    let driver = driver.build().unwrap();
    let input = driver.input_topic("in", utf8(), utf8());
    for key in 0..8 {
        input
            .pipe(key.to_string(), "a".to_owned(), Timestamp::from_millis(0))
            .unwrap();
    }
    let out = driver
        .output_topic("out", utf8(), utf8())
        .read_all()
        .unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn a_null_key_is_no_repeat() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<Option<String>, i64>::new());
    let once = Deduplicated::<String>::within(millis(SPAN));
    input.deduplicate_by_key(once).to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", nullable(utf8()), i64());
    for key in [None, Some("a"), None, Some("a")] {
        input
            .pipe(key.map(str::to_owned), 1, Timestamp::from_millis(0))
            .unwrap();
    }
    let out = driver.output_topic("out", nullable(utf8()), i64());
    assert_eq!(out.read_all().unwrap().len(), 3);
}

#[test]
fn the_optimizer_does_not_move_a_repartition_topic_above_a_deduplication() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, String>::new());
    let rekeyed = input.select_key(|_, value| value.clone());
    let once = Deduplicated::within(millis(SPAN));
    let once = rekeyed
        .named("once")
        .deduplicate(|_, value| value.clone(), once);
    once.group_by_key(Grouped::new())
        .count_with(Materialized::as_store("counts"));
    let optimized = BuildOptions::new().with_optimization();
    let described = builder.build_with(&optimized).unwrap().describe();
    let at = |part: &str| described.find(part).unwrap();
    assert!(at("once") < at("counts-repartition"), "{described}");
}

/// What came: which id (0: none), when, whether a crash follows.
type Event = (u8, i64, bool);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_goes_through_is_what_a_look_at_all_of_it_says(
        events in prop::collection::vec((0..4u8, 0..80i64, prop::bool::weighted(0.1)), 0..60),
        grace in 0..40i64,
    ) {
        let once = Deduplicated::within(millis(SPAN)).with_grace(millis(grace));
        let driver = TestDriver::new(topology(once)).unwrap();
        let input = driver.input_topic("in", utf8(), utf8());
        let name = |id: u8| if id == 0 { String::new() } else { id.to_string() };
        let mut expected: Vec<(String, i64)> = Vec::new();
        let (mut now, mut late, mut twice) = (i64::MIN, 0, 0);
        for (id, at, crashes) in events {
            let event: Event = (id, at, crashes);
            input.pipe("k".to_owned(), name(event.0), Timestamp::from_millis(at)).unwrap();
            if crashes {
                driver.restart().unwrap();
            }
            now = now.max(at);
            let near = |(other, then): &(String, i64)| {
                *other == name(id) && (then - at).abs() <= SPAN
            };
            if id != 0 && at < now - grace {
                late += 1;
            } else if id != 0 && expected.iter().any(near) {
                twice += 1;
            } else {
                expected.push((name(id), at));
            }
        }
        let out = driver.output_topic("out", utf8(), utf8()).read_all().unwrap();
        let out: Vec<_> = out.into_iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
        prop_assert_eq!(out, expected);
        let drops = driver.drops();
        let count = |reason| drops.get(&("once".to_owned(), reason)).copied().unwrap_or(0);
        prop_assert_eq!((count(DropReason::Late), count(TWICE)), (late, twice));
    }
}
