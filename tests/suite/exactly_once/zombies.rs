//! A worker that was given up for dead comes back: whatever it had begun is refused, and nothing of
//! it is visible.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onceflow_framework::{BatchPoint, ErrorKind};
use onceflow_tests::{
    Cluster, Program,
    ledger::{Ledger, no_hook},
    wait::{eventually, holds_for, wait_until},
    worker::{At, Worker},
};

use super::{WORKER, worker};

/// A dynamic member that the group gives up soonest: Kafka accepts no session below six seconds.
fn member(
    ledger: &Ledger<'_>,
    instance: &str,
    at: Option<At>,
    settings: &[(&str, &str)],
) -> Worker {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Worker::with(WORKER, ledger, instance, at, settings)
}

/// Both workers go on, to the end.
fn both_go_on(ledger: &Ledger<'_>, one: Worker, other: Worker) {
    ledger.feed(100);
    ledger.wait_for_all();
    one.close();
    other.close();
    ledger.audit();
}

/// The transaction expires while its worker stands still with everything sent but the commit.
#[test]
fn a_commit_after_another_took_over_is_refused() {
    let ledger = Ledger::new(Cluster::shared(), "zombie-commit", 2);
    ledger.feed(200);
    let settings = [
        ("consumer.max.poll.interval.ms", "6000"),
        ("transaction.timeout.ms", "2000"),
    ];
    let hold = At::hold(BatchPoint::BeforeCommit, 2);
    let mut zombie = member(&ledger, "zombie", Some(hold), &settings);
    zombie.wait_for_report("holding");
    let owner = member(&ledger, "owner", None, &settings);
    ledger.feed(100);
    ledger.wait_for_all();
    let before = ledger.everything();
    zombie.go_on();
    zombie.wait_for_log("asking the group which way the batch went");
    assert_eq!(
        ledger.everything(),
        before,
        "the zombie's commit changed something"
    );
    both_go_on(&ledger, zombie, owner);
}

/// The whole process is stopped, with its transaction open and its session running out.
#[test]
fn offsets_after_another_took_over_are_refused() {
    let ledger = Ledger::new(Cluster::shared(), "zombie-offsets", 2);
    ledger.feed(200);
    let settings = [("transaction.timeout.ms", "60000")];
    let hold = At::hold(BatchPoint::BeforeSendOffsets, 2);
    let mut zombie = member(&ledger, "zombie", Some(hold), &settings);
    zombie.wait_for_report("holding");
    zombie.pause();
    let owner = member(&ledger, "owner", None, &settings);
    owner.wait_for_log("partitions assigned");
    // The owner restores up to the zombie's open transaction and waits for its end there.
    zombie.go_on();
    zombie.resume();
    ledger.wait_for_all();
    both_go_on(&ledger, zombie, owner);
}

/// A process of the same instance starts while the first one stands still before its commit.
#[test]
fn a_commit_after_the_same_instance_started_again_is_refused() {
    let ledger = Ledger::new(Cluster::shared(), "zombie-twin", 2);
    ledger.feed(200);
    let mut zombie = worker(&ledger, "twin", Some(At::hold(BatchPoint::BeforeCommit, 2)));
    zombie.wait_for_report("holding");
    let owner = worker(&ledger, "twin", None);
    ledger.wait_for_all();
    let before = ledger.everything();
    zombie.go_on();
    // Static membership: the group knows one member of this name, and it is not this one.
    let failed = zombie.wait_for_report("failed");
    assert!(failed.contains("instance.id"), "'{failed}' names no remedy");
    assert!(!zombie.wait().success());
    assert_eq!(
        ledger.everything(),
        before,
        "the zombie's commit changed something"
    );
    ledger.feed(100);
    ledger.wait_for_all();
    owner.close();
    ledger.audit();
}

/// The successor processes the very same records in one batch, so that its offsets are those that
/// the zombie has sent: that they are committed must not mean to the zombie that it did it.
#[test]
fn a_zombie_does_not_take_its_successors_commit_for_its_own() {
    let ledger = Ledger::new(Cluster::shared(), "zombie-same", 1);
    ledger.feed(40);
    let settings = [
        ("static.membership", "true"),
        ("batch.bytes.max", "10000000"),
        ("commit.interval.ms", "2000"),
        ("commit.linger.ms", "200"),
    ];
    let hold = At::hold(BatchPoint::BeforeCommit, 1);
    let mut zombie = member(&ledger, "twin", Some(hold), &settings);
    zombie.wait_for_report("holding");
    // Two commits, a batch of each sub-topology; the zombie's was the first.
    let owner = member(&ledger, "twin", None, &settings);
    wait_until("the successor has committed the batch", || {
        ledger.input_is_consumed()
    });
    zombie.go_on();
    zombie.wait_for_report("failed");
    assert_eq!(
        zombie.report("reached AfterCommit"),
        None,
        "the zombie's batch was not committed"
    );
    ledger.wait_for_all();
    owner.close();
    ledger.audit();
}

/// Two running instances of one name fence each other until one of them is told.
#[test]
fn a_permanent_duplicate_ends_with_the_id_and_the_remedy() {
    let ledger = Ledger::new(Cluster::shared(), "duplicate", 2);
    let config = ledger.config("same").build().unwrap();
    let start = || {
        let topology = ledger.topics.topology(no_hook()).unwrap();
        Program::start(topology, config.clone()).unwrap()
    };
    let twins = [start(), start()];
    twins.iter().for_each(Program::wait_until_running);
    let loser = eventually("one of the duplicates ends", || {
        ledger.feed(10);
        twins.iter().position(|twin| twin.app().state().is_final())
    });
    let error = twins[loser].failure();
    let id = format!("{}-same-0", ledger.application);
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&id) && text.contains("instance.id"),
        "'{text}' says too little"
    );
    ledger.feed(50);
    ledger.wait_for_all();
    let [first, second] = twins;
    let survivor = if loser == 0 { second } else { first };
    survivor.close().unwrap();
    ledger.audit();
}

/// A gate that the test opens.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.1
                .wait_while(opened, |opened| !*opened)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

/// Fenced once by a passing twin, an application goes on by itself: one fencing is routine.
#[test]
fn one_fencing_is_recovered_from() {
    let ledger = Ledger::new(Cluster::shared(), "fenced-once", 1);
    ledger.feed(20);
    let (gate, held) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
    let (passing, holding) = (Arc::clone(&gate), Arc::clone(&held));
    let topology = ledger.topics.topology(no_hook()).unwrap();
    let config = ledger.config("a").build().unwrap();
    let program = Program::observed(topology, config, move |point| {
        if point == BatchPoint::BeforeCommit && !holding.swap(true, Ordering::AcqRel) {
            passing.pass();
        }
    });
    let program = program.unwrap();
    eventually("the worker holds", || {
        held.load(Ordering::Acquire).then_some(())
    });
    let id = format!("{}-a-0", ledger.application);
    drop(onceflow_tests::TransactionalProducer::ready(
        ledger.cluster,
        &id,
    ));
    assert!(holds_for(Duration::from_millis(100), || ledger
        .statements()
        .is_empty()));
    gate.open();
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}
