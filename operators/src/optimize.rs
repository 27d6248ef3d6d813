//! What may be changed about a topology when it is built: fewer topics, fewer stores, fewer records.
//!
//! ```text
//!            ┌─> filter ─> repartition A ─> count            ┌─> filter ─> count
//!   map ─────┤                                  becomes   map ─> repartition A ─┤
//!            └─> repartition B ─> reduce                     └─> reduce
//! ```
//!
//! # Invariants
//!
//! - A topic is moved up to the node that changed the key only past nodes that change nothing:
//!   its records are then of the types that it was made for.
//! - Which topics are merged, and what the merged one is called, is Kafka Streams' choice: an
//!   application that moves from Java finds its topics again.

use std::collections::BTreeSet;
use std::sync::Arc;

use onceflow_framework::topology::TopicName;

use crate::graph::{Node, NodeId, Nodes, distinct};
use crate::logged_headers::LoggedHeaders;
use crate::repartition::RepartitionNames;
use crate::store_type::StoreType;
use crate::stream::Changes;

/// How a topology is built: Kafka Streams' settings that concern the topology alone.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream("orders", Consumed::<String, i64>::new());
/// let by_first = orders.select_key(|customer, _| customer[..1].to_owned());
/// by_first.group_by_key(Grouped::new().with_name("a")).count();
/// by_first.group_by_key(Grouped::new().with_name("b")).reduce(i64::max);
///
/// let topology = builder.build_with(&BuildOptions::new().with_optimization())?;
/// assert!(topology.describe().contains("a-repartition"));
/// assert!(!topology.describe().contains("b-repartition"));
/// # Ok::<(), onceflow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    optimizes: bool,
    explicit_names: bool,
    cache_bytes_max: Option<usize>,
    logged_headers: LoggedHeaders,
    store_type: StoreType,
}

