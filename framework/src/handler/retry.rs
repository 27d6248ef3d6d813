//! How often, and after which pauses, a record is processed again whose failure may pass.

use std::time::Duration;

/// How a record is tried again that failed for a [transient](crate::Fault::transient) reason, or whose
/// handler answered [`Response::Retry`](super::Response::Retry).
///
/// The record's task waits meanwhile, and nothing else: what came before it is committed, other
/// tasks go on, and the worker stays in its group however long the pauses are. An attempt that
/// failed leaves nothing behind. Once all attempts are used up the handler is asked; within
/// [`total_pause`](Self::total_pause), then, and the time that the attempts take, it has its end.
///
/// ```
/// use std::time::Duration;
/// use onceflow_framework::handler::Retry;
///
/// let retry = Retry::times(4).first_pause(Duration::from_millis(100)).max_pause(Duration::from_secs(1));
/// // 100, 200, 400 and 800 ms.
/// assert_eq!(retry.total_pause(), Duration::from_millis(1_500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub(crate) times: u32,
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Retry {
    /// No second attempt: the default.
    pub const NEVER: Retry = Retry::times(0);

    /// So many attempts after the first one, the first after 100 ms and each after twice the pause of
    /// the one before, at most 10 s.
    #[must_use]
    pub const fn times(times: u32) -> Self {
        Retry {
            times,
            first: Duration::from_millis(100),
            max: Duration::from_secs(10),
        }
    }

    /// The pause before the second attempt (default: 100 ms).
    #[must_use]
    pub const fn first_pause(mut self, pause: Duration) -> Self {
        self.first = pause;
        self
    }

    /// The longest pause (default: 10 s).
    #[must_use]
    pub const fn max_pause(mut self, pause: Duration) -> Self {
        self.max = pause;
        self
    }

    /// All pauses together.
    #[must_use]
    pub fn total_pause(&self) -> Duration {
        let pauses = (1..=self.times).map(|attempt| self.pause_after(attempt));
        pauses.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The pause after an attempt, counted from 1.
    pub(crate) fn pause_after(&self, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1));
        let pause = doubled.map_or(self.max, |times| self.first.saturating_mul(times));
        pause.min(self.max)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_however_many_there_are() {
        let second = Duration::from_secs(1);
        let retry = Retry::times(100).first_pause(second).max_pause(second * 5);
        let pauses = [1, 2, 3, 4, 32, 33, 100].map(|attempt| retry.pause_after(attempt).as_secs());
        assert_eq!(pauses, [1, 2, 4, 5, 5, 5, 5]);
        assert_eq!(retry.total_pause(), second * (1 + 2 + 4 + 97 * 5));
        assert_eq!(Retry::NEVER.total_pause(), Duration::ZERO);
    }
}
