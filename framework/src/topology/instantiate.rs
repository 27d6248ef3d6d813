//! From data to a running chain: the nodes of one task, linked from the sinks up.
//!
//! Every factory is handed the typed links of its children, so there is one downcast an edge
//! a task, and none a record.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Topology;
use super::node::{NodeSpec, Trace};
use crate::error::Error;
use crate::processor::{Children, Guarded, Ingest, Lifecycle, Link, Receive, TaskScope};

/// An input of a task: a topic, and the source that reads it.
pub(crate) struct Input {
    /// The topic's full name.
    pub(crate) topic: Arc<str>,
    pub(crate) source: Rc<RefCell<dyn Ingest>>,
    /// Which of the source's topics this is.
    pub(crate) slot: usize,
}

/// The nodes of one task, ready for records.
pub(crate) struct TaskChain {
    /// In the order of the scope's inputs: sorted by topic.
    pub(crate) inputs: Vec<Input>,
    /// By node index: what has a lifecycle.
    pub(crate) processors: BTreeMap<usize, Rc<RefCell<dyn Lifecycle>>>,
}

impl Topology {
    /// Makes the nodes of a task, whose scope names the sub-topology and holds its stores.
    ///
    /// # Errors
    ///
    /// When an output topic does not exist.
    pub(crate) fn instantiate(&self, scope: &Rc<TaskScope>) -> Result<TaskChain, Error> {
        let part = &self.sub_topologies[scope.task.sub_topology as usize];
        let mut assembly = Assembly {
            topology: self,
            scope: Rc::clone(scope),
            links: self.nodes.iter().map(|_| None).collect(),
            chain: TaskChain {
                inputs: Vec::new(),
                processors: BTreeMap::new(),
            },
        };
        for node in part.nodes.iter().rev() {
            let factory = Arc::clone(&self.nodes[*node].factory);
            factory.instantiate(*node, &mut assembly)?;
        }
        let mut chain = assembly.chain;
        chain
            .inputs
            .sort_by(|left, right| left.topic.cmp(&right.topic));
        Ok(chain)
    }

    /// The node of a sub-topology, if there is one, at whose calls its records have done nothing yet:
    /// they come from one topic, and each through the same nodes that keep nothing.
    pub(crate) fn front_calls(&self, sub_topology: u32) -> Option<usize> {
        let part = &self.sub_topologies[sub_topology as usize];
        let mut sources = part
            .nodes
            .iter()
            .filter(|node| self.nodes[**node].parents.is_empty());
        let (Some(source), None) = (sources.next(), sources.next()) else {
            return None;
        };
        if self.nodes[*source].source_topics().len() != 1 {
            return None;
        }
        let mut node = *source;
        loop {
            let [only] = self.nodes[node].children[..] else {
                return None;
            };
            node = only;
            let spec = &self.nodes[node];
            match spec.factory.trace() {
                Trace::None if spec.stores().is_empty() => {}
                Trace::Call => return Some(node),
                Trace::None | Trace::Any => return None,
            }
        }
    }
}

/// A chain in the making, as factories see it.
pub(super) struct Assembly<'t> {
    topology: &'t Topology,
    pub(super) scope: Rc<TaskScope>,
    /// By node index: a `Link<K, V>` of the node's input types.
    links: Vec<Option<Box<dyn Any>>>,
    chain: TaskChain,
}

impl<'t> Assembly<'t> {
    pub(super) fn spec(&self, node: usize) -> &'t NodeSpec {
        &self.topology.nodes[node]
    }

    /// The typed links of a node's children.
    pub(super) fn children<K: Clone + 'static, V: Clone + 'static>(
        &self,
        node: usize,
    ) -> Children<K, V> {
        let links = self.spec(node).children.iter().map(|child| {
            let link = self.links[*child]
                .as_ref()
                .and_then(|link| link.downcast_ref());
            let link: &Link<K, V> = link.expect("handles of nodes carry the types of the node");
            (Arc::clone(&self.spec(*child).name), Rc::clone(link))
        });
        Children::new(links.collect())
    }

    /// The edge to a node, which is asked about on its own if that is how failures are handled.
    pub(super) fn link<K: 'static, V: 'static, N: Receive<K, V> + 'static>(
        &self,
        node: usize,
        instance: &Rc<RefCell<N>>,
    ) -> Link<K, V> {
        let instance = Rc::clone(instance);
        if !self.scope.handlers.guard_nodes() {
            return instance;
        }
        let name = Arc::clone(&self.spec(node).name);
        let scope = Rc::clone(&self.scope);
        Rc::new(RefCell::new(Guarded::new(instance, name, scope)))
    }

    pub(super) fn add_node(&mut self, node: usize, link: Box<dyn Any>) {
        self.links[node] = Some(link);
    }

    pub(super) fn add_lifecycle(&mut self, node: usize, processor: Rc<RefCell<dyn Lifecycle>>) {
        self.chain.processors.insert(node, processor);
    }

    pub(super) fn add_source(&mut self, node: usize, source: Rc<RefCell<dyn Ingest>>) {
        for (slot, topic) in self.spec(node).source_topics().iter().enumerate() {
            let topic = topic.resolve(&self.scope.application_id);
            self.chain.inputs.push(Input {
                topic,
                source: Rc::clone(&source),
                slot,
            });
        }
    }
}
