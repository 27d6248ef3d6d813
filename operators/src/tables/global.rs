//! Global tables: the last value of each key of a topic, all of it in every worker.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
use onceflow_framework::topology::Consumed;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::materialized::Materialized;
use crate::names::SOURCE;
use crate::null::present;

/// A table that every worker has all of: what streams are joined with by any key.
///
/// Made by [`StreamsBuilder::global_table`](crate::StreamsBuilder::global_table), joined by
/// [`KStream::join_global`](crate::KStream::join_global); a processor reads it by
/// [the name of its store](Self::queryable_store_name) without being connected to it.
pub struct GlobalKTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    pub(crate) store: Arc<str>,
    is_named: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> GlobalKTable<K, V> {
    /// The name of the store that processors read it by, if it was given one.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let goods: GlobalKTable<String, i64> =
    ///     builder.global_table_with("goods", Consumed::new(), Materialized::as_store("prices"));
    /// assert_eq!(goods.queryable_store_name(), Some("prices"));
    /// ```
    #[must_use]
    pub fn queryable_store_name(&self) -> Option<&str> {
        self.is_named.then_some(&*self.store)
    }
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        GlobalKTable {
            graph: self.graph.clone(),
            node: self.node,
            store: Arc::clone(&self.store),
            is_named: self.is_named,
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for GlobalKTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalKTable({})", self.store)
    }
}

/// Adds the source of a topic and the global table that it fills.
pub(crate) fn add_global_table<K: Data, V: Data>(
    graph: &Graph,
    topic: &str,
    consumed: Consumed<K, V>,
    materialized: &Materialized<K, V>,
) -> GlobalKTable<K, V> {
    let given = materialized.shared_name();
    let store = graph.store_name(given, &format!("{topic}-"));
    if materialized.history().is_some() {
        graph.problem(format!("global table {store} cannot be versioned"));
    }
    let (key, value) = (materialized.key.clone(), materialized.value.clone());
    let name = Arc::clone(&store);
    let supplier = move || GlobalRows {
        key: key.clone(),
        value: value.clone(),
        name: Arc::clone(&name),
        rows: None,
    };
    let rows = StoreBuilder::timestamped_key_value(
        &*store,
        materialized.key.clone(),
        materialized.value.clone(),
    );
    let node = add_global_store(graph, rows, (topic, consumed.nullable()), supplier);
    GlobalKTable {
        graph: graph.clone(),
        node,
        store,
        is_named: given.is_some(),
        types: PhantomData,
    }
}

/// Adds a global store, its source and the processor that fills it, named as a table's.
pub(crate) fn add_global_store<SK: 'static, SV: 'static, P: Processor>(
    graph: &Graph,
    store: StoreBuilder<SK, SV>,
    (topic, consumed): (&str, Consumed<P::KeyIn, P::ValueIn>),
    supplier: impl Fn() -> P + Send + Sync + 'static,
) -> NodeId
where
    P::KeyIn: Data,
    P::ValueIn: Data,
{
    let source = graph.suffixed_name(consumed.name(), "-source", SOURCE);
    let name = graph.name(consumed.name(), "KTABLE-SOURCE-");
    let (topic, output) = (topic.to_owned(), Arc::clone(&name));
    graph.add(name, &[], move |lowering| {
        let topology = lowering.topology();
        let source = topology.add_global_source(&source, topic, consumed);
        topology.add_global_store(store, &output, supplier, &source);
    })
}

/// Keeps the last value of each key.
struct GlobalRows<K, V> {
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    name: Arc<str>,
    /// Opened by `init`.
    rows: Option<TimestampedKeyValueStore<K, V>>,
}

impl<K: Data, V: Data> Processor for GlobalRows<K, V> {
    type KeyIn = Option<K>;
    type ValueIn = Option<V>;
    type KeyOut = ();
    type ValueOut = ();

    fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        self.rows = Some(ctx.timestamped_key_value_store(&self.name)?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<Option<K>, Option<V>>,
        ctx: &mut Context<(), ()>,
    ) -> Result<(), Fault> {
        let Some(key) = present(record.key, &self.key) else {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        };
        let value = present(record.value, &self.value);
        let rows = self.rows.as_ref();
        let row = rows
            .expect("init opens the rows before the first record")
            .row(&key)?;
        Ok(row.put(value.as_ref(), record.timestamp)?)
    }
}
