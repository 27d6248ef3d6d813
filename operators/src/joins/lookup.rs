//! What the joins of a stream with a table share: the look-up.
//!
//! ```text
//!   record ──> key there? value there? ──> row of the key ──> join ──> record, same key and time
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::{Fault, Record};

use super::joined::Joined;
use super::partitioned::{NullKeys, Side};
use crate::Data;
use crate::null::{OrNull, present, present_in};
use crate::stream::KStream;
use crate::table::KTable;
use crate::view::{Rows, TableView};

impl<K: Data, V: Data> KStream<K, V> {
    /// Adds a look-up; what `join` answers with `None` goes no further.
    pub(super) fn look_up<KT, VT, VS, VR>(
        &self,
        table: &KTable<KT, VT>,
        join: impl Fn(&K, VS, Option<VT>) -> Option<VR> + Send + Sync + 'static,
        joined: Joined<KT, VS>,
        null_keys: NullKeys,
    ) -> KStream<K, VR>
    where
        KT: Data,
        VT: Data,
        VS: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let name = joined.name.as_deref().or(self.next_name());
        let parent = self.partitioned_for_join(&Side {
            name,
            key: &joined.key,
            value: &joined.value,
            null_keys,
        });
        let prefix = match null_keys {
            NullKeys::Dropped => "KSTREAM-JOIN-",
            NullKeys::Joined => "KSTREAM-LEFTJOIN-",
        };
        let name = self.graph.name(name, prefix);
        let view = table.lookup(&self.graph);
        if view.is_some() {
            self.graph.copartition(&[parent, table.node]);
        }
        let (output, join) = (Arc::clone(&name), Arc::new(join));
        let node = self
            .graph
            .add(Arc::clone(&name), &[parent], move |lowering| {
                let Some(view) = view.map(|view| view()) else {
                    return;
                };
                let stores = view.stores.clone();
                lowering.processor(&output, move || Lookup::<K, V, KT, VT, VS, _> {
                    key: joined.key.clone(),
                    value: joined.value.clone(),
                    null_keys,
                    view: view.clone(),
                    rows: None,
                    join: Arc::clone(&join),
                    types: PhantomData,
                });
                lowering.connect(&output, &stores);
            });
        KStream::new(self.graph.clone(), node, name, false)
    }
}

/// Looks each record's row up.
struct Lookup<K, V, KT, VT, VS, F> {
    key: SharedSerde<KT>,
    value: SharedSerde<VS>,
    null_keys: NullKeys,
    view: TableView<KT, VT>,
    /// Opened by `init`.
    rows: Option<Box<dyn Rows<KT, VT>>>,
    join: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, KT, VT, VS, VR, F> Processor for Lookup<K, V, KT, VT, VS, F>
where
    K: Data + OrNull<KT>,
    V: Data + OrNull<VS>,
    KT: Data,
    VT: Data,
    VS: Data,
    VR: Data,
    F: Fn(&K, VS, Option<VT>) -> Option<VR> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = VR;

    fn init(&mut self, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        self.rows = Some(self.view.open(ctx.stores())?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let Record {
            key,
            value,
            timestamp,
            headers,
        } = record;
        let row = match present_in(&key, &self.key) {
            Some(key) => {
                let rows = self.rows.as_ref();
                let rows = rows.expect("init opens the rows before the first record");
                rows.get(key)?.map(|row| row.value)
            }
            None if self.null_keys == NullKeys::Joined => None,
            None => {
                ctx.dropped(DropReason::NullKey);
                return Ok(());
            }
        };
        let Some(value) = present(value, &self.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let Some(value) = (self.join)(&key, value, row) else {
            return Ok(());
        };
        ctx.forward(Record {
            key,
            value,
            timestamp,
            headers,
        })
    }
}
