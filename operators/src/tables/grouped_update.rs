//! What all aggregations of a grouped table share: the row, its store, its time.
//!
//! # Invariants
//!
//! - A change is applied as a subtraction of the old value, then an addition of the new one.
//! - Nothing is subtracted from a group that has no row.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::change::Change;
use crate::table_store::TableStore;
use crate::write_back::Update;

/// How a group's row follows from the rows of the table.
pub(super) struct Fold<Add, Subtract> {
    pub(super) add: Add,
    pub(super) subtract: Subtract,
}

/// Subtracts the old value from a group's row and adds the new one.
pub(super) struct TableAggregate<K, V, A, Add, Subtract> {
    pub(super) result: SharedSerde<A>,
    pub(super) store: TableStore<K, A>,
    pub(super) sends_old: bool,
    pub(super) fold: Arc<Fold<Add, Subtract>>,
    pub(super) types: PhantomData<fn(V)>,
}

impl<K, V, A, Add, Subtract> Processor for TableAggregate<K, V, A, Add, Subtract>
where
    K: Data,
    V: Data,
    A: Data,
    Add: Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
    Subtract: Fn(&K, V, A) -> Option<A> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<A>;

    fn init(&mut self, ctx: &mut Context<K, Change<A>>) -> Result<(), Fault> {
        self.store.open(ctx)
    }

    fn process(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &mut Context<K, Change<A>>,
    ) -> Result<(), Fault> {
        let Record { key, value, .. } = record;
        let place = self.store.row(&key)?;
        let row = place.get()?;
        let subtracts = value.old.is_some() && row.is_some();
        let timestamp = match &row {
            Some(row) if subtracts || value.new.is_some() => row.timestamp.max(record.timestamp),
            _ => record.timestamp,
        };
        let present = |row: &A| !self.result.is_null(row);
        let row = row.map(|row| row.value);
        let old = row.as_ref().filter(|_| self.sends_old).cloned();
        let rest = match (value.old, row) {
            (Some(value), Some(row)) => (self.fold.subtract)(&key, value, row).filter(present),
            (_, row) => row,
        };
        let new = match value.new {
            Some(value) => (self.fold.add)(&key, value, rest).filter(present),
            None => rest,
        };
        let update = Update {
            key,
            change: Change::latest(old, new),
            timestamp,
            at: record.timestamp,
            headers: record.headers,
        };
        self.store.update(place, update, ctx)
    }

    fn flush(&mut self, ctx: &mut Context<K, Change<A>>) -> Result<(), Fault> {
        self.store.flush(ctx)
    }
}
