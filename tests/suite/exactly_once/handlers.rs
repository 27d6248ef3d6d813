//! Handlers of the user's own, against a broker: whatever they answer, each record takes effect once
//! or is given up once, and its neighbours commit.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use onceflow_framework::{
    App, Context, Error, Fault, Processor, Record, State, Timestamp, Topology, TopologyBuilder,
    config::{Config, ConfigBuilder, Guarantee},
    handler::{
        ErrorContext, FailureScope, OnFailedRecord, OnRefusedOutput, Response, Retry,
        UncaughtResponse,
    },
    processor::{Punctuation, PunctuationKind},
    serde,
    state::{KeyValueStore, StoreBuilder},
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Outgoing, Program, texts, unique,
    wait::{Stopwatch, eventually, wait_until},
};

type Text = Record<String, String>;
type TextContext = Context<String, String>;

/// What a shop does to a record.
type Work = Arc<dyn Fn(Text, &mut TextContext) -> Result<(), Fault> + Send + Sync>;

/// `in` → work → `out`, and a topic of dead letters.
struct Shop<'c> {
    cluster: &'c Cluster,
    application: String,
    input: String,
    output: String,
    dead: String,
}

impl<'c> Shop<'c> {
    fn new(name: &str, partitions: i32) -> Self {
        Shop::with_output(name, partitions, &[])
    }

    fn with_output(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::shared();
        Shop {
            cluster,
            application: unique(name),
            input: cluster.topic("goods", partitions),
            output: cluster.topic_with("sold", 1, settings),
            dead: cluster.topic("dead", 1),
        }
    }

    fn feed(&self, partition: i32, values: &[&str]) {
        let records = values
            .iter()
            .map(|value| Outgoing::value(value).key("k").partition(partition));
        self.cluster.produce(&self.input, records);
    }

    fn config(&self) -> ConfigBuilder {
        Config::builder(&self.application, self.cluster.bootstrap_servers())
            .instance_id(&self.application)
            .property("broker.address.family", "v4")
            .property("consumer.session.timeout.ms", "6000")
    }

    fn topology(
        &self,
        work: impl Fn(Text, &mut TextContext) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Topology {
        let mut builder = TopologyBuilder::new();
        let consumed = Consumed::<String, String>::new();
        let input = builder.add_source("in", [self.input.as_str()], consumed);
        let work: Work = Arc::new(work);
        let node = builder.add_processor("work", move || Works(Arc::clone(&work)), &[&input]);
        builder.add_sink("out", self.output.as_str(), Produced::new(), &[&node]);
        builder.build().unwrap()
    }

    fn wait_until_consumed(&self, partition: i32, offset: i64) {
        wait_until("all is consumed", || {
            let committed = self.cluster.committed(&self.application, &self.input);
            committed
                .get(&partition)
                .is_some_and(|at| at.offset == offset)
        });
    }

    fn sold(&self) -> Vec<String> {
        texts(&self.cluster.settled(&self.output))
    }

    fn buried(&self) -> Vec<String> {
        texts(&self.cluster.settled(&self.dead))
    }
}

struct Works(Work);

impl Processor for Works {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&mut self, record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
        (self.0)(record, ctx)
    }
}

/// Sends each record, and a copy of it that is large where it says so.
fn sell(record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
    ctx.forward(record.clone())?;
    let copy = match record.value.starts_with("large") {
        true => "x".repeat(5_000),
        false => format!("{} again", record.value),
    };
    ctx.forward(record.with_value(copy))
}

const GOODS: [&str; 7] = ["a", "large 1", "b", "c", "large 2", "large 3", "d"];

/// What is sold of them where nothing large can be.
fn small_ones() -> Vec<String> {
    let sold = GOODS
        .iter()
        .flat_map(|goods| match goods.starts_with("large") {
            true => vec![(*goods).to_owned()],
            false => vec![(*goods).to_owned(), format!("{goods} again")],
        });
    sold.collect()
}

fn large_outputs_are_left_out(shop: &Shop<'_>, config: ConfigBuilder) {
    shop.feed(0, &GOODS);
    let config = config
        .on_refused_output(OnRefusedOutput::Continue)
        .dead_letter_topic(&shop.dead);
    let program = Program::start(shop.topology(sell), config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, 7);
    assert_eq!(program.app().metrics().dropped_total(), 3);
    program.close().unwrap();
    assert_eq!(shop.sold(), small_ones());
    assert_eq!(shop.buried(), ["large 1", "large 2", "large 3"]);
}

#[test]
fn an_output_that_the_client_refuses_is_left_out_and_its_neighbours_commit() {
    let shop = Shop::new("too-large", 1);
    let config = shop.config().property("producer.message.max.bytes", "2000");
    large_outputs_are_left_out(&shop, config);
}

