//! Waiting for an input that is empty while another has records (`max.task.idle.ms`, KIP-695).
//!
//! ```text
//!   an input is empty
//!     ├── the broker has more of it, or has not said ──> wait, until it arrives
//!     └── its end is reached ──> wait max.task.idle.ms ──> go on without it
//! ```
//!
//! The end is that of a `read_committed` reader: what follows an open transaction is not there. It
//! is known from librdkafka's end-of-partition event, which comes with an answer that has no
//! records; or, without that delay, from the high watermark that came with the last records.
//!
//! # Invariants
//!
//! - A task of one input never asks, and never waits.
//! - Only answers of the broker end a wait for what may be there; a broker that does not answer
//!   holds up the tasks that read from it, as it does in Kafka Streams.

use std::time::Duration;

use super::active_task::Lane;
use super::worker::{FETCH_AHEAD_MIN, Worker, fetch_lane};
use crate::broker::{Cluster, GroupConsumer};
use crate::error::Error;

/// Whether the other inputs of a task wait for this one while it is empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// They do not.
    #[default]
    Passed,
    /// For what is on the broker, or may be.
    Fetching,
    /// For what may come until then.
    Until(Duration),
}

impl Idle {
    pub(super) fn is_awaited(self) -> bool {
        self != Idle::Passed
    }

    pub(super) fn until(self) -> Option<Duration> {
        match self {
            Idle::Until(until) => Some(until),
            Idle::Passed | Idle::Fetching => None,
        }
    }

    /// Of an input that is not empty yet: its time begins once it is.
    fn unless_timed(self) -> Self {
        match self {
            Idle::Until(_) => Idle::Fetching,
            other => other,
        }
    }

    /// What follows for an input of which nothing is left, at this moment.
    fn at_end(self, now: Duration, max_idle: Duration) -> Self {
        match self {
            Idle::Passed => Idle::Passed,
            Idle::Until(until) if now >= until => Idle::Passed,
            Idle::Until(until) => Idle::Until(until),
            Idle::Fetching if max_idle.is_zero() => Idle::Passed,
            Idle::Fetching => Idle::Until(now + max_idle),
        }
    }
}

impl<C: Cluster> Worker<C> {
    /// Finds out which inputs of a task are waited for, after all of them were fetched.
    pub(super) fn look_at_ends(
        &mut self,
        index: usize,
        records_max: usize,
        max_idle: Duration,
    ) -> Result<(), Error> {
        let now = self.now();
        let lanes = &mut self.tasks[index].lanes;
        let any = lanes.iter().any(|lane| lane.queue.ahead() > 0);
        for lane in lanes {
            // Fetched after all others: what arrived before a record of theirs is seen.
            if any && lane.queue.ahead() == 0 {
                fetch_lane(&mut self.consumer, lane, records_max)?;
            }
            lane.idle = match lane.queue.ahead() {
                0 if is_at_end(&self.consumer, lane) => lane.idle.at_end(now, max_idle),
                0 => Idle::Fetching,
                // It was just fetched to the end: once it is empty the others may go on at once.
                ahead if ahead < FETCH_AHEAD_MIN && is_at_end(&self.consumer, lane) => {
                    Idle::Fetching.at_end(now, max_idle).unless_timed()
                }
                _ => Idle::Fetching,
            };
        }
        Ok(())
    }
}

/// Whether everything was fetched that a reader can know of.
fn is_at_end<G: GroupConsumer>(consumer: &G, lane: &Lane) -> bool {
    // A watermark from before the first record may be that of an earlier assignment.
    let fetched_to = lane.queue.end();
    lane.queue.is_at_end()
        || fetched_to.is_some_and(|end| consumer.watermark(lane.fetch_index) == Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_waited_for_at_the_end_unless_told_to() {
        let idle = Idle::Fetching.at_end(ms(5), Duration::ZERO);
        assert_eq!(idle, Idle::Passed);
        assert!(!idle.is_awaited());
        assert_eq!(idle.until(), None);
    }

    #[test]
    fn at_the_end_an_input_is_waited_for_once_and_for_the_time_that_was_set() {
        let idle = Idle::Fetching.at_end(ms(5), ms(40));
        assert_eq!(idle.until(), Some(ms(45)));
        let idle = idle.at_end(ms(44), ms(40));
        assert!(idle.is_awaited());
        let idle = idle.at_end(ms(45), ms(40));
        assert!(!idle.is_awaited());
        assert!(!idle.at_end(ms(46), ms(40)).is_awaited(), "until more came");
    }

    #[test]
    fn the_time_of_an_input_begins_when_it_is_empty() {
        let full = Idle::Fetching.at_end(ms(5), ms(40)).unless_timed();
        assert_eq!(full, Idle::Fetching);
        assert_eq!(full.at_end(ms(100), ms(40)).until(), Some(ms(140)));
    }
}
