//! Partitions change hands in the middle of batches, under load.

use std::time::Duration;

use onceflow_tests::{
    Cluster, Dice, Program,
    ledger::{Ledger, no_hook},
    wait::holds_for,
    worker::Worker,
};

use super::WORKER;

/// A dynamic member: it leaves the group when it closes.
fn member(ledger: &Ledger<'_>, instance: &str) -> Worker {
    Worker::with(WORKER, ledger, instance, None, [])
}

#[test]
fn three_workers_in_one_process_share_the_partitions() {
    let ledger = Ledger::new(Cluster::shared(), "threads", 4);
    ledger.feed(300);
    let config = ledger.config("a").num_stream_threads(3).build().unwrap();
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let program = Program::start(topology, config).unwrap();
    program.wait_until_running();
    ledger.feed(600);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

/// In one process: joins and leaves of instances with one and two workers, while input arrives.
#[test]
fn instances_join_and_leave_under_load() {
    let ledger = Ledger::new(Cluster::shared(), "join-leave", 4);
    let start = |instance: &str, workers: usize| {
        let config = ledger
            .config(instance)
            .num_stream_threads(workers)
            .build()
            .unwrap();
        Program::start(ledger.topics.topology(no_hook()).unwrap(), config).unwrap()
    };
    let stays = start("stays", 1);
    for round in 0..4 {
        ledger.feed(200);
        let comes = start(&format!("comes-{}", round % 2), 1 + round % 2);
        ledger.feed(200);
        comes.wait_until_running();
        ledger.feed(200);
        comes.close().unwrap();
    }
    ledger.wait_for_all();
    stays.close().unwrap();
    ledger.audit();
}

/// Three processes, of which some one leaves or comes at moments that the dice choose.
#[test]
fn three_processes_come_and_go_under_load() {
    let seed = 3;
    let mut dice = Dice::from_seed(seed);
    let ledger = Ledger::seeded(Cluster::shared(), "processes", 4, seed);
    let mut members: [Option<Worker>; 3] = [None, None, None];
    for _ in 0..10 {
        let slot = usize::try_from(dice.below(3)).unwrap();
        match members[slot].take() {
            Some(leaving) => leaving.close(),
            None => members[slot] = Some(member(&ledger, &format!("m{slot}"))),
        }
        ledger.feed(100);
        let span = dice.millis(20, 400);
        assert!(holds_for(span, || true), "load in between");
    }
    if members.iter().all(Option::is_none) {
        members[0] = Some(member(&ledger, "m0"));
    }
    ledger.wait_for_all();
    members.into_iter().flatten().for_each(Worker::close);
    ledger.audit();
}

/// The survivor waits for the dead one's session to end, and then for nothing else.
#[test]
fn a_survivor_takes_over_from_a_killed_process() {
    let ledger = Ledger::new(Cluster::shared(), "survivor", 4);
    let mut survivor = member(&ledger, "survivor");
    survivor.wait_until_running();
    let mut victim = member(&ledger, "victim");
    victim.wait_until_running();
    ledger.feed(600);
    ledger.wait_for(100);
    victim.kill();
    ledger.feed(200);
    ledger.wait_for_all();
    survivor.close();
    ledger.audit();
}

/// A rebalance while a store is being restored starts the restore again, elsewhere or here.
#[test]
fn a_rebalance_during_a_restore_loses_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "restore-rebalance", 4);
    ledger.feed(4_000);
    let mut first = member(&ledger, "m0");
    ledger.wait_for_all();
    first.end();
    let members = ["m1", "m2", "m3"].map(|name| {
        let joined = member(&ledger, name);
        assert!(
            holds_for(Duration::from_millis(150), || true),
            "the others restore"
        );
        joined
    });
    ledger.feed(200);
    ledger.wait_for_all();
    members.into_iter().for_each(Worker::close);
    ledger.audit();
}
