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
    #[must_use]
    pub fn of() -> Self {
        UnlimitedWindows {
            start: Timestamp::from_millis(0),
        }
    }

    /// Lets the window begin at `start`.
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