/// The broker refuses all records that travel together with one that is too large.
#[test]
fn an_output_that_the_broker_refuses_is_found_and_left_out_and_its_neighbours_commit() {
    let shop = Shop::with_output("refused", 1, &[("max.message.bytes", "2000")]);
    let config = shop.config();
    large_outputs_are_left_out(&shop, config);
}

/// Both handlers go on, and nothing is taken back: what a record sent before it failed stays, without
/// the output that the broker refuses.
#[test]
fn a_node_that_fails_keeps_what_it_sent_but_for_what_the_broker_refuses() {
    let shop = Shop::with_output("kept", 1, &[("max.message.bytes", "2000")]);
    shop.feed(0, &GOODS);
    let sell_and_fail = |record: Text, ctx: &mut TextContext| {
        let is_large = record.value.starts_with("large");
        sell(record, ctx)?;
        assert!(!is_large, "that was too much");
        Ok(())
    };
    let config = shop
        .config()
        .on_refused_output(OnRefusedOutput::Continue)
        .on_failed_record(OnFailedRecord::Continue)
        .failure_scope(FailureScope::Node)
        .dead_letter_topic(&shop.dead);
    let program = Program::start(shop.topology(sell_and_fail), config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, 7);
    assert_eq!(program.app().metrics().dropped_total(), 6);
    program.close().unwrap();
    assert_eq!(shop.sold(), small_ones());
    let twice = [
        "large 1", "large 1", "large 2", "large 2", "large 3", "large 3",
    ];
    assert_eq!(shop.buried(), twice);
}

/// Where a write stays though its record fails, it must be in the changelog: there is no going on.
#[test]
fn a_row_too_large_for_its_changelog_stops_an_application_that_keeps_what_failed() {
    let cluster = Cluster::shared();
    let (application, input) = (unique("large-row"), cluster.topic("rows", 1));
    cluster.produce(&input, [Outgoing::value("x").key("k")]);
    let mut builder = TopologyBuilder::new();
    let consumed = Consumed::<String, String>::new();
    let source = builder.add_source("in", [input.as_str()], consumed);
    builder.add_processor("keeps", Keeps::default, &[&source]);
    let store = StoreBuilder::key_value("rows", serde::utf8(), serde::utf8());
    builder.add_state_store(store, &["keeps"]);
    let config = Config::builder(&application, cluster.bootstrap_servers())
        .instance_id(&application)
        .property("broker.address.family", "v4")
        .property("producer.message.max.bytes", "2000")
        .on_failed_record(OnFailedRecord::Continue)
        .failure_scope(FailureScope::Node);
    let program = Program::start(builder.build().unwrap(), config.build().unwrap()).unwrap();
    let failure = program.failure().to_string();
    assert!(failure.contains("message.max.bytes"), "{failure}");
    assert!(failure.contains("at offset 0"), "{failure}");
}

/// Keeps a row that is large.
#[derive(Default)]
struct Keeps(Option<KeyValueStore<String, String>>);

impl Processor for Keeps {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("rows")?);
        Ok(())
    }

    fn process(&mut self, record: Text, _: &mut TextContext) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        Ok(store.put(&record.key, &record.value.repeat(5_000))?)
    }
}

/// Without transactions outputs may repeat, and are left out all the same.
#[test]
fn at_least_once_an_output_that_the_broker_refuses_is_left_out_and_none_else() {
    let shop = Shop::with_output("refused-alo", 1, &[("max.message.bytes", "2000")]);
    shop.feed(0, &GOODS);
    let config = shop
        .config()
        .guarantee(Guarantee::AtLeastOnce)
        .on_refused_output(OnRefusedOutput::Continue)
        .dead_letter_topic(&shop.dead);
    let program = Program::start(shop.topology(sell), config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, 7);
    program.close().unwrap();
    let set = |texts: Vec<String>| texts.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(shop.sold()), set(small_ones()));
    let large = ["large 1", "large 2", "large 3"].map(str::to_owned);
    assert_eq!(set(shop.buried()), BTreeSet::from(large));
}

#[test]
fn a_refused_output_stops_the_application_at_its_input_unless_a_handler_goes_on() {
    let shop = Shop::new("too-large-fails", 1);
    shop.feed(0, &GOODS);
    let config = shop.config().property("producer.message.max.bytes", "2000");
    let program = Program::start(shop.topology(sell), config.build().unwrap()).unwrap();
    let failure = program.failure().to_string();
    assert!(failure.contains("node out"), "{failure}");
    assert!(failure.contains("at offset 1"), "{failure}");
    assert!(failure.contains("message.max.bytes"), "{failure}");
}

