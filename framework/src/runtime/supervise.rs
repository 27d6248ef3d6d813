//! The life of a worker's thread: run it, and when it cannot go on do what the handler of uncaught
//! errors says.
//!
//! ```text
//!   run ──┬── ended ─────────────────────────────────────────> the thread ends
//!         └── error, panic ──> asked ──┬── replace ── pause ──> run a new worker
//!                                      ├── shut down ─────────> all workers are asked to end
//!                                      └── exit ──────────────> the process ends
//! ```
//!
//! # Invariants
//!
//! - A worker that is replaced has given up its tasks and its membership: the new one joins like any
//!   other, under the same transactional id, by which it ends what the old one left open.
//! - Pauses have a limit, and so has each of them: a worker that fails at once does not spin.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::instance::incarnation;
use super::shared::WorkerState;
use super::worker::{WorkerSettings, run};
use crate::broker::Cluster;
use crate::error::{Error, ErrorKind, panic_text};
use crate::handler::{UncaughtHandler, UncaughtResponse};

/// The waits before a replacement: doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A worker that has run for so long was no part of a series of failures.
const SETTLED: Duration = Duration::from_secs(60);

/// The process ends by the handler's word.
const EXIT_CODE: i32 = 1;

/// Runs a worker, and its replacements, and tells how it ended.
pub(crate) fn supervise<C: Cluster>(settings: WorkerSettings<C>, handler: &UncaughtHandler) {
    let mut failures = 0;
    loop {
        let started = settings.clock.elapsed();
        let attempt = settings.again();
        let Some(error) = caught(settings.number, || run(attempt)) else {
            break;
        };
        let (response, error) = handler.ask(error);
        if settings.shared.is_closing() {
            settings.shared.fail(error);
            break;
        }
        match response {
            UncaughtResponse::ReplaceThread => {
                if settings.clock.elapsed() - started > SETTLED {
                    failures = 0;
                }
                let pause = pause_after(failures);
                failures += 1;
                tracing::error!(%error, pause_ms = pause.as_millis(), "the worker is replaced");
                settings.shared.metrics.add_replaced_worker();
                rest(&settings, pause);
            }
            UncaughtResponse::ShutdownClient => {
                settings.shared.fail(error);
                break;
            }
            UncaughtResponse::ExitProcess => {
                tracing::error!(%error, "the process ends");
                std::process::exit(EXIT_CODE);
            }
        }
    }
    let (shared, number) = (&settings.shared, settings.number);
    shared.set_worker(number, WorkerState::Ended);
}

/// The error that ended a worker, be it a panic, which is a bug of ours: what a processor panics
/// with is caught where it is called.
fn caught(number: usize, run: impl FnOnce() -> Result<(), Error>) -> Option<Error> {
    let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = format!("worker {number} panicked: {}", panic_text(&*panic));
        Err(Error::new(ErrorKind::Processing, message))
    });
    ended.err()
}

fn pause_after(failures: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failures.min(10))
        .min(PAUSE_MAX)
}

/// Rests before the next worker, but for as long as the application is not closed.
fn rest<C: Cluster>(settings: &WorkerSettings<C>, pause: Duration) {
    let (shared, clock) = (&settings.shared, &settings.clock);
    shared.desk.vacate(settings.number);
    shared.set_worker(settings.number, WorkerState::Rebalancing);
    let until = clock.elapsed() + pause;
    while clock.elapsed() < until && !shared.is_closing() {
        settings.wake.sleep(until.saturating_sub(clock.elapsed()));
    }
}

impl<C: Cluster> WorkerSettings<C> {
    /// The same for one more worker: whatever it commits is known as its own.
    fn again(&self) -> Self {
        WorkerSettings {
            cluster: Arc::clone(&self.cluster),
            topology: Arc::clone(&self.topology),
            inputs: Arc::clone(&self.inputs),
            config: Arc::clone(&self.config),
            clock: Arc::clone(&self.clock),
            shared: Arc::clone(&self.shared),
            wake: Arc::clone(&self.wake),
            probe: self.probe.clone(),
            executor: self.executor.clone(),
            number: self.number,
            instance: Arc::clone(&self.instance),
            incarnation: incarnation(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_worker_is_an_error_that_names_it() {
        let error = caught(3, || panic!("out of luck")).unwrap().to_string();
        assert!(error.contains("worker 3 panicked: out of luck"), "{error}");
        assert!(caught(0, || Ok(())).is_none());
    }

    #[test]
    fn pauses_between_replacements_double_up_to_ten_seconds() {
        let pauses = [0, 1, 2, 6, 7, 1_000].map(|failures| pause_after(failures).as_millis());
        assert_eq!(pauses, [100, 200, 400, 6_400, 10_000, 10_000]);
    }
}
