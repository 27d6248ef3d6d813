//! When a batch begins, and when it closes.
//!
//! ```text
//!   little to do:  commit ┆rest ▌ ▌▌  commit ┆rest ▌▌ ▌  commit   closes after the linger, drained
//!                         └── linger ─┘      └── linger ─┘
//!   much to do:    commit █████████████████ commit ██████████     open until it is old, no rest
//! ```
//!
//! After a commit that leaves nothing to do the broker gets the time to write the markers of that
//! transaction: the next would be refused before, and librdkafka tries again after 20 ms. How long
//! that is depends on the broker, and is learned: a small batch that took those 20 ms makes the rest
//! longer, each that did not makes it a little shorter. A record that comes later than the linger is
//! committed at once.
//!
//! # Invariants
//!
//! - A batch that has worked stays open several times as long: however fast it catches up with its
//!   input, committing costs little beside processing.
//! - Nobody rests while there is a backlog.

use std::time::Duration;

/// How many times as long as it was busy a batch stays open.
const OPEN_PER_BUSY: u32 = 4;

/// How long a broker writes the markers of a transaction, at first: until then it refuses the next.
const MARKERS_FIRST: Duration = Duration::from_micros(1_500);

/// The bounds of what is learned.
const MARKERS_MIN: Duration = Duration::from_micros(500);
const MARKERS_MAX: Duration = Duration::from_millis(6);

/// How much longer the rest becomes when a transaction was refused.
const LONGER: Duration = Duration::from_micros(500);

/// And how much shorter when it was not: in balance one of some three hundred is refused, which
/// keeps it out of the 99th percentile.
const SHORTER: Duration = Duration::from_nanos(1_500);

/// When librdkafka tries a refused transaction again: a small batch that is open for so long met it.
const REFUSED: Duration = Duration::from_millis(20);

/// How soon a batch closes of which that can be told.
const SMALL: Duration = Duration::from_millis(8);

/// When the open batch began, and since when nothing is open.
#[derive(Debug)]
pub(super) struct Pace {
    began: Option<Duration>,
    /// How long the open batch has processed records.
    busy: Duration,
    /// When the next may begin.
    rested: Duration,
    /// When the next may close.
    lingered: Duration,
    /// How long the broker is given after a commit.
    markers: Duration,
}

/// How long a batch was open until it was to be committed, and until it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) after: Duration,
    pub(super) committed_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            began: None,
            busy: Duration::ZERO,
            rested: Duration::ZERO,
            lingered: Duration::ZERO,
            markers: MARKERS_FIRST,
        }
    }
}

impl Pace {
    /// Whether records may be processed now.
    pub(super) fn may_work(&self, now: Duration) -> bool {
        self.began.is_some() || now >= self.rested
    }

    pub(super) fn begin(&mut self, now: Duration) {
        self.began = Some(now);
        self.busy = Duration::ZERO;
    }

    pub(super) fn worked(&mut self, took: Duration) {
        self.busy += took;
    }

