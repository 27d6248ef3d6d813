//! A table grouped under new keys, ready to be aggregated behind a repartition topic.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::topology::{Produced, TopicName};

use super::grouped_update::{Fold, TableAggregate};
use crate::Data;
use crate::change::ChangeSerde;
use crate::graph::{Graph, NodeId};
use crate::grouped::Grouped;
use crate::materialized::Materialized;
use crate::names::Named;
use crate::names::{SINK, SOURCE, TABLE_AGGREGATE};
use crate::repartition::add_source_of;
use crate::table::{KTable, Keeping, lower_table};
use crate::table_store::TableStore;

/// A table grouped under new keys: what `count`, `reduce` and `aggregate` of tables are called on.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let salaries: KTable<String, i64> = builder.table("salaries", Consumed::new());
/// let by_initial: KGroupedTable<String, i64> =
///     salaries.group_by(|who, salary| (who[..1].to_owned(), salary), Grouped::new());
/// by_initial.reduce(|sum, more| sum + more, |sum, less| sum - less);
/// # builder.build()?;
/// # Ok::<(), onceflow::Error>(())
/// ```
pub struct KGroupedTable<K, V> {
    graph: Graph,
    node: NodeId,
    pub(super) grouped: Grouped<K, V>,
    /// The repartition topic of a named grouping, shared by its aggregations.
    repartition: Rc<Cell<Option<NodeId>>>,
    /// The name of the next operator.
    next_name: Option<Arc<str>>,
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    pub(super) fn new(graph: Graph, node: NodeId, grouped: Grouped<K, V>) -> Self {
        KGroupedTable {
            graph,
            node,
            grouped,
            repartition: Rc::default(),
            next_name: None,
        }
    }

    /// Names the node of the operator that follows, as [`KStream::named`](crate::KStream::named).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// let by_price = prices.group_by(|article, cents| (cents, article.clone()), Grouped::new());
    /// assert_eq!(by_price.named("articles-of-a-price").count().name(), "articles-of-a-price");
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.next_name = Some(name.into().into_name());
        named
    }

    /// Adds an aggregation behind a repartition topic.
    pub(super) fn fold<A, Add, Subtract>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        fold: Fold<Add, Subtract>,
    ) -> KTable<K, A>
    where
        A: Data,
        Add: Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
        Subtract: Fn(&K, V, A) -> Option<A> + Send + Sync + 'static,
    {
        let store = self
            .graph
            .store_name(materialized.shared_name(), TABLE_AGGREGATE);
        let given = self.next_name.as_deref();
        let sink = self.graph.suffixed_name(given, "-sink", SINK);
        let source = self.graph.suffixed_name(given, "-source", SOURCE);
        let name = self.graph.name(given, prefix);
        let parent = self.repartitioned(&store, sink, source);
        let keeping = Keeping::aggregate(&materialized);
        let rows = Arc::clone(&store);
        let (output, sends, fold) = (Arc::clone(&name), Rc::clone(&keeping), Arc::new(fold));
        let node = self
            .graph
            .add(Arc::clone(&name), &[parent], move |lowering| {
                let (sends_old, store_name) = (sends.sends_old(), Arc::clone(&store));
                let result = materialized.value.clone();
                let kept = materialized.kept(lowering);
                let supplier = move || TableAggregate::<K, V, A, Add, Subtract> {
                    result: result.clone(),
                    store: TableStore::new(&store_name, kept, sends_old),
                    sends_old,
                    fold: Arc::clone(&fold),
                    types: PhantomData,
                };
                lower_table(lowering, &output, Some((&materialized, &store)), supplier);
            });
        KTable::new(self.graph.clone(), node, name, keeping).with_store(rows)
    }

    /// The repartition topic: a named grouping shares one, else each aggregation has its own.
    fn repartitioned(&self, store: &str, sink: Arc<str>, source: Arc<str>) -> NodeId {
        let given = self.grouped.name.as_deref();
        if let Some(shared) = self.repartition.get().filter(|_| given.is_some()) {
            self.graph.add_again(shared);
            return shared;
        }
        let topic = format!("{}-repartition", given.unwrap_or(store));
        let read = TopicName::internal(&*topic);
        let value = ChangeSerde(self.grouped.value.clone());
        let produced = Produced::with(self.grouped.key.clone(), value);
        let node = self
            .graph
            .add(Arc::clone(&source), &[self.node], move |lowering| {
                let topic = lowering.topology().add_internal_topic(&topic, None);
                lowering.sink(&sink, topic.clone(), produced.clone());
                add_source_of(lowering.topology(), &source, topic, &produced);
            });
        self.graph.reads(node, read);
        self.repartition.set(Some(node));
        node
    }
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        KGroupedTable {
            graph: self.graph.clone(),
            node: self.node,
            grouped: self.grouped.clone(),
            repartition: Rc::clone(&self.repartition),
            next_name: self.next_name.clone(),
        }
    }
}

impl<K, V> fmt::Debug for KGroupedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KGroupedTable({:?})", self.grouped)
    }
}
