//! Waiting for a condition under a deadline: the only file of the tests that reads the clock,
//! sleeps, or starts a thread.
//!
//! # Invariants
//!
//! - **No bare sleep.** A test names the condition that it waits for, and a deadline that
//!   passes fails the test with that name.
//! - **Deadlines are generous, probes are quick.** A loaded machine makes a test slow, never red.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long anything that must happen may take, unless a test says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two probes of a condition.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// A point in time after which waiting is in vain.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// The deadline `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { at: now() + limit }
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }
}

/// Measures how long something took.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self { started: now() }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        now().duration_since(self.started)
    }
}

/// Waits until `probe` returns a value, for [`PATIENCE`] at most.
///
/// # Panics
///
/// When the deadline passes; the message names `what`.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, probe).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Waits until `condition` holds, for [`PATIENCE`] at most.
///
/// # Panics
///
/// When the deadline passes; the message names `what`.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// Waits until `probe` returns a value, for `limit` at most: `None` if it never does.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if deadline.passed() {
            return None;
        }
        pause(PROBE_INTERVAL);
    }
}

/// Whether `condition` holds all through `span`: for claims that something does *not* happen.
pub fn holds_for(span: Duration, mut condition: impl FnMut() -> bool) -> bool {
    within(span, || (!condition()).then_some(())).is_none()
}

/// Milliseconds since the epoch, as in record timestamps.
///
/// # Panics
///
/// When the clock of the machine is set before 1970.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tests compare record timestamps with real time"
)]
pub fn unix_millis() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is set after 1970");
    i64::try_from(since_epoch.as_millis()).expect("the year 292 million is far")
}

/// Starts a thread that a test joins.
///
/// # Panics
///
/// When the operating system refuses a thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("a test can start a thread")
}

/// Runs a call that blocks, and serves what it waits for on a second thread until it returns.
pub fn beside<T>(call: impl FnOnce() -> T, serve: impl Fn() + Sync) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                serve();
            }
        });
        // Also when the call panics: the scope waits for its thread.
        let _over = RaiseOnDrop(&over);
        call()
    })
}

struct RaiseOnDrop<'a>(&'a AtomicBool);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of tests are in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one sleep, between two probes of a condition"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_is_not_waited_for() {
        assert_eq!(within(Duration::ZERO, || Some(1)), Some(1));
    }

    #[test]
    fn a_condition_that_never_holds_ends_with_the_limit() {
        let watch = Stopwatch::start();
        assert_eq!(within(Duration::from_millis(20), || None::<()>), None);
        assert!(watch.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn holding_for_a_span_means_at_every_probe() {
        let mut probes = 0;
        assert!(holds_for(Duration::from_millis(20), || true));
        assert!(!holds_for(PATIENCE, || {
            probes += 1;
            probes < 3
        }));
    }
}
