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
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [100, 85] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 1); // 85 came when its session was closed
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        SessionWindows::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions that stay open for `grace` behind their gap.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(10), Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [100, 85] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 0); // 85 came within the grace
    /// # Ok::<(), onceflow::Error>(())
    /// ```
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
