//! Time, as the examples need it: how long something has taken, and asking again a moment later.

use std::time::{Duration, Instant};

/// Measures time from its start.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Stopwatch { started: now() }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        now().duration_since(self.started)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is timed by the machine's own clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Between two looks at something that will be true in a moment.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Looks until something is true, for `limit` at most; answers whether it is.
///
/// # Errors
///
/// Whatever a look fails with.
pub fn wait_until(
    limit: Duration,
    mut is_true: impl FnMut() -> crate::Result<bool>,
) -> crate::Result<bool> {
    let waiting = Stopwatch::start();
    while !is_true()? {
        if waiting.elapsed() > limit {
            return Ok(false);
        }
        pause(LOOK_INTERVAL);
    }
    Ok(true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one sleep, between two looks at a condition"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
