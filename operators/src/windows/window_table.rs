//! A table in windows as its processor holds it: rows are written here, and their changes told.
//!
//! ```text
//!   update ──> store ──> changelog, downstream                    without a cache
//!     └─ or ─> store (staged), held ── flush ──> changelog, downstream    with one
//! ```
//!
//! # Invariants
//!
//! - A row that the store does not keep any more is not held back: it is logged and told at once,
//!   behind what is held of it; but not that it is still not there.
//! - Results that are emitted when their windows close are not held back: they are told once.

use std::cell::RefMut;

use onceflow_framework::serde::{Encoded, Serde, SharedSerde};
use onceflow_framework::state::{SessionStore, TimestampedWindowStore, ValueAndTimestamp};
use onceflow_framework::{Error, ErrorKind, Fault, Headers, Record, Timestamp, Windowed};

use super::time_rows::RowContext;
use crate::Data;
use crate::change::Change;
use crate::logged_headers::LoggedHeaders;
use crate::write_back::{Held, SharedWriteBack, Update, WriteBack};

/// A store of rows by key and window.
pub(super) trait WindowRows<K, A> {
    fn keeps(&self, key: &Windowed<K>) -> bool;
    fn put(
        &self,
        key: &Windowed<K>,
        row: Option<&ValueAndTimestamp<A>>,
        headers: &Headers,
    ) -> Result<(), Error>;
    fn stage(&self, key: &Windowed<K>, row: Option<&ValueAndTimestamp<A>>) -> Result<usize, Error>;
    fn log(
        &self,
        key: &Windowed<K>,
        there_at: (bool, Timestamp),
        of_deletion: &Headers,
    ) -> Result<Option<ValueAndTimestamp<A>>, Error>;
    /// When a row is told to be gone that a record at `at` deleted.
    fn gone_at(&self, key: &Windowed<K>, at: Timestamp) -> Timestamp;
}

impl<K: Data, A: Data> WindowRows<K, A> for TimestampedWindowStore<K, A> {
    fn keeps(&self, key: &Windowed<K>) -> bool {
        self.keeps(key.window.start)
    }

    fn put(
        &self,
        key: &Windowed<K>,
        row: Option<&ValueAndTimestamp<A>>,
        headers: &Headers,
    ) -> Result<(), Error> {
        self.put_with_headers(&key.key, row, key.window.start, headers)
    }

    fn stage(&self, key: &Windowed<K>, row: Option<&ValueAndTimestamp<A>>) -> Result<usize, Error> {
        self.stage(&key.key, row, key.window.start)
    }

    fn log(
        &self,
        key: &Windowed<K>,
        there_at: (bool, Timestamp),
        of_deletion: &Headers,
    ) -> Result<Option<ValueAndTimestamp<A>>, Error> {
        self.log(&key.key, key.window.start, there_at, of_deletion)
    }

    fn gone_at(&self, _: &Windowed<K>, at: Timestamp) -> Timestamp {
        at
    }
}

impl<K: Data, A: Data> WindowRows<K, A> for SessionStore<K, A> {
    fn keeps(&self, key: &Windowed<K>) -> bool {
        self.keeps(key.window)
    }

    fn put(
        &self,
        key: &Windowed<K>,
        row: Option<&ValueAndTimestamp<A>>,
        headers: &Headers,
    ) -> Result<(), Error> {
        let value = row.map(|row| &row.value);
        self.put_with_headers(&key.key, key.window, value, headers)
    }

    fn stage(&self, key: &Windowed<K>, row: Option<&ValueAndTimestamp<A>>) -> Result<usize, Error> {
        self.stage(&key.key, key.window, row.map(|row| &row.value))
    }

    fn log(
        &self,
        key: &Windowed<K>,
        there_at: (bool, Timestamp),
        of_deletion: &Headers,
    ) -> Result<Option<ValueAndTimestamp<A>>, Error> {
        let value = self.log(&key.key, key.window, there_at, of_deletion)?;
        let timestamp = key.window.end;
        Ok(value.map(|value| ValueAndTimestamp { value, timestamp }))
    }

    fn gone_at(&self, key: &Windowed<K>, _: Timestamp) -> Timestamp {
        key.window.end
    }
}

