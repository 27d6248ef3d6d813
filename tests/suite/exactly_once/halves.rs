//! What is refused when a batch closes is found by halves: its neighbours commit, with as many failed
//! attempts as the logarithm of the batch allows, and whoever decides is told what it was.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onceflow_framework::{
    BatchPoint, Context, Fault, Processor, Record, Topology, TopologyBuilder,
    config::{Config, ConfigBuilder},
    handler::{ErrorContext, OnFailedRecord, OnRefusedOutput, Response},
    processor::external::{
        Applied, ExternalBatch, ExternalFault, ExternalSession, ExternalSink, ExternalTask,
    },
    serde,
    state::{KeyValueStore, StoreBuilder},
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Isolation, Outgoing, Program, texts, unique,
    wait::{Stopwatch, holds_for, wait_until},
};

/// How long a search may take, whatever else the machine does.
const SOON: Duration = Duration::from_secs(25);

/// Until the client has fetched what waits.
const FETCHED: Duration = Duration::from_millis(700);

/// What topics take, and what they refuse.
const SMALL: (&str, &str) = ("max.message.bytes", "200000");
const TOO_LARGE: usize = 300_000;

/// Brokers hold the limit of a topic against what travels together: a thousand good records are below
/// it, and nothing is sent before the batch closes; of many more some are.
const THOUSAND: (&str, &str) = ("producer.batch.size", "450000");
const MANY: (&str, &str) = ("producer.batch.size", "150000");

/// The attempts of a worker: how many records each had, and whether it was committed.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    began: bool,
    records: usize,
    ended: Vec<(usize, bool)>,
}

impl Attempts {
    /// Has everything fetched that waits before the first record is processed.
    fn observer(&self) -> impl Fn(BatchPoint) + Send + Sync + use<> {
        let seen = Arc::clone(&self.0);
        move |point| {
            let mut seen = seen.lock().unwrap();
            match point {
                BatchPoint::BeforeBegin => {
                    seen.records = 0;
                    if !std::mem::replace(&mut seen.began, true) {
                        assert!(holds_for(FETCHED, || true), "time passes");
                    }
                }
                BatchPoint::RecordProcessed => seen.records += 1,
                BatchPoint::AfterAbort | BatchPoint::AfterCommit => {
                    let records = seen.records;
                    seen.ended.push((records, point == BatchPoint::AfterCommit));
                }
                _ => {}
            }
        }
    }

    fn of(&self, committed: bool) -> Vec<usize> {
        let ended = &self.0.lock().unwrap().ended;
        let ended = ended.iter().filter(|(_, was)| *was == committed);
        ended.map(|(records, _)| *records).collect()
    }

    /// As few failed as one poison record may cost in the first batch, which held so many at least.
    fn are_few(&self, at_least: usize) {
        let failed = self.of(false);
        let first = *failed.first().expect("an attempt failed");
        assert!(first >= at_least, "a batch of {first}");
        let most = first.next_power_of_two().trailing_zeros() as usize + 1;
        assert!(failed.len() <= most, "{failed:?} are more than {most}");
    }
}

/// `in` → number [numbers] → `out`: the values in their order, each with its number.
struct Lab<'c> {
    cluster: &'c Cluster,
    application: String,
    inputs: Vec<String>,
    output: String,
    dead: String,
    attempts: Attempts,
}

impl<'c> Lab<'c> {
    /// Puts values into topics of one partition each, in turn, a millisecond apart.
    fn new(name: &str, inputs: usize, values: &[String]) -> Self {
        let cluster = Cluster::shared();
        let lab = Lab {
            cluster,
            application: unique(name),
            inputs: (0..inputs).map(|_| cluster.topic("halves-in", 1)).collect(),
            output: cluster.topic_with("halves-out", 1, &[SMALL]),
            dead: cluster.topic("halves-dead", 1),
            attempts: Attempts::default(),
        };
        for (number, input) in lab.inputs.iter().enumerate() {
            let own = (0i64..).zip(values);
            let own = own
                .skip(number)
                .step_by(inputs)
                .map(|(at, value)| Outgoing::value(value).key("k").timestamp(1_000_000 + at));
            cluster.produce(input, own);
        }
        lab
    }

