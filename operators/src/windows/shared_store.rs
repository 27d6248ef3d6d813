//! A store of one aggregation, or of the several that a cogroup is made of.
//!
//! ```text
//!   stream at 10 ──> aggregation ──┐
//!   stream at 70 ──> aggregation ──┴──> store: what is open at 10 is held, and found
//! ```
//!
//! # Invariants
//!
//! - A time window is there as long as it is open for the slowest stream, which may be one that has
//!   had no record yet; but no longer than [`HOLD_MAX`] past the retention. Sessions go by the
//!   stream that is furthest ahead, as in Kafka Streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::Timestamp;
use onceflow_framework::processor::NodeTime;
use onceflow_framework::state::StoreBuilder;

use super::time_rows::RowContext;
use crate::Data;
use crate::lowering::Lowering;

/// How much longer than its retention a store holds a window for streams that are behind: as long
/// as its changelog does, which could not bring back more.
const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Who writes to a store, and whether it is in the topology already: the first processor brings it.
#[derive(Clone, Default)]
pub(crate) struct SharedStore {
    is_added: Rc<Cell<bool>>,
    is_of_several: bool,
}

impl SharedStore {
    /// A store of so many streams.
    pub(crate) fn of_streams(streams: usize) -> Self {
        SharedStore {
            is_added: Rc::default(),
            is_of_several: streams > 1,
        }
    }

    /// Whether somebody else has brought the store; from now on somebody has.
    pub(crate) fn is_added(&self) -> bool {
        self.is_added.replace(true)
    }

    /// Adds the store to the topology, or connects the processor with the one that is there.
    pub(crate) fn attach<K: Data, A: 'static>(
        &self,
        lowering: &mut Lowering<'_>,
        builder: StoreBuilder<K, A>,
        (store, processor): (&Arc<str>, &Arc<str>),
    ) {
        if self.is_added() {
            lowering.connect(processor, &[store.to_string()]);
        } else {
            lowering.topology().add_state_store(builder, &[processor]);
        }
    }

    /// Whether the store is to hold windows for streams that are behind: not if it was told how
    /// long to keep them.
    pub(super) fn holds(&self, retention: Option<Duration>) -> bool {
        self.is_of_several && retention.is_none()
    }
}

/// Has a store hold what is open for streams that are behind.
pub(super) fn with_hold<K: 'static, A: 'static>(store: StoreBuilder<K, A>) -> StoreBuilder<K, A> {
    store.with_hold(HOLD_MAX)
}

/// How far those are who share a store, as one of them sees it in one task.
pub(super) enum Companions {
    /// There are none, or nothing is held for them.
    None,
    /// Not met yet.
    Some,
    Met(Rc<StreamTimes>),
}

/// The stream times of all who share a store.
#[derive(Default)]
pub(super) struct StreamTimes(RefCell<Vec<NodeTime>>);

impl Companions {
    pub(super) fn new(holds: bool) -> Self {
        match holds {
            true => Companions::Some,
            false => Companions::None,
        }
    }

    /// Whether the store holds what is open for the slowest of them.
    pub(super) fn hold(&self) -> bool {
        !matches!(self, Companions::None)
    }

    /// Makes the node's own time known to the others.
    pub(super) fn meet<K: Data, A: Data>(&mut self, store: &str, ctx: &RowContext<K, A>) {
        if self.hold() {
            // No name of a store has a colon.
            let name = format!("{store}:times");
            let times: Rc<StreamTimes> = ctx.stores().shared(&name, StreamTimes::default);
            times.0.borrow_mut().push(ctx.node_time());
            *self = Companions::Met(times);
        }
    }

    /// The time of the slowest, if anything is held for it.
    pub(super) fn slowest(&self) -> Option<Timestamp> {
        let Companions::Met(times) = self else {
            return None;
        };
        let times = times.0.borrow();
        times.iter().map(NodeTime::get).min()
    }
}
