//! One window without an end.

use onceflow_framework::Timestamp;

/// One window from a start to the end of time: it never closes, and nothing expires.
///
/// A record before the start is in no window: it is dropped, as a filter would, uncounted.
///
/// ```
/// use onceflow::prelude::*;
///
/// let from_2024 = UnlimitedWindows::of().start_on(Timestamp::from_millis(1_704_067_200_000));
/// assert_ne!(from_2024, UnlimitedWindows::of());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnlimitedWindows {
    start: Timestamp,
}

impl UnlimitedWindows {
    /// The window from the epoch on.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = UnlimitedWindows::of();
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    /// counts.to_stream().select_key(|window, _| window.key.clone()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [500, 5] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
    /// assert_eq!(counts.iter().map(|r| r.value).collect::<Vec<_>>(), [1, 2]); // nothing is late
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of() -> Self {
        UnlimitedWindows {
            start: Timestamp::from_millis(0),
        }
    }

    /// Lets the window begin at `start`.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let windows = UnlimitedWindows::of().start_on(Timestamp::from_millis(100));
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(windows).count();
    /// counts.to_stream().select_key(|window, _| window.key.clone()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [500, 5] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
    /// assert_eq!(counts.iter().map(|r| r.value).collect::<Vec<_>>(), [1]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn start_on(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    /// What is wrong with it, for `build` to report.
    pub(super) fn problem(&self) -> Option<String> {
        let start = self.start;
        (!start.is_some()).then(|| format!("a window cannot start at {start}, before the epoch"))
    }
}
