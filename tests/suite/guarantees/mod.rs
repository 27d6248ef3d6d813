//! Each guarantee keeps what its name says, and no more: at most once may lose and never repeats,
//! at least once may repeat and never loses, each shown by crashes that must have that very outcome,
//! so that a guarantee that is stronger or weaker than it is called is noticed.
//!
//! `ONCEFLOW_CHAOS_KILLS` sets how many kills each seed gets, `ONCEFLOW_CHAOS_SEEDS` which seeds
//! (separated by commas): a run that failed says both.

mod at_least_once;
mod at_most_once;
mod side_by_side;
mod chaos;

use onceflow_framework::config::ConfigBuilder;
use onceflow_tests::{
    Program,
    ledger::{Ledger, Tallies, no_hook},
    worker::{At, Worker},
};

/// The worker process under test.
const WORKER: &str = env!("CARGO_BIN_EXE_crash_worker");

/// The settings of a process with this guarantee, and these besides.
fn settings(guarantee: &str, besides: &[(&str, &str)]) -> Vec<(String, String)> {
    let guarantee = [("processing.guarantee", guarantee)];
    let all = guarantee.iter().chain(besides);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A process of this instance, a static member: a successor takes its place at once.
fn worker(ledger: &Ledger<'_>, guarantee: &str, instance: &str, at: Option<At>) -> Worker {
    let settings = settings(guarantee, &[("static.membership", "true")]);
    Worker::with(WORKER, ledger, instance, at, settings)
}

/// A process that the group gives up soonest: Kafka accepts no session below six seconds.
fn member(ledger: &Ledger<'_>, guarantee: &str, instance: &str, at: Option<At>) -> Worker {
    let soonest = [
        ("consumer.max.poll.interval.ms", "6000"),
        ("transaction.timeout.ms", "2000"),
    ];
    let settings = settings(guarantee, &soonest);
    Worker::with(WORKER, ledger, instance, at, settings)
}

/// The ledger's application in this process, named like nothing else on the cluster.
fn config(ledger: &Ledger<'_>, guarantee: &str) -> ConfigBuilder {
    let config = ledger.config(&ledger.application);
    config.property("processing.guarantee", guarantee)
}

/// The `client.id` of that process's consumer.
fn consumer(ledger: &Ledger<'_>) -> String {
    format!("{}-0-consumer", ledger.application)
}

/// The `client.id` of its producer, which is told apart between applications, too.
fn producer(ledger: &Ledger<'_>) -> String {
    format!("{0}-{0}-0-producer", ledger.application)
}

fn start(ledger: &Ledger<'_>, config: ConfigBuilder) -> Program {
    let topology = ledger.topics.topology(no_hook()).unwrap();
    Program::start(topology, config.build().unwrap()).unwrap()
}

/// Dies at the point, goes on as another process, with input before and after; answers how often
/// each entry took effect.
fn dies_and_goes_on(ledger: &Ledger<'_>, guarantee: &str, at: At) -> Tallies {
    ledger.feed(300);
    worker(ledger, guarantee, "a", Some(at)).wait_for_abort();
    ledger.feed(100);
    let successor = worker(ledger, guarantee, "a", None);
    ledger.wait_until_consumed();
    successor.close();
    ledger.tallies()
}

/// Instances with one and two workers join and leave, in one process, while input arrives.
fn join_and_leave_under_load(ledger: &Ledger<'_>, guarantee: &str) {
    let start = |instance: &str, workers: usize| {
        let config = ledger.config(instance).num_stream_threads(workers);
        start(ledger, config.property("processing.guarantee", guarantee))
    };
    let stays = start("stays", 1);
    for round in 0..3 {
        ledger.feed(200);
        let comes = start(&format!("comes-{}", round % 2), 1 + round % 2);
        ledger.feed(200);
        comes.wait_until_running();
        ledger.feed(200);
        comes.close().unwrap();
    }
    ledger.wait_until_consumed();
    stays.close().unwrap();
}
