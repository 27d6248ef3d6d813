//! Asynchronous operators against their synchronous twins, and what becomes of calls that fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceflow::metrics::DropReason;
use onceflow::prelude::*;
use onceflow::test_driver::BatchDriver;
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn wait(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a service that takes its time")]
    tokio::time::sleep(span).await;
}

/// `a=1 b=2`: several records in one, each a key and a value.
fn parts(list: &str) -> Vec<(String, i64)> {
    let parts = list.split_whitespace();
    let parts = parts.filter_map(|part| part.split_once('='));
    parts
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect()
}

/// A record whose value lists others, which are then in process at one time.
fn lists(builder: &StreamsBuilder) -> KStream<String, i64> {
    let lists = builder.stream("in", Consumed::<String, String>::new());
    lists.flat_map(|_, list| parts(&list))
}

fn pipe(driver: &TestDriver, value: &str, at: i64) -> Result<(), Error> {
    let input = driver.input_topic("in", utf8(), utf8());
    input.pipe("k", value, Timestamp::from_millis(at))
}

/// What a topic got: `a=1@0 b=2@0`.
fn history(driver: &TestDriver, topic: &str) -> String {
    let records = driver.output_topic(topic, utf8(), i64()).read_all();
    let told = records.map(|records| {
        let records = records.iter();
        let told = records.map(|r| format!("{}={}@{}", r.key, r.value, r.timestamp.as_millis()));
        told.collect::<Vec<_>>().join(" ")
    });
    told.unwrap_or_else(|error| error.to_string())
}

/// A driver that goes on after failed records.
fn going_on(builder: StreamsBuilder) -> Result<TestDriver, Error> {
    let driver = TestDriver::builder(builder.build()?);
    let driver = driver.on_failed_record(OnFailedRecord::Continue);
    driver.dead_letter_topic("dead").build()
}

#[test]
fn all_calls_are_done_when_the_record_is() {
    let builder = StreamsBuilder::new();
    let waited = lists(&builder).map_values_async(
        |value| async move {
            wait(ms(10_u64.saturating_sub(value.unsigned_abs()))).await;
            Ok(value * 10)
        },
        AsyncCalls::new(),
    );
    waited.to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    pipe(&driver, "a=1 b=2 a=3 c=4", 5).unwrap();
    assert_eq!(history(&driver, "out"), "a=10@5 b=20@5 a=30@5 c=40@5");
}

#[test]
fn names_follow_the_style_of_the_synchronous_ones() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream("in", Consumed::<String, i64>::new());
    let calls = AsyncCalls::new;
    let mapped = stream.map_async(|key, value| async move { Ok((key, value)) }, calls());
    let mapped = mapped.map_values_async(|value| async move { Ok(value) }, calls());
    let mapped = mapped.flat_map_async(|key, value| async move { Ok([(key, value)]) }, calls());
    let mapped = mapped.flat_map_values_async(|value| async move { Ok([value]) }, calls());
    mapped.for_each_async(|_, _| async { Ok(()) }, calls());
    mapped
        .named("told")
        .for_each_async(|_, _| async { Ok(()) }, calls());
    let described = builder.build().unwrap().describe();
    for name in [
        "KSTREAM-MAP-ASYNC-0000000001",
        "KSTREAM-MAPVALUES-ASYNC-0000000002",
        "KSTREAM-FLATMAP-ASYNC-0000000003",
        "KSTREAM-FLATMAPVALUES-ASYNC-0000000004",
        "KSTREAM-FOREACH-ASYNC-0000000005",
        "Processor: told",
    ] {
        assert!(described.contains(name), "no {name} in {described}");
    }
}

/// Counts what has come by key, and forwards all counts every 10 ms of stream time.
#[derive(Default)]
struct Census(Option<KeyValueStore<String, i64>>);

impl Processor for Census {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("census")?);
        ctx.schedule(ms(10), PunctuationKind::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, i64>,
        ctx: &mut Context<String, i64>,
    ) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        let count = store.get(&record.key)?.unwrap_or(0) + 1;
        store.put(&record.key, &count)?;
        // What a result is told of its surroundings, too.
        let at = ctx.position().map_or(-1, |position| position.offset.get());
        ctx.forward(record.with_value(at * 1_000 + ctx.stream_time().as_millis()))
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut Context<String, i64>,
    ) -> Result<(), Fault> {
        for entry in self.0.as_ref().expect("init ran").all() {
            let (key, value) = entry?;
            ctx.forward(Record::new(key, value, now))?;
        }
        Ok(())
    }
}

