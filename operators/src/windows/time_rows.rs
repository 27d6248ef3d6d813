//! Rows of time windows: where they are kept, how they are read, updated and handed on.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::processor::Context;
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::{TimestampedWindowStore, ValueAndTimestamp};
use onceflow_framework::{Error, Fault, Headers, Record, Timestamp, Window, Windowed};

use super::emit::EmitStrategy;
use super::shared_store::Companions;
use super::window_table::HeldWindows;
use crate::Data;
use crate::change::{Change, LoggedOld};
use crate::logged_headers::LoggedHeaders;
use crate::write_back::Update;

/// The context of an aggregation in windows.
pub(super) type RowContext<K, A> = Context<Windowed<K>, Change<A>>;

/// The rows of an aggregation in time windows, as one task keeps them.
pub(super) struct TimeRows<K, X, A, U> {
    pub(super) name: Arc<str>,
    /// From the start of a window to its end.
    pub(super) size: Duration,
    pub(super) result: SharedSerde<A>,
    pub(super) emit: EmitStrategy,
    pub(super) sends_old: bool,
    /// Whether a buffer downstream logs old values, as Kafka Streams has them.
    pub(super) logs_old: bool,
    pub(super) logged_headers: LoggedHeaders,
    /// Makes a new row of a value and the old row.
    pub(super) update: Arc<U>,
    pub(super) store: Option<TimestampedWindowStore<K, A>>,
    /// Those who write to the store, too.
    pub(super) companions: Companions,
    /// Holds changes back, if the table is cached.
    pub(super) held: Option<HeldWindows<K, A>>,
    pub(super) types: PhantomData<fn(X)>,
}

/// What a row begins with before it is updated.
pub(super) enum Before<A> {
    /// The row itself, or nothing.
    Row(Option<ValueAndTimestamp<A>>),
    /// The row of another window, whose records are in this one too. The window may have a row
    /// of its own, which is replaced.
    Of(Option<ValueAndTimestamp<A>>),
}

impl<K, X, A, U> TimeRows<K, X, A, U>
where
    K: Data,
    X: Data,
    A: Data,
    U: Fn(&K, X, Option<A>) -> Option<A>,
{
    pub(super) fn open(&mut self, ctx: &RowContext<K, A>) -> Result<(), Error> {
        let store = ctx.timestamped_window_store(&self.name)?;
        self.companions.meet(&self.name, ctx);
        self.store = Some(match self.companions.hold() {
            true => store.with_held(),
            false => store,
        });
        if let Some(held) = &mut self.held {
            held.open(&self.name, ctx);
        }
        Ok(())
    }

    pub(super) fn store(&self) -> &TimestampedWindowStore<K, A> {
        let store = self.store.as_ref();
        store.expect("init opens the store before the first record")
    }

    pub(super) fn window(&self, start: Timestamp) -> Window {
        Window::new(start, start + self.size)
    }

    /// Updates the row of the window that the record's key names.
    pub(super) fn update(
        &self,
        record: &Record<Windowed<K>, X>,
        before: Before<A>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let tells_old = self.sends_old || self.held.is_some();
        let mut logged = None;
        let (before, old) = match before {
            Before::Row(row) => {
                let own = row.as_ref().filter(|_| tells_old);
                let old = own.map(|own| own.value.clone());
                if self.logs_old && row.is_none() {
                    logged = Some(LoggedOld::Initial);
                }
                (row, old)
            }
            Before::Of(row) if tells_old => {
                let old = self.get(&record.key)?;
                if self.logs_old {
                    let other = row.as_ref().map(|row| row.value.clone());
                    logged = Some(other.map_or(LoggedOld::Initial, LoggedOld::Value));
                }
                (row, old)
            }
            Before::Of(row) => (row, None),
        };
        let (row, timestamp) = match before {
            Some(row) => (Some(row.value), row.timestamp.max(record.timestamp)),
            None => (None, record.timestamp),
        };
        let new = (self.update)(&record.key.key, record.value.clone(), row);
        let new = new.filter(|new| !self.result.is_null(new));
        let update = Update {
            key: record.key.clone(),
            change: Change::latest(old, new).logged_as(logged),
            timestamp,
            at: record.timestamp,
            headers: record.headers.clone(),
        };
        self.write(update, ctx)
    }

    fn get(&self, key: &Windowed<K>) -> Result<Option<A>, Error> {
        let row = self.store().get(&key.key, key.window.start)?;
        Ok(row.map(|row| row.value))
    }

    /// Gives a window the row of another one that holds the same records.
    pub(super) fn copy(
        &self,
        key: &Windowed<K>,
        row: &ValueAndTimestamp<A>,
        headers: &Headers,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let update = Update {
            key: key.clone(),
            change: Change::latest(None, Some(row.value.clone())),
            timestamp: row.timestamp,
            at: row.timestamp,
            headers: headers.clone(),
        };
        self.write(update, ctx)
    }

    /// Writes a row and hands its change on: now, with the next flush, or when the window closes.
    fn write(
        &self,
        update: Update<Windowed<K>, A>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        if let Some(held) = &self.held {
            return held.update(self.store(), update, ctx);
        }
        let Update {
            key,
            mut change,
            timestamp,
            headers,
            ..
        } = update;
        let new = change.new.take();
        let row = new.map(|value| ValueAndTimestamp { value, timestamp });
        let start = key.window.start;
        let logged = self.logged_headers.of(row.as_ref(), &headers);
        self.store()
            .put_with_headers(&key.key, row.as_ref(), start, logged)?;
        if self.emit.is_on_close() {
            return Ok(());
        }
        change.new = row.map(|row| row.value);
        ctx.forward(Record::new(key, change, timestamp).with_headers(headers))
    }

    /// Tells what is held back, and the store how far the slowest is who writes to it.
    pub(super) fn flush(&self, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        if let Some(slowest) = self.companions.slowest() {
            self.store().needed_at(slowest);
        }
        let flush = |held: &HeldWindows<K, A>| held.flush(self.store(), ctx);
        self.held.as_ref().map_or(Ok(()), flush)
    }

    /// Hands on every row whose window begins from `from` to `to`, by start and key.
    pub(super) fn emit(
        &self,
        (from, to): (Timestamp, Timestamp),
        headers: &Headers,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        if from > to {
            return Ok(());
        }
        let closed = self.store().fetch_all_with_expired(from, to);
        let mut closed = closed.collect::<Result<Vec<_>, Error>>()?;
        // A segment may hold several starts; within one start the order is that of the keys.
        closed.sort_by_key(|(key, _)| key.window.start);
        for (key, row) in closed {
            ctx.forward(Record {
                key,
                value: Change::latest(None, Some(row.value)),
                timestamp: row.timestamp,
                headers: headers.clone(),
            })?;
        }
        Ok(())
    }
}