impl BuildOptions {
    /// Nothing is optimised, nothing is required.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.to("copy", Produced::new());
    /// let topology = builder.build_with(&BuildOptions::new())?; // as `build`
    /// assert!(topology.describe().contains("(topic: copy)"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        BuildOptions::default()
    }

    /// Merges repartition topics of one stream, and restores tables from the topics that they read
    /// (`topology.optimization=all`).
    ///
    /// Changes the names of topics: an application that runs already is to be reset.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let kept = Materialized::as_store("price-list");
    /// let _prices: KTable<String, i64> = builder.table_with("prices", Consumed::new(), kept);
    /// let topology = builder.build_with(&BuildOptions::new().with_optimization())?;
    /// assert!(topology.internal_topics("shop").is_empty()); // its changelog is its source
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_optimization(mut self) -> Self {
        self.optimizes = true;
        self
    }

    /// Refuses generated names of repartition topics, and of stores with a changelog topic: they
    /// change with the topology (`ensure.explicit.internal.resource.naming=true`, KIP-1111).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// orders.group_by_key(Grouped::new()).count();
    /// let error = builder.build_with(&BuildOptions::new().with_explicit_names()).unwrap_err();
    /// assert!(error.to_string().contains("KSTREAM-AGGREGATE-STATE-STORE-0000000001"));
    /// ```
    #[must_use]
    pub fn with_explicit_names(mut self) -> Self {
        self.explicit_names = true;
        self
    }

    /// Tells several updates of a row within one batch as one, downstream and to the changelog
    /// (`statestore.cache.max.bytes`). Each table of each task holds back so many bytes; 0, the
    /// default, holds nothing back.
    ///
    /// Nothing is held across a commit, so results come as soon as without; there are fewer.
    /// Windows that are emitted when they close and versioned tables tell as much as without.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("lines", Consumed::<String, String>::new())
    ///     .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    ///     .group_by(|_, word| word.clone(), Grouped::new())
    ///     .count()
    ///     .to_stream()
    ///     .to("counts", Produced::new());
    /// let topology = builder.build_with(&BuildOptions::new().with_cache_bytes(1 << 20))?;
    /// # let _ = topology;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_cache_bytes(mut self, bytes_max: usize) -> Self {
        self.cache_bytes_max = Some(bytes_max).filter(|bytes_max| *bytes_max > 0);
        self
    }

    /// Logs the deletion of a row with the headers of the record that deleted it, as Kafka Streams
    /// does with `dsl.store.format=HEADERS` (KIP-1271): the changelog tells who did it. Rows
    /// themselves are kept, and logged, without headers, as there.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let kept = Materialized::as_store("homes");
    /// let _homes: KTable<String, String> = builder.table_with("moves", Consumed::new(), kept);
    /// let topology = builder.build_with(&BuildOptions::new().with_headers_of_deletions())?;
    ///
    /// let driver = TestDriver::new(topology)?;
    /// let mut by = Headers::new();
    /// by.push("by", Some(b"ada"));
    /// let gone = Record::new("bob".to_owned(), None, Timestamp::from_millis(1)).with_headers(by);
    /// driver.input_topic("moves", utf8(), nullable(utf8())).pipe_record(gone)?;
    /// let logged = &driver.topic_history("app-homes-changelog")[0];
    /// assert!(logged.headers.last("by").is_some());
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_headers_of_deletions(mut self) -> Self {
        self.logged_headers.of_deletions = true;
        self
    }

    /// Has joins of two streams keep the headers of their records in their stores, as Kafka Streams
    /// does with `dsl.store.format=HEADERS` (KIP-1271): whoever reads a store finds them there. The
    /// changelogs have them with or without this.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// let payments = builder.stream("payments", Consumed::<String, i64>::new());
    /// let within = JoinWindows::of(Duration::from_millis(10));
    /// let joined = StreamJoined::new().with_store_name("paid");
    /// orders
    ///     .join(&payments, |order: i64, payment: i64| payment - order, within, joined)
    ///     .to("open", Produced::new());
    /// let topology = builder.build_with(&BuildOptions::new().with_headers_in_joins())?;
    ///
    /// let driver = TestDriver::new(topology)?;
    /// let mut by = Headers::new();
    /// by.push("by", Some(b"ada"));
    /// let order = Record::new("nut".to_owned(), 5, Timestamp::from_millis(1)).with_headers(by);
    /// driver.input_topic("orders", utf8(), i64()).pipe_record(order)?;
    /// driver.restart()?;
    /// let kept = driver.window_store::<String, i64>("paid-this-join-store")?;
    /// let (_, order, headers) = &kept.all_with_headers()?[0];
    /// assert_eq!((*order, headers.last("by").is_some()), (5, true));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_headers_in_joins(mut self) -> Self {
        self.logged_headers.kept_by_joins = true;
        self
    }

    /// Has stores answer as those of Kafka Streams that an application used there
    /// (`dsl.store.suppliers.class`, KIP-591): they differ in one point, see [`StoreType`].
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let options = BuildOptions::new().with_store_type(StoreType::RocksDb);
    /// let builder = StreamsBuilder::new();
    /// let _clicks: KTable<String, i64> = builder.table("clicks", Consumed::new());
    /// let topology = builder.build_with(&options)?;
    /// # let _ = topology;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn with_store_type(mut self, store_type: StoreType) -> Self {
        self.store_type = store_type;
        self
    }

    pub(crate) fn store_type(&self) -> StoreType {
        self.store_type
    }

    pub(crate) fn logged_headers(&self) -> LoggedHeaders {
        self.logged_headers
    }

    pub(crate) fn cache_bytes_max(&self) -> Option<usize> {
        self.cache_bytes_max
    }

    pub(crate) fn merges_repartitions(&self) -> bool {
        self.optimizes
    }

    pub(crate) fn simplifies_self_joins(&self) -> bool {
        self.optimizes
    }

    pub(crate) fn reuses_source_topics(&self) -> bool {
        self.optimizes
    }

    pub(crate) fn requires_names(&self) -> bool {
        self.explicit_names
    }
}

/// What a node does to the records that pass it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Role {
    /// Hands on records as they are, or not at all.
    Passes,
    /// Makes records of other values. What is not known is taken for this.
    #[default]
    ChangesValues,
    ChangesKeys,
    Merges,
    /// Is a repartition topic that the keys below need.
    Repartitions,
}

impl From<Changes> for Role {
    fn from(changes: Changes) -> Self {
        match changes {
            Changes::Nothing => Role::Passes,
            Changes::Values => Role::ChangesValues,
            Changes::Keys => Role::ChangesKeys,
        }
    }
}

/// A node that makes repartition topics necessary, and those topics.
type Needed = (NodeId, Vec<NodeId>);

impl Nodes {
    /// Gives every node that changes keys one repartition topic for all that is below it.
    pub(crate) fn merge_repartitions(&mut self) {
        for (changer, repartitions) in self.mergeable() {
            let Some(first) = repartitions.first() else {
                continue;
            };
            let merged = self.add_merged(changer, *first, &repartitions);
            for repartition in repartitions {
                self.replace(changer, repartition, merged);
            }
            // Only now: what is below the merged topic is not below the changer by another way.
            self.nodes[merged.0].parents = vec![changer];
        }
    }