    fn topology(&self) -> Topology {
        let mut builder = TopologyBuilder::new();
        let inputs: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        let source = builder.add_source("in", inputs, Consumed::<String, String>::new());
        let number = builder.add_processor("number", Number::default, &[&source]);
        let store = StoreBuilder::key_value("numbers", serde::utf8(), serde::utf8());
        let store = store.with_changelog_config(SMALL.0, SMALL.1);
        builder.add_state_store(store, &["number"]);
        builder.add_sink("out", self.output.as_str(), Produced::new(), &[&number]);
        builder.build().unwrap()
    }

    fn config(&self) -> ConfigBuilder {
        Config::builder(&self.application, self.cluster.bootstrap_servers())
            .instance_id(&self.application)
            .property("broker.address.family", "v4")
            .commit_interval(Duration::from_secs(3))
            .property(THOUSAND.0, THOUSAND.1)
            // What is refused is told when the batch closes, unless a test wants it earlier.
            .property("producer.linger.ms", "3000")
            .dead_letter_topic(&self.dead)
    }

    /// Runs until everything is consumed; answers how many records were dropped.
    fn run(&self, topology: Topology, config: ConfigBuilder) -> u64 {
        let watch = Stopwatch::start();
        let observer = self.attempts.observer();
        let program = Program::observed(topology, config.build().unwrap(), observer).unwrap();
        program.wait_until_running();
        self.wait_until_consumed();
        assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
        let drops = program.app().metrics().dropped_total();
        program.close().unwrap();
        drops
    }

    fn wait_until_consumed(&self) {
        wait_until("all is consumed", || {
            self.inputs.iter().all(|input| {
                let committed = self.cluster.committed(&self.application, input);
                let all = Isolation::ReadUncommitted;
                let (_, end) = self.cluster.watermarks(input, 0, all);
                committed.get(&0).is_some_and(|at| at.offset == end)
            })
        });
    }

    fn sold(&self) -> Vec<String> {
        texts(&self.cluster.settled(&self.output))
    }

    fn buried(&self) -> Vec<String> {
        texts(&self.cluster.settled(&self.dead))
    }
}

/// Values of which these are poison of a kind.
fn values(count: usize, kind: &str, poison: &[usize]) -> Vec<String> {
    let value = |at: usize| match poison.contains(&at) {
        true => format!("{kind} {at}"),
        false => format!("good {at}"),
    };
    (0..count).map(value).collect()
}

/// What is sold of them: a large output has a number, a heavy row has none.
fn numbered(values: &[String]) -> Vec<String> {
    let numbered = (1..).zip(values.iter().filter(|value| !value.starts_with("heavy")));
    let told = numbered.filter(|(_, value)| !value.starts_with("large"));
    told.map(|(number, value)| format!("{number} {value}"))
        .collect()
}

fn poison_of(values: &[String]) -> Vec<String> {
    let poison = values.iter().filter(|value| !value.starts_with("good"));
    poison.cloned().collect()
}

#[derive(Default)]
struct Number(Option<KeyValueStore<String, String>>);

impl Processor for Number {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("numbers")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        let before = store.get(&record.key)?.unwrap_or_default();
        let number = before.parse::<u64>().unwrap_or(0) + 1;
        let (large, heavy) = (
            record.value.starts_with("large"),
            record.value.starts_with("heavy"),
        );
        let padded = |text: String, pad: bool| if pad { "x".repeat(TOO_LARGE) } else { text };
        store.put(&record.key, &padded(number.to_string(), heavy))?;
        let told = format!("{number} {}", record.value);
        ctx.forward(record.with_value(padded(told, large)))
    }
}

/// What a handler was told, a line a failure.
type Told = Arc<Mutex<Vec<String>>>;

fn telling(
    told: &Told,
    dead: &str,
) -> impl Fn(&ErrorContext<'_>) -> Response + Send + Sync + use<> {
    let (told, dead) = (Arc::clone(told), dead.to_owned());
    move |failure| {
        let position = (failure.topic(), failure.partition(), failure.offset());
        let (Some(_), Some(partition), Some(offset)) = position else {
            panic!("it is not told where: {:?}", failure.error());
        };
        let input = failure.input().and_then(|input| input.value);
        let input = String::from_utf8_lossy(input.unwrap_or_default()).into_owned();
        let (stage, node) = (failure.stage(), failure.node().unwrap_or("-"));
        let error = failure.error();
        let line = format!(
            "{stage:?} {node} {partition} {} '{input}': {error}",
            offset.get()
        );
        told.lock().unwrap().push(line);
        Response::resume_with(failure.dead_letter(&dead))
    }
}

