//! Responses come back to the left row that asked, and make a row of the result.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::{Fault, Record};

use super::formats::Response;
use super::subscribe::hash_of;
use crate::Data;
use crate::change::Change;
use crate::table_store::{TableStore, set_row};
use crate::view::{Rows, TableView};

/// Makes a row of two; none where they make none.
pub(super) trait ForeignJoin<V, VO, VR>:
    Fn(V, Option<VO>) -> Option<VR> + Send + Sync + 'static
{
}

impl<V, VO, VR, F> ForeignJoin<V, VO, VR> for F where
    F: Fn(V, Option<VO>) -> Option<VR> + Send + Sync + 'static
{
}

/// Joins a response with the left row, if that is still the one that asked.
pub(super) struct Resolve<K, V, VO, VR, F> {
    pub(super) value: SharedSerde<V>,
    pub(super) view: TableView<K, V>,
    /// Opened by `init`.
    pub(super) rows: Option<Box<dyn Rows<K, V>>>,
    pub(super) join: Arc<F>,
    pub(super) types: PhantomData<fn(VO) -> VR>,
}

impl<K, V, VO, VR, F> Processor for Resolve<K, V, VO, VR, F>
where
    K: Data,
    V: Data,
    VO: Data,
    VR: Data,
    F: ForeignJoin<V, VO, VR>,
{
    type KeyIn = K;
    type ValueIn = Response<VO>;
    type KeyOut = K;
    type ValueOut = Option<VR>;

    fn init(&mut self, ctx: &mut Context<K, Option<VR>>) -> Result<(), Fault> {
        self.rows = Some(self.view.open(ctx.stores())?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<K, Response<VO>>,
        ctx: &mut Context<K, Option<VR>>,
    ) -> Result<(), Fault> {
        let rows = self.rows.as_ref();
        let rows = rows.expect("init opens the rows before the first record");
        let row = rows.get(&record.key)?.map(|row| row.value);
        let hash = match &row {
            Some(value) => hash_of(&self.value, value)?,
            None => None,
        };
        if hash != record.value.hash {
            // Overtaken: the change of the row has, or will have, an answer of its own.
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let result = row.and_then(|row| (self.join)(row, record.value.value));
        ctx.forward(Record {
            key: record.key,
            value: result,
            timestamp: record.timestamp,
            headers: record.headers,
        })
    }
}

/// Makes a table of the results, and keeps it if it has a store.
pub(super) struct Output<K, VR> {
    pub(super) store: Option<TableStore<K, VR>>,
    pub(super) sends_old: bool,
}

impl<K: Data, VR: Data> Processor for Output<K, VR> {
    type KeyIn = K;
    type ValueIn = Option<VR>;
    type KeyOut = K;
    type ValueOut = Change<VR>;

    fn init(&mut self, ctx: &mut Context<K, Change<VR>>) -> Result<(), Fault> {
        self.store.as_mut().map_or(Ok(()), |store| store.open(ctx))
    }

    fn process(
        &mut self,
        record: Record<K, Option<VR>>,
        ctx: &mut Context<K, Change<VR>>,
    ) -> Result<(), Fault> {
        set_row(self.store.as_ref(), self.sends_old, record, ctx)
    }

    fn flush(&mut self, ctx: &mut Context<K, Change<VR>>) -> Result<(), Fault> {
        self.store.as_ref().map_or(Ok(()), |store| store.flush(ctx))
    }
}
