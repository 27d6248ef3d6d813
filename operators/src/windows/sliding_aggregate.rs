//! Updates the rows of sliding windows, record by record.
//!
//! ```text
//!      previous      record
//!   ──────p────────────r──────>
//!         |<-- right of p -->|            begins at p + 1
//!   |<----- left of r ->|                 ends at r
//!                       |<-- right of r --> only once a record is in it
//! ```
//!
//! # Invariants
//!
//! - Every record has a left window, which ends at it; the windows between follow from their
//!   neighbours' rows, so no record is read again.
//! - A row's time is the highest of its records: it tells whether a window reaches to another one.
//! - A record's left window may be the right one of the record before: it is made twice, as in
//!   Kafka Streams, with the same row, and the second change replaces the first.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Processor, Punctuation};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::ValueAndTimestamp;
use onceflow_framework::time::duration_millis;
use onceflow_framework::{Error, Fault, Headers, Record, Timestamp, Windowed};

use super::emit::OperatorTime;
use super::sliding_windows::SlidingWindows;
use super::time_rows::{Before, RowContext, TimeRows};
use crate::Data;
use crate::change::Change;
use crate::null::{OrNull, present};

/// Sliding windows in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    difference: i64,
    grace: i64,
}

impl From<&SlidingWindows> for Spans {
    fn from(windows: &SlidingWindows) -> Self {
        Spans {
            difference: duration_millis(windows.difference()),
            grace: duration_millis(windows.grace()),
        }
    }
}

impl Spans {
    /// A window that ends before it is closed.
    fn close(self, stream_time: Timestamp) -> i64 {
        stream_time.as_millis().saturating_sub(self.grace)
    }

    fn end(self, start: i64) -> i64 {
        start.saturating_add(self.difference)
    }

    /// The first and last start of the windows that close between two stream times.
    fn closing(self, before: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
        let last = |time| {
            self.close(time)
                .saturating_sub(self.difference)
                .saturating_sub(1)
        };
        let from = if before.is_some() {
            last(before).saturating_add(1)
        } else {
            0
        };
        (at(from.max(0)), at(last(now)))
    }
}

/// A row, if there is one.
type Row<A> = Option<ValueAndTimestamp<A>>;

/// Finds the windows around a record, updates them, and makes those that are missing.
pub(super) struct SlidingAggregate<K0, V0, K, X, A, Take, Update> {
    pub(super) key: SharedSerde<K>,
    pub(super) rows: TimeRows<K, X, A, Update>,
    pub(super) spans: Spans,
    pub(super) time: OperatorTime,
    pub(super) take: Arc<Take>,
    pub(super) types: PhantomData<fn(K0, V0)>,
}

/// What was found around a record.
struct Around<A> {
    /// Starts of the windows that there are.
    starts: BTreeSet<i64>,
    /// A window before the record's left one: it has what that begins with.
    left: Row<A>,
    /// A window that reaches behind the record: it has what its right window begins with.
    right: Row<A>,
    /// The timestamp of the record before.
    previous: Option<i64>,
}

