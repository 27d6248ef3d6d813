//! A mistake in the setup is an error within seconds that names the thing and the remedy: never a
//! hang, never a silent drop.

use std::{net::TcpListener, time::Duration};

use onceflow_broker::{ApiKey, ErrorCode};
use onceflow_framework::{
    Context, Error, ErrorKind, Fault, Processor, Record, Topology, TopologyBuilder, serde,
    state::StoreBuilder,
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Outgoing, Program,
    ledger::{BALANCES, Ledger, no_hook},
    wait::Stopwatch,
};

use super::program;

/// How long a mistake may take to be told.
const SOON: Duration = Duration::from_secs(10);

/// The error says all of this.
fn assert_says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "'{text}' does not say '{word}'");
    }
}

/// The error that the ledger's application fails to start with, soon.
fn start_error(ledger: &Ledger<'_>) -> Error {
    let watch = Stopwatch::start();
    let config = ledger.config("a").build().unwrap();
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let error = Program::start(topology, config).expect_err("it does not start");
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    error
}

#[test]
fn an_unknown_input_topic_is_named() {
    let mut ledger = Ledger::new(Cluster::shared(), "no-input", 1);
    ledger.topics.input = "nobody-made-this-input".to_owned();
    let error = start_error(&ledger);
    assert_says(
        &error,
        ErrorKind::Topics,
        &["nobody-made-this-input", "create"],
    );
}

#[test]
fn an_unknown_output_topic_is_named() {
    let mut ledger = Ledger::new(Cluster::shared(), "no-output", 1);
    ledger.topics.totals = "nobody-made-this-output".to_owned();
    let error = start_error(&ledger);
    assert_says(
        &error,
        ErrorKind::Topics,
        &["nobody-made-this-output", "create"],
    );
}

#[test]
fn a_broker_that_is_down_at_the_start_is_named() {
    let ledger = Ledger::new(Cluster::shared(), "no-broker", 1);
    // Bound and given back: nothing listens there.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let watch = Stopwatch::start();
    let config = ledger
        .config("a")
        .property("bootstrap.servers", nobody.to_string())
        .property("startup.timeout.ms", "1500")
        .build()
        .unwrap();
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let error = Program::start(topology, config).expect_err("there is no broker");
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    assert_says(
        &error,
        ErrorKind::Unreachable,
        &[&nobody.to_string(), "bootstrap.servers"],
    );
}

#[test]
fn a_repartition_topic_with_another_count_is_named() {
    let ledger = Ledger::new(Cluster::shared(), "wrong-hop", 2);
    ledger.cluster.create_topic(&ledger.repartition(), 3, &[]);
    let error = start_error(&ledger);
    assert_says(
        &error,
        ErrorKind::Topics,
        &[&ledger.repartition(), "3 partitions", "2", "delete"],
    );
}

#[test]
fn a_changelog_with_another_count_is_named() {
    let ledger = Ledger::new(Cluster::shared(), "wrong-log", 2);
    let changelog = ledger.changelog(BALANCES);
    ledger
        .cluster
        .create_topic(&changelog, 1, &[("cleanup.policy", "compact")]);
    let error = start_error(&ledger);
    assert_says(
        &error,
        ErrorKind::Topics,
        &[&changelog, "1 partition", "2", "delete"],
    );
}

/// Forwards what it gets; has a store so that its inputs must meet.
struct Pass;

impl Processor for Pass {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        ctx.forward(record)
    }
}

/// Two inputs that meet in one store.
fn meeting(left: &str, right: &str, output: &str) -> Topology {
    let mut builder = TopologyBuilder::new();
    let left = builder.add_source("left", [left], Consumed::<String, String>::new());
    let right = builder.add_source("right", [right], Consumed::<String, String>::new());
    let pass = builder.add_processor("pass", || Pass, &[&left, &right]);
    let store = StoreBuilder::key_value("store", serde::utf8(), serde::utf8());
    builder.add_state_store(store, &["pass"]);
    builder.add_sink("out", output, Produced::new(), &[&pass]);
    builder.build().unwrap()
}

#[test]
fn inputs_of_one_store_with_different_counts_are_named() {
    let cluster = Cluster::shared();
    let ledger = Ledger::new(cluster, "uneven", 1);
    let (left, right) = (cluster.topic("left", 2), cluster.topic("right", 3));
    let topology = meeting(&left, &right, &ledger.topics.totals);
    let config = ledger.config("a").build().unwrap();
    let error = Program::start(topology, config).expect_err("the counts differ");
    assert_says(
        &error,
        ErrorKind::Topics,
        &[&left, &right, "2", "3", "repartition"],
    );
}

/// Copies one topic to another.
fn copy(input: &str, output: &str) -> Topology {
    let mut builder = TopologyBuilder::new();
    let input = builder.add_source("in", [input], Consumed::<String, String>::new());
    builder.add_sink("out", output, Produced::new(), &[&input]);
    builder.build().unwrap()
}

