//! Makes a table of a topic or a stream: the last value of each key.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::topology::{Consumed, TopicName};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::change::Change;
use crate::graph::Graph;
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::names::SOURCE;
use crate::null::{OrNull, present};
use crate::table::{KTable, Keeping, lower_table};
use crate::table_store::{TableStore, set_row};

/// Adds the source of a topic and the table below it.
pub(crate) fn add_source_table<K: Data, V: Data>(
    graph: &Graph,
    topic: &str,
    consumed: Consumed<K, V>,
    materialized: Materialized<K, V>,
) -> KTable<K, V> {
    let given = materialized.shared_name();
    let store = graph.store_name(given, &format!("{topic}-"));
    let keeping = Keeping::source(&materialized);
    let rows = Arc::clone(&store);
    let source = graph.suffixed_name(consumed.name(), "-source", SOURCE);
    let name = graph.name(consumed.name(), "KTABLE-SOURCE-");
    let read = TopicName::from(topic);
    let (topic, output, kept) = (topic.to_owned(), Arc::clone(&name), Rc::clone(&keeping));
    let node = graph.add(Arc::clone(&name), &[], move |lowering| {
        let consumed = consumed.nullable();
        let materialized = match lowering.reuses_source_topics {
            true => materialized.copied_from(&topic, &consumed),
            false => materialized,
        };
        lowering.source(&source, &topic, consumed);
        lower_source::<K, V, Option<K>, Option<V>>(lowering, &output, &store, materialized, &kept);
    });
    graph.reads(node, read);
    KTable::new(graph.clone(), node, name, keeping).with_store(rows)
}

/// Adds the table below what was written last.
pub(super) fn lower_source<K, V, K0, V0>(
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    store: &Arc<str>,
    materialized: Materialized<K, V>,
    keeping: &Keeping,
) where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    let (key, value) = (materialized.key.clone(), materialized.value.clone());
    let stored = keeping.is_stored().then_some((&materialized, store));
    let store_name = stored.map(|(_, store)| Arc::clone(store));
    let sends_old = keeping.sends_old();
    let kept = materialized.kept(lowering);
    let supplier = move || SourceTable::<K0, V0, K, V> {
        key: key.clone(),
        value: value.clone(),
        store: store_name
            .as_ref()
            .map(|name| TableStore::new(name, kept, sends_old)),
        sends_old,
        types: PhantomData,
    };
    lower_table(lowering, name, stored, supplier);
}

/// Turns records into changes of rows.
struct SourceTable<K0, V0, K, V> {
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    store: Option<TableStore<K, V>>,
    sends_old: bool,
    types: PhantomData<fn(K0, V0)>,
}

impl<K0, V0, K, V> Processor for SourceTable<K0, V0, K, V>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    type KeyIn = K0;
    type ValueIn = V0;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn init(&mut self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        self.store.as_mut().map_or(Ok(()), |store| store.open(ctx))
    }

    fn process(
        &mut self,
        record: Record<K0, V0>,
        ctx: &mut Context<K, Change<V>>,
    ) -> Result<(), Fault> {
        let Some(key) = present(record.key, &self.key) else {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        };
        let row = Record {
            key,
            value: present(record.value, &self.value),
            timestamp: record.timestamp,
            headers: record.headers,
        };
        set_row(self.store.as_ref(), self.sends_old, row, ctx)
    }

    fn flush(&mut self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        self.store.as_ref().map_or(Ok(()), |store| store.flush(ctx))
    }
}
