//! A stream of records, and how operators append a node to it.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::lowering::Lowering;
use crate::names::Named;
use crate::optimize::Role;

/// A stream of records with keys `K` and values `V`: each record stands for itself.
///
/// A stream is a handle: operators leave it as it is and answer a new one, and several operators
/// may follow the same stream.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
/// payments.filter(|_, amount| *amount >= 1_000).to("large", Produced::new());
/// payments.named("small-ones").filter(|_, amount| *amount < 1_000).to("small", Produced::new());
///
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: small-ones"));
/// # Ok::<(), onceflow::Error>(())
/// ```
pub struct KStream<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    pub(crate) name: Arc<str>,
    /// The key was changed upstream: records may be in another partition than their key's.
    pub(crate) rekeyed: bool,
    /// The repartition topic of its joins, which share it.
    pub(crate) join_repartition: Rc<Cell<Option<NodeId>>>,
    /// The name of the next operator.
    next_name: Option<Arc<str>>,
    types: PhantomData<fn() -> (K, V)>,
}

/// What an operator can change of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    Nothing,
    Values,
    /// Keys, and values too.
    Keys,
}

impl<K: Data, V: Data> KStream<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId, name: Arc<str>, rekeyed: bool) -> Self {
        KStream {
            graph,
            node,
            name,
            rekeyed,
            join_repartition: Rc::default(),
            next_name: None,
            types: PhantomData,
        }
    }

    /// Names the node of the operator that follows.
    ///
    /// The names of an application's nodes are its own, so two operators after one `named` are
    /// an error when the topology is built.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let large = orders.named("large").filter(|_, cents| *cents > 100_000);
    /// assert_eq!(large.name(), "large");
    /// ```
    #[must_use = "the name is for the operator that follows"]
    pub fn named(&self, name: impl Into<Named>) -> Self {
        let mut named = self.clone();
        named.next_name = Some(name.into().into_name());
        named
    }

    /// The name of the node that this stream leaves.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// assert_eq!(orders.name(), "KSTREAM-SOURCE-0000000000");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn next_name(&self) -> Option<&str> {
        self.next_name.as_deref()
    }

    /// Appends a node; `write` adds it to the topology under that name.
    pub(crate) fn append<K2: Data, V2: Data>(
        &self,
        name: Arc<str>,
        changes: Changes,
        write: impl FnOnce(&mut Lowering<'_>, &Arc<str>) + 'static,
    ) -> KStream<K2, V2> {
        let output = Arc::clone(&name);
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                write(lowering, &output);
            });
        self.graph.set_role(node, Role::from(changes));
        let rekeyed = self.rekeyed || changes == Changes::Keys;
        KStream::new(self.graph.clone(), node, name, rekeyed)
    }

    /// Appends a processor that is a function.
    pub(crate) fn step<K2: Data, V2: Data>(
        &self,
        prefix: &str,
        changes: Changes,
        act: impl Fn(Record<K, V>, &mut Context<K2, V2>) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let name = self.graph.name(self.next_name(), prefix);
        let supplier = Step::supplier(act);
        self.append(name, changes, move |lowering, name| {
            lowering.processor(name, supplier)
        })
    }
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        KStream {
            graph: self.graph.clone(),
            node: self.node,
            name: Arc::clone(&self.name),
            rekeyed: self.rekeyed,
            join_repartition: Rc::clone(&self.join_repartition),
            next_name: self.next_name.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KStream({})", self.name)
    }
}

/// A processor that is a function: it keeps nothing between records.
pub(crate) struct Step<K, V, K2, V2, F> {
    act: Arc<F>,
    types: Types<K, V, K2, V2>,
}

/// In and out.
pub(crate) type Types<K, V, K2, V2> = PhantomData<fn(K, V) -> (K2, V2)>;

impl<K, V, K2, V2, F> Step<K, V, K2, V2, F>
where
    F: Fn(Record<K, V>, &mut Context<K2, V2>) -> Result<(), Fault> + Send + Sync + 'static,
{
    /// Makes the processor of each task; the function is shared.
    pub(crate) fn supplier(act: F) -> impl Fn() -> Self + Send + Sync + 'static
    where
        K: 'static,
        V: 'static,
        K2: 'static,
        V2: 'static,
    {
        let act = Arc::new(act);
        move || Step {
            act: Arc::clone(&act),
            types: PhantomData,
        }
    }
}

impl<K, V, K2, V2, F> Processor for Step<K, V, K2, V2, F>
where
    K: 'static,
    V: 'static,
    K2: Data,
    V2: Data,
    F: Fn(Record<K, V>, &mut Context<K2, V2>) -> Result<(), Fault> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K2;
    type ValueOut = V2;

    const STATELESS: bool = true;

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K2, V2>) -> Result<(), Fault> {
        (self.act)(record, ctx)
    }
}
