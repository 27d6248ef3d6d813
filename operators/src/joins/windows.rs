//! How far apart records of two streams may be to meet: `JoinWindows`.

use std::time::Duration;

use onceflow_framework::Timestamp;
use onceflow_framework::time::duration_millis;

/// The window of a join of two streams, seen from a left record: how much earlier and later the
/// right record may be, both included, and how long after that late ones are awaited.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
/// let near = JoinWindows::of(minute);
/// let soon_after = JoinWindows::of(minute).before(Duration::ZERO).grace(second);
/// assert_ne!(near, soon_after);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinWindows {
    /// How much earlier than the left record a right one may be; below zero: must be later.
    pub(super) before_ms: i64,
    /// How much later it may be; below zero: must be earlier.
    pub(super) after_ms: i64,
    pub(super) grace_ms: i64,
}

impl JoinWindows {
    /// Records at most `difference` apart; late ones are not awaited
    /// (`JoinWindows.ofTimeDifferenceWithNoGrace` in Java).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// let soon = JoinWindows::of(minute);
    /// let missing = |due: i64, paid: i64| due - paid;
    /// orders.join(&payments, missing, soon, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(90_000))?;
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// for at in [29_999, 30_000, 150_000, 150_001] {
    ///     payments.pipe("ada", 20, Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("missing", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn of(difference: Duration) -> Self {
        let millis = duration_millis(difference);
        JoinWindows::between_millis(-millis, millis)
    }

    /// Right records from `first` to `last` milliseconds after the left one: for windows in which
    /// the left record's own time is not.
    ///
    /// A window that ends before it begins is reported when the topology is built.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// // A reminder counts if it comes one to two hours after the order.
    /// let reminded = JoinWindows::between_millis(3_600_000, 7_200_000);
    /// # let _ = reminded;
    /// ```
    #[must_use]
    pub fn between_millis(first: i64, last: i64) -> Self {
        JoinWindows {
            before_ms: first.saturating_neg(),
            after_ms: last,
            grace_ms: 0,
        }
    }

    /// Right records may be this much earlier.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// let soon = JoinWindows::of(minute).before(Duration::ZERO);
    /// let missing = |due: i64, paid: i64| due - paid;
    /// orders.join(&payments, missing, soon, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(90_000))?;
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// for at in [89_999, 90_000, 150_000] {
    ///     payments.pipe("ada", 20, Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("missing", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn before(self, difference: Duration) -> Self {
        let before_ms = duration_millis(difference);
        JoinWindows { before_ms, ..self }
    }

    /// Right records may be this much later.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// let soon = JoinWindows::of(minute).after(Duration::ZERO);
    /// let missing = |due: i64, paid: i64| due - paid;
    /// orders.join(&payments, missing, soon, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(90_000))?;
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// for at in [89_999, 90_000, 90_001] {
    ///     payments.pipe("ada", 20, Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("missing", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn after(self, difference: Duration) -> Self {
        let after_ms = duration_millis(difference);
        JoinWindows { after_ms, ..self }
    }

    /// Awaits late records this long after the window has ended.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let minute = Duration::from_secs(60);
    /// let soon = JoinWindows::of(minute).grace(minute);
    /// let missing = |due: i64, paid: i64| due - paid;
    /// orders.join(&payments, missing, soon, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(90_000))?;
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// for at in [200_000, 90_000] {
    ///     payments.pipe("ada", 20, Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("missing", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        let grace_ms = duration_millis(grace);
        JoinWindows { grace_ms, ..self }
    }

    /// The same window, seen from a right record.
    pub(super) fn flipped(self) -> Self {
        JoinWindows {
            before_ms: self.after_ms,
            after_ms: self.before_ms,
            ..self
        }
    }

    /// The first and the last time at which a record may meet one of this time.
    pub(super) fn around(self, timestamp: Timestamp) -> (Timestamp, Timestamp) {
        let at = timestamp.as_millis();
        let bound = |millis: i64| Timestamp::from_millis(millis.max(0));
        let from = bound(at.saturating_sub(self.before_ms));
        (from, bound(at.saturating_add(self.after_ms)))
    }

    /// How long the window is; none if it ends before it begins.
    pub(super) fn length(self) -> Option<Duration> {
        let length = self.before_ms.saturating_add(self.after_ms);
        u64::try_from(length).ok().map(Duration::from_millis)
    }
}
