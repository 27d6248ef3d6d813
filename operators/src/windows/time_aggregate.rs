//! Updates the rows of tumbling, hopping and unlimited windows, record by record.
//!
//! # Invariants
//!
//! - A row is read and written by its key and start: nothing is scanned but for closed windows.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Processor, Punctuation};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::time::duration_millis;
use onceflow_framework::{Fault, Headers, Record, Timestamp, Windowed};

use super::emit::OperatorTime;
use super::time_rows::{Before, RowContext, TimeRows};
use super::time_windows::TimeWindows;
use super::unlimited_windows::UnlimitedWindows;
use crate::Data;
use crate::change::Change;
use crate::null::{OrNull, present};

/// Windows whose starts follow from a timestamp alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starts {
    /// The start of the first window of all.
    first: i64,
    size: i64,
    advance: i64,
    grace: i64,
}

impl From<&TimeWindows> for Starts {
    fn from(windows: &TimeWindows) -> Self {
        Starts {
            first: 0,
            size: duration_millis(windows.size()),
            advance: duration_millis(windows.advance()).max(1),
            grace: duration_millis(windows.grace()),
        }
    }
}

impl From<&UnlimitedWindows> for Starts {
    fn from(windows: &UnlimitedWindows) -> Self {
        Starts {
            first: windows.start().as_millis(),
            size: i64::MAX,
            advance: i64::MAX,
            grace: 0,
        }
    }
}

impl Starts {
    /// The starts of the windows that a timestamp is in, in order.
    fn of(self, timestamp: i64) -> impl Iterator<Item = i64> {
        let within = timestamp.saturating_sub(self.first);
        let after = within
            .saturating_sub(self.size)
            .saturating_add(self.advance)
            .max(0);
        let first = self.first + after / self.advance * self.advance;
        let starts =
            std::iter::successors(Some(first), move |start| start.checked_add(self.advance));
        starts.take_while(move |start| *start <= timestamp)
    }

    fn end(self, start: i64) -> i64 {
        start.saturating_add(self.size)
    }

    /// A window that ends up to here is closed.
    fn close(self, stream_time: Timestamp) -> i64 {
        stream_time.as_millis().saturating_sub(self.grace)
    }

    /// The first and last start of the windows that close between two stream times.
    fn closing(self, before: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
        let last = |stream_time| self.close(stream_time).saturating_sub(self.size);
        let from = if before.is_some() {
            last(before).saturating_add(1)
        } else {
            0
        };
        let at = Timestamp::from_millis;
        (at(from.max(0)), at(last(now)))
    }
}

/// Reads the row of each window of a record, updates it, writes it, and hands the change on.
pub(super) struct TimeAggregate<K0, V0, K, X, A, Take, Update> {
    pub(super) key: SharedSerde<K>,
    pub(super) rows: TimeRows<K, X, A, Update>,
    pub(super) starts: Starts,
    pub(super) time: OperatorTime,
    /// What goes into a row of a record's value; none: it is null, and dropped.
    pub(super) take: Arc<Take>,
    pub(super) types: PhantomData<fn(K0, V0)>,
}

impl<K0, V0, K, X, A, Take, Update> TimeAggregate<K0, V0, K, X, A, Take, Update>
where
    K: Data,
    X: Data,
    A: Data,
    Update: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    /// Hands on what closes between two stream times.
    fn emit_closed(
        &self,
        (before, now): (Timestamp, Timestamp),
        headers: &Headers,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        if !self.rows.emit.is_on_close() || before == now {
            return Ok(());
        }
        self.rows
            .emit(self.starts.closing(before, now), headers, ctx)
    }
}

impl<K0, V0, K, X, A, Take, Update> Processor for TimeAggregate<K0, V0, K, X, A, Take, Update>
where
    K: Data,
    X: Data,
    A: Data,
    K0: Data + OrNull<K>,
    V0: Data,
    Take: Fn(V0) -> Option<X> + Send + Sync + 'static,
    Update: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    type KeyIn = K0;
    type ValueIn = V0;
    type KeyOut = Windowed<K>;
    type ValueOut = Change<A>;

    fn init(&mut self, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        self.time.open(ctx);
        self.rows.open(ctx)?;
        Ok(())
    }

    fn process(&mut self, record: Record<K0, V0>, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        let Some(key) = present(record.key, &self.key) else {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        };
        let Some(value) = (self.take)(record.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let before = self.time.get();
        let now = self.time.advance(record.timestamp);
        self.emit_closed((before, now), &record.headers, ctx)?;
        let closed = self.starts.close(now);
        let epoch = Timestamp::from_millis(0);
        let mut record = Record {
            key: Windowed::new(key, self.rows.window(epoch)),
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        for start in self.starts.of(record.timestamp.as_millis()) {
            if self.starts.end(start) <= closed {
                ctx.dropped(DropReason::Late);
                continue;
            }
            record.key.window = self.rows.window(Timestamp::from_millis(start));
            let row = self
                .rows
                .store()
                .get(&record.key.key, record.key.window.start)?;
            self.rows.update(&record, Before::Row(row), ctx)?;
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        _: Timestamp,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let before = self.time.get();
        match self.time.look(ctx) {
            Some(now) => self.emit_closed((before, now), &Headers::new(), ctx),
            None => Ok(()),
        }
    }

    fn flush(&mut self, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        self.rows.flush(ctx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn starts(size: u64, advance: u64, timestamp: i64) -> Vec<i64> {
        let ms = Duration::from_millis;
        let windows = TimeWindows::of_size_with_no_grace(ms(size)).advance_by(ms(advance));
        Starts::from(&windows).of(timestamp).collect()
    }

    #[test]
    fn a_timestamp_is_in_every_window_that_covers_it() {
        assert_eq!(starts(10, 10, 0), [0]);
        assert_eq!(starts(10, 10, 9), [0]);
        assert_eq!(starts(10, 10, 10), [10]);
        assert_eq!(starts(10, 5, 12), [5, 10]);
        assert_eq!(starts(10, 5, 4), [0]);
        assert_eq!(starts(10, 4, 9), [0, 4, 8]);
        assert_eq!(starts(10, 4, 10), [4, 8]);
    }

    #[test]
    fn the_unlimited_window_begins_once() {
        let at = |millis| Timestamp::from_millis(millis);
        let windows = Starts::from(&UnlimitedWindows::of().start_on(at(5)));
        assert_eq!(windows.of(4).collect::<Vec<_>>(), [] as [i64; 0]);
        assert_eq!(windows.of(5).collect::<Vec<_>>(), [5]);
        assert_eq!(windows.of(i64::MAX).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn what_closes_between_two_times_begins_behind_what_closed_before() {
        let ms = Duration::from_millis;
        let windows = Starts::from(&TimeWindows::of_size_and_grace(ms(10), ms(5)));
        let closing = |before, now| {
            let at = Timestamp::from_millis;
            let (from, to) = windows.closing(at(before), at(now));
            (from.as_millis(), to.as_millis())
        };
        assert_eq!(closing(-1, 14), (0, -1));
        assert_eq!(closing(14, 15), (0, 0));
        assert_eq!(closing(15, 40), (1, 25));
    }
}
