//! Windows of a fixed size that follow each other, or overlap.

use std::time::Duration;

use onceflow_framework::time::duration_millis;

/// Tumbling windows of a size, or hopping ones with an advance of their own.
///
/// A window `[start, start + size)` begins at each multiple of the advance, from the epoch on.
/// It closes when stream time reaches its end and the grace.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let minute = Duration::from_secs(60);
/// let tumbling = TimeWindows::of_size_with_no_grace(minute);
/// let hopping = TimeWindows::of_size_and_grace(minute, minute).advance_by(Duration::from_secs(10));
/// assert_ne!(tumbling, hopping);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindows {
    size: Duration,
    grace: Duration,
    advance: Duration,
}

impl TimeWindows {
    /// Tumbling windows that close at their end: a record out of order may come too late.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [100, 85] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 1); // 85 came when [80, 90) was closed
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of_size_with_no_grace(size: Duration) -> Self {
        TimeWindows::of_size_and_grace(size, Duration::ZERO)
    }

    /// Tumbling windows that stay open for `grace` behind their end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_and_grace(Duration::from_millis(10), Duration::from_millis(10));
    /// clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [99, 85] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.dropped_total(), 0); // 85 came within the grace
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> Self {
        TimeWindows {
            size,
            grace,
            advance: size,
        }
    }

    /// Begins a window at each multiple of `advance`, which may not exceed the size.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    /// let hopping = windows.advance_by(Duration::from_millis(5));
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(hopping).count();
    /// counts.to_stream().select_key(|window, _| window.to_string()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("clicks", utf8(), utf8()).pipe("ada", "home", Timestamp::from_millis(7))?;
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_key_values()?;
    /// assert_eq!(counts, [("ada@0/10".to_owned(), 1), ("ada@5/15".to_owned(), 1)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn advance_by(mut self, advance: Duration) -> Self {
        self.advance = advance;
        self
    }

    pub(super) fn size(&self) -> Duration {
        self.size
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    pub(super) fn advance(&self) -> Duration {
        self.advance
    }

    /// What is wrong with it, for `build` to report.
    pub(super) fn problem(&self) -> Option<String> {
        let (size, advance) = (duration_millis(self.size), duration_millis(self.advance));
        if size < 1 {
            return Some(format!("a window of {size} ms; the least size is 1 ms"));
        }
        (advance < 1 || advance > size).then(|| {
            format!("windows of {size} ms that advance by {advance} ms; take from 1 ms to the size")
        })
    }
}
