//! Right's rows answer subscriptions: when one comes, and whenever the row changes.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::{Error, ErrorKind, Fault, Record};

use super::formats::{Instruction, Response, Subscription, write_prefix};
use super::keep::Subscriptions;
use crate::Data;
use crate::change::Change;
use crate::view::{Rows, TableView, parts};

/// Answers a subscription with the row as it is now, at the later of the two times.
pub(super) struct AnswerSubscription<K, KO, VO> {
    pub(super) view: TableView<KO, VO>,
    /// Opened by `init`.
    pub(super) rows: Option<Box<dyn Rows<KO, VO>>>,
    pub(super) types: PhantomData<fn(K)>,
}

impl<K: Data, KO: Data, VO: Data> Processor for AnswerSubscription<K, KO, VO> {
    type KeyIn = Option<KO>;
    type ValueIn = Subscription<K>;
    type KeyOut = K;
    type ValueOut = Response<VO>;

    fn init(&mut self, ctx: &mut Context<K, Response<VO>>) -> Result<(), Fault> {
        self.rows = Some(self.view.open(ctx.stores())?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<Option<KO>, Subscription<K>>,
        ctx: &mut Context<K, Response<VO>>,
    ) -> Result<(), Fault> {
        let rows = self.rows.as_ref();
        let rows = rows.expect("init opens the rows before the first record");
        let row = match &record.key {
            Some(foreign) => rows.get(foreign)?,
            None => None,
        };
        let (value, time) = parts(row);
        let subscription = record.value;
        let value = match subscription.instruction {
            Instruction::Delete => return Ok(()),
            Instruction::PropagateIfPresent if value.is_none() => return Ok(()),
            Instruction::DeleteAndPropagate => None,
            Instruction::PropagateIfPresent | Instruction::PropagateNullIfNone => value,
        };
        ctx.forward(Record {
            key: subscription.key,
            value: Response {
                hash: subscription.hash,
                value,
                partition: subscription.partition,
            },
            timestamp: record.timestamp.max(time),
            headers: record.headers,
        })
    }
}

/// Tells all subscribers of a row that it has changed, in the order of their keys, at the time of
/// the change.
pub(super) struct AnswerChange<K, KO, VO> {
    pub(super) foreign_key: SharedSerde<KO>,
    pub(super) name: Arc<str>,
    pub(super) store: Option<Subscriptions<KO, K>>,
    pub(super) types: PhantomData<fn(VO)>,
}

impl<K: Data, KO: Data, VO: Data> Processor for AnswerChange<K, KO, VO> {
    type KeyIn = KO;
    type ValueIn = Change<VO>;
    type KeyOut = K;
    type ValueOut = Response<VO>;

    fn init(&mut self, ctx: &mut Context<K, Response<VO>>) -> Result<(), Fault> {
        self.store = Some(ctx.timestamped_key_value_store(&self.name)?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<KO, Change<VO>>,
        ctx: &mut Context<K, Response<VO>>,
    ) -> Result<(), Fault> {
        if !record.value.is_latest() {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let store = self.store.as_ref();
        let store = store.expect("init opens the store before the first record");
        let mut prefix = Vec::new();
        write_prefix(&self.foreign_key, &record.key, &mut prefix).map_err(|error| {
            let message = "cannot serialize the foreign key";
            Error::new(ErrorKind::Serialization, message).because(error)
        })?;
        for entry in store.prefix_scan(&prefix) {
            let (_, subscription) = entry?;
            let subscription = subscription.value;
            ctx.forward(Record {
                key: subscription.key,
                value: Response {
                    hash: subscription.hash,
                    value: record.value.new.clone(),
                    partition: subscription.partition,
                },
                timestamp: record.timestamp,
                headers: record.headers.clone(),
            })?;
        }
        Ok(())
    }
}
