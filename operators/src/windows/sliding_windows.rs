//! Windows that slide along with the records.

use std::time::Duration;

/// Windows of records that are at most a time difference apart.
///
/// A record at `t` makes the window `[t - difference, t]`, both ends included, and the window that
/// begins behind it, `[t + 1, t + 1 + difference]`, once a record falls into that. So each set of
/// records that are near enough to each other has its row, and no set has two. Records before the
/// difference share the window that begins at the epoch. A window closes when stream time is past
/// its end and the grace.
///
/// A difference of zero groups records of one timestamp; Kafka Streams fails at the first record.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let minute = Duration::from_secs(60);
/// let windows = SlidingWindows::of_time_difference_and_grace(minute, Duration::from_secs(5));
/// assert_ne!(windows, SlidingWindows::of_time_difference_with_no_grace(minute));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindows {
    difference: Duration,
    grace: Duration,
}

impl SlidingWindows {
    /// Windows that close right behind their end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = SlidingWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [100, 85] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 1); // the windows of 85 had closed
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        SlidingWindows::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// Windows that stay open for `grace` behind their end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = SlidingWindows::of_time_difference_and_grace(Duration::from_millis(10), Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [100, 92] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 0); // 92 came within the grace
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        SlidingWindows { difference, grace }
    }

    pub(super) fn difference(&self) -> Duration {
        self.difference
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }
}
