//! How a node of the logical graph is written to the topology.

use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::processor::external::ExternalSink;
use onceflow_framework::processor::{AsyncCalls, AsyncProcessor, FixedKeyProcessor, Processor};
use onceflow_framework::topology::{Consumed, NodeRef, Produced, TopicName, TopologyBuilder};

use crate::Data;
use crate::graph::NodeId;
use crate::logged_headers::LoggedHeaders;
use crate::repartition::RepartitionNames;
use crate::store_type::StoreType;

/// A topology in the making, seen by one node.
pub(crate) struct Lowering<'t> {
    topology: &'t mut TopologyBuilder,
    parents: Vec<Arc<str>>,
    /// By node of the graph: the name that its children hang on.
    outputs: &'t [Arc<str>],
    /// Whether something below a repartition topic has a use for null keys.
    pub(crate) keeps_null_keys: bool,
    /// How much of a table's changes are held back, if any.
    pub(crate) cache_bytes_max: Option<usize>,
    /// What changes of rows are logged with.
    pub(crate) logged_headers: LoggedHeaders,
    /// Whose answers stores give that were not told.
    pub(crate) store_type: StoreType,
    /// Whether tables are restored from the topics that they read.
    pub(crate) reuses_source_topics: bool,
    /// Whether a stream that is joined with itself is kept once.
    pub(crate) simplifies_self_joins: bool,
    /// The names of a repartition topic and its nodes.
    pub(crate) repartition: Option<RepartitionNames>,
}

impl<'t> Lowering<'t> {
    pub(crate) fn new(
        topology: &'t mut TopologyBuilder,
        parents: Vec<Arc<str>>,
        outputs: &'t [Arc<str>],
    ) -> Self {
        Lowering {
            topology,
            parents,
            outputs,
            keeps_null_keys: false,
            cache_bytes_max: None,
            logged_headers: LoggedHeaders::default(),
            store_type: StoreType::default(),
            reuses_source_topics: false,
            simplifies_self_joins: false,
            repartition: None,
        }
    }

    /// The topology, for sources, stores and topics.
    pub(crate) fn topology(&mut self) -> &mut TopologyBuilder {
        self.topology
    }

    /// Hangs what follows below a node of the graph, one of several parents.
    pub(crate) fn below(&mut self, node: NodeId) {
        self.parents = vec![Arc::clone(&self.outputs[node.index()])];
    }

    /// Whether both sides of a join are one node, and that may be made use of.
    pub(crate) fn is_self_join(&self, [left, right]: [NodeId; 2]) -> bool {
        self.simplifies_self_joins && self.outputs[left.index()] == self.outputs[right.index()]
    }

    /// Hangs what follows below nodes that were just written.
    pub(crate) fn below_all(&mut self, names: &[&Arc<str>]) {
        self.parents = names.iter().copied().map(Arc::clone).collect();
    }

    /// Adds a source of one topic; what follows hangs below it.
    pub(crate) fn source<K: Data, V: Data>(
        &mut self,
        name: &Arc<str>,
        topic: &str,
        consumed: Consumed<K, V>,
    ) {
        let _source = self.topology.add_source(name, [topic], consumed);
        self.parents = vec![Arc::clone(name)];
    }

    /// Adds a processor below the node's parents; what follows hangs below it.
    pub(crate) fn processor<P: Processor>(
        &mut self,
        name: &Arc<str>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) {
        let parents = self.parents::<P::KeyIn, P::ValueIn>();
        let parents: Vec<_> = parents.iter().collect();
        let _node = self.topology.add_processor(name, supplier, &parents);
        self.parents = vec![Arc::clone(name)];
    }

    /// As [`processor`](Self::processor), for one that cannot change the key.
    pub(crate) fn fixed_key_processor<P: FixedKeyProcessor>(
        &mut self,
        name: &Arc<str>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) {
        let parents = self.parents::<P::Key, P::ValueIn>();
        let parents: Vec<_> = parents.iter().collect();
        let _node = self
            .topology
            .add_fixed_key_processor(name, supplier, &parents);
        self.parents = vec![Arc::clone(name)];
    }

    /// As [`processor`](Self::processor), for one that calls the outside.
    pub(crate) fn async_processor<P: AsyncProcessor>(
        &mut self,
        name: &Arc<str>,
        processor: P,
        calls: AsyncCalls,
    ) {
        let parents = self.parents::<P::KeyIn, P::ValueIn>();
        let parents: Vec<_> = parents.iter().collect();
        let _node = self
            .topology
            .add_async_processor(name, processor, calls, &parents);
        self.parents = vec![Arc::clone(name)];
    }

    /// Gives a processor access to stores.
    pub(crate) fn connect(&mut self, processor: &str, stores: &[impl AsRef<str>]) {
        let stores: Vec<&str> = stores.iter().map(AsRef::as_ref).collect();
        self.topology
            .connect_processor_and_stores(processor, &stores);
    }

    /// Adds a sink below the node's parents.
    pub(crate) fn sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: TopicName,
        produced: Produced<K, V>,
    ) {
        let parents = self.parents::<K, V>();
        let parents: Vec<_> = parents.iter().collect();
        self.topology.add_sink(name, topic, produced, &parents);
    }

    /// Adds a sink below the node's parents that asks each record for its topic.
    pub(crate) fn extracted_sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        extract: impl Fn(&Record<K, V>) -> String + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) {
        let parents = self.parents::<K, V>();
        let parents: Vec<_> = parents.iter().collect();
        self.topology
            .add_extracted_sink(name, extract, produced, &parents);
    }

    /// Adds an external sink below the node's parents.
    pub(crate) fn external_sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        sink: impl ExternalSink<K, V>,
    ) {
        let parents = self.parents::<K, V>();
        let parents: Vec<_> = parents.iter().collect();
        self.topology.add_external_sink(name, sink, &parents);
    }

    /// Handles of the parents, which carry records of these types.
    fn parents<K, V>(&self) -> Vec<NodeRef<K, V>> {
        self.parents
            .iter()
            .map(|name| NodeRef::named(name))
            .collect()
    }
}