/// Copies one record into `output`, which does not take it, and answers the error. Nothing of the
/// batch is visible, and its input is not consumed.
fn refusal(cluster: &Cluster, output: &str, value: &str, settings: &[(&str, &str)]) -> Error {
    let ledger = Ledger::new(cluster, "refused", 1);
    let input = &ledger.topics.input;
    let records = [
        Outgoing::value("first").key("k"),
        Outgoing::value(value).key("k"),
    ];
    cluster.produce(input, records);
    let config = ledger
        .config("a")
        .properties(settings.iter().copied())
        .build()
        .unwrap();
    let watch = Stopwatch::start();
    let error = Program::start(copy(input, output), config)
        .unwrap()
        .failure();
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    assert!(
        cluster.settled(output).is_empty(),
        "nothing of the batch is visible"
    );
    assert_eq!(ledger.consumed_to(0), 0, "nothing of the batch is consumed");
    error
}

#[test]
fn a_record_larger_than_its_topic_takes_is_an_error_that_names_both() {
    let cluster = Cluster::shared();
    let output = cluster.topic_with("small", 1, &[("max.message.bytes", "500")]);
    let error = refusal(cluster, &output, &"x".repeat(1_000), &[]);
    assert_says(
        &error,
        ErrorKind::Production,
        &[&output, "max.message.bytes"],
    );
}

#[test]
fn a_record_larger_than_the_client_takes_is_an_error_that_names_both() {
    let cluster = Cluster::shared();
    let output = cluster.topic("client-small", 1);
    let small = [("producer.message.max.bytes", "1000")];
    let error = refusal(cluster, &output, &"x".repeat(2_000), &small);
    assert_says(
        &error,
        ErrorKind::Production,
        &[&output, "message.max.bytes"],
    );
}

#[test]
fn an_input_that_grows_under_way_is_told_and_not_left_unread() {
    let ledger = Ledger::new(Cluster::shared(), "grows", 1);
    ledger.feed(20);
    let config = ledger
        .config("a")
        .property("topic.metadata.refresh.interval.ms", "500");
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let running = Program::start(topology, config.build().unwrap()).unwrap();
    ledger.wait_for_all();
    ledger.cluster.grow_topic(&ledger.topics.input, 2);
    let error = running.failure();
    assert_says(&error, ErrorKind::Topics, &[&ledger.topics.input, "start"]);
    ledger.audit();
}

#[test]
fn a_second_start_of_the_same_handle_is_refused() {
    let ledger = Ledger::new(Cluster::shared(), "twice", 1);
    let running = program(&ledger, no_hook());
    let again = running.start_again().expect_err("it was started before");
    assert_says(&again, ErrorKind::Config, &["started before"]);
    running.wait_until_running();
    running.close().unwrap();
}

/// Said by the embedded broker, which has no access control and is told to refuse; on Apache Kafka
/// the refusal for good is that of the compacted topic below.
#[test]
fn a_topic_that_may_not_be_written_is_an_error_that_names_it() {
    let cluster = Cluster::shared();
    let Some(broker) = cluster.embedded() else {
        return;
    };
    let ledger = Ledger::new(cluster, "forbidden", 1);
    ledger.feed(20);
    let client = format!("{}-a-0-producer", ledger.application);
    let produce = broker.faults().on(ApiKey::Produce).from_client(client);
    let fault = produce.fail(ErrorCode::TopicAuthorizationFailed);
    let watch = Stopwatch::start();
    let error = program(&ledger, no_hook()).failure();
    assert!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
    assert_says(
        &error,
        ErrorKind::Production,
        &["forbidden-", "grant the principal access"],
    );
    broker.faults().remove(fault);
    let allowed = program(&ledger, no_hook());
    ledger.wait_for_all();
    allowed.close().unwrap();
    ledger.audit();
}

/// A refusal that no retry changes: a compacted topic takes no record without a key.
#[test]
fn a_record_that_its_topic_refuses_for_good_is_an_error_that_names_it() {
    let cluster = Cluster::shared();
    let ledger = Ledger::new(cluster, "keyless", 1);
    let output = cluster.topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    cluster.produce(&ledger.topics.input, [Outgoing::value("no key")]);
    let mut builder = TopologyBuilder::new();
    let source = Consumed::<Option<String>, String>::new();
    let input = builder.add_source("in", [ledger.topics.input.as_str()], source);
    builder.add_sink("out", output.as_str(), Produced::new(), &[&input]);
    let config = ledger.config("a").build().unwrap();
    let error = Program::start(builder.build().unwrap(), config)
        .unwrap()
        .failure();
    assert_says(&error, ErrorKind::Production, &[&output]);
    assert_eq!(ledger.consumed_to(0), 0, "nothing of the batch is consumed");
}
