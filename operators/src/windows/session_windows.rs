//! Windows of activity between gaps.

use std::time::Duration;

/// Sessions: records of a key that follow each other within a gap.
///
/// A session reaches from its first record to its last, both included. A record within the gap of
/// two sessions makes one of them. A session closes when stream time is past its end, the gap and
/// the grace.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let (half_an_hour, minute) = (Duration::from_secs(30 * 60), Duration::from_secs(60));
/// let visits = SessionWindows::of_inactivity_gap_and_grace(half_an_hour, minute);
/// assert_ne!(visits, SessionWindows::of_inactivity_gap_with_no_grace(half_an_hour));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWindows {
    gap: Duration,
    grace: Duration,
}

impl SessionWindows {
    /// Sessions that close when their gap has passed.
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        SessionWindows::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions that stay open for `grace` behind their gap.
    #[must_use]
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> Self {
        SessionWindows { gap, grace }
    }

    pub(super) fn gap(&self) -> Duration {
        self.gap
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }
}
