//! Where an application begins to read a partition.

use std::time::Duration;

use crate::record::Offset;
use crate::time::Timestamp;

/// Where an application begins to read its input topics.
///
/// What lies outside of what a partition still holds is moved to its nearest end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At this offset, in each partition.
    Offset(i64),
    /// At the first record that is not older than this.
    Time(Timestamp),
    /// At the first record that is not older than this long ago.
    Ago(Duration),
    /// So many records further on than committed, or back; from the oldest record where nothing
    /// is committed.
    ShiftBy(i64),
}

impl ResetTo {
    /// The time that decides, if one does.
    pub(super) fn time(self, now: Timestamp) -> Option<Timestamp> {
        let time = match self {
            ResetTo::Time(time) => time,
            ResetTo::Ago(ago) => now - ago,
            _ => return None,
        };
        Some(time.max(Timestamp::from_millis(0)))
    }

    /// The offset at which a partition begins, given what it holds, what is committed, and the
    /// first record of the time that decides.
    pub(super) fn start(
        self,
        (first, end): (Offset, Offset),
        committed: Option<Offset>,
        at_time: Option<Offset>,
    ) -> Offset {
        let wanted = match self {
            ResetTo::Earliest => first.get(),
            ResetTo::Latest => end.get(),
            ResetTo::Offset(offset) => offset,
            ResetTo::Time(_) | ResetTo::Ago(_) => at_time.unwrap_or(end).get(),
            ResetTo::ShiftBy(records) => committed.unwrap_or(first).get().saturating_add(records),
        };
        Offset::new(wanted.min(end.get()).max(first.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a partition that holds 100 to 199, with 150 committed.
    #[track_caller]
    fn check(to: ResetTo, at_time: Option<i64>, expected: i64) {
        let kept = (Offset::new(100), Offset::new(200));
        let start = to.start(kept, Some(Offset::new(150)), at_time.map(Offset::new));
        assert_eq!(start, Offset::new(expected), "{to:?}");
    }

    #[test]
    fn each_way_finds_its_offset() {
        check(ResetTo::Earliest, None, 100);
        check(ResetTo::Latest, None, 200);
        check(ResetTo::Offset(120), None, 120);
        check(ResetTo::ShiftBy(-20), None, 130);
        check(ResetTo::ShiftBy(20), None, 170);
        let time = ResetTo::Time(Timestamp::from_millis(5));
        check(time, Some(180), 180);
    }

    #[test]
    fn a_time_after_the_last_record_is_the_end() {
        check(ResetTo::Ago(Duration::ZERO), None, 200);
    }

    #[test]
    fn what_is_not_there_any_more_or_not_yet_is_moved_to_the_nearest_end() {
        check(ResetTo::Offset(7), None, 100);
        check(ResetTo::Offset(777), None, 200);
        check(ResetTo::ShiftBy(-1_000), None, 100);
        check(ResetTo::ShiftBy(i64::MAX), None, 200);
    }

    #[test]
    fn a_shift_of_what_was_never_committed_begins_at_the_oldest_record() {
        let kept = (Offset::new(100), Offset::new(200));
        let start = |by| ResetTo::ShiftBy(by).start(kept, None, None);
        assert_eq!((start(5), start(-5)), (Offset::new(105), Offset::new(100)));
    }

    #[test]
    fn a_span_counts_back_from_now() {
        let now = Timestamp::from_millis(10_000);
        let ago = |seconds| ResetTo::Ago(Duration::from_secs(seconds)).time(now);
        assert_eq!(ago(3), Some(Timestamp::from_millis(7_000)));
        assert_eq!(ago(30), Some(Timestamp::from_millis(0)));
    }
}
