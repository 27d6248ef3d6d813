//! A node as data: its name, its kind, its parents, and the factory that knows its types.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::instantiate::Assembly;
use super::options::{Consumed, OffsetReset, Produced, TopicName};
use super::pattern::TopicPattern;
use crate::error::Error;
use crate::processor::{
    AsyncCalls, AsyncNode, AsyncProcessor, Context, Link, Processor, ProcessorNode, SinkNode,
    SinkTarget, SinkTopic, SourceNode, TopicExtractor,
};

/// A node of a topology, without its types.
#[derive(Clone)]
pub(super) struct NodeSpec {
    pub(super) name: Arc<str>,
    pub(super) kind: NodeKind,
    /// Indices of the parents, all smaller than this node's.
    pub(super) parents: Vec<usize>,
    /// Indices of the children, in the order in which they were added.
    pub(super) children: Vec<usize>,
    pub(super) factory: Arc<dyn NodeFactory>,
}

/// What a node is, as far as its description goes.
#[derive(Clone)]
pub(super) enum NodeKind {
    Source {
        /// By name; or one that stands for all that match, until a cluster is looked at.
        topics: Vec<TopicName>,
        pattern: Option<TopicPattern>,
        reset: Option<OffsetReset>,
    },
    /// The topic of a global store.
    GlobalSource {
        topics: [TopicName; 1],
    },
    Processor {
        stores: Vec<Arc<str>>,
    },
    /// None: the topic is extracted from each record.
    Sink {
        topic: Option<TopicName>,
    },
}

impl NodeSpec {
    pub(super) fn source_topics(&self) -> &[TopicName] {
        match &self.kind {
            NodeKind::Source { topics, .. } => topics,
            NodeKind::GlobalSource { topics } => topics,
            _ => &[],
        }
    }

    /// The expression by which a source describes its topics.
    pub(super) fn pattern(&self) -> Option<&TopicPattern> {
        match &self.kind {
            NodeKind::Source { pattern, .. } => pattern.as_ref(),
            _ => None,
        }
    }

    pub(super) fn is_global_source(&self) -> bool {
        matches!(self.kind, NodeKind::GlobalSource { .. })
    }

    pub(super) fn offset_reset(&self) -> Option<OffsetReset> {
        match &self.kind {
            NodeKind::Source { reset, .. } => *reset,
            _ => None,
        }
    }

    pub(super) fn sink_topic(&self) -> Option<&TopicName> {
        match &self.kind {
            NodeKind::Sink { topic } => topic.as_ref(),
            _ => None,
        }
    }

    pub(super) fn stores(&self) -> &[Arc<str>] {
        match &self.kind {
            NodeKind::Processor { stores } => stores,
            _ => &[],
        }
    }
}

/// What a record leaves behind in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trace {
    /// Nothing: it was forwarded, or not.
    None,
    /// A call, whose result goes on in the order of the records.
    Call,
    /// A row, an output, something in a field.
    Any,
}

/// Makes the typed node of one task. Its children exist already.
pub(super) trait NodeFactory: Send + Sync {
    fn instantiate(&self, node: usize, assembly: &mut Assembly<'_>) -> Result<(), Error>;

    /// What a record has done that has passed the node.
    fn trace(&self) -> Trace {
        Trace::Any
    }
}

pub(super) struct SourceFactory<K, V>(pub(super) Consumed<K, V>);

impl<K: Clone + 'static, V: Clone + 'static> NodeFactory for SourceFactory<K, V> {
    fn instantiate(&self, node: usize, assembly: &mut Assembly<'_>) -> Result<(), Error> {
        let topics = assembly.spec(node).source_topics().len();
        let source = SourceNode {
            name: Arc::clone(&assembly.spec(node).name),
            key: self.0.key.clone(),
            value: self.0.value.clone(),
            extractor: self.0.extractor.clone(),
            children: assembly.children::<K, V>(node),
            scope: Rc::clone(&assembly.scope),
            heads: (0..topics).map(|_| None).collect(),
        };
        assembly.add_source(node, Rc::new(RefCell::new(source)));
        Ok(())
    }
}

pub(super) struct ProcessorFactory<F>(pub(super) F);

impl<P: Processor, F: Fn() -> P + Send + Sync> NodeFactory for ProcessorFactory<F> {
    fn instantiate(&self, node: usize, assembly: &mut Assembly<'_>) -> Result<(), Error> {
        let spec = assembly.spec(node);
        let context = Context::new(
            Arc::clone(&spec.name),
            node,
            spec.stores().to_vec(),
            assembly.children::<P::KeyOut, P::ValueOut>(node),
            Rc::clone(&assembly.scope),
        );
        let instance = Rc::new(RefCell::new(ProcessorNode::new((self.0)(), context)));
        let link = assembly.link::<P::KeyIn, P::ValueIn, _>(node, &instance);
        assembly.add_node(node, Box::new(link) as Box<dyn Any>);
        assembly.add_lifecycle(node, instance);
        Ok(())
    }

