//! Punctuations: calls that time makes, not a record.
//!
//! # Invariants
//!
//! - Stream-time punctuations are aligned to 0 and fire on the first stream time at or past
//!   their due time; intervals that passed in between coalesce into one call.
//! - Wall-clock punctuations fire first one interval after they were scheduled, and coalesce too.

use std::time::Duration;

use crate::time::{Timestamp, duration_millis};

/// Which time drives a punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PunctuationKind {
    /// The task's stream time: advances only with records.
    StreamTime,
    /// The machine's clock: advances by itself.
    WallClock,
}

/// One schedule of one processor; told back in `punctuate`, and cancelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Punctuation(usize);

/// The schedules of a task, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedules {
    entries: Vec<Schedule>,
    /// The earliest due time of each kind, so that asking costs one comparison a record.
    next_stream: Option<Timestamp>,
    next_wall: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Schedule {
    node: usize,
    kind: PunctuationKind,
    due: Timestamp,
    interval_ms: i64,
    cancelled: bool,
}

impl Schedules {
    /// Adds a schedule whose first call is due at `first`.
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond: it would be due for ever.
    pub(crate) fn add(
        &mut self,
        node: usize,
        kind: PunctuationKind,
        first: Timestamp,
        interval: Duration,
    ) -> Punctuation {
        let interval_ms = duration_millis(interval);
        assert!(
            interval_ms > 0,
            "a punctuation interval is at least one millisecond"
        );
        self.entries.push(Schedule {
            node,
            kind,
            due: first,
            interval_ms,
            cancelled: false,
        });
        self.refresh();
        Punctuation(self.entries.len() - 1)
    }

    pub(crate) fn cancel(&mut self, punctuation: Punctuation) {
        self.entries[punctuation.0].cancelled = true;
        self.refresh();
    }

    /// When the next punctuation of this kind is due.
    #[inline]
    pub(crate) fn next_due(&self, kind: PunctuationKind) -> Option<Timestamp> {
        match kind {
            PunctuationKind::StreamTime => self.next_stream,
            PunctuationKind::WallClock => self.next_wall,
        }
    }

    /// Takes the earliest schedule that is due at `now` and moves it to its next time past it.
    pub(crate) fn take_due(
        &mut self,
        kind: PunctuationKind,
        now: Timestamp,
    ) -> Option<(usize, Punctuation)> {
        if self.next_due(kind).is_none_or(|due| due > now) {
            return None;
        }
        let live = self.entries.iter_mut().enumerate();
        let (index, schedule) = live
            .filter(|(_, s)| s.kind == kind && !s.cancelled && s.due <= now)
            .min_by_key(|(index, s)| (s.due, *index))?;
        let missed = (now.as_millis() - schedule.due.as_millis()) / schedule.interval_ms;
        let step = schedule.interval_ms.saturating_mul(missed + 1);
        schedule.due = Timestamp::from_millis(schedule.due.as_millis().saturating_add(step));
        let node = schedule.node;
        self.refresh();
        Some((node, Punctuation(index)))
    }

    /// Goes back to the due times of `committed`, as far as the same schedules exist again:
    /// a replay must punctuate where the aborted run did.
    pub(crate) fn resume_from(&mut self, committed: &Schedules) {
        for (entry, before) in self.entries.iter_mut().zip(&committed.entries) {
            if entry.node == before.node && entry.kind == before.kind {
                entry.due = before.due;
            }
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        let earliest = |kind| {
            let live = self
                .entries
                .iter()
                .filter(|s| s.kind == kind && !s.cancelled);
            live.map(|s| s.due).min()
        };
        let (stream, wall) = (
            earliest(PunctuationKind::StreamTime),
            earliest(PunctuationKind::WallClock),
        );
        (self.next_stream, self.next_wall) = (stream, wall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn missed_intervals_coalesce_and_stay_aligned() {
        let mut schedules = Schedules::default();
        schedules.add(
            0,
            PunctuationKind::StreamTime,
            at(0),
            Duration::from_millis(10),
        );
        assert!(
            schedules
                .take_due(PunctuationKind::StreamTime, at(35))
                .is_some()
        );
        assert!(
            schedules
                .take_due(PunctuationKind::StreamTime, at(35))
                .is_none()
        );
        assert_eq!(
            schedules.next_due(PunctuationKind::StreamTime),
            Some(at(40))
        );
    }

    #[test]
    fn each_kind_has_its_own_time() {
        let mut schedules = Schedules::default();
        schedules.add(
            3,
            PunctuationKind::WallClock,
            at(100),
            Duration::from_millis(100),
        );
        assert!(
            schedules
                .take_due(PunctuationKind::StreamTime, at(1_000))
                .is_none()
        );
        assert_eq!(
            schedules
                .take_due(PunctuationKind::WallClock, at(100))
                .unwrap()
                .0,
            3
        );
    }

    #[test]
    fn a_cancelled_schedule_is_never_due() {
        let mut schedules = Schedules::default();
        let kind = PunctuationKind::WallClock;
        let punctuation = schedules.add(0, kind, at(1), Duration::from_millis(1));
        schedules.cancel(punctuation);
        assert_eq!(schedules.next_due(kind), None);
        assert!(schedules.take_due(kind, at(9)).is_none());
    }
}
