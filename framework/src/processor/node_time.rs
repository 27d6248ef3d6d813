//! The stream time of one node: the highest timestamp that it has seen, committed with its batch.
//!
//! # Invariants
//!
//! - It never goes back, but with an aborted batch: a replay finds it as the batch did.
//! - It survives a restart, committed beside the offsets of the task's inputs: which windows are
//!   closed does not depend on when the process was started.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::time::Timestamp;

/// The stream time of one node: what [`Context::node_time`](super::Context::node_time) hands out.
#[derive(Clone)]
pub struct NodeTime(Rc<Times>);

struct Times {
    now: Cell<Timestamp>,
    committed: Cell<Timestamp>,
    held: Cell<Timestamp>,
}

impl NodeTime {
    fn starting_at(time: Timestamp) -> Self {
        NodeTime(Rc::new(Times {
            now: Cell::new(time),
            committed: Cell::new(time),
            held: Cell::new(time),
        }))
    }

    /// The highest timestamp so far; [`Timestamp::NONE`] before the first.
    #[must_use]
    pub fn get(&self) -> Timestamp {
        self.0.now.get()
    }

    /// Notes a timestamp; answers the highest so far.
    pub fn advance(&self, timestamp: Timestamp) -> Timestamp {
        let now = self.0.now.get().max(timestamp);
        self.0.now.set(now);
        now
    }
}

impl fmt::Debug for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeTime({:?})", self.get())
    }
}

/// The stream times of a task's nodes, as far as they asked for one.
#[derive(Default)]
pub(crate) struct NodeTimes(RefCell<BTreeMap<Arc<str>, NodeTime>>);

impl NodeTimes {
    pub(super) fn of(&self, node: &Arc<str>) -> NodeTime {
        let mut times = self.0.borrow_mut();
        let time = times.entry(Arc::clone(node));
        time.or_insert_with(|| NodeTime::starting_at(Timestamp::NONE))
            .clone()
    }

    /// Goes on from what was committed.
    pub(crate) fn resume(&self, committed: impl Iterator<Item = (Arc<str>, Timestamp)>) {
        let times = committed.map(|(node, time)| (node, NodeTime::starting_at(time)));
        *self.0.borrow_mut() = times.collect();
    }

    pub(crate) fn commit(&self) {
        for time in self.0.borrow().values() {
            time.0.committed.set(time.get());
        }
    }

    /// What follows can be undone alone.
    pub(crate) fn hold(&self) {
        for time in self.0.borrow().values() {
            time.0.held.set(time.get());
        }
    }

    /// Goes back to the last [`hold`](Self::hold).
    pub(crate) fn undo(&self) {
        for time in self.0.borrow().values() {
            time.0.now.set(time.0.held.get());
        }
    }

    pub(crate) fn roll_back(&self) {
        for time in self.0.borrow().values() {
            time.0.now.set(time.0.committed.get());
        }
    }

    /// The times that there are, by node.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, Timestamp)> {
        let times = self.0.borrow();
        let seen = times.iter().filter(|(_, time)| time.get().is_some());
        seen.map(|(node, time)| (Arc::clone(node), time.get()))
            .collect()
    }
}
