//! A store of one aggregation, or of the several that a cogroup is made of.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::state::StoreBuilder;

use crate::Data;
use crate::lowering::Lowering;

/// Whether the store is in the topology already: the first processor brings it.
#[derive(Clone, Default)]
pub(crate) struct SharedStore(Rc<Cell<bool>>);

impl SharedStore {
    /// Whether somebody else has brought the store; from now on somebody has.
    pub(crate) fn is_added(&self) -> bool {
        self.0.replace(true)
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
}
