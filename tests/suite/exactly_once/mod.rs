//! Each input record affects state and output exactly once: one claim a test, each checked against
//! the whole history read back (outputs, changelogs, committed offsets), on every broker.

mod crashes;
mod answers;
mod records;
mod poison;
mod dead_letters;
mod handlers;
mod halves;
mod halves_crash;
mod outages;
mod chaos;
mod time;
mod calls;
mod idle;
mod setup;
mod zombies;
mod rebalances;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onceflow_tests::{
    Program,
    ledger::{Hook, Ledger},
    wait::holds_for,
    worker::{At, Worker},
};

/// The worker process under test.
const WORKER: &str = env!("CARGO_BIN_EXE_crash_worker");

/// Longer than a transaction of one second lives, with the sweep that ends it.
const OUTLASTS_A_SECOND: Duration = Duration::from_millis(2_500);

/// A worker process of this instance, a static member.
fn worker(ledger: &Ledger<'_>, instance: &str, at: Option<At>) -> Worker {
    Worker::start(WORKER, ledger, instance, at)
}

/// The ledger's application in this process, with one worker.
fn program(ledger: &Ledger<'_>, hook: Hook) -> Program {
    let config = ledger.config("a").build().expect("the settings are valid");
    let topology = ledger.topics.topology(hook).expect("the topology is valid");
    Program::start(topology, config).expect("the application starts")
}

/// A hook that is too slow once, for a transaction of one second; `was_slow` says that it was.
fn outlast_transaction(was_slow: &Arc<AtomicBool>) -> Hook {
    let was_slow = Arc::clone(was_slow);
    Arc::new(move |_account, number, _amount| {
        if number == 2 && !was_slow.swap(true, Ordering::Relaxed) {
            assert!(holds_for(OUTLASTS_A_SECOND, || true), "time passes");
        }
        Ok(())
    })
}
