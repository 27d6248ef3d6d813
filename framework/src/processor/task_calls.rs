//! The calls of all nodes of a task, which outlive the nodes that started them.
//!
//! # Invariants
//!
//! - A record that is given up has all processors made anew; calls of the others go on.
//! - An abort ends them all.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use super::async_calls::AsyncCalls;
use super::call_queue::{CallQueue, PendingCalls};
use super::executor::Executor;
use crate::error::{Error, ErrorKind};

/// What the calls of a worker have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallSettings {
    pub(crate) executor: Executor,
    /// How long a call may take at most: within it a transaction is not given up.
    pub(crate) limit_max: Option<Duration>,
}

/// The calls of a task, by node.
#[derive(Default)]
pub(crate) struct TaskCalls {
    settings: CallSettings,
    queues: RefCell<BTreeMap<usize, Rc<dyn PendingCalls>>>,
}

impl TaskCalls {
    pub(crate) fn new(settings: CallSettings) -> Self {
        TaskCalls {
            settings,
            queues: RefCell::default(),
        }
    }

    /// The nodes that make calls, in their order.
    pub(crate) fn nodes(&self) -> Vec<usize> {
        self.queues.borrow().keys().copied().collect()
    }

    /// Whether no node makes calls.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.borrow().is_empty()
    }

    /// The calls of a node, if it makes any.
    pub(crate) fn of(&self, node: usize) -> Option<Rc<dyn PendingCalls>> {
        self.queues.borrow().get(&node).map(Rc::clone)
    }

    /// The calls of a node with their types: those in flight, or a new queue.
    ///
    /// # Errors
    ///
    /// When a call may take longer than a transaction leaves it, or threads cannot be started.
    pub(super) fn queue<K: Clone + Eq + Hash + 'static, R: Send + 'static>(
        &self,
        node: usize,
        policy: &AsyncCalls,
    ) -> Result<Rc<CallQueue<K, R>>, Error> {
        if let Some(queue) = self.of(node) {
            let queue: Rc<dyn Any> = queue;
            let queue = queue.downcast();
            return Ok(queue.expect("a node's calls have the types of the node"));
        }
        self.check_limit(policy)?;
        let executor = self.settings.executor.handle()?;
        let queue = Rc::new(CallQueue::new(policy.clone(), executor));
        let pending: Rc<dyn PendingCalls> = Rc::clone(&queue) as _;
        self.queues.borrow_mut().insert(node, pending);
        Ok(queue)
    }

    fn check_limit(&self, policy: &AsyncCalls) -> Result<(), Error> {
        let limit = policy.limit();
        match self.settings.limit_max {
            Some(max) if limit > max => {
                let message = format!(
                    "a call may take {limit:?} with all its tries, but a batch waits for it at \
                     most {max:?}, a third of transaction.timeout.ms; lower its time-out or its \
                     retries, or raise that setting"
                );
                Err(Error::new(ErrorKind::Config, message))
            }
            _ => Ok(()),
        }
    }

    /// Ends all calls.
    pub(crate) fn clear(&self) {
        self.queues.borrow_mut().clear();
    }

    /// From now on calls may be taken back.
    pub(crate) fn hold(&self) {
        self.queues.borrow().values().for_each(|calls| calls.hold());
    }

    /// Takes the calls back that were started since the last hold.
    pub(crate) fn undo(&self) {
        self.queues.borrow().values().for_each(|calls| calls.undo());
    }
}

impl fmt::Debug for TaskCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskCalls").field(&self.nodes()).finish()
    }
}