/// Fails so many times at `flaky`, as if a service were away.
fn flaky(
    failures: u32,
) -> (
    Arc<AtomicU32>,
    impl Fn(Text, &mut TextContext) -> Result<(), Fault> + Send + Sync,
) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let work = move |record: Text, ctx: &mut TextContext| {
        let is_flaky = record.value == "flaky";
        ctx.forward(record)?;
        match is_flaky && counted.fetch_add(1, Ordering::Relaxed) < failures {
            true => Err(Fault::transient("the service is away")),
            false => Ok(()),
        }
    };
    (calls, work)
}

/// The pauses together are longer than a member may stay away from its group.
#[test]
fn a_record_is_tried_again_while_others_commit_and_the_worker_stays_in_its_group() {
    let shop = Shop::new("retried", 2);
    shop.feed(0, &["a", "flaky", "b"]);
    let (calls, work) = flaky(3);
    let pause = Duration::from_secs(3);
    let config = shop
        .config()
        .property("consumer.max.poll.interval.ms", "6500")
        .transaction_timeout(Duration::from_secs(5))
        .retry(Retry::times(3).first_pause(pause).max_pause(pause));
    let program = Program::start(shop.topology(work), config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, 1);
    let watch = Stopwatch::start();
    let mut fed = 0;
    wait_until("the record has passed", || {
        assert_eq!(
            program.app().state(),
            State::Running,
            "it stays in its group"
        );
        if calls.load(Ordering::Relaxed) < 3 {
            shop.feed(1, &["other"]);
            fed += 1;
            shop.wait_until_consumed(1, fed);
        }
        calls.load(Ordering::Relaxed) == 4
    });
    assert!(watch.elapsed() > pause * 2, "it has waited");
    assert!(fed > 3, "others went on meanwhile");
    shop.wait_until_consumed(0, 3);
    program.close().unwrap();
    let mut sold = shop.sold();
    sold.retain(|text| text != "other");
    assert_eq!(sold, ["a", "flaky", "b"]);
}

#[test]
fn a_record_that_stays_away_is_given_up_within_the_time_of_its_attempts() {
    let shop = Shop::new("stays-away", 1);
    shop.feed(0, &["a", "flaky", "b"]);
    let (calls, work) = flaky(u32::MAX);
    let retry = Retry::times(4).first_pause(Duration::from_millis(100));
    let dead = shop.dead.clone();
    let config = shop
        .config()
        .retry(retry)
        .on_failed_record(move |failure: &ErrorContext<'_>| {
            assert_eq!(failure.attempt(), 5);
            Response::resume_with(failure.dead_letter(&dead))
        });
    let watch = Stopwatch::start();
    let program = Program::start(shop.topology(work), config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, 3);
    assert!(
        watch.elapsed() > retry.total_pause(),
        "{:?}",
        watch.elapsed()
    );
    program.close().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    assert_eq!(shop.sold(), ["a", "b"]);
    assert_eq!(shop.buried(), ["flaky"]);
}

/// Whatever the guarantee: without a failure of anything else there is nothing to lose or to repeat.
#[test]
fn a_record_is_tried_again_under_the_weaker_guarantees_too() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::AtMostOnce] {
        let shop = Shop::new("retried-weaker", 1);
        shop.feed(0, &["a", "flaky", "b"]);
        let (calls, work) = flaky(2);
        let config = shop
            .config()
            .guarantee(guarantee)
            .retry(Retry::times(2).first_pause(Duration::from_millis(300)));
        let program = Program::start(shop.topology(work), config.build().unwrap()).unwrap();
        wait_until("the record has passed", || {
            calls.load(Ordering::Relaxed) == 3
        });
        wait_until("all is sold", || shop.sold().len() == 3);
        program.close().unwrap();
        assert_eq!(shop.sold(), ["a", "flaky", "b"], "{guarantee}");
    }
}

#[test]
fn a_handler_that_panics_stops_the_application_with_both_causes_and_nothing_is_lost() {
    let shop = Shop::new("panics", 1);
    shop.feed(0, &["a", "bad", "b"]);
    let work = |record: Text, ctx: &mut TextContext| match record.value.as_str() {
        "bad" => Err(Fault::message("it is bad")),
        _ => ctx.forward(record),
    };
    let panics = |_: &ErrorContext<'_>| -> Response { panic!("out of luck") };
    let config = shop.config().on_failed_record(panics).build().unwrap();
    let program = Program::start(shop.topology(work), config).unwrap();
    let failure = program.failure().to_string();
    for part in ["out of luck", "it is bad", "node work", "at offset 1"] {
        assert!(failure.contains(part), "{part} is missing in: {failure}");
    }
    let goes_on = |_: &ErrorContext<'_>| Response::Resume(Vec::new());
    let config = shop.config().on_failed_record(goes_on).build().unwrap();
    let program = Program::start(shop.topology(work), config).unwrap();
    shop.wait_until_consumed(0, 3);
    program.close().unwrap();
    assert_eq!(shop.sold(), ["a", "b"]);
}