/// Wherever it stands, the handler is asked about it once, with its position and the cause.
#[test]
fn one_refused_output_costs_the_logarithm_of_its_batch_and_its_neighbours_commit() {
    for at in [0, 617, 999] {
        let values = values(1_000, "large", &[at]);
        let lab = Lab::new("halves-one", 1, &values);
        let told = Told::default();
        let config = lab.config().on_refused_output(telling(&told, &lab.dead));
        assert_eq!(lab.run(lab.topology(), config), 1);
        lab.attempts.are_few(900);
        assert_eq!(lab.sold(), numbered(&values));
        assert_eq!(lab.buried(), [format!("large {at}")]);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("Production out 0 {at} 'large {at}'")),
            "{told:?}"
        );
        assert!(told[0].contains("max.message.bytes"), "{told:?}");
    }
}

/// A row too large for its changelog, which the broker says and not the client: nothing of its record
/// stays.
#[test]
fn a_refused_changelog_record_is_the_failure_of_the_record_that_wrote_it() {
    let values = values(1_000, "heavy", &[421]);
    let lab = Lab::new("halves-row", 1, &values);
    let told = Told::default();
    let config = lab.config().on_failed_record(telling(&told, &lab.dead));
    assert_eq!(lab.run(lab.topology(), config), 1);
    assert_eq!(lab.sold(), numbered(&values));
    assert_eq!(lab.buried(), ["heavy 421"]);
    lab.attempts.are_few(900);
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("Processing - 0 421 'heavy 421'"),
        "{told:?}"
    );
    assert!(told[0].contains("numbers-changelog"), "{told:?}");
}

#[test]
fn each_of_several_refused_outputs_is_found_and_records_of_two_inputs_stay_in_their_order() {
    let poison = [0, 1, 77, 500, 501, 998];
    let values = values(1_000, "large", &poison);
    let lab = Lab::new("halves-some", 2, &values);
    let config = lab.config().on_refused_output(OnRefusedOutput::Continue);
    let config = config.max_task_idle(Some(Duration::from_secs(1)));
    assert_eq!(lab.run(lab.topology(), config), 6);
    assert_eq!(lab.sold(), numbered(&values));
    assert_eq!(lab.buried(), poison_of(&values));
    let failed = lab.attempts.of(false);
    assert!(failed.len() <= 6 * (10 + 1), "{failed:?}");
}

/// More than one turn of the worker lies behind the poison: librdkafka has told of it before the
/// batch closes, at a record that has no part in it.
#[test]
fn a_refusal_that_is_told_in_the_middle_of_a_batch_is_not_laid_at_the_next_record() {
    let values = values(6_000, "large", &[0]);
    let lab = Lab::new("halves-early", 1, &values);
    let told = Told::default();
    let config = lab.config().on_refused_output(telling(&told, &lab.dead));
    let config = config
        .property("producer.linger.ms", "0")
        .property(MANY.0, MANY.1);
    assert_eq!(lab.run(lab.topology(), config), 1);
    assert_eq!(lab.sold(), numbered(&values));
    assert_eq!(lab.buried(), ["large 0"]);
    assert_eq!(told.lock().unwrap().len(), 1);
    let committed = lab.attempts.of(true);
    let largest = committed.iter().max().unwrap();
    assert!(*largest >= 500, "batches grow back: {committed:?}");
}

/// Without anybody who goes on, nothing is tried again.
#[test]
fn where_nobody_goes_on_the_first_refusal_stops_the_application() {
    let lab = Lab::new("halves-fail", 1, &values(100, "large", &[50]));
    let config = Config::builder(&lab.application, lab.cluster.bootstrap_servers())
        .instance_id(&lab.application)
        .property("broker.address.family", "v4");
    let config = config.build().unwrap();
    let watch = Stopwatch::start();
    let observer = lab.attempts.observer();
    let error = Program::observed(lab.topology(), config, observer)
        .unwrap()
        .failure();
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    assert!(error.to_string().contains(&lab.output), "{error}");
    assert!(lab.attempts.of(true).is_empty() && lab.sold().is_empty());
}

