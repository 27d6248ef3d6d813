//! Windows: a span of event time, and a key within one.
//!
//! A time window includes its start and excludes its end; a session includes both.

use std::fmt;

use crate::time::Timestamp;

/// A span of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first timestamp in it.
    pub start: Timestamp,
    /// One past the last timestamp of a time window; the last one of a session.
    pub end: Timestamp,
}

impl Window {
    /// A window from its two ends.
    ///
    /// ```
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let at = Timestamp::from_millis;
    /// assert_eq!(Window::new(at(0), at(10)).end, at(10));
    /// ```
    #[must_use]
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Window { start, end }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}

/// A key within a window: what the rows of a windowed table are keyed by.
///
/// ```
/// use onceflow_framework::{Timestamp, Window, Windowed};
///
/// let at = Timestamp::from_millis;
/// let clicks_of_ada = Windowed::new("ada", Window::new(at(0), at(10)));
/// assert_eq!(clicks_of_ada.to_string(), "ada@0/10");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The key that was grouped by.
    pub key: K,
    /// The window.
    pub window: Window,
}

impl<K> Windowed<K> {
    /// A key within a window.
    pub const fn new(key: K, window: Window) -> Self {
        Windowed { key, window }
    }
}

impl<K: fmt::Display> fmt::Display for Windowed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.window)
    }
}