fn replacing(topology: Topology, config: ConfigBuilder) -> Program {
    let app = App::new(topology, config.build().unwrap()).unwrap();
    Program::start_app(app.uncaught_exception_handler(|error: &Error| {
        match error.to_string().contains("for good") {
            true => UncaughtResponse::ShutdownClient,
            false => UncaughtResponse::ReplaceThread,
        }
    }))
    .unwrap()
}

#[test]
fn a_worker_is_replaced_until_it_gets_past_the_record_and_each_takes_effect_once() {
    let shop = Shop::new("replaced", 2);
    shop.feed(0, &["a", "flaky", "b"]);
    shop.feed(1, &["c", "d"]);
    let (calls, work) = flaky(3);
    let program = replacing(shop.topology(work), shop.config());
    shop.wait_until_consumed(0, 3);
    shop.wait_until_consumed(1, 2);
    assert_eq!(program.app().metrics().replaced_workers(), 3);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    wait_until("it runs again", || program.app().state() == State::Running);
    program.close().unwrap();
    let sold = shop.sold();
    let expected = ["a", "flaky", "b", "c", "d"].map(str::to_owned);
    assert_eq!(sold.len(), expected.len(), "{sold:?}");
    assert_eq!(
        sold.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(expected)
    );
}

#[test]
fn a_worker_that_is_not_replaced_stops_the_application_and_one_at_rest_can_be_closed() {
    let shop = Shop::new("not-replaced", 1);
    shop.feed(0, &["bad"]);
    let work = |_: Text, _: &mut TextContext| Err(Fault::message("broken for good"));
    let program = replacing(shop.topology(work), shop.config());
    assert!(program.failure().to_string().contains("for good"));

    let work = |_: Text, _: &mut TextContext| Err(Fault::message("broken"));
    let program = replacing(shop.topology(work), shop.config());
    eventually("it was replaced some times", || {
        (program.app().metrics().replaced_workers() >= 4).then_some(())
    });
    program.close().unwrap();
    assert!(shop.sold().is_empty());
}

/// Fails at each punctuation of stream time.
struct NoTicks;

impl Processor for NoTicks {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut TextContext) -> Result<(), Fault> {
        ctx.schedule(Duration::from_millis(10), PunctuationKind::StreamTime);
        Ok(())
    }

    fn process(&mut self, record: Text, ctx: &mut TextContext) -> Result<(), Fault> {
        ctx.forward(record)
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        now: Timestamp,
        ctx: &mut TextContext,
    ) -> Result<(), Fault> {
        ctx.forward(Record::new("tick".to_owned(), "tick".to_owned(), now))?;
        Err(Fault::message("no tick"))
    }
}

#[test]
fn a_punctuation_that_is_given_up_costs_no_record_that_waits_at_another_input() {
    const RECORDS: i64 = 50;
    let shop = Shop::new("no-ticks", 1);
    let other = shop.cluster.topic("other-goods", 1);
    for (first, topic) in [(0, &shop.input), (1, &other)] {
        let numbers = (0..RECORDS).map(|number| 2 * number + first);
        let records = numbers.map(|number| {
            let record = Outgoing::value(number.to_string()).key("k");
            record.timestamp(1_000_000 + 10 * number)
        });
        shop.cluster.produce(topic, records);
    }
    let mut builder = TopologyBuilder::new();
    let inputs = [("left", &shop.input), ("right", &other)].map(|(name, topic)| {
        let consumed = Consumed::<String, String>::new();
        builder.add_source(name, [topic.as_str()], consumed)
    });
    let node = builder.add_processor("ticks", || NoTicks, &[&inputs[0], &inputs[1]]);
    builder.add_sink("out", shop.output.as_str(), Produced::new(), &[&node]);
    let config = shop
        .config()
        .on_failed_record(OnFailedRecord::Continue)
        .dead_letter_topic(&shop.dead);
    let topology = builder.build().unwrap();
    let program = Program::start(topology, config.build().unwrap()).unwrap();
    shop.wait_until_consumed(0, RECORDS);
    wait_until("the other input is consumed", || {
        let committed = shop.cluster.committed(&shop.application, &other);
        committed.get(&0).is_some_and(|at| at.offset == RECORDS)
    });
    assert!(program.app().metrics().dropped_total() > 0, "ticks failed");
    program.close().unwrap();
    let sold: BTreeSet<String> = shop.sold().into_iter().collect();
    let expected: BTreeSet<String> = (0..2 * RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(sold, expected);
    assert!(shop.buried().is_empty(), "a punctuation has no record");
}
