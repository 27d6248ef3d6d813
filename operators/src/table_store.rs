//! A table's store as its processor holds it: a row is read, written, and the change told.
//!
//! ```text
//!   row ──> get ──> update ──┬── one row a key ───────────> changed ──> told at once, or held back
//!                            └── all versions of a key ──┬─> the latest ───────────────> told
//!                                                        ├─> overtaken: in the history ─> told as such
//!                                                        └─> past the history: refused, not told
//! ```

use std::sync::Arc;

use onceflow_framework::processor::Context;
use onceflow_framework::state::{
    Row, TimestampedKeyValueStore, ValueAndTimestamp, VersionPut, VersionedKeyValueStore,
    VersionedRow,
};
use onceflow_framework::{Error, Fault, Record};

use crate::Data;
use crate::change::Change;
use crate::logged_headers::LoggedHeaders;
use crate::write_back::{Held, SharedWriteBack, Update, WriteBack};

/// What a table's store keeps of a row, and when a change of it is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// The latest; changes are told at once.
    Latest,
    /// The latest; so many bytes of changes are held back until a commit.
    HeldBack { bytes_max: usize },
    /// Its versions; changes are told at once, as in Kafka Streams, which does not cache them.
    Versions,
}

/// How a table's store is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) rows: Rows,
    pub(crate) logged_headers: LoggedHeaders,
}

/// A table's store: named when it is built, opened by `init`.
pub(crate) struct TableStore<K, V> {
    name: Arc<str>,
    kept: Kept,
    opened: Option<Opened<K, V>>,
    sends_old: bool,
    /// Holds changes back, if the table is cached and open.
    held: Option<SharedWriteBack<K, V>>,
}

enum Opened<K, V> {
    Rows(TimestampedKeyValueStore<K, V>),
    Versions(VersionedKeyValueStore<K, V>),
}

/// The row of a key, to be read and then written.
pub(crate) enum TableRow<'s, K, V> {
    Row(Row<'s, K, V>),
    Versions(VersionedRow<'s, K, V>),
}

impl<K: Data, V: Data> TableRow<'_, K, V> {
    /// The row as it is now: the latest of its versions.
    pub(crate) fn get(&self) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        match self {
            TableRow::Row(row) => row.get(),
            TableRow::Versions(row) => Ok(row.get()?.map(|latest| ValueAndTimestamp {
                value: latest.value,
                timestamp: latest.timestamp,
            })),
        }
    }
}

impl<K: Data, V: Data> TableStore<K, V> {
    pub(crate) fn new(name: &Arc<str>, kept: Kept, sends_old: bool) -> Self {
        TableStore {
            name: Arc::clone(name),
            kept,
            opened: None,
            sends_old,
            held: None,
        }
    }

    pub(crate) fn open<K2: Data, V2: Data>(&mut self, ctx: &Context<K2, V2>) -> Result<(), Fault> {
        self.opened = Some(match self.kept.rows {
            Rows::Versions => Opened::Versions(ctx.versioned_key_value_store(&self.name)?),
            Rows::Latest | Rows::HeldBack { .. } => {
                Opened::Rows(ctx.timestamped_key_value_store(&self.name)?)
            }
        });
        if let Rows::HeldBack { bytes_max } = self.kept.rows {
            self.held = Some(WriteBack::of_store(&self.name, bytes_max, ctx.stores()));
        }
        Ok(())
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &K) -> Result<TableRow<'_, K, V>, Error> {
        let opened = self.opened.as_ref();
        match opened.expect("init opens the store before the first record") {
            Opened::Rows(store) => store.row(key).map(TableRow::Row),
            Opened::Versions(store) => store.row(key).map(TableRow::Versions),
        }
    }

    /// Writes a row and tells the change, now or with the next flush.
    pub(crate) fn update(
        &self,
        row: TableRow<'_, K, V>,
        update: Update<K, V>,
        ctx: &mut Context<K, Change<V>>,
    ) -> Result<(), Fault> {
        let row = match row {
            TableRow::Row(row) => row,
            TableRow::Versions(row) => return put_version(row, update, ctx),
        };
        let Some(held) = &self.held else {
            let new = update.change.new.as_ref();
            let headers = self.kept.logged_headers.of(new, &update.headers);
            row.put_with_headers(new, update.timestamp, headers)?;
            drop(row);
            return tell(update, ctx);
        };
        held.borrow_mut().hold(&row, update)?;
        drop(row);
        let next = || held.borrow_mut().release_excess();
        std::iter::from_fn(next).try_for_each(|held| self.release(held, ctx))
    }

    /// Tells what is held back.
    pub(crate) fn flush(&self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let next = || held.borrow_mut().release();
        std::iter::from_fn(next).try_for_each(|held| self.release(held, ctx))
    }

    fn release(&self, held: Held<K, V>, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        let TableRow::Row(row) = self.row(&held.key)? else {
            unreachable!("changes of versions are told at once");
        };
        let new = row.get()?;
        if new.is_none() && held.old.is_none() {
            return Ok(());
        }
        let value = new.as_ref();
        row.log(held.at, self.kept.logged_headers.of(value, &held.headers))?;
        drop(row);
        let timestamp = new.as_ref().map_or(held.at, |new| new.timestamp);
        let old = held.old.filter(|_| self.sends_old);
        let new = new.map(|new| new.value);
        ctx.forward(Record {
            key: held.key,
            value: Change::latest(old, new),
            timestamp,
            headers: held.headers,
        })
    }
}

/// Puts a version, and tells what became of it, unless it was refused (KIP-914).
fn put_version<K: Data, V: Data>(
    row: VersionedRow<'_, K, V>,
    mut update: Update<K, V>,
    ctx: &mut Context<K, Change<V>>,
) -> Result<(), Fault> {
    let put = row.put(update.change.new.as_ref(), update.timestamp)?;
    drop(row);
    match put {
        // The store has counted it.
        VersionPut::Refused => return Ok(()),
        VersionPut::Latest => {}
        VersionPut::ValidUntil(_) => update.change = update.change.overtaken(),
    }
    tell(update, ctx)
}

fn tell<K: Data, V: Data>(
    update: Update<K, V>,
    ctx: &mut Context<K, Change<V>>,
) -> Result<(), Fault> {
    ctx.forward(Record {
        key: update.key,
        value: update.change,
        timestamp: update.timestamp,
        headers: update.headers,
    })
}

/// Replaces the row of a key whatever it was, and hands the change on. Without a store nobody knows
/// the row that was.
pub(crate) fn set_row<K: Data, V: Data>(
    store: Option<&TableStore<K, V>>,
    sends_old: bool,
    record: Record<K, Option<V>>,
    ctx: &mut Context<K, Change<V>>,
) -> Result<(), Fault> {
    let Record {
        key,
        value: new,
        timestamp,
        headers,
    } = record;
    let Some(store) = store else {
        return ctx.forward(Record {
            key,
            value: Change::latest(None, new),
            timestamp,
            headers,
        });
    };
    let row = store.row(&key)?;
    let old = match sends_old {
        true => row.get()?.map(|row| row.value),
        false => None,
    };
    let update = Update {
        key,
        change: Change::latest(old, new),
        timestamp,
        at: timestamp,
        headers,
    };
    store.update(row, update, ctx)
}
