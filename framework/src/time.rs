//! Time as the topology sees it: timestamps of records, the wall clock as an argument, extractors.
//!
//! # Invariants
//!
//! - Nothing in this crate asks the machine for the time except [`SystemClock`].
//! - Stream time never goes back; it is the highest timestamp a task has seen.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::record::{RawRecord, Record};

/// Milliseconds since 1970-01-01 UTC, as in Kafka's records. Negative means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// What Kafka writes for "no timestamp", and stream time before the first record.
    pub const NONE: Timestamp = Timestamp(-1);

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whether this is a time at all, and not Kafka's "none".
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }

    /// The time since an earlier one; zero if that one is not earlier.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(duration_millis(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(duration_millis(span)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span in whole milliseconds, as Kafka counts; centuries are capped, not wrapped.
#[must_use]
pub fn duration_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Where the time comes from: the machine in production, a hand-turned clock in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time, which may jump.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary moment, which never goes back: for time-outs and intervals.
    fn elapsed(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic part starts now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    pub fn new() -> Self {
        SystemClock {
            origin: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_millis(duration_millis(since_epoch.unwrap_or_default()))
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until it is turned: time in tests and in the simulation.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow_framework::Timestamp;
/// use onceflow_framework::time::{Clock, ManualClock};
///
/// let clock = ManualClock::starting_at(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), Timestamp::from_millis(1_005));
/// assert_eq!(clock.elapsed(), Duration::from_millis(5));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    start: Timestamp,
    /// Turned so far, in whole milliseconds: records know nothing finer.
    elapsed_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start` until it is turned.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        ManualClock {
            start,
            elapsed_ms: AtomicU64::new(0),
        }
    }

    /// Turns the clock on; what is below a millisecond is cut off.
    pub fn advance(&self, span: Duration) {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.elapsed_ms.fetch_add(span_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.start + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::Relaxed))
    }
}

/// Chooses the timestamp of a record that is being read.
///
/// The second argument is the raw record, whose timestamp is the broker's; the third the
/// highest timestamp seen so far on the partition ([`Timestamp::NONE`] before the first).
/// A negative answer drops the record and counts it; an error stops the application.
pub trait TimestampExtractor<K, V>: Send + Sync {
    /// The timestamp of `record`, negative to drop it.
    ///
    /// # Errors
    ///
    /// A sentence that says why the record cannot be timed; the task stops at it.
    fn extract(
        &self,
        record: &Record<K, V>,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, String>;
}

impl<K, V, F> TimestampExtractor<K, V> for F
where
    F: Fn(&Record<K, V>) -> Timestamp + Send + Sync,
{
    fn extract(
        &self,
        record: &Record<K, V>,
        _raw: &RawRecord<'_>,
        _partition_time: Timestamp,
    ) -> Result<Timestamp, String> {
        Ok(self(record))
    }
}

/// The extractors that Kafka Streams ships, for records whose timestamp is Kafka's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordTime {
    /// The record's timestamp; a negative one stops the application (Kafka Streams' default).
    #[default]
    FailOnInvalid,
    /// The record's timestamp; a negative one drops the record.
    SkipOnInvalid,
    /// The record's timestamp; a negative one is replaced by the partition time, and stops
    /// the task if there is none yet.
    PartitionTimeOnInvalid,
    /// The time at which the record is processed.
    WallClock,
}

impl RecordTime {
    /// The timestamp to use for a record that carries `own`.
    #[inline]
    pub(crate) fn resolve(
        self,
        own: Timestamp,
        partition_time: Timestamp,
        clock: &dyn Clock,
    ) -> Result<Timestamp, String> {
        match self {
            RecordTime::WallClock => Ok(clock.now()),
            _ if own.is_some() => Ok(own),
            RecordTime::SkipOnInvalid => Ok(own),
            RecordTime::PartitionTimeOnInvalid if partition_time.is_some() => Ok(partition_time),
            RecordTime::PartitionTimeOnInvalid => Err(format!(
                "the record has no timestamp ({own}) and is the first of its partition; write \
                 timestamps, or choose the extractor that skips or uses the wall clock"
            )),
            RecordTime::FailOnInvalid => Err(format!(
                "the record has no timestamp ({own}); write timestamps, or choose an extractor \
                 that skips, uses the partition time or the wall clock"
            )),
        }
    }
}

/// How a source finds the timestamps of its records.
pub enum Extractor<K, V> {
    /// From Kafka's own timestamp.
    Record(RecordTime),
    /// From the record's content.
    Custom(Arc<dyn TimestampExtractor<K, V>>),
}

impl<K, V> Extractor<K, V> {
    /// Whether a record keeps its own timestamp, which is what most do.
    pub(crate) fn keeps(&self, own: Timestamp) -> bool {
        matches!(self, Extractor::Record(rule) if *rule != RecordTime::WallClock) && own.is_some()
    }
}

impl<K, V> Clone for Extractor<K, V> {
    fn clone(&self) -> Self {
        match self {
            Extractor::Record(record_time) => Extractor::Record(*record_time),
            Extractor::Custom(custom) => Extractor::Custom(Arc::clone(custom)),
        }
    }
}

impl<K, V> fmt::Debug for Extractor<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extractor::Record(record_time) => record_time.fmt(f),
            Extractor::Custom(_) => f.write_str("Custom"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(rule: RecordTime, own: i64, partition_time: i64) -> Result<i64, String> {
        let (own, partition) = (Timestamp(own), Timestamp(partition_time));
        rule.resolve(own, partition, &SystemClock::new())
            .map(Timestamp::as_millis)
    }

    #[test]
    fn a_valid_timestamp_is_taken_as_it_is() {
        for rule in [
            RecordTime::FailOnInvalid,
            RecordTime::SkipOnInvalid,
            RecordTime::PartitionTimeOnInvalid,
        ] {
            assert_eq!(resolve(rule, 7, 9), Ok(7));
        }
    }

    #[test]
    fn a_negative_timestamp_fails_skips_or_takes_the_partition_time() {
        assert!(resolve(RecordTime::FailOnInvalid, -1, 9).is_err());
        assert_eq!(resolve(RecordTime::SkipOnInvalid, -1, 9), Ok(-1));
        assert_eq!(resolve(RecordTime::PartitionTimeOnInvalid, -1, 9), Ok(9));
        assert!(resolve(RecordTime::PartitionTimeOnInvalid, -1, -1).is_err());
    }

    #[test]
    fn spans_saturate_instead_of_wrapping() {
        let late = Timestamp(i64::MAX) + Duration::from_secs(1);
        assert_eq!(late.as_millis(), i64::MAX);
        assert_eq!(Timestamp(3).since(Timestamp(8)), Duration::ZERO);
    }
}
