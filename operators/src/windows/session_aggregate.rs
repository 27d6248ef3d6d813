//! Updates the rows of sessions, record by record.
//!
//! # Invariants
//!
//! - Two open sessions of a key are always further apart than the gap: a record that lies between
//!   them makes them one.
//! - A session that grows is a new one: the old is deleted, in the store and downstream.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Processor, Punctuation};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::SessionStore;
use onceflow_framework::time::duration_millis;
use onceflow_framework::{Error, Fault, Headers, Record, Timestamp, Window, Windowed};

use super::emit::{EmitStrategy, OperatorTime};
use super::session_windows::SessionWindows;
use super::time_rows::RowContext;
use super::window_table::HeldWindows;
use crate::Data;
use crate::change::{Change, LoggedOld};
use crate::logged_headers::LoggedHeaders;
use crate::null::{OrNull, present};
use crate::write_back::Update;

/// Session windows in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gaps {
    gap: i64,
    grace: i64,
}

impl From<&SessionWindows> for Gaps {
    fn from(windows: &SessionWindows) -> Self {
        Gaps {
            gap: duration_millis(windows.gap()),
            grace: duration_millis(windows.grace()),
        }
    }
}

impl Gaps {
    /// A session that ends before it is closed.
    fn close(self, stream_time: Timestamp) -> Timestamp {
        let behind = self.gap.saturating_add(self.grace);
        Timestamp::from_millis(stream_time.as_millis().saturating_sub(behind))
    }
}

/// How a session's row follows from its records.
pub(super) struct Fold<T, U, M> {
    /// What of a record's value goes into a row; none: it is null, and dropped.
    pub(super) take: T,
    pub(super) update: U,
    pub(super) merge: M,
}

/// Finds the sessions around a record, merges them, and updates the one that they make.
pub(super) struct SessionAggregate<K0, V0, K, X, A, T, U, M> {
    pub(super) key: SharedSerde<K>,
    pub(super) result: SharedSerde<A>,
    pub(super) name: Arc<str>,
    pub(super) store: Option<SessionStore<K, A>>,
    pub(super) gaps: Gaps,
    pub(super) emit: EmitStrategy,
    pub(super) time: OperatorTime,
    pub(super) sends_old: bool,
    /// Whether a buffer downstream logs old values, as Kafka Streams has them.
    pub(super) logs_old: bool,
    pub(super) logged_headers: LoggedHeaders,
    /// Holds changes back, if the table is cached.
    pub(super) held: Option<HeldWindows<K, A>>,
    pub(super) fold: Arc<Fold<T, U, M>>,
    pub(super) types: PhantomData<fn(K0, V0, X)>,
}

impl<K0, V0, K, X, A, T, U, M> SessionAggregate<K0, V0, K, X, A, T, U, M>
where
    K: Data,
    A: Data,
    M: Fn(&K, Option<A>, A) -> Option<A>,
{
    fn store(&self) -> &SessionStore<K, A> {
        let store = self.store.as_ref();
        store.expect("init opens the store before the first record")
    }

    /// The sessions that a record at that time touches, by end.
    fn touched(
        &self,
        key: &K,
        timestamp: Timestamp,
        closed: Timestamp,
    ) -> Result<Vec<(Window, A)>, Error> {
        let at = |millis: i64| Timestamp::from_millis(millis);
        let earliest = at(timestamp.as_millis().saturating_sub(self.gaps.gap));
        let latest = at(timestamp.as_millis().saturating_add(self.gaps.gap));
        // At the edge of the retention a session may still be open, though it is not read any more.
        let readable = self.store().readable_from();
        let edge = at(readable.as_millis().saturating_sub(1));
        let earliest = earliest.max(if edge >= closed { edge } else { readable });
        let found = self
            .store()
            .find_sessions_with_expired(key, earliest, latest)?;
        let sessions = found.map(|session| session.map(|(key, row)| (key.window, row)));
        sessions.collect()
    }

    /// Writes the row of a session and hands its change on.
    fn write(
        &self,
        (key, change): (Windowed<K>, Change<A>),
        (at, headers): (Timestamp, &Headers),
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        // As in Kafka Streams, a session's time is its end, and it has headers only from a cache.
        let timestamp = key.window.end;
        if let Some(held) = &self.held {
            let headers = headers.clone();
            let update = Update {
                key,
                change,
                timestamp,
                at,
                headers,
            };
            return held.update(self.store(), update, ctx);
        }
        let new = change.new.as_ref();
        let logged = self.logged_headers.of(new, headers);
        self.store()
            .put_with_headers(&key.key, key.window, new, logged)?;
        if self.emit.is_on_close() {
            return Ok(());
        }
        ctx.forward(Record::new(key, change, timestamp))
    }

    /// Hands on what closes between two stream times, by end and key.
    fn emit_closed(
        &self,
        (before, now): (Timestamp, Timestamp),
        headers: &Headers,
        ctx: &mut RowContext<K, A>,
    ) -> Result<(), Fault> {
        let closed = self.gaps.close(now).as_millis() - 1;
        if !self.emit.is_on_close() || before == now || closed < 0 {
            return Ok(());
        }
        let from = match before.is_some() {
            true => self.gaps.close(before).max(Timestamp::from_millis(0)),
            false => Timestamp::from_millis(0),
        };
        let to = Timestamp::from_millis(closed);
        let closed = self.store().ending_between_with_expired(from, to);
        let mut closed = closed.collect::<Result<Vec<_>, Error>>()?;
        closed.sort_by_key(|(key, _)| (key.window.end, key.window.start));
        for (key, row) in closed {
            let timestamp = key.window.end;
            let change = Change::latest(None, Some(row));
            let closed = Record::new(key, change, timestamp);
            ctx.forward(closed.with_headers(headers.clone()))?;
        }
        Ok(())
    }
}

