//! A table made row by row from another.
//!
//! # Invariants
//!
//! - Old values come from its own store if it has one, else from the old values of the table above,
//!   computed again: the function must answer the same for the same row.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::change::{Aside, Change, LoggedOld};
use crate::materialized::Materialized;
use crate::table::{Cost, Initial, KTable, Keeping, lower_table};
use crate::table_store::TableStore;
use crate::write_back::Update;

/// What a table made row by row does with a change from nothing to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// Nobody downstream can have seen the row.
    Swallowed,
    /// Handed on all the same, as Kafka Streams does.
    HandedOn,
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Appends a table whose rows `compute` makes from this table's; `None` is no row.
    pub(super) fn derive<V2: Data>(
        &self,
        prefix: &str,
        nothing: Nothing,
        materialized: Option<Materialized<K, V2>>,
        compute: impl Fn(&K, Option<V>) -> Option<V2> + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        let name = self.graph.name(self.next_name(), prefix);
        // A store without a name is never kept: the rows follow from the table above.
        let stored = materialized.and_then(|m| Some((Arc::clone(m.shared_name()?), m)));
        let keeping = Keeping::derived(&self.keeping, stored.as_ref().map(|(_, m)| m));
        if let Some((store, _)) = &stored {
            self.graph.check(store);
        }
        // Rows that were never there are not deleted again, if that costs no store.
        if nothing == Nothing::Swallowed && self.keeping.send_old_values(Cost::Nothing) {
            keeping.send_old_values(Cost::Nothing);
            // But what a new row begins with is to Kafka Streams a row that ends.
            self.keeping.log_old_values();
        }
        // To a history it is news that there was no row at a time.
        let nothing = match self.keeping.history() {
            Some(_) => Nothing::HandedOn,
            None => nothing,
        };
        let (output, sends) = (Arc::clone(&name), Rc::clone(&keeping));
        let compute = Arc::new(compute);
        let (own, computing) = (keeping.store(), Arc::clone(&compute));
        let beginning = Arc::clone(&compute);
        let initial = self.initial.clone().filter(|_| own.is_none());
        let initial = initial
            .map(|above| -> Initial<K, V2> { Arc::new(move |key| beginning(key, above(key))) });
        let (logged_initial, above) = (initial.clone(), Rc::clone(&self.keeping));
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                let sends_old = sends.sends_old();
                let initial = logged_initial.filter(|_| above.logs_old());
                let store_name = stored.as_ref().map(|(store, _)| Arc::clone(store));
                let kept = stored.as_ref().map(|(_, m)| m.kept(lowering));
                let kept = store_name.zip(kept);
                let supplier = move || Derived::<K, V, V2, _> {
                    store: kept
                        .as_ref()
                        .map(|(name, kept)| TableStore::new(name, *kept, sends_old)),
                    sends_old,
                    nothing,
                    initial: initial.clone(),
                    compute: Arc::clone(&compute),
                    types: PhantomData,
                };
                let stored = stored.as_ref().map(|(store, m)| (m, store));
                lower_table(lowering, &output, stored, supplier);
            });
        let mut table = KTable::new(self.graph.clone(), node, name, keeping);
        table.initial = initial;
        match (own, self.view.as_ref().map(Rc::clone)) {
            (Some(own), _) => table.with_store(own),
            (None, Some(above)) => {
                table.with_view(move || above().computed(Arc::clone(&computing)))
            }
            (None, None) => table,
        }
    }
}

/// Computes rows from the rows of the table above.
struct Derived<K, V, V2, F> {
    store: Option<TableStore<K, V2>>,
    sends_old: bool,
    nothing: Nothing,
    /// What rows begin with, if the table above says of a change that a row began.
    initial: Option<Initial<K, V2>>,
    compute: Arc<F>,
    types: PhantomData<fn(V)>,
}

impl<K: Data, V, V2: Data, F> Derived<K, V, V2, F> {
    /// Whether there is an old value to Kafka Streams, though none was told.
    fn logs_untold(&self, key: &K, aside: Option<&Aside<V2>>) -> bool {
        match aside.and_then(Aside::logged) {
            Some(LoggedOld::Nothing) | None => false,
            Some(LoggedOld::Value(_)) => true,
            Some(LoggedOld::Initial) => {
                let initial = self.initial.as_ref();
                initial.is_some_and(|initial| initial(key).is_some())
            }
        }
    }
}

impl<K, V, V2, F> Processor for Derived<K, V, V2, F>
where
    K: Data,
    V: Data,
    V2: Data,
    F: Fn(&K, Option<V>) -> Option<V2> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V2>;

    fn init(&mut self, ctx: &mut Context<K, Change<V2>>) -> Result<(), Fault> {
        self.store.as_mut().map_or(Ok(()), |store| store.open(ctx))
    }

    fn process(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &mut Context<K, Change<V2>>,
    ) -> Result<(), Fault> {
        let Record {
            key,
            value: change,
            timestamp,
            headers,
        } = record;
        let new = (self.compute)(&key, change.new);
        let row = self.store.as_ref().map(|store| store.row(&key));
        let row = row.transpose()?;
        let old = match &row {
            _ if !self.sends_old => None,
            Some(row) => row.get()?.map(|row| row.value),
            None => (self.compute)(&key, change.old),
        };
        let aside = change.aside.map(|aside| match &row {
            Some(_) => aside.stored(),
            None => aside.computed(|row| (self.compute)(&key, row)),
        });
        let is_nothing = self.sends_old && old.is_none() && new.is_none();
        let is_swallowed = is_nothing && self.nothing == Nothing::Swallowed;
        if is_swallowed && !self.logs_untold(&key, aside.as_deref()) {
            return Ok(());
        }
        let change = Change { old, new, aside };
        let (Some(store), Some(row)) = (&self.store, row) else {
            return ctx.forward(Record {
                key,
                value: change,
                timestamp,
                headers,
            });
        };
        let update = Update {
            key,
            change,
            timestamp,
            at: timestamp,
            headers,
        };
        store.update(row, update, ctx)
    }

    fn flush(&mut self, ctx: &mut Context<K, Change<V2>>) -> Result<(), Fault> {
        self.store.as_ref().map_or(Ok(()), |store| store.flush(ctx))
    }
}
