//! Poison among good records, and a handler that goes on: its neighbours are processed once, and it
//! is in the topic of dead letters, all in the transactions that consume it.

use std::time::Duration;

use onceflow_framework::{
    Config, Context, Fault, Processor, Record, Topology, TopologyBuilder,
    processor::OnFailedRecord,
    serde,
    state::{KeyValueStore, StoreBuilder},
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Outgoing, Program, texts, unique,
    wait::{Stopwatch, wait_until},
};

const RECORDS: usize = 10_000;

/// Numbers what it gets, and fails after it has written, by error or by panic.
#[derive(Default)]
struct Number(Option<KeyValueStore<String, i64>>);

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
        let number = store.get(&record.key)?.unwrap_or(0) + 1;
        store.put(&record.key, &number)?;
        let kind = record.value.clone();
        ctx.forward(record.with_value(format!("{number} {kind}")))?;
        if kind.starts_with("error") {
            return Err(Fault::message("poison"));
        }
        assert!(!kind.starts_with("panic"), "poison");
        Ok(())
    }
}

/// Two inputs, one after the other by their times, into one store.
struct Lab<'c> {
    cluster: &'c Cluster,
    application: String,
    inputs: [String; 2],
    output: String,
    dead: String,
    records: usize,
}

impl<'c> Lab<'c> {
    /// Every `poison_every`-th record is poison, if any is.
    fn new(cluster: &'c Cluster, poison_every: Option<usize>) -> Self {
        Lab::of(cluster, RECORDS, poison_every)
    }

    fn of(cluster: &'c Cluster, records: usize, poison_every: Option<usize>) -> Self {
        let lab = Lab {
            cluster,
            records,
            application: unique("poison"),
            inputs: ["left", "right"].map(|name| cluster.topic(name, 1)),
            output: cluster.topic("good", 1),
            dead: cluster.topic("dead", 1),
        };
        let kind = |number: usize| match poison_every {
            Some(every) if number % every == every / 2 => match number / every % 2 {
                0 => "error",
                _ => "panic",
            },
            _ => "good",
        };
        for (side, input) in lab.inputs.iter().enumerate() {
            let numbers = (0..records).filter(|number| number % 2 == side);
            let records = numbers.map(|number| {
                let timestamp = 1_000_000 + i64::try_from(number).unwrap();
                Outgoing::value(format!("{} {number}", kind(number)))
                    .key("k")
                    .timestamp(timestamp)
            });
            cluster.produce(input, records);
        }
        lab
    }

    fn topology(&self) -> Topology {
        let mut builder = TopologyBuilder::new();
        let [left, right] = ["left", "right"].map(|name| name.to_owned());
        let inputs = [(left, &self.inputs[0]), (right, &self.inputs[1])].map(|(name, topic)| {
            let consumed = Consumed::<String, String>::new();
            builder.add_source(&name, [topic.as_str()], consumed)
        });
        let node = builder.add_processor("number", Number::default, &[&inputs[0], &inputs[1]]);
        let store = StoreBuilder::key_value("numbers", serde::utf8(), serde::i64());
        builder.add_state_store(store, &["number"]);
        builder.add_sink("out", self.output.as_str(), Produced::new(), &[&node]);
        builder.build().unwrap()
    }

    /// Runs until everything is consumed; answers how long that took, and the drops.
    fn run(&self) -> (Duration, u64) {
        let config = Config::builder(&self.application, self.cluster.bootstrap_servers())
            .instance_id(&self.application)
            .property("broker.address.family", "v4")
            .on_failed_record(OnFailedRecord::Continue)
            .dead_letter_topic(&self.dead)
            .build()
            .unwrap();
        let watch = Stopwatch::start();
        let program = Program::start(self.topology(), config).unwrap();
        let half = i64::try_from(self.records / 2).unwrap();
        wait_until("all is consumed", || {
            self.inputs.iter().all(|input| {
                let committed = self.cluster.committed(&self.application, input);
                committed.get(&0).is_some_and(|at| at.offset == half)
            })
        });
        let took = watch.elapsed();
        let drops = program.app().metrics().dropped_total();
        program.close().unwrap();
        (took, drops)
    }
}

