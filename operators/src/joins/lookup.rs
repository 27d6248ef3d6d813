//! What the joins of a stream with a table share: the look-up.
//!
//! ```text
//!   record ──> key there? value there? ──> row of the key ──> join ──> record, same key and time
//! ```
//!
//! The row is that of the record's time where the table is versioned, else as it is now.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{ConnectedStores, Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::{Error, Fault, Record};

use super::joined::Joined;
use super::partitioned::{NullKeys, Side};
use super::waiting::WaitingLookup;
use crate::Data;
use crate::lowering::Lowering;
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
        if let Some(problem) = grace_problem(joined.grace, table.keeping.history()) {
            self.graph.problem(format!("{name}: {problem}"));
        }
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
                let ask = move || Ask {
                    key: joined.key.clone(),
                    value: joined.value.clone(),
                    null_keys,
                    view: view.clone(),
                    rows: None,
                    join: Arc::clone(&join),
                };
                lower::<K, V, KT, VT, VS, VR, _>(lowering, &output, joined.grace, ask);
            });
        KStream::new(self.graph.clone(), node, name, false)
    }
}

/// Why records cannot wait so long for a table with that history, if they cannot.
fn grace_problem(grace: Option<Duration>, history: Option<Duration>) -> Option<String> {
    let grace = grace?;
    let Some(history) = history else {
        return Some("a grace period needs a versioned table".to_owned());
    };
    let (waits, reads) = (grace.as_millis(), history.as_millis());
    (grace > history).then(|| {
        format!(
            "a grace period of {waits} ms is longer than the table's history retention of {reads} ms"
        )
    })
}

/// Adds the look-up, and the buffer of the records that wait for it.
fn lower<K, V, KT, VT, VS, VR, F>(
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    grace: Option<Duration>,
    ask: impl Fn() -> Ask<KT, VT, VS, F> + Send + Sync + 'static,
) where
    K: Data + OrNull<KT>,
    V: Data + OrNull<VS>,
    KT: Data,
    VT: Data,
    VS: Data,
    VR: Data,
    F: Fn(&K, VS, Option<VT>) -> Option<VR> + Send + Sync + 'static,
{
    let stores = ask().view.stores;
    match grace {
        None => lowering.processor(name, move || Lookup::<K, V, KT, VT, VS, F> {
            ask: ask(),
            types: PhantomData,
        }),
        Some(grace) => {
            let buffer: Arc<str> = Arc::from(format!("{name}-Buffer"));
            let store = StoreBuilder::buffer(&*buffer);
            lowering.processor(name, move || {
                WaitingLookup::<K, V, KT, VT, VS, F>::new(ask(), grace, Arc::clone(&buffer))
            });
            lowering.topology().add_state_store(store, &[name]);
        }
    }
    lowering.connect(name, &stores);
}

/// How a stream's record asks for a row and is joined with it.
pub(super) struct Ask<KT, VT, VS, F> {
    pub(super) key: SharedSerde<KT>,
    pub(super) value: SharedSerde<VS>,
    null_keys: NullKeys,
    view: TableView<KT, VT>,
    /// Opened by `init`.
    rows: Option<Box<dyn Rows<KT, VT>>>,
    join: Arc<F>,
}

impl<KT: Data, VT: Data, VS: Data, F> Ask<KT, VT, VS, F> {
    pub(super) fn open(&mut self, stores: &ConnectedStores) -> Result<(), Error> {
        self.rows = Some(self.view.open(stores)?);
        Ok(())
    }

    /// The record, unless it lacks what a join needs: then it is counted.
    pub(super) fn admit<K, V, VR>(
        &self,
        record: Record<K, V>,
        ctx: &mut Context<K, VR>,
    ) -> Option<Record<K, VS>>
    where
        K: Data + OrNull<KT>,
        V: OrNull<VS>,
        VR: Data,
    {
        let is_null = present_in(&record.key, &self.key).is_none();
        if is_null && self.null_keys == NullKeys::Dropped {
            ctx.dropped(DropReason::NullKey);
            return None;
        }
        let Some(value) = present(record.value, &self.value) else {
            ctx.dropped(DropReason::NullValue);
            return None;
        };
        Some(Record {
            key: record.key,
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        })
    }

    /// Joins a record with the row as of its time, and hands the result on.
    pub(super) fn join<K, VR>(
        &self,
        record: Record<K, VS>,
        ctx: &mut Context<K, VR>,
    ) -> Result<(), Fault>
    where
        K: Data + OrNull<KT>,
        VR: Data,
        F: Fn(&K, VS, Option<VT>) -> Option<VR>,
    {
        let Record {
            key,
            value,
            timestamp,
            headers,
        } = record;
        let rows = self.rows.as_ref();
        let rows = rows.expect("init opens the rows before the first record");
        let row = match present_in(&key, &self.key) {
            Some(key) => rows.get_as_of(key, timestamp)?.map(|row| row.value),
            None => None,
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

/// Looks each record's row up.
struct Lookup<K, V, KT, VT, VS, F> {
    ask: Ask<KT, VT, VS, F>,
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
        Ok(self.ask.open(ctx.stores())?)
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        match self.ask.admit(record, ctx) {
            Some(record) => self.ask.join(record, ctx),
            None => Ok(()),
        }
    }
}