/// What is held back of a table in windows.
pub(super) struct HeldWindows<K, A> {
    key: SharedSerde<K>,
    sends_old: bool,
    logged_headers: LoggedHeaders,
    bytes_max: usize,
    /// Of all who write to the store, once it is open.
    held: Option<SharedWriteBack<Windowed<K>, A>>,
}

impl<K: Data, A: Data> HeldWindows<K, A> {
    pub(super) fn new(
        key: &SharedSerde<K>,
        bytes_max: usize,
        (sends_old, logged_headers): (bool, LoggedHeaders),
    ) -> Self {
        HeldWindows {
            key: key.clone(),
            sends_old,
            logged_headers,
            bytes_max,
            held: None,
        }
    }

    /// Holds what all hold who write to that store.
    pub(super) fn open(&mut self, store: &str, ctx: &RowContext<K, A>) {
        self.held = Some(WriteBack::of_store(store, self.bytes_max, ctx.stores()));
    }

    fn held(&self) -> RefMut<'_, WriteBack<Windowed<K>, A>> {
        let held = self.held.as_ref();
        let held = held.expect("init opens the store before the first record");
        held.borrow_mut()
    }

    /// Writes a row and holds its change back. The change has the old value, whether or not it is
    /// sent.
    pub(super) fn update(
        &self,
        rows: &impl WindowRows<K, A>,
        update: Update<Windowed<K>, A>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let id = self.id(&update.key)?;
        let value = update.change.new.clone();
        let timestamp = update.timestamp;
        let row = value.map(|value| ValueAndTimestamp { value, timestamp });
        if !rows.keeps(&update.key) {
            let before = self.held().take(&id);
            before.map_or(Ok(()), |before| self.tell(rows, before, ctx))?;
            if row.is_none() && update.change.old.is_none() {
                return Ok(());
            }
            let headers = self.logged_headers.of(row.as_ref(), &update.headers);
            rows.put(&update.key, row.as_ref(), headers)?;
            let old = update.change.old.filter(|_| self.sends_old);
            let change = Change::latest(old, update.change.new);
            let told = Record::new(update.key, change, timestamp);
            return ctx.forward(told.with_headers(update.headers));
        }
        let stored = rows.stage(&update.key, row.as_ref())?;
        self.held().hold_written(id, update, stored);
        let next = || self.held().release_excess();
        std::iter::from_fn(next).try_for_each(|held| self.tell(rows, held, ctx))
    }

    /// Tells what is held back.
    pub(super) fn flush(
        &self,
        rows: &impl WindowRows<K, A>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let next = || self.held().release();
        std::iter::from_fn(next).try_for_each(|held| self.tell(rows, held, ctx))
    }

    fn tell(
        &self,
        rows: &impl WindowRows<K, A>,
        held: Held<Windowed<K>, A>,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let of_deletion = self.logged_headers.of(None::<&A>, &held.headers);
        let there_at = (held.old.is_some(), held.at);
        let new = rows.log(&held.key, there_at, of_deletion)?;
        if new.is_none() && held.old.is_none() {
            return Ok(());
        }
        let gone_at = rows.gone_at(&held.key, held.at);
        let timestamp = new.as_ref().map_or(gone_at, |new| new.timestamp);
        let old = held.old.filter(|_| self.sends_old);
        let change = Change::latest(old, new.map(|new| new.value));
        let told = Record::new(held.key, change, timestamp);
        ctx.forward(told.with_headers(held.headers))
    }

    /// The bytes of a key in a window: start, end, key.
    fn id(&self, key: &Windowed<K>) -> Result<Box<[u8]>, Error> {
        let mut id = Vec::new();
        id.extend_from_slice(&key.window.start.as_millis().to_be_bytes());
        id.extend_from_slice(&key.window.end.as_millis().to_be_bytes());
        let written = self.key.serialize(&key.key, &mut id);
        match written {
            Ok(Encoded::Bytes | Encoded::Null) => Ok(id.into()),
            Err(error) => {
                let message = format!("cannot serialize the key of window {}", key.window);
                Err(Error::new(ErrorKind::Store, message).because(error))
            }
        }
    }
}
