//! The deadlines of the machine: what has to happen when nobody asks.
//!
//! # Invariants
//!
//! - **One deadline a key:** setting it again moves it.
//! - **Equal deadlines expire in the order of their keys**, so the same history repeats.

use std::collections::{BTreeMap, BTreeSet};

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A fault holds something back until now.
    Delayed(u64),
    /// A fetch has waited long enough.
    Fetch(u64),
    /// A group has waited long enough for its members to join.
    Join(String),
    /// A group has waited long enough for its members to ask for their assignment.
    Sync(String),
    /// A member has not been heard of, or has not come back with its new id.
    Session(String, String),
    /// The next control marker of a transactional id is due.
    Markers(String),
    /// Look for expired transactions.
    Sweep,
}

/// All deadlines, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(i64, Timer)>,
    at: BTreeMap<Timer, i64>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at_ms: i64) {
        if let Some(before) = self.at.insert(timer.clone(), at_ms) {
            self.due.remove(&(before, timer.clone()));
        }
        self.due.insert((at_ms, timer));
    }

    pub(crate) fn set_if_absent(&mut self, timer: Timer, at_ms: i64) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at_ms);
        }
    }

    /// Passes on what outlives a restart: everything but the waiting requests' deadlines.
    pub(crate) fn keep_coordinators(self, into: &mut Self) {
        for (timer, at_ms) in self.at {
            if !matches!(timer, Timer::Delayed(_) | Timer::Fetch(_)) {
                into.set(timer, at_ms);
            }
        }
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at_ms) = self.at.remove(&timer) {
            self.due.remove(&(at_ms, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<i64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes the soonest deadline that is not after `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}
