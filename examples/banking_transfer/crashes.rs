//! When the worker is killed: spread over the run, at moments that nobody can foresee.
//!
//! # Invariants
//!
//! - A crash waits until so many transfers are settled, so every worker gets some work done.
//! - Settled transfers come into sight right after a commit. The delay moves the crash from there
//!   to any point of the transactions that follow; most crashes then wait for one that is open.

use std::time::Duration;

use onceflow_examples::random::Random;

/// Transactions last up to 100 ms: this reaches every point of one, and into the next.
const DELAY_MAX_MS: u64 = 150;

/// So many percent of the crashes look for a transaction to break; the others take what comes.
const INSIDE_PERCENT: u64 = 75;

/// The last crash comes while so many percent of the transfers are still to be made.
const QUIET_END_PERCENT: u64 = 10;

/// A crash to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Once so many transfers are settled.
    pub(crate) settled: u64,
    /// And so much later, or sooner if so many more are settled by then.
    pub(crate) delay: Duration,
    pub(crate) slack: u64,
    /// And as soon as a transaction is open.
    pub(crate) inside: bool,
}

/// All crashes of a run, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrashPlan(Vec<Crash>);

impl CrashPlan {
    /// Draws `count` crashes over a run: one in the middle half of each of as many slots.
    pub(crate) fn draw(random: &mut Random, transfers: u64, count: u64) -> Self {
        let reach = transfers * (100 - QUIET_END_PERCENT) / 100;
        let mut draw = |number| {
            let slot = reach / count;
            Crash {
                settled: slot * number + slot / 4 + random.below(slot / 2 + 1),
                delay: Duration::from_millis(random.below(DELAY_MAX_MS + 1)),
                slack: slot / 2,
                inside: random.below(100) < INSIDE_PERCENT,
            }
        };
        CrashPlan((0..count).map(&mut draw).collect())
    }

    /// The crash after so many others.
    pub(crate) fn after(&self, others: usize) -> Option<Crash> {
        self.0.get(others).copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_are_in_order_apart_and_before_the_end() {
        for seed in 0..100 {
            let plan = CrashPlan::draw(&mut Random::seeded(seed), 60_000, 30);
            assert_eq!(plan, CrashPlan::draw(&mut Random::seeded(seed), 60_000, 30));
            let at: Vec<u64> = plan.0.iter().map(|crash| crash.settled).collect();
            assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{at:?}");
            assert!(at[0] > 0 && at[29] <= 54_000, "{at:?}");
        }
    }

    #[test]
    fn a_run_without_crashes_has_no_plan() {
        assert_eq!(CrashPlan::draw(&mut Random::seeded(1), 10, 0).len(), 0);
    }
}
