//! What all aggregations of a stream share: the row, its store, its time.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::change::{Change, LoggedOld};
use crate::grouped::KGroupedStream;
use crate::materialized::Materialized;
use crate::null::{OrNull, present};
use crate::table::{KTable, Keeping, lower_table};
use crate::table_store::TableStore;
use crate::write_back::Update;

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    /// Adds an aggregation: `update` makes the new row from a record's value and the old row.
    pub(super) fn update_by<A: Data>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        update: impl Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<K, A> {
        let store = self.graph.store_name(materialized.shared_name(), prefix);
        let name = self.graph.name(self.next_name(), prefix);
        let parent = self.partitioned_by_key(&store);
        let keeping = Keeping::aggregate(&materialized);
        let rows = Arc::clone(&store);
        let (output, sends) = (Arc::clone(&name), Rc::clone(&keeping));
        let grouped = self.grouped.clone();
        let update = Arc::new(update);
        let node = self
            .graph
            .add(Arc::clone(&name), &[parent], move |lowering| {
                let logs_old = sends.logs_old();
                let (sends_old, result, store_name) = (
                    sends.sends_old(),
                    materialized.value.clone(),
                    Arc::clone(&store),
                );
                let kept = materialized.kept(lowering);
                let supplier = move || StreamAggregate::<K0, V0, K, V, A, _> {
                    key: grouped.key.clone(),
                    value: grouped.value.clone(),
                    result: result.clone(),
                    store: TableStore::new(&store_name, kept, sends_old),
                    sends_old,
                    logs_old,
                    update: Arc::clone(&update),
                    types: PhantomData,
                };
                lower_table(lowering, &output, Some((&materialized, &store)), supplier);
            });
        KTable::new(self.graph.clone(), node, name, keeping).with_store(rows)
    }
}

/// Reads a row, updates it, writes it, and hands the change on.
pub(crate) struct StreamAggregate<K0, V0, K, V, A, U> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) result: SharedSerde<A>,
    pub(crate) store: TableStore<K, A>,
    pub(crate) sends_old: bool,
    /// Whether a buffer downstream logs old values, as Kafka Streams has them.
    pub(crate) logs_old: bool,
    pub(crate) update: Arc<U>,
    pub(crate) types: PhantomData<fn(K0, V0)>,
}

impl<K0, V0, K, V, A, U> Processor for StreamAggregate<K0, V0, K, V, A, U>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
    A: Data,
    U: Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    type KeyIn = K0;
    type ValueIn = V0;
    type KeyOut = K;
    type ValueOut = Change<A>;

    fn init(&mut self, ctx: &mut Context<K, Change<A>>) -> Result<(), Fault> {
        self.store.open(ctx)
    }

    fn process(
        &mut self,
        record: Record<K0, V0>,
        ctx: &mut Context<K, Change<A>>,
    ) -> Result<(), Fault> {
        let Some(key) = present(record.key, &self.key) else {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        };
        let Some(value) = present(record.value, &self.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let place = self.store.row(&key)?;
        let (row, timestamp) = match place.get()? {
            Some(row) => (Some(row.value), row.timestamp.max(record.timestamp)),
            None => (None, record.timestamp),
        };
        // Java sends the initial value as the old one of a new row; it was never sent as a new
        // one, so subtracting it downstream would be wrong.
        let old = row.as_ref().filter(|_| self.sends_old).cloned();
        let is_new = row.is_none();
        let logged = (self.logs_old && is_new).then_some(LoggedOld::Initial);
        let new = (self.update)(&key, value, row).filter(|new| !self.result.is_null(new));
        let update = Update {
            key,
            change: Change::latest(old, new).logged_as(logged),
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