impl<K0, V0, K, X, A, T, U, M> Processor for SessionAggregate<K0, V0, K, X, A, T, U, M>
where
    K: Data,
    X: Data,
    A: Data,
    K0: Data + OrNull<K>,
    V0: Data,
    T: Fn(V0) -> Option<X> + Send + Sync + 'static,
    U: Fn(&K, X, Option<A>) -> Option<A> + Send + Sync + 'static,
    M: Fn(&K, Option<A>, A) -> Option<A> + Send + Sync + 'static,
{
    type KeyIn = K0;
    type ValueIn = V0;
    type KeyOut = Windowed<K>;
    type ValueOut = Change<A>;

    fn init(&mut self, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        self.time.open(ctx);
        self.store = Some(ctx.session_store(&self.name)?);
        if let Some(held) = &mut self.held {
            held.open(&self.name, ctx);
        }
        Ok(())
    }

    fn process(&mut self, record: Record<K0, V0>, ctx: &mut RowContext<K, A>) -> Result<(), Fault> {
        let Some(key) = present(record.key, &self.key) else {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        };
        let Some(value) = (self.fold.take)(record.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let before = self.time.get();
        let now = self.time.advance(record.timestamp);
        let (at, headers) = (record.timestamp, record.headers);
        self.emit_closed((before, now), &headers, ctx)?;
        let closed = self.gaps.close(now);
        let touched = self.touched(&key, at, closed)?;
        let own = Window::new(at, at);
        let session = touched.iter().fold(own, |session, (touched, _)| {
            let start = session.start.min(touched.start);
            Window::new(start, session.end.max(touched.end))
        });
        if session.end < closed {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let (mut row, mut old) = (None, None);
        for (touched, touched_row) in touched {
            let tells_old = self.sends_old || self.held.is_some();
            let of_touched = Some(&touched_row).filter(|_| tells_old).cloned();
            if session == own {
                old = of_touched;
            } else {
                let gone = Change::latest(of_touched, None);
                let touched = Windowed::new(key.clone(), touched);
                self.write((touched, gone), (at, &headers), ctx)?;
            }
            row = (self.fold.merge)(&key, row, touched_row);
        }
        let new = (self.fold.update)(&key, value, row);
        let new = new.filter(|new| !self.result.is_null(new));
        let session = Windowed::new(key, session);
        // To Kafka Streams a session that did not grow is new, too.
        let logged = (self.logs_old && old.is_some()).then_some(LoggedOld::Nothing);
        let change = Change::latest(old, new).logged_as(logged);
        self.write((session, change), (at, &headers), ctx)
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
        let flush = |held: &HeldWindows<K, A>| held.flush(self.store(), ctx);
        self.held.as_ref().map_or(Ok(()), flush)
    }
}
