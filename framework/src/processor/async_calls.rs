//! How calls to the outside are made: how many at a time, for how long, how often, in which order.

use std::time::Duration;

/// The retries after which every pause counts as the longest.
const DOUBLINGS_MAX: u32 = 31;

/// How an asynchronous operator makes its calls.
///
/// By default each task has up to 64 calls in flight, one for a key at a time; a call has three
/// seconds and one try; and results go on in the order of the records they belong to, so that what
/// follows cannot tell them from those of a synchronous operator.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow_framework::processor::{AsyncCalls, Backoff};
///
/// let pause = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));
/// let calls = AsyncCalls::new()
///     .max_in_flight(16)
///     .timeout(Duration::from_millis(800))
///     .retries(2, pause);
/// assert_eq!(calls.limit(), Duration::from_millis(3 * 800 + 50 + 100));
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing but tell an operator how to call"]
pub struct AsyncCalls {
    pub(super) max_in_flight: usize,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
    pub(super) overlapping: bool,
    pub(super) order: ResultOrder,
}

/// Which results wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultOrder {
    /// Each for those of all records before.
    Records,
    /// Each for those of its key before.
    Key,
}

impl Default for AsyncCalls {
    fn default() -> Self {
        AsyncCalls {
            max_in_flight: 64,
            timeout: Duration::from_secs(3),
            retries: 0,
            backoff: Backoff::fixed(Duration::ZERO),
            overlapping: false,
            order: ResultOrder::Records,
        }
    }
}

impl AsyncCalls {
    /// The defaults.
    pub fn new() -> Self {
        AsyncCalls::default()
    }

    /// How many calls one task has in flight at most (default: 64). As many again may wait for
    /// their turn, or for an earlier one of their key.
    ///
    /// # Panics
    ///
    /// When it is 0: nothing would ever be called.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        assert!(
            calls > 0,
            "an asynchronous operator makes at least one call at a time"
        );
        self.max_in_flight = calls;
        self
    }

    /// How long one try of a call may take (default: 3 s); then its future is dropped, and it has
    /// failed.
    ///
    /// All tries of a call and the pauses between them, the [`limit`](Self::limit), must fit in
    /// a third of `transaction.timeout.ms`: an application that is set otherwise does not run. The
    /// calls that a batch waits for when it closes take twice the limit at most, or, of one key,
    /// as long as one after the other takes them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call that failed, panicked or took too long is made again (default: never).
    pub fn retries(mut self, retries: u32, backoff: Backoff) -> Self {
        self.retries = retries;
        self.backoff = backoff;
        self
    }

    /// Lets calls of one key overlap; their results still go on in order.
    ///
    /// By default a call begins when the one before it of the same key has ended, as services
    /// expect that are told of one thing's changes. Records without a key are of one key, too: let
    /// them overlap.
    pub fn overlapping(mut self) -> Self {
        self.overlapping = true;
        self
    }

    /// Lets results of different keys pass each other; those of one key stay in order.
    ///
    /// A slow call then holds up its own key only. What follows sees times of different keys out of
    /// order: a window without grace may find a record late that was not.
    pub fn in_key_order(mut self) -> Self {
        self.order = ResultOrder::Key;
        self
    }

    /// Whether results of all records stay in their order.
    pub(crate) fn is_in_order(&self) -> bool {
        self.order == ResultOrder::Records
    }

    /// How long a call may take, all tries and the pauses between them together.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let doubled = self.retries.min(DOUBLINGS_MAX);
        let pauses = (0..doubled).map(|retry| self.backoff.pause(retry));
        let tries = self.timeout.saturating_mul(self.retries.saturating_add(1));
        let rest = self.backoff.max.saturating_mul(self.retries - doubled);
        pauses.fold(tries.saturating_add(rest), Duration::saturating_add)
    }
}

/// The pauses between the tries of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Always the same pause.
    #[must_use]
    pub fn fixed(pause: Duration) -> Self {
        Backoff {
            first: pause,
            max: pause,
        }
    }

    /// Each pause twice as long as the one before it, up to `max`.
    #[must_use]
    pub fn doubling(first: Duration, max: Duration) -> Self {
        Backoff { first, max }
    }

    /// Before the retry of that number, counted from 0.
    pub(super) fn pause(self, retry: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << retry.min(DOUBLINGS_MAX));
        doubled.min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::doubling(ms(10), ms(35));
        let pauses = [0, 1, 2, 3, 40].map(|retry| backoff.pause(retry));
        assert_eq!(pauses, [ms(10), ms(20), ms(35), ms(35), ms(35)]);
        assert_eq!(Backoff::fixed(ms(7)).pause(9), ms(7));
    }

    #[test]
    fn the_limit_is_that_of_all_tries_and_pauses() {
        let one_try = AsyncCalls::new().timeout(ms(100));
        assert_eq!(one_try.limit(), ms(100));
        let backoff = Backoff::doubling(ms(10), ms(15));
        assert_eq!(one_try.retries(3, backoff).limit(), ms(400 + 10 + 15 + 15));
    }

    #[test]
    fn a_limit_beyond_all_measure_is_the_longest_span() {
        let backoff = Backoff::fixed(Duration::MAX);
        let calls = AsyncCalls::new()
            .timeout(Duration::MAX)
            .retries(u32::MAX, backoff);
        assert_eq!(calls.limit(), Duration::MAX);
    }

    #[test]
    #[should_panic(expected = "at least one call at a time")]
    fn no_call_at_a_time_is_refused() {
        let _calls = AsyncCalls::new().max_in_flight(0);
    }
}
