//! Each input record affects state and output exactly once: one claim a test, each checked against
//! the whole history read back (outputs, changelogs, committed offsets), on every broker.

mod crashes;

use onceflow_tests::{
    ledger::Ledger,
    worker::{At, Worker},
};

/// The worker process under test.
const WORKER: &str = env!("CARGO_BIN_EXE_crash_worker");

/// A worker process of this instance, a static member.
fn worker(ledger: &Ledger<'_>, instance: &str, at: Option<At>) -> Worker {
    Worker::start(WORKER, ledger, instance, at)
}
