//! The one place that asks the machine what time it is.

use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 that never go back.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: i64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the server is where time enters the broker"
    )]
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let started_ms = i64::try_from(since_1970.as_millis()).unwrap_or(0);
        Self {
            started: Instant::now(),
            started_ms,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.started_ms + i64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}

/// A seed that differs from start to start: ids must not repeat over restarts.
pub(crate) fn seed(now_ms: i64, port: u16) -> u64 {
    let state = RandomState::new();
    state.hash_one((now_ms, port))
}