    /// How long the batch is open.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.began?))
    }

    /// Whether the batch may close once nothing is left to process.
    pub(super) fn is_worth_closing(&self, now: Duration) -> bool {
        self.began
            .is_none_or(|began| now >= self.worth_closing(began))
    }

    fn worth_closing(&self, began: Duration) -> Duration {
        self.lingered.max(began + self.busy * OPEN_PER_BUSY)
    }

    /// Committed, aborted or given up.
    pub(super) fn end(&mut self) {
        self.began = None;
    }

    /// What was committed was all there was. Who wants no linger does not rest.
    pub(super) fn rest(&mut self, now: Duration, closed: Closed, linger: Duration) {
        if closed.after < SMALL {
            self.learn(closed.committed_after >= REFUSED);
        }
        self.lingered = now + linger;
        self.rested = now;
        if !linger.is_zero() {
            self.rested += self.markers;
        }
    }

    fn learn(&mut self, refused: bool) {
        let markers = match refused {
            true => self.markers + LONGER,
            false => self.markers.saturating_sub(SHORTER),
        };
        self.markers = markers.clamp(MARKERS_MIN, MARKERS_MAX);
    }

    /// When something may become due that was not at `now`, at the latest.
    pub(super) fn next_look(&self, now: Duration, interval: Duration) -> Option<Duration> {
        match self.began {
            Some(began) => Some(self.worth_closing(began).min(began + interval)),
            None => (now < self.rested).then_some(self.rested),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = ms(5);
    const INTERVAL: Duration = ms(100);

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Closed at once, and committed so soon.
    fn committed_after(committed_after: Duration) -> Closed {
        Closed {
            after: Duration::ZERO,
            committed_after,
        }
    }

    /// Committed all there was at 10 ms.
    fn resting() -> Pace {
        let mut pace = Pace::default();
        pace.begin(ms(9));
        pace.end();
        pace.rest(ms(10), committed_after(ms(1)), LINGER);
        pace
    }

    /// How long it rests after the next commit.
    fn rests(pace: &mut Pace, closed: Closed) -> Duration {
        pace.rest(Duration::ZERO, closed, LINGER);
        pace.rested
    }

    #[test]
    fn a_refused_transaction_makes_the_rest_longer_and_many_others_make_it_shorter_again() {
        let mut pace = Pace::default();
        let first = rests(&mut pace, committed_after(ms(5)));
        let longer = rests(&mut pace, committed_after(ms(23)));
        assert!(longer > first, "{longer:?} after {first:?}");
        for _ in 0..400 {
            rests(&mut pace, committed_after(ms(5)));
        }
        assert!(rests(&mut pace, committed_after(ms(5))) < first);
    }

    #[test]
    fn the_rest_stays_within_bounds() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            rests(&mut pace, committed_after(ms(23)));
        }
        assert_eq!(rests(&mut pace, committed_after(ms(23))), MARKERS_MAX);
        for _ in 0..10_000 {
            rests(&mut pace, committed_after(ms(5)));
        }
        assert_eq!(rests(&mut pace, committed_after(ms(5))), MARKERS_MIN);
    }

    #[test]
    fn a_batch_that_was_open_for_long_tells_nothing_of_refusals() {
        let mut pace = Pace::default();
        let first = rests(&mut pace, committed_after(ms(5)));
        let closed = Closed {
            after: ms(30),
            committed_after: ms(35),
        };
        assert_eq!(rests(&mut pace, closed), first);
    }

    #[test]
    fn who_does_not_linger_does_not_rest() {
        let mut pace = Pace::default();
        pace.rest(ms(10), committed_after(ms(23)), Duration::ZERO);
        assert!(pace.may_work(ms(10)));
    }

    #[test]
    fn the_first_record_is_processed_and_committed_at_once() {
        let mut pace = Pace::default();
        assert!(pace.may_work(ms(0)));
        pace.begin(ms(7));
        assert!(pace.is_worth_closing(ms(7)));
    }

    #[test]
    fn after_all_was_done_a_batch_begins_after_the_markers_and_closes_after_the_linger() {
        let mut pace = resting();
        assert!(!pace.may_work(ms(11)));
        let rested = ms(10) + MARKERS_FIRST - SHORTER;
        assert_eq!(pace.next_look(ms(11), INTERVAL), Some(rested));
        assert!(pace.may_work(ms(12)));
        pace.begin(ms(12));
        assert!(!pace.is_worth_closing(ms(14)));
        assert_eq!(pace.next_look(ms(14), INTERVAL), Some(ms(15)));
        assert!(pace.is_worth_closing(ms(15)));
    }

    #[test]
    fn a_batch_that_leaves_something_to_do_is_followed_at_once() {
        let mut pace = Pace::default();
        pace.begin(ms(10));
        pace.end();
        assert!(pace.may_work(ms(10)));
    }

    #[test]
    fn a_batch_stays_open_for_as_long_as_makes_its_commit_cheap() {
        let mut pace = resting();
        pace.begin(ms(12));
        pace.worked(ms(2));
        pace.worked(ms(3));
        assert!(!pace.is_worth_closing(ms(31)));
        assert!(pace.is_worth_closing(ms(32)));
        assert_eq!(pace.next_look(ms(17), INTERVAL), Some(ms(32)));
        assert_eq!(
            pace.next_look(ms(17), ms(12)),
            Some(ms(24)),
            "it gets old before"
        );
        pace.end();
        pace.begin(ms(40));
        assert!(pace.is_worth_closing(ms(40)), "another batch");
    }
}
