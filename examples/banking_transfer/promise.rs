//! The guarantee that a run is made with, and what became of it.
//!
//! Exactly once is held against the [audit](crate::audit). The two others promise less: what they
//! allow is counted and shown, what they rule out fails the run.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::audit::Audit;
use crate::history::History;
use crate::model::Transfer;

/// What the worker promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "that is what they are called")]
pub(crate) enum Promise {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

impl Promise {
    /// The value of `processing.guarantee`.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Promise::AtMostOnce => "at_most_once",
            Promise::AtLeastOnce => "at_least_once",
            Promise::ExactlyOnce => "exactly_once_v2",
        }
    }

    /// As a person says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::AtMostOnce => "at most once",
            Promise::AtLeastOnce => "at least once",
            Promise::ExactlyOnce => "exactly once",
        }
    }

    /// Whether every transfer comes into sight in the end.
    pub(crate) fn settles_all(self) -> bool {
        self != Promise::AtMostOnce
    }
}

/// What is asked for: one promise, or all of them, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Asked {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
    All,
}

impl Asked {
    /// From the weakest to the strongest.
    pub(crate) fn promises(self) -> &'static [Promise] {
        match self {
            Asked::AtMostOnce => &[Promise::AtMostOnce],
            Asked::AtLeastOnce => &[Promise::AtLeastOnce],
            Asked::ExactlyOnce => &[Promise::ExactlyOnce],
            Asked::All => Promise::value_variants(),
        }
    }
}

/// What became of the transfers of a run, and of the money.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) promise: Promise,
    pub(crate) crashes: usize,
    /// Transfers without a result.
    pub(crate) lost: u64,
    /// Results beyond the first of a transfer.
    pub(crate) repeated: u64,
    pub(crate) money_before: i64,
    pub(crate) money_after: i64,
    /// Whether the promise was kept.
    pub(crate) kept: bool,
}

impl Outcome {
    /// Counts the results of each transfer that was made.
    pub(crate) fn of(
        promise: Promise,
        made: &[Transfer],
        history: &History,
        audit: &Audit,
        crashes: usize,
    ) -> Self {
        let mut results: BTreeMap<u64, u64> = made.iter().map(|made| (made.id, 0)).collect();
        for result in history.applied.iter().chain(&history.refused) {
            *results.entry(result.id).or_default() += 1;
        }
        let lost = results.values().filter(|count| **count == 0).count() as u64;
        let repeated = results.values().map(|count| count.saturating_sub(1)).sum();
        Outcome {
            promise,
            crashes,
            lost,
            repeated,
            money_before: audit.money_before,
            money_after: audit.money_after,
            kept: match promise {
                Promise::AtMostOnce => repeated == 0,
                Promise::AtLeastOnce => lost == 0,
                Promise::ExactlyOnce => audit.passed(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::audit;

    fn transfer(id: u64) -> Transfer {
        Transfer {
            id,
            from: "a".to_owned(),
            to: "b".to_owned(),
            amount: 1,
        }
    }

    /// Of three transfers these have results: which promises were kept?
    fn check(results: &[u64], (lost, repeated): (u64, u64), kept: [bool; 2]) {
        let made: Vec<Transfer> = (0..3).map(transfer).collect();
        let history = History {
            refused: results.iter().copied().map(transfer).collect(),
            ..History::default()
        };
        let audit = audit(&made, &["a".to_owned(), "b".to_owned()], &history);
        for (promise, kept) in [Promise::AtMostOnce, Promise::AtLeastOnce]
            .into_iter()
            .zip(kept)
        {
            let outcome = Outcome::of(promise, &made, &history, &audit, 0);
            assert_eq!((outcome.lost, outcome.repeated), (lost, repeated));
            assert_eq!(outcome.kept, kept, "{promise:?} with {results:?}");
        }
    }

    #[test]
    fn a_loss_breaks_at_least_once_and_a_repeat_breaks_at_most_once() {
        check(&[0, 1, 2], (0, 0), [true, true]);
        check(&[0, 2], (1, 0), [true, false]);
        check(&[0, 1, 1, 2], (0, 1), [false, true]);
        check(&[1, 1], (2, 1), [false, false]);
    }
}