#[test]
fn poison_is_buried_and_its_neighbours_are_processed_once() {
    let lab = Lab::new(Cluster::shared(), Some(100));
    let (_, drops) = lab.run();
    assert_eq!(drops, 100);
    let is_poison = |number: usize| number % 100 == 50;
    let good = (0..RECORDS).filter(|number| !is_poison(*number));
    let good: Vec<String> = good.map(|number| format!("good {number}")).collect();
    let mut found = texts(&lab.cluster.settled(&lab.output));
    // Numbered without a gap: poison has left nothing in the store.
    for (index, text) in found.iter_mut().enumerate() {
        let (number, rest) = text.split_once(' ').unwrap();
        assert_eq!(number, (index + 1).to_string(), "{text}");
        *text = rest.to_owned();
    }
    // The two inputs are merged by time among what is at hand: all of them, each once.
    found.sort_by_key(|text| number_of(text));
    assert_eq!(found, good);
    let letters = lab.cluster.settled(&lab.dead);
    let mut buried: Vec<usize> = letters
        .iter()
        .map(|letter| number_of(&letter.text()))
        .collect();
    buried.sort_unstable();
    let poison: Vec<usize> = (0..RECORDS).filter(|number| is_poison(*number)).collect();
    assert_eq!(buried, poison);
    for letter in &letters {
        let offset = number_of(&letter.text()) / 2;
        let told = letter
            .headers
            .iter()
            .find(|(name, _)| name.ends_with("offset"));
        let told = told.and_then(|(_, value)| value.clone()).unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), offset.to_string());
    }
}

fn number_of(text: &str) -> usize {
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Puts off all that it gets, as a record cache does.
#[derive(Default)]
struct PutsOff(Vec<Record<String, String>>);

impl Processor for PutsOff {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        _: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let is_poison = record.value == "poison";
        self.0.push(record);
        match is_poison {
            true => Err(Fault::message("poison")),
            false => Ok(()),
        }
    }

    fn flush(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.0.drain(..).try_for_each(|record| ctx.forward(record))
    }
}

#[test]
fn what_neighbours_of_poison_have_put_off_comes_all_the_same() {
    let cluster = Cluster::shared();
    let (input, output) = (cluster.topic("put-off", 1), cluster.topic("came", 1));
    cluster.produce_values(&input, ["a", "b", "poison", "c"]);
    let mut builder = TopologyBuilder::new();
    let consumed = Consumed::<Option<String>, String>::new();
    let source = builder.add_source("in", [input.as_str()], consumed);
    let keyed = builder.add_processor("keyed", || Keyed, &[&source]);
    let node = builder.add_processor("puts-off", PutsOff::default, &[&keyed]);
    builder.add_sink("out", output.as_str(), Produced::new(), &[&node]);
    let application = unique("put-off");
    let config = Config::builder(&application, cluster.bootstrap_servers())
        .instance_id(&application)
        .property("broker.address.family", "v4")
        .on_failed_record(OnFailedRecord::Continue)
        .build()
        .unwrap();
    let program = Program::start(builder.build().unwrap(), config).unwrap();
    wait_until("all is consumed", || {
        let committed = cluster.committed(&application, &input);
        committed.get(&0).is_some_and(|at| at.offset == 4)
    });
    program.close().unwrap();
    assert_eq!(texts(&cluster.settled(&output)), ["a", "b", "c"]);
}

/// Gives every record a key.
struct Keyed;

impl Processor for Keyed {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<Option<String>, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        ctx.forward(record.with_key("k".to_owned()))
    }
}

/// Best of three: others use the machine, too.
#[test]
fn poison_does_not_halve_the_throughput() {
    let best = |poison_every| {
        let runs = (0..3).map(|_| Lab::new(Cluster::shared(), poison_every).run().0);
        runs.min().unwrap()
    };
    let (clean, poisoned) = (best(None), best(Some(100)));
    assert!(poisoned < clean * 2, "{poisoned:?}, clean {clean:?}");
}

/// One in a hundred of a hundred thousand: exactly those are buried, and it takes at most twice as
/// long as none.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "its figures are what it is for")]
fn rate_of_a_hundred_thousand_records_with_and_without_poison() {
    const MANY: usize = 100_000;
    let run = |poison_every| {
        let lab = Lab::of(Cluster::shared(), MANY, poison_every);
        let (took, drops) = lab.run();
        let letters = lab.cluster.settled(&lab.dead).len();
        assert_eq!(u64::try_from(letters).unwrap(), drops);
        let sold = lab.cluster.settled(&lab.output).len();
        assert_eq!(sold + letters, MANY);
        (took, letters)
    };
    let ((clean, none), (poisoned, letters)) = (run(None), run(Some(100)));
    assert_eq!((none, letters), (0, MANY / 100));
    let rate = |took: Duration| MANY as f64 / took.as_secs_f64();
    eprintln!(
        "clean {clean:?} ({:.0}/s), one in a hundred poison {poisoned:?} ({:.0}/s)",
        rate(clean),
        rate(poisoned)
    );
    assert!(poisoned < clean * 2, "{poisoned:?}, clean {clean:?}");
}
