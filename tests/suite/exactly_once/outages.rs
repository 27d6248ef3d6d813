//! The broker dies, hangs, or loses connections while batches are open.
//!
//! Each test harms a broker of its own.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use onceflow_broker::Coordinator;
use onceflow_framework::config::ConfigBuilder;
use onceflow_tests::{
    Cluster, Dice, Program,
    ledger::{Ledger, no_hook},
    wait::holds_for,
};

use super::outlast_transaction;

/// Lets time pass while workers work.
fn pass(span: Duration) {
    assert!(holds_for(span, || true), "time passes");
}

fn start(ledger: &Ledger<'_>, config: ConfigBuilder) -> Program {
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let program = Program::start(topology, config.build().unwrap()).unwrap();
    program.wait_until_running();
    program
}

#[test]
fn a_broker_that_is_killed_and_restarted_loses_nothing() {
    let cluster = Cluster::start();
    let ledger = Ledger::new(&cluster, "killed", 2);
    let program = start(&ledger, ledger.config("a"));
    let mut sent = 0;
    for _ in 0..2 {
        ledger.feed(300);
        ledger.wait_for(sent + 1);
        cluster.kill();
        pass(Duration::from_millis(300));
        cluster.restart();
        sent += 300;
    }
    ledger.feed(100);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn a_broker_that_hangs_is_waited_for() {
    let cluster = Cluster::start();
    let ledger = Ledger::new(&cluster, "hangs", 2);
    let program = start(&ledger, ledger.config("a"));
    for round in 0..2 {
        ledger.feed(300);
        ledger.wait_for(300 * round + 1);
        cluster.pause();
        pass(Duration::from_millis(2_500));
        cluster.resume();
    }
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

/// Longer than transactions and sessions live: everything has to be begun anew.
#[test]
fn a_broker_that_hangs_for_longer_than_transactions_and_sessions_loses_nothing() {
    let cluster = Cluster::start();
    let ledger = Ledger::new(&cluster, "hangs-long", 2);
    let config = ledger
        .config("a")
        .property("transaction.timeout.ms", "2000");
    let program = start(&ledger, config);
    ledger.feed(300);
    ledger.wait_for(1);
    cluster.pause();
    pass(Duration::from_millis(7_000));
    cluster.resume();
    ledger.feed(100);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn connections_that_are_cut_at_random_moments_lose_nothing() {
    let seed = 11;
    let mut dice = Dice::from_seed(seed);
    let cluster = Cluster::start();
    let ledger = Ledger::seeded(&cluster, "cut", 2, seed);
    let config = ledger
        .config("a")
        .property("bootstrap.servers", cluster.lossy_servers());
    let program = start(&ledger, config);
    for _ in 0..20 {
        ledger.feed(40);
        pass(dice.millis(1, 60));
        cluster.cut_connections();
    }
    ledger.feed(40);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

/// The coordinators load, then move, one after the other. librdkafka waits without end for a group's
/// coordinator that cannot be found for a few milliseconds: the worker must not.
#[test]
fn coordinators_that_are_away_are_waited_for() {
    let cluster = Cluster::start();
    let ledger = Ledger::new(&cluster, "coordinator", 2);
    let program = start(&ledger, ledger.config("a"));
    for which in [Coordinator::Group, Coordinator::Transaction] {
        ledger.feed(200);
        send_away(&cluster, which);
    }
    ledger.feed(100);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

/// Apache Kafka with its one node cannot lose one coordinator: all of it starts again.
fn send_away(cluster: &Cluster, which: Coordinator) {
    let Some(broker) = cluster.embedded() else {
        cluster.restart();
        return;
    };
    let away = Duration::from_millis(700);
    broker.faults().load_coordinator(which, away);
    pass(away / 2);
    broker.faults().move_coordinator(which, away);
    pass(away);
}

/// A processor that takes longer than its transaction may: the broker has aborted it by then.
#[test]
fn a_batch_that_outlasts_its_transaction_is_processed_again() {
    let ledger = Ledger::new(Cluster::shared(), "outlasts", 2);
    ledger.feed(100);
    let slow = Arc::new(AtomicBool::new(false));
    let config = ledger
        .config("a")
        .property("transaction.timeout.ms", "1000")
        .build()
        .unwrap();
    let topology = ledger.topics.topology(outlast_transaction(&slow)).unwrap();
    let program = Program::start(topology, config).unwrap();
    ledger.wait_for_all();
    ledger.feed(100);
    ledger.wait_for_all();
    assert!(
        slow.load(std::sync::atomic::Ordering::Relaxed),
        "a batch was slow"
    );
    program.close().unwrap();
    ledger.audit();
}

/// Down for good after the start: the application fails within its task time-out, and says so.
#[test]
fn a_broker_that_never_comes_back_is_an_error_within_the_task_timeout() {
    let cluster = Cluster::start();
    let ledger = Ledger::new(&cluster, "gone", 1);
    ledger.feed(20);
    let config = ledger
        .config("a")
        .property("task.timeout.ms", "3000")
        .property("transaction.timeout.ms", "2000")
        .build()
        .unwrap();
    // Slow enough that the broker goes in the middle of it: without work nobody misses a broker.
    let unhurried = Arc::new(|_: &str, _: u64, _: i64| {
        pass(Duration::from_millis(1));
        Ok(())
    });
    let topology = ledger.topics.topology(unhurried).unwrap();
    let program = Program::start(topology, config).unwrap();
    ledger.wait_for_all();
    ledger.feed(2_000);
    ledger.wait_for(21);
    cluster.kill();
    let error = program.failure();
    let text = error.to_string();
    assert!(
        text.contains(&ledger.application),
        "'{text}' does not say whose transaction"
    );
    cluster.restart();
    let again = super::program(&ledger, no_hook());
    ledger.wait_for_all();
    again.close().unwrap();
    ledger.audit();
}
