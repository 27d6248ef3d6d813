//! Nodes at run time: links between them, and the processor in its place.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Processor;
use super::context::Context;
use super::punctuation::Punctuation;
use crate::error::{Error, Fault};
use crate::record::Record;
use crate::time::Timestamp;

/// Takes records of one type.
pub(crate) trait Receive<K, V> {
    fn receive(&mut self, record: Record<K, V>) -> Result<(), Fault>;
}

/// An edge of the graph, seen from its parent.
pub(crate) type Link<K, V> = Rc<RefCell<dyn Receive<K, V>>>;

/// The edges that leave a node, in the order in which the children were added.
pub(crate) struct Children<K, V>(Vec<(Arc<str>, Link<K, V>)>);

impl<K: Clone, V: Clone> Children<K, V> {
    pub(crate) fn new(children: Vec<(Arc<str>, Link<K, V>)>) -> Self {
        Children(children)
    }

    /// Sends to all: a clone to each but the last.
    #[inline]
    pub(crate) fn send(&self, record: Record<K, V>) -> Result<(), Fault> {
        match &*self.0 {
            [(_, only)] => only.borrow_mut().receive(record),
            children => Self::send_to_all(children, record),
        }
    }

    /// Not inlined, so that what most nodes do is.
    #[inline(never)]
    fn send_to_all(children: &[(Arc<str>, Link<K, V>)], record: Record<K, V>) -> Result<(), Fault> {
        let Some(((_, last), others)) = children.split_last() else {
            return Ok(());
        };
        for (_, child) in others {
            child.borrow_mut().receive(record.clone())?;
        }
        last.borrow_mut().receive(record)
    }

    /// Sends to one; none if there is no child of that name.
    pub(crate) fn send_to(&self, name: &str, record: Record<K, V>) -> Option<Result<(), Fault>> {
        let (_, child) = self.0.iter().find(|(child, _)| **child == *name)?;
        Some(child.borrow_mut().receive(record))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// What a task does with every processor, whatever its types.
pub(crate) trait Lifecycle {
    fn init(&mut self) -> Result<(), Error>;
    fn punctuate(&mut self, punctuation: Punctuation, timestamp: Timestamp) -> Result<(), Error>;
    fn flush(&mut self) -> Result<(), Error>;

    /// Forwards the next result of its calls, if there is one and it makes any.
    fn deliver(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self);
}

/// A processor in its place.
pub(crate) struct ProcessorNode<P: Processor> {
    processor: P,
    context: Context<P::KeyOut, P::ValueOut>,
}

impl<P: Processor> ProcessorNode<P> {
    pub(crate) fn new(processor: P, context: Context<P::KeyOut, P::ValueOut>) -> Self {
        ProcessorNode { processor, context }
    }

    /// Calls user code; if it panics, the task learns where.
    fn call<R>(
        &mut self,
        code: impl FnOnce(&mut P, &mut Context<P::KeyOut, P::ValueOut>) -> R,
    ) -> R {
        let mut called = Called {
            context: &mut self.context,
            returned: false,
        };
        let result = code(&mut self.processor, called.context);
        called.returned = true;
        result
    }

    /// The error of this node, at the record in process.
    #[cold]
    fn blame(&self, fault: Fault) -> Error {
        let error = fault.into_error(self.context.node());
        match self.context.position() {
            Some(position) => error.at(position),
            None => error,
        }
    }
}

impl<P: Processor> Receive<P::KeyIn, P::ValueIn> for ProcessorNode<P> {
    fn receive(&mut self, record: Record<P::KeyIn, P::ValueIn>) -> Result<(), Fault> {
        match self.call(|processor, context| processor.process(record, context)) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.blame(fault).into()),
        }
    }
}

impl<P: Processor> Lifecycle for ProcessorNode<P> {
    fn init(&mut self) -> Result<(), Error> {
        let result = self.call(|processor, context| processor.init(context));
        result.map_err(|fault| self.blame(fault))
    }

    fn punctuate(&mut self, punctuation: Punctuation, timestamp: Timestamp) -> Result<(), Error> {
        let result =
            self.call(|processor, context| processor.punctuate(punctuation, timestamp, context));
        result.map_err(|fault| self.blame(fault))
    }

    fn flush(&mut self) -> Result<(), Error> {
        let result = self.call(|processor, context| processor.flush(context));
        result.map_err(|fault| self.blame(fault))
    }

    fn close(&mut self) {
        self.processor.close();
    }
}

/// User code that has been called: dropped without having returned, it panics.
struct Called<'a, K: Clone + 'static, V: Clone + 'static> {
    context: &'a mut Context<K, V>,
    returned: bool,
}

impl<K: Clone + 'static, V: Clone + 'static> Drop for Called<'_, K, V> {
    fn drop(&mut self) {
        if !self.returned {
            self.context.panics();
        }
    }
}
