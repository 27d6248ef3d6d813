//! Requests and answers of a transaction are lost on the way. A commit whose answer never comes is
//! looked up, not guessed: it is applied if the broker has committed, replayed if not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use onceflow_broker::ApiKey;
use onceflow_framework::{BatchPoint, config::ConfigBuilder};
use onceflow_tests::{
    Cluster, Lost, Program,
    ledger::{Ledger, no_hook},
    wait::wait_until,
    worker::{At, Worker},
};

use super::WORKER;

/// The settings of a worker whose requests may get lost.
fn lossy(ledger: &Ledger<'_>) -> ConfigBuilder {
    ledger
        .config("a")
        .property("bootstrap.servers", ledger.cluster.lossy_servers())
        .property("transaction.timeout.ms", "2000")
}

/// The `client.id` of the only worker's producer.
fn producer(ledger: &Ledger<'_>) -> String {
    format!("{}-a-0-producer", ledger.application)
}

/// Counts how often a point was reached.
#[derive(Default)]
struct Seen {
    committed: AtomicU64,
    aborted: AtomicU64,
    /// From here on, the points are awaited.
    awaited: AtomicBool,
}

impl Seen {
    fn start(ledger: &Ledger<'_>) -> (Arc<Self>, Program) {
        let seen = Arc::new(Self::default());
        let (topology, config) = (ledger.topics.topology(no_hook()), lossy(ledger).build());
        let observed = Arc::clone(&seen);
        let program = Program::observed(topology.unwrap(), config.unwrap(), move |point| {
            if !observed.awaited.load(Ordering::Acquire) {
                return;
            }
            match point {
                BatchPoint::AfterCommit => observed.committed.fetch_add(1, Ordering::AcqRel),
                // Later batches meet the same fault, and may end either way.
                BatchPoint::AfterAbort if observed.committed.load(Ordering::Acquire) == 0 => {
                    observed.aborted.fetch_add(1, Ordering::AcqRel)
                }
                _ => return,
            };
        });
        (seen, program.unwrap())
    }
}

/// Every EndTxn loses its request or its answer until the worker has given up asking: the next
/// producer settles the transaction, and the group's offsets tell which way.
fn outcome_is_looked_up(lost: Lost, committed: bool) {
    let ledger = Ledger::new(Cluster::shared(), "unknown", 1);
    ledger.feed(50);
    let (seen, program) = Seen::start(&ledger);
    ledger.wait_for_all();
    let losses = ledger
        .cluster
        .lose(lost, ApiKey::EndTxn, &producer(&ledger), None);
    ledger.feed(30);
    losses.wait_for_hit();
    // Whatever ends from here on is the batch that nothing was heard of.
    seen.awaited.store(true, Ordering::Release);
    wait_until("the worker knows how its commit ended", || {
        let reached = if committed {
            &seen.committed
        } else {
            &seen.aborted
        };
        reached.load(Ordering::Acquire) > 0
    });
    drop(losses);
    if committed {
        assert_eq!(
            seen.aborted.load(Ordering::Acquire),
            0,
            "what was committed is not replayed"
        );
    }
    ledger.feed(30);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn a_commit_whose_answers_are_all_lost_is_found_committed() {
    outcome_is_looked_up(Lost::Answer, true);
}

#[test]
fn a_commit_that_never_arrives_is_found_not_committed_and_replayed() {
    outcome_is_looked_up(Lost::Request, false);
}

/// Three times in a row, each request of this kind is lost, or its answer is.
fn losses_are_outlived(api: ApiKey) {
    for lost in [Lost::Request, Lost::Answer] {
        let ledger = Ledger::new(Cluster::shared(), "lost", 2);
        ledger.feed(40);
        let losses = ledger.cluster.lose(lost, api, &producer(&ledger), Some(3));
        let (_seen, program) = Seen::start(&ledger);
        ledger.feed(40);
        losses.wait_for_hit();
        ledger.wait_for_all();
        ledger.feed(40);
        ledger.wait_for_all();
        program.close().unwrap();
        ledger.audit();
    }
}

#[test]
fn a_lost_init_is_outlived() {
    losses_are_outlived(ApiKey::InitProducerId);
}

#[test]
fn a_lost_addition_of_partitions_is_outlived() {
    losses_are_outlived(ApiKey::AddPartitionsToTxn);
}

#[test]
fn a_lost_addition_of_the_group_is_outlived() {
    losses_are_outlived(ApiKey::AddOffsetsToTxn);
}

#[test]
fn a_lost_commit_of_offsets_is_outlived() {
    losses_are_outlived(ApiKey::TxnOffsetCommit);
}

#[test]
fn a_lost_batch_of_records_is_outlived() {
    losses_are_outlived(ApiKey::Produce);
}

#[test]
fn a_lost_end_is_outlived() {
    losses_are_outlived(ApiKey::EndTxn);
}

/// The commit's request or answer is lost and the worker dies before it could ask again.
fn dies_not_knowing(lost: Lost) {
    let ledger = Ledger::new(Cluster::shared(), "dies-unknown", 2);
    ledger.feed(100);
    let settings = [
        ("static.membership".to_owned(), "true".to_owned()),
        (
            "bootstrap.servers".to_owned(),
            ledger.cluster.lossy_servers(),
        ),
    ];
    let hold = Some(At::hold(BatchPoint::BeforeCommit, 2));
    let mut doomed = Worker::with(WORKER, &ledger, "a", hold, settings);
    doomed.wait_for_report("holding");
    let losses = ledger
        .cluster
        .lose(lost, ApiKey::EndTxn, &producer(&ledger), None);
    doomed.go_on();
    losses.wait_for_hit();
    doomed.kill();
    drop(losses);
    let successor = super::worker(&ledger, "a", None);
    ledger.wait_for_all();
    successor.close();
    ledger.audit();
}

#[test]
fn a_worker_that_dies_with_its_commits_answer_lost_is_succeeded() {
    dies_not_knowing(Lost::Answer);
}

#[test]
fn a_worker_that_dies_with_its_commit_lost_is_succeeded() {
    dies_not_knowing(Lost::Request);
}