impl<K0, V0, K, X, A, Take, Update> SlidingAggregate<K0, V0, K, X, A, Take, Update>
where
    K: Data,
    X: Data,
    A: Data,
    Update: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    /// A record that lies at least a difference behind the epoch.
    fn usual(
        &self,
        record: &mut Record<Windowed<K>, X>,
        closed: i64,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let now = record.timestamp.as_millis();
        let difference = self.spans.difference;
        let around = self.update_existing(record, closed, ctx)?;
        if let Some(previous) = around.previous {
            let right_of_previous = previous + 1;
            let reaches = self.spans.end(right_of_previous) >= now;
            if reaches && !around.starts.contains(&right_of_previous) {
                self.update((right_of_previous, Before::Row(None)), record, closed, ctx)?;
            }
        }
        let left = now - difference;
        if !around.starts.contains(&left) {
            let shares = around.previous.is_some_and(|previous| previous >= left);
            let before = around.left.filter(|_| shares);
            self.update((left, Before::Of(before)), record, closed, ctx)?;
        }
        self.make_right(&around.starts, around.right, record, ctx)
    }

    /// Updates the windows that have the record in them, from the last to the first.
    fn update_existing(
        &self,
        record: &mut Record<Windowed<K>, X>,
        closed: i64,
        ctx: &mut RowContext<K, A>,
    ) -> Result<Around<A>, Fault> {
        let now = record.timestamp.as_millis();
        let mut around = Around {
            starts: BTreeSet::new(),
            left: None,
            right: None,
            previous: None,
        };
        let first = now
            .saturating_sub(self.spans.difference.saturating_mul(2))
            .max(0);
        let (key, last) = (record.key.key.clone(), at(now + 1));
        let found = self.rows.store().backward_fetch(&key, at(first), last)?;
        for entry in found {
            let (start, row) = entry?;
            let (start, latest) = (start.as_millis(), row.timestamp.as_millis());
            around.starts.insert(start);
            let end = self.spans.end(start);
            if start == now + 1 {
                continue;
            }
            if end < now {
                around.previous = Some(latest);
                around.left = Some(row);
                break;
            }
            if end > now && around.right.is_none() {
                around.right = Some(row.clone());
            }
            if end == now && latest < now {
                around.previous = Some(latest);
            }
            self.update((start, Before::Row(Some(row))), record, closed, ctx)?;
        }
        Ok(around)
    }

    /// A record less than a difference behind the epoch: all such share the window that begins
    /// there.
    fn early(
        &self,
        record: &mut Record<Windowed<K>, X>,
        closed: i64,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let now = record.timestamp.as_millis();
        let (mut starts, mut combined, mut right) = (BTreeSet::new(), None, None);
        let key = record.key.key.clone();
        let found = self.rows.store().fetch(&key, at(0), at(now + 1))?;
        for entry in found.collect::<Result<Vec<_>, Error>>()? {
            let (start, row) = (entry.0.as_millis(), entry.1);
            starts.insert(start);
            if start == 0 {
                combined = Some(row);
            } else if start <= now {
                right = Some(row.clone());
                self.update((start, Before::Row(Some(row))), record, closed, ctx)?;
            }
        }
        // Without a window in between, all of the combined one lies behind the record, or before.
        let latest = combined.as_ref().map(|row| row.timestamp.as_millis());
        if right.is_none() && latest.is_some_and(|latest| latest > now) {
            right.clone_from(&combined);
        }
        self.make_right(&starts, right, record, ctx)?;
        let previous = latest.filter(|latest| *latest < now);
        let right_of_previous = previous.map(|previous| previous + 1);
        if let Some(start) = right_of_previous.filter(|start| !starts.contains(start)) {
            self.update((start, Before::Row(None)), record, closed, ctx)?;
        }
        self.update((0, Before::Row(combined)), record, closed, ctx)
    }

    /// Makes the window behind the record, if there is a record in it.
    fn make_right(
        &self,
        starts: &BTreeSet<i64>,
        row: Row<A>,
        record: &mut Record<Windowed<K>, X>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let start = record.timestamp.as_millis() + 1;
        let row = row.filter(|row| row.timestamp > record.timestamp && !starts.contains(&start));
        let Some(row) = row else { return Ok(()) };
        record.key.window = self.rows.window(at(start));
        self.rows.copy(&record.key, &row, &record.headers, ctx)
    }

    /// Updates a window, unless it is closed.
    fn update(
        &self,
        (start, before): (i64, Before<A>),
        record: &mut Record<Windowed<K>, X>,
        closed: i64,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        if self.spans.end(start) < closed {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        record.key.window = self.rows.window(at(start));
        self.rows.update(record, before, ctx)
    }

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
            .emit(self.spans.closing(before, now), headers, ctx)
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

impl<K0, V0, K, X, A, Take, Update> Processor for SlidingAggregate<K0, V0, K, X, A, Take, Update>
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
        let (timestamp, closed) = (record.timestamp.as_millis(), self.spans.close(now));
        if self.spans.end(timestamp) < closed {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let mut record = Record {
            key: Windowed::new(key, self.rows.window(record.timestamp)),
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        match timestamp < self.spans.difference {
            true => self.early(&mut record, closed, ctx),
            false => self.usual(&mut record, closed, ctx),
        }
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