/// One handler goes on and the other does not: the one that is concerned decides, and knows where.
#[test]
fn a_handler_that_fails_has_the_position_of_what_was_refused_and_what_was_before_it_stands() {
    let values = values(200, "large", &[150]);
    let lab = Lab::new("halves-mixed", 1, &values);
    let config = lab.config().on_failed_record(OnFailedRecord::Continue);
    let program = Program::observed(
        lab.topology(),
        config.build().unwrap(),
        lab.attempts.observer(),
    );
    let error = program.unwrap().failure();
    let position = error.position().expect("it says where");
    assert_eq!(position.offset.get(), 150, "{error}");
    assert_eq!(error.node(), Some("out"), "{error}");
    let sold = lab.sold();
    assert_eq!(sold, numbered(&values)[..sold.len()]);
    assert!(lab.buried().is_empty());
}

/// Keeps rows, and refuses a batch with a bad one without saying which that is.
#[derive(Clone, Default)]
struct Blind(Arc<Mutex<Vec<String>>>);

impl ExternalSink<String, String> for Blind {
    type Session = Blind;

    fn open(&self, _: &ExternalTask) -> Result<(Blind, Applied), ExternalFault> {
        Ok((self.clone(), Applied::Unknown))
    }
}

impl ExternalSession<String, String> for Blind {
    type Row = String;

    fn row(&mut self, record: &Record<String, String>) -> Result<String, Fault> {
        Ok(record.value.clone())
    }

    fn commit(
        &mut self,
        batch: &ExternalBatch<'_, String>,
        _within: Duration,
    ) -> Result<(), ExternalFault> {
        if batch.rows.iter().any(|row| row.row.contains("bad")) {
            return Err(ExternalFault::RefusedBatch("one of them is bad".into()));
        }
        let rows = batch.rows.iter().map(|row| row.row.clone());
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }
}

#[test]
fn a_system_that_does_not_say_which_row_it_refuses_gets_the_others() {
    for poison in [vec![333], vec![0, 256, 257, 699]] {
        let values = values(700, "bad", &poison);
        let lab = Lab::new("halves-blind", 1, &values);
        let blind = Blind::default();
        let mut builder = TopologyBuilder::new();
        let inputs = [lab.inputs[0].as_str()];
        let source = builder.add_source("in", inputs, Consumed::<String, String>::new());
        builder.add_external_sink("blind", blind.clone(), &[&source]);
        let told = Told::default();
        let config = lab.config().on_failed_record(telling(&told, &lab.dead));
        let drops = lab.run(builder.build().unwrap(), config);
        assert_eq!(drops, poison.len() as u64);
        assert_eq!(*blind.0.lock().unwrap(), {
            let mut good = values.clone();
            good.retain(|value| value.starts_with("good"));
            good
        });
        assert_eq!(lab.buried(), poison_of(&values));
        if poison.len() == 1 {
            lab.attempts.are_few(600);
        }
        let told = told.lock().unwrap();
        assert_eq!(told.len(), poison.len(), "{told:?}");
        for (told, at) in told.iter().zip(poison) {
            assert!(
                told.starts_with(&format!("Processing blind 0 {at} 'bad {at}'")),
                "{told}"
            );
            assert!(told.contains("one of them is bad"), "{told}");
        }
    }
}

/// The worker is asked to end while it looks for poison: it leaves cleanly, and whoever comes next
/// goes on from what is committed.
#[test]
fn a_search_that_is_broken_off_by_a_close_is_taken_up_by_the_next() {
    let values = values(600, "large", &[400]);
    let lab = Lab::new("halves-close", 1, &values);
    let config = || {
        lab.config()
            .on_refused_output(OnRefusedOutput::Continue)
            .build()
            .unwrap()
    };
    let seen = lab.attempts.observer();
    let slow = move |point| {
        seen(point);
        if point == BatchPoint::AfterCommit || point == BatchPoint::AfterAbort {
            assert!(holds_for(FETCHED, || true), "time passes");
        }
    };
    let first = Program::observed(lab.topology(), config(), slow).unwrap();
    wait_until("it is at it", || !lab.attempts.of(false).is_empty());
    first.close().unwrap();
    let sold = lab.sold();
    assert!(sold.len() < 599, "it was broken off");
    assert_eq!(sold, numbered(&values)[..sold.len()]);
    let second = Program::start(lab.topology(), config()).unwrap();
    lab.wait_until_consumed();
    second.close().unwrap();
    assert_eq!(lab.sold(), numbered(&values));
    assert_eq!(lab.buried(), ["large 400"]);
}
