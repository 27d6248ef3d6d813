//! A node that may fail without taking its record along ([`FailureScope::Node`]).
//!
//! ```text
//!   parent ──record──> Guarded ──> node ──┬── done ──────────────> parent goes on
//!                                         └── failed, panicked ──> asked: parent goes on │ the batch fails
//! ```
//!
//! # Invariants
//!
//! - Tasks whose nodes are not asked about one by one have none of these.
//! - A failure is told once, by the node that is nearest to it: what a handler has decided passes the
//!   nodes before it unasked.
//!
//! [`FailureScope::Node`]: crate::handler::FailureScope::Node

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use super::node::Receive;
use super::scope::TaskScope;
use crate::error::{Error, ErrorKind, Fault, panic_text};
use crate::record::Record;

/// An edge to a node that may fail alone.
pub(crate) struct Guarded<N> {
    node: Rc<RefCell<N>>,
    name: Arc<str>,
    scope: Rc<TaskScope>,
}

impl<N> Guarded<N> {
    pub(crate) fn new(node: Rc<RefCell<N>>, name: Arc<str>, scope: Rc<TaskScope>) -> Self {
        Guarded { node, name, scope }
    }

    #[cold]
    fn give_up(&self, failure: Failure) -> Result<(), Fault> {
        let error = match failure {
            Failure::Fault(fault) => fault.into_error(&self.name),
            Failure::Panic(text) => {
                let message = format!("a processor panicked: {text}");
                let error = Error::new(ErrorKind::Processing, message);
                self.scope.blame_panic(error).at_node(&self.name)
            }
        };
        Ok(self.scope.give_up_call(error)?)
    }
}

/// How a call ended.
enum Failure {
    Fault(Fault),
    Panic(String),
}

impl<K, V, N: Receive<K, V>> Receive<K, V> for Guarded<N> {
    fn receive(&mut self, record: Record<K, V>) -> Result<(), Fault> {
        let call = AssertUnwindSafe(|| self.node.borrow_mut().receive(record));
        match catch_unwind(call) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => self.give_up(Failure::Fault(fault)),
            Err(panic) => self.give_up(Failure::Panic(panic_text(&*panic).to_owned())),
        }
    }
}