    /// The repartition topics that can be moved up to a node that changes keys, or to a merge of
    /// such nodes.
    fn mergeable(&self) -> Vec<Needed> {
        let ids = || (0..self.nodes.len()).map(NodeId);
        let with_role = |role| ids().filter(move |id| self.node(*id).role == role);
        let mut needed: Vec<Needed> = with_role(Role::ChangesKeys)
            .map(|id| (id, Vec::new()))
            .collect();
        for repartition in with_role(Role::Repartitions) {
            let is_change =
                |node: &Node| matches!(node.role, Role::ChangesKeys | Role::ChangesValues);
            let changer = self.above(repartition, &is_change);
            let of_changer = needed.iter_mut().find(|(id, _)| Some(*id) == changer);
            of_changer
                .into_iter()
                .for_each(|(_, found)| found.push(repartition));
        }
        let mut of_merges: Vec<Needed> = Vec::new();
        let mut merged: BTreeSet<NodeId> = BTreeSet::new();
        for merge in with_role(Role::Merges) {
            let below = |id: &NodeId| {
                self.above(*id, &|node| node.parents.contains(&merge))
                    .is_some()
            };
            let joined = needed.iter().filter(|(changer, repartitions)| {
                let is_above = self
                    .above(merge, &|node| node.parents.contains(changer))
                    .is_some();
                is_above && repartitions.iter().all(below)
            });
            let joined: Vec<&Needed> = joined.collect();
            merged.extend(joined.iter().map(|(changer, _)| *changer));
            let repartitions = joined.iter().flat_map(|(_, found)| found.iter().copied());
            of_merges.push((merge, distinct(repartitions)));
        }
        needed.retain(|(changer, _)| !merged.contains(changer));
        needed.extend(of_merges);
        needed
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node itself or one above it that matches. Of several branches above, the last counts,
    /// as in Kafka Streams.
    fn above(&self, start: NodeId, matches: &dyn Fn(&Node) -> bool) -> Option<NodeId> {
        if matches(self.node(start)) {
            return Some(start);
        }
        let mut found = None;
        for parent in &self.node(start).parents {
            if matches(self.node(*parent)) {
                return Some(*parent);
            }
            found = self.above(*parent, matches);
        }
        found
    }

    /// Adds the one topic: written as the first of those that it replaces, and named after it.
    fn add_merged(&mut self, changer: NodeId, first: NodeId, replaced: &[NodeId]) -> NodeId {
        let keeps_null_keys = replaced.iter().any(|id| self.node(*id).keeps_null_keys);
        let addition = self.node(changer).addition;
        let first = &mut self.nodes[first.0];
        let topic = first.repartition.take().map(|names| names.topic);
        let names = RepartitionNames::of_topic(topic.unwrap_or_default());
        let write = std::mem::replace(&mut first.write, Box::new(|_| {}));
        self.nodes.push(Node {
            output: Arc::clone(&names.source),
            parents: Vec::new(),
            addition,
            role: Role::Repartitions,
            topics: BTreeSet::from([TopicName::internal(&*names.topic)]),
            repartition: Some(names),
            source: None,
            keeps_null_keys,
            write,
        });
        NodeId(self.nodes.len() - 1)
    }

    /// Hangs what is below the changer, on the way to a repartition topic, below the merged one,
    /// and takes the former out.
    fn replace(&mut self, changer: NodeId, repartition: NodeId, merged: NodeId) {
        let child = self.above(repartition, &|node| node.parents.contains(&changer));
        if let Some(child) = child {
            let parents = &mut self.nodes[child.0].parents;
            let moved = parents
                .iter()
                .map(|p| if *p == changer { merged } else { *p });
            *parents = distinct(moved);
        }
        let above = std::mem::take(&mut self.nodes[repartition.0].parents);
        // A join asks for each of its parents by name.
        if let Some(parent) = above.first() {
            self.nodes[repartition.0].output = Arc::clone(&self.nodes[parent.0].output);
        }
        for node in &mut self.nodes {
            if !node.parents.contains(&repartition) {
                continue;
            }
            let parents = node.parents.iter().flat_map(|p| match *p == repartition {
                true => above.clone(),
                false => vec![*p],
            });
            node.parents = distinct(parents);
        }
        self.nodes[repartition.0].write = Box::new(|_| {});
    }
}
