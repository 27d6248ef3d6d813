//! Subscriptions are kept beside the right table.

use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::state::TimestampedKeyValueStore;
use onceflow_framework::{Fault, Record};

use super::formats::{Instruction, Subscribed, Subscription};
use crate::Data;

/// The subscriptions of all left rows to the right rows of a task.
pub(super) type Subscriptions<KO, K> = TimestampedKeyValueStore<Subscribed<KO, K>, Subscription<K>>;

/// Keeps a subscription, or forgets it, and hands it on to be answered.
pub(super) struct Keep<K, KO> {
    pub(super) name: Arc<str>,
    pub(super) store: Option<Subscriptions<KO, K>>,
}

impl<K: Data, KO: Data> Processor for Keep<K, KO> {
    type KeyIn = Option<KO>;
    type ValueIn = Subscription<K>;
    type KeyOut = Option<KO>;
    type ValueOut = Subscription<K>;

    fn init(&mut self, ctx: &mut Context<Option<KO>, Subscription<K>>) -> Result<(), Fault> {
        self.store = Some(ctx.timestamped_key_value_store(&self.name)?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<Option<KO>, Subscription<K>>,
        ctx: &mut Context<Option<KO>, Subscription<K>>,
    ) -> Result<(), Fault> {
        let subscription = &record.value;
        let Some(foreign) = &record.key else {
            // A left row that names none has its answer here, and nothing to be kept.
            if subscription.instruction != Instruction::PropagateNullIfNone {
                ctx.dropped(DropReason::NullKey);
                return Ok(());
            }
            return ctx.forward(record);
        };
        let place = Subscribed {
            foreign: foreign.clone(),
            key: subscription.key.clone(),
        };
        let store = self.store.as_ref();
        let store = store.expect("init opens the store before the first record");
        let kept = Some(subscription).filter(|kept| !kept.instruction.deletes());
        let row = store.row(&place)?;
        row.put_with_headers(kept, record.timestamp, &record.headers)?;
        drop(row);
        ctx.forward(record)
    }
}