/// The same stream by a function or by calls, followed by all that could tell them apart.
fn followed(by: impl Fn(KStream<String, i64>) -> KStream<String, i64>) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    builder.add_state_store(StoreBuilder::key_value("census", utf8(), i64()));
    let stream = by(lists(&builder));
    stream
        .process(Census::default, &["census"])
        .to("census", Produced::new());
    stream.to("out", Produced::new());
    let windows = TimeWindows::of_size_with_no_grace(ms(10));
    let counts = stream
        .group_by_key(Grouped::new())
        .windowed_by(windows)
        .count();
    let counts = counts.to_stream().map(|window, count| (window.key, count));
    counts.to("counts", Produced::new());
    builder.build()
}

/// What is piped: lists of parts and their times.
type Lists = Vec<(Vec<(u8, i64)>, i64)>;

fn lists_of_parts() -> impl Strategy<Value = Lists> {
    let part = (0..4_u8, 0..8_i64);
    prop::collection::vec((prop::collection::vec(part, 0..12), 0..40_i64), 0..6)
}

/// What everything that follows got, and where a crash comes in between it loses nothing.
fn answers(topology: Topology, lists: &Lists) -> Result<Vec<String>, Error> {
    let driver = TestDriver::builder(topology);
    let driver = driver.build()?;
    for (parts, at) in lists {
        let parts = parts.iter().map(|(key, value)| format!("{key}={value}"));
        pipe(&driver, &parts.collect::<Vec<_>>().join(" "), *at)?;
        if at % 7 == 0 {
            driver.restart()?;
        }
    }
    let topics = ["out", "census", "counts", "app-census-changelog"];
    Ok(topics.map(|topic| history(&driver, topic)).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_follows_cannot_tell_calls_from_a_function(
        lists in lists_of_parts(),
        in_flight in 1..9_usize,
        overlapping in any::<bool>(),
    ) {
        let by_function = followed(|stream| stream.map(|key, value| (key, value * 3)));
        let by_calls = followed(|stream| {
            let calls = AsyncCalls::new().max_in_flight(in_flight);
            let calls = if overlapping { calls.overlapping() } else { calls };
            stream.map_async(|key, value| async move {
                wait(Duration::from_micros(value.unsigned_abs() * 400)).await;
                Ok((key, value * 3))
            }, calls)
        });
        let (by_function, by_calls) = (by_function.unwrap(), by_calls.unwrap());
        prop_assert_eq!(answers(by_calls, &lists).unwrap(), answers(by_function, &lists).unwrap());
    }

    #[test]
    fn in_key_order_each_key_has_what_it_has_from_a_function(lists in lists_of_parts()) {
        let builder = StreamsBuilder::new();
        let waited = self::lists(&builder).flat_map_values_async(|value| async move {
            wait(Duration::from_micros(value.unsigned_abs() * 400)).await;
            Ok([value, -value])
        }, AsyncCalls::new().in_key_order());
        waited.to("out", Produced::new());
        let driver = TestDriver::new(builder.build().unwrap()).unwrap();
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (parts, at) in &lists {
            let told = parts.iter().map(|(key, value)| format!("{key}={value}"));
            pipe(&driver, &told.collect::<Vec<_>>().join(" "), *at).unwrap();
            for (key, value) in parts {
                expected.entry(key.to_string()).or_default().extend([value, &-value]);
            }
        }
        let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in driver.output_topic("out", utf8(), i64()).read_all().unwrap() {
            by_key.entry(record.key).or_default().push(record.value);
        }
        prop_assert_eq!(by_key, expected);
    }
}

/// Notes what it is told of each record, and each punctuation in between.
struct Witness(Arc<Mutex<Vec<String>>>);

impl Processor for Witness {
    type KeyIn = i64;
    type ValueIn = i64;
    type KeyOut = ();
    type ValueOut = ();

    fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        ctx.schedule(ms(10), PunctuationKind::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<i64, i64>,
        ctx: &mut Context<(), ()>,
    ) -> Result<(), Fault> {
        let told = format!("{record:?} {:?} {:?}", ctx.position(), ctx.stream_time());
        self.0.lock().expect("nobody panics with it").push(told);
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut Context<(), ()>,
    ) -> Result<(), Fault> {
        let told = format!(
            "punctuated {now:?} {:?} {:?}",
            ctx.position(),
            ctx.stream_time()
        );
        self.0.lock().expect("nobody panics with it").push(told);
        Ok(())
    }
}

/// What a witness behind this step is told of one batch of records.
fn witnessed(
    records: &[(i64, i64)],
    by: impl Fn(KStream<i64, i64>) -> KStream<i64, i64>,
) -> Result<Vec<String>, Error> {
    let (builder, told) = (StreamsBuilder::new(), Arc::new(Mutex::new(Vec::new())));
    let witness = Arc::clone(&told);
    by(builder.stream("in", Consumed::new())).process(move || Witness(Arc::clone(&witness)), &[]);
    let mut driver = BatchDriver::new(builder.build()?, 0)?;
    let input = driver.input("in")?;
    for (key, at) in records {
        let (key, at_bytes) = (key.to_be_bytes(), at.to_be_bytes());
        driver.push(
            input,
            Timestamp::from_millis(*at),
            Some(&key),
            Some(&at_bytes),
        );
    }
    driver.commit()?;
    let told = told.lock().expect("nobody panics with it");
    Ok(told.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_result_meets_the_position_and_the_times_of_its_record(
        records in prop::collection::vec((0..5_i64, 0..60_i64), 0..40),
        in_flight in 1..20_usize,
    ) {
        let by_function = witnessed(&records, |stream| stream.map_values(|value| value + 1));
        let by_calls = witnessed(&records, |stream| {
            let calls = AsyncCalls::new().max_in_flight(in_flight);
            stream.map_values_async(|value| async move {
                wait(Duration::from_micros((value.unsigned_abs() * 7) % 5 * 500)).await;
                Ok(value + 1)
            }, calls)
        });
        prop_assert_eq!(by_calls.unwrap(), by_function.unwrap());
    }
}

/// A service that fails the calls of a value until they were made so many times.
#[derive(Clone, Default)]
struct Flaky(Arc<Mutex<BTreeMap<i64, usize>>>);

impl Flaky {
    fn made(&self, value: i64) -> usize {
        self.0
            .lock()
            .expect("nobody panics with it")
            .get(&value)
            .copied()
            .unwrap_or(0)
    }

    async fn ask(&self, value: i64, fails: usize) -> Result<i64, Fault> {
        *self
            .0
            .lock()
            .expect("nobody panics with it")
            .entry(value)
            .or_default() += 1;
        wait(ms(1)).await;
        match self.made(value) > fails {
            true => Ok(value * 10),
            false => Err(Fault::message(format!("{value} is not known yet"))),
        }
    }

    /// Asks with these calls; a value of 7 fails `fails` times.
    fn asked(&self, stream: &KStream<String, i64>, fails: usize, calls: AsyncCalls) {
        let flaky = self.clone();
        let ask = move |value| {
            let flaky = flaky.clone();
            async move { flaky.ask(value, if value == 7 { fails } else { 0 }).await }
        };
        let asked = stream.named("ask").map_values_async(ask, calls);
        asked.to("out", Produced::new());
    }
}

#[test]
fn a_call_that_fails_is_made_again_after_each_pause() {
    let (builder, flaky) = (StreamsBuilder::new(), Flaky::default());
    let calls = AsyncCalls::new().retries(2, Backoff::doubling(ms(1), ms(2)));
    flaky.asked(&lists(&builder), 2, calls);
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    pipe(&driver, "a=7 b=1 a=2", 0).unwrap();
    assert_eq!(history(&driver, "out"), "a=70@0 b=10@0 a=20@0");
    assert_eq!((flaky.made(7), flaky.made(1)), (3, 1));
}

#[test]
fn a_call_that_fails_for_good_names_node_position_and_cause_and_leaves_nothing() {
    let (builder, flaky) = (StreamsBuilder::new(), Flaky::default());
    let calls = AsyncCalls::new().retries(2, Backoff::fixed(ms(1)));
    flaky.asked(&lists(&builder), 3, calls);
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    pipe(&driver, "a=1", 0).unwrap();
    let error = pipe(&driver, "b=2 a=7 c=3", 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an asynchronous call failed, the last of 3 tries (node ask, in-0 at offset 1): \
         7 is not known yet"
    );
    assert_eq!(history(&driver, "out"), "a=10@0");
    pipe(&driver, "d=4", 0).unwrap();
    assert_eq!(
        history(&driver, "out"),
        "a=10@0 d=40@0",
        "results of the failed step are gone"
    );
}

#[test]
fn a_call_that_never_returns_fails_its_record_in_time() {
    let builder = StreamsBuilder::new();
    let calls = AsyncCalls::new().timeout(ms(20));
    let hangs = |value: i64| async move {
        if value == 7 {
            std::future::pending::<()>().await;
        }
        Ok(value)
    };
    let waited = lists(&builder).named("ask").map_values_async(hangs, calls);
    waited.to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let error = pipe(&driver, "a=1 b=7 c=2", 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an asynchronous call took longer than 20ms (node ask, in-0 at offset 0)"
    );
    assert_eq!(history(&driver, "out"), "");
}

#[test]
fn a_call_that_panics_has_failed() {
    let builder = StreamsBuilder::new();
    let panics = |value: i64| {
        assert!(value != 7, "seven at once");
        async move {
            assert!(value != 8, "eight later");
            Ok(value)
        }
    };
    let waited = lists(&builder).map_values_async(panics, AsyncCalls::new());
    waited.to("out", Produced::new());
    let driver = going_on(builder).unwrap();
    pipe(&driver, "a=7 b=1 a=8 a=2", 0).unwrap();
    assert_eq!(history(&driver, "out"), "b=1@0 a=2@0");
    let told: Vec<String> = driver
        .topic_history("dead")
        .iter()
        .filter_map(|letter| {
            letter
                .headers
                .into_iter()
                .find(|h| &*h.key == "__streams.errors.message")
        })
        .map(|header| {
            String::from_utf8_lossy(header.value.as_deref().unwrap_or_default()).into_owned()
        })
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("call panicked: seven at once"), "{told:?}");
    assert!(told[1].contains("call panicked: eight later"), "{told:?}");
}

#[test]
fn a_failed_call_that_is_passed_over_costs_its_own_results_only() {
    let (builder, flaky) = (StreamsBuilder::new(), Flaky::default());
    let stream = lists(&builder);
    stream.to("before", Produced::new());
    flaky.asked(&stream, 1, AsyncCalls::new());
    let driver = going_on(builder).unwrap();
    pipe(&driver, "a=1", 0).unwrap();
    pipe(&driver, "a=7 b=2 a=3", 1).unwrap();
    pipe(&driver, "b=4", 2).unwrap();
    assert_eq!(history(&driver, "out"), "a=10@0 b=20@1 a=30@1 b=40@2");
    // What its record did before the call stays.
    assert_eq!(history(&driver, "before"), "a=1@0 a=7@1 b=2@1 a=3@1 b=4@2");
    let dead = driver
        .output_topic("dead", utf8(), utf8())
        .read_all()
        .unwrap();
    assert_eq!(
        dead.iter().map(|r| &*r.value).collect::<Vec<_>>(),
        ["a=7 b=2 a=3"]
    );
    assert_eq!(
        driver.drops()[&("ask".to_owned(), DropReason::Processing)],
        1
    );
}

#[test]
fn what_fails_after_a_call_is_the_affair_of_the_record_that_called() {
    let builder = StreamsBuilder::new();
    builder.add_state_store(StoreBuilder::key_value("census", utf8(), i64()));
    let waited = lists(&builder).map_values_async(
        |value| async move {
            wait(ms(u64::from(value == 7) * 5)).await;
            Ok(value)
        },
        AsyncCalls::new(),
    );
    // It has counted and forwarded before it fails.
    let counted = waited.process(Census::default, &["census"]);
    counted.to("census", Produced::new());
    waited
        .named("check")
        .for_each(|_, value| assert!(value != 7, "seven"));
    let driver = going_on(builder).unwrap();
    pipe(&driver, "a=1 b=7 a=2", 3).unwrap();
    assert_eq!(history(&driver, "app-census-changelog"), "a=1@3 a=2@3");
    assert_eq!(
        driver.drops()[&("check".to_owned(), DropReason::Processing)],
        1
    );
    assert_eq!(driver.topic_history("dead").len(), 1);
}

#[test]
fn calls_of_a_record_that_is_passed_over_are_taken_back() {
    let builder = StreamsBuilder::new();
    let stream = lists(&builder);
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let calls = move |value| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(value)
        }
    };
    stream
        .map_values_async(calls, AsyncCalls::new())
        .to("out", Produced::new());
    stream.for_each(|_, value| assert!(value != 7, "seven"));
    let driver = going_on(builder).unwrap();
    pipe(&driver, "a=1", 0).unwrap();
    pipe(&driver, "a=2 b=7", 1).unwrap();
    pipe(&driver, "a=3", 2).unwrap();
    assert_eq!(history(&driver, "out"), "a=1@0 a=3@2");
    assert!(made.load(Ordering::SeqCst) >= 2);
}

#[test]
fn calls_after_calls_are_done_with_the_record_too() {
    let builder = StreamsBuilder::new();
    let calls = || AsyncCalls::new().max_in_flight(2);
    let once = lists(&builder).map_async(|key, value| async move { Ok((key, value + 1)) }, calls());
    let twice = once.map_values_async(
        |value| async move {
            wait(ms(1)).await;
            Ok(value * 2)
        },
        calls(),
    );
    twice.to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    pipe(&driver, "a=1 b=2 c=3 a=4 b=5", 0).unwrap();
    assert_eq!(history(&driver, "out"), "a=4@0 b=6@0 c=8@0 a=10@0 b=12@0");
}