    fn trace(&self) -> Trace {
        match P::STATELESS {
            true => Trace::None,
            false => Trace::Any,
        }
    }
}

pub(super) struct AsyncFactory<P> {
    pub(super) processor: Arc<P>,
    pub(super) calls: AsyncCalls,
}

impl<P: AsyncProcessor> NodeFactory for AsyncFactory<P> {
    fn instantiate(&self, node: usize, assembly: &mut Assembly<'_>) -> Result<(), Error> {
        let context = Context::new(
            Arc::clone(&assembly.spec(node).name),
            node,
            Vec::new(),
            assembly.children::<P::KeyOut, P::ValueOut>(node),
            Rc::clone(&assembly.scope),
        );
        let processor = Arc::clone(&self.processor);
        let instance = AsyncNode::new(processor, self.calls.clone(), context);
        let instance = Rc::new(RefCell::new(instance));
        let link = assembly.link::<P::KeyIn, P::ValueIn, _>(node, &instance);
        assembly.add_node(node, Box::new(link) as Box<dyn Any>);
        assembly.add_lifecycle(node, instance);
        Ok(())
    }

    fn trace(&self) -> Trace {
        match self.calls.is_in_order() {
            true => Trace::Call,
            false => Trace::Any,
        }
    }
}

/// Where a sink of the topology writes.
pub(super) enum Target<K, V> {
    Topic(TopicName),
    Extracted(TopicExtractor<K, V>),
}

pub(super) struct SinkFactory<K, V> {
    pub(super) produced: Produced<K, V>,
    pub(super) target: Target<K, V>,
}

impl<K: 'static, V: 'static> NodeFactory for SinkFactory<K, V> {
    fn instantiate(&self, node: usize, assembly: &mut Assembly<'_>) -> Result<(), Error> {
        let name = Arc::clone(&assembly.spec(node).name);
        let scope = Rc::clone(&assembly.scope);
        let target = match &self.target {
            Target::Topic(topic) => {
                let full_name = topic.resolve(&scope.application_id);
                let topic = scope
                    .collector
                    .topic(&full_name)
                    .map_err(|e| e.at_node(&name))?;
                let sink = SinkTopic {
                    node: Arc::clone(&name),
                    topic: full_name,
                };
                scope.sinks.borrow_mut().insert(topic, sink);
                SinkTarget::Topic(topic)
            }
            Target::Extracted(extract) => {
                SinkTarget::Extracted(Arc::clone(extract), BTreeMap::new())
            }
        };
        let sink: Link<K, V> = Rc::new(RefCell::new(SinkNode {
            name,
            target,
            key: self.produced.key.clone(),
            value: self.produced.value.clone(),
            partitioner: self.produced.partitioner.as_ref().map(Arc::clone),
            scope,
            key_bytes: Vec::new(),
            value_bytes: Vec::new(),
        }));
        assembly.add_node(node, Box::new(sink) as Box<dyn Any>);
        Ok(())
    }
}
