//! The processors of a join of two tables: one for each side, and the one that merges them.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::change::Change;
use crate::lowering::Lowering;
use crate::table_store::TableStore;
use crate::view::{Rows, TableView, parts};
use crate::write_back::Update;

/// The row that two rows make, if they make one.
pub(super) trait TableJoin<V, V2, VR>:
    Fn(Option<V>, Option<V2>) -> Option<VR> + Send + Sync + 'static
{
}

impl<V, V2, VR, F> TableJoin<V, V2, VR> for F where
    F: Fn(Option<V>, Option<V2>) -> Option<VR> + Send + Sync + 'static
{
}

/// What one side's changes are told by.
#[derive(Debug, Clone, Copy)]
pub(super) struct SideRules {
    /// Whether there is nothing to tell without a row of the other side.
    pub(super) other_needed: bool,
    pub(super) sends_old: bool,
}

/// Adds the processor of one side.
pub(super) fn lower_side<K: Data, V: Data, V2: Data, VR: Data, F: TableJoin<V, V2, VR>>(
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    view: TableView<K, V2>,
    join: Arc<F>,
    rules: SideRules,
) {
    let stores = view.stores.clone();
    lowering.processor(name, move || JoinSide::<K, V, V2, VR, F> {
        view: view.clone(),
        rows: None,
        join: Arc::clone(&join),
        rules,
        types: PhantomData,
    });
    lowering.connect(name, &stores);
}

/// Joins the changes of one side with the rows of the other.
struct JoinSide<K, V, V2, VR, F> {
    view: TableView<K, V2>,
    /// Opened by `init`.
    rows: Option<Box<dyn Rows<K, V2>>>,
    join: Arc<F>,
    rules: SideRules,
    types: PhantomData<fn(V) -> VR>,
}

impl<K, V, V2, VR, F> Processor for JoinSide<K, V, V2, VR, F>
where
    K: Data,
    V: Data,
    V2: Data,
    VR: Data,
    F: TableJoin<V, V2, VR>,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<VR>;

    fn init(&mut self, ctx: &mut Context<K, Change<VR>>) -> Result<(), Fault> {
        self.rows = Some(self.view.open(ctx.stores())?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &mut Context<K, Change<VR>>,
    ) -> Result<(), Fault> {
        if !record.value.is_latest() {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let rows = self.rows.as_ref();
        let rows = rows.expect("init opens the rows before the first record");
        let (other, other_time) = parts(rows.get(&record.key)?);
        let change = record.value;
        let is_nothing = change.new.is_none() && change.old.is_none();
        if other.is_none() && (self.rules.other_needed || is_nothing) {
            return Ok(());
        }
        let old = match self.rules.sends_old {
            true => (self.join)(change.old, other.clone()),
            false => None,
        };
        let new = (self.join)(change.new, other);
        ctx.forward(Record {
            key: record.key,
            value: Change::latest(old, new),
            timestamp: record.timestamp.max(other_time),
            headers: record.headers,
        })
    }
}

/// Makes one table of both sides, and keeps it if it has a store.
pub(super) struct JoinMerge<K, VR> {
    pub(super) store: Option<TableStore<K, VR>>,
    pub(super) sends_old: bool,
}

impl<K: Data, VR: Data> Processor for JoinMerge<K, VR> {
    type KeyIn = K;
    type ValueIn = Change<VR>;
    type KeyOut = K;
    type ValueOut = Change<VR>;

    fn init(&mut self, ctx: &mut Context<K, Change<VR>>) -> Result<(), Fault> {
        self.store.as_mut().map_or(Ok(()), |store| store.open(ctx))
    }

    fn process(
        &mut self,
        record: Record<K, Change<VR>>,
        ctx: &mut Context<K, Change<VR>>,
    ) -> Result<(), Fault> {
        debug_assert!(self.sends_old || record.value.old.is_none());
        let Some(store) = &self.store else {
            return ctx.forward(record);
        };
        let row = store.row(&record.key)?;
        let update = Update {
            key: record.key,
            change: record.value,
            timestamp: record.timestamp,
            at: record.timestamp,
            headers: record.headers,
        };
        store.update(row, update, ctx)
    }

    fn flush(&mut self, ctx: &mut Context<K, Change<VR>>) -> Result<(), Fault> {
        self.store.as_ref().map_or(Ok(()), |store| store.flush(ctx))
    }
}
