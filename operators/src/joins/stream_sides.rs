//! The sides of a join of two streams, and the processor that keeps a side's records.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::WindowStore;
use onceflow_framework::{Error, Fault, Record};

use super::unmatched::Sided;
use crate::Data;
use crate::null::{OrNull, present_in};

/// Puts each record into its side's store, and hands it on.
pub(super) struct Keep<K, V, KT, VS> {
    /// Whether the record goes on before it is in the store: it is to meet those before it.
    pub(super) forwards_first: bool,
    pub(super) key: SharedSerde<KT>,
    pub(super) value: SharedSerde<VS>,
    pub(super) name: Arc<str>,
    pub(super) store: Option<WindowStore<K, VS>>,
    pub(super) types: PhantomData<fn(V)>,
}

impl<K, V, KT, VS> Processor for Keep<K, V, KT, VS>
where
    K: Data + OrNull<KT>,
    V: Data + OrNull<VS>,
    KT: Data,
    VS: Data,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    fn init(&mut self, ctx: &mut Context<K, V>) -> Result<(), Fault> {
        self.store = Some(ctx.window_store(&self.name)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, V>) -> Result<(), Fault> {
        if self.forwards_first {
            ctx.forward(record.clone())?;
            return Ok(self.keep(&record)?);
        }
        self.keep(&record)?;
        ctx.forward(record)
    }
}

impl<K, V, KT, VS> Keep<K, V, KT, VS>
where
    K: Data + OrNull<KT>,
    V: Data + OrNull<VS>,
    KT: Data,
    VS: Data,
{
    fn keep(&self, record: &Record<K, V>) -> Result<(), Error> {
        let store = self.store.as_ref();
        let store = store.expect("init opens the store before the first record");
        if present_in(&record.key, &self.key).is_none() {
            return Ok(());
        }
        let value = present_in(&record.value, &self.value);
        store.put_with_headers(&record.key, value, record.timestamp, &record.headers)
    }
}

/// What a side is to the join: left or right.
pub(super) trait Side<L: Data, R: Data>: 'static {
    type This: Data;
    type Other: Data;
    const IS_LEFT: bool;

    fn sided(value: Self::This) -> Sided<L, R>;

    /// Left, then right.
    fn in_order(this: Self::This, other: Option<Self::Other>) -> (Option<L>, Option<R>);
}

pub(super) struct Left;
pub(super) struct Right;

impl<L: Data, R: Data> Side<L, R> for Left {
    type This = L;
    type Other = R;
    const IS_LEFT: bool = true;

    fn sided(value: L) -> Sided<L, R> {
        Sided::Left(value)
    }

    fn in_order(this: L, other: Option<R>) -> (Option<L>, Option<R>) {
        (Some(this), other)
    }
}

impl<L: Data, R: Data> Side<L, R> for Right {
    type This = R;
    type Other = L;
    const IS_LEFT: bool = false;

    fn sided(value: R) -> Sided<L, R> {
        Sided::Right(value)
    }

    fn in_order(this: R, other: Option<L>) -> (Option<L>, Option<R>) {
        (other, Some(this))
    }
}

/// Makes a value of two; none where they do not meet.
pub(super) trait StreamJoin<K, L, R, VR>:
    Fn(&K, Option<L>, Option<R>) -> Option<VR> + Send + Sync + 'static
{
}

impl<K, L, R, VR, F> StreamJoin<K, L, R, VR> for F where
    F: Fn(&K, Option<L>, Option<R>) -> Option<VR> + Send + Sync + 'static
{
}
