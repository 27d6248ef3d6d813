//! The processor of a stream that is joined with itself, where a topology is optimised: one store
//! instead of two.
//!
//! # Invariants
//!
//! - The store does not hold the record in process yet: it meets itself once, in its place in time.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::WindowStore;
use onceflow_framework::{Error, Fault, Record, Timestamp};

use super::stream_sides::StreamJoin;
use super::windows::JoinWindows;
use crate::Data;
use crate::null::{OrNull, present, present_in};

/// Joins each record with those before it, as left and as right one, and with itself.
pub(super) struct MeetSelf<K, V, KT, L, R, VR, F> {
    pub(super) key: SharedSerde<KT>,
    pub(super) value: SharedSerde<L>,
    pub(super) name: Arc<str>,
    pub(super) store: Option<WindowStore<K, L>>,
    pub(super) windows: JoinWindows,
    pub(super) join: Arc<F>,
    pub(super) types: Types<V, R, VR>,
}

/// In, as right side, and out.
type Types<V, R, VR> = PhantomData<fn(V, R) -> VR>;

/// A value of one stream, as the right side has it: the same type, told by another parameter.
fn as_right<L: Data, R: Data>(value: &L) -> Option<R> {
    (value as &dyn Any).downcast_ref::<R>().cloned()
}

impl<K, V, KT, L, R, VR, F> MeetSelf<K, V, KT, L, R, VR, F>
where
    K: Data,
    L: Data,
    R: Data,
    VR: Data,
    F: StreamJoin<K, L, R, VR>,
{
    fn met(
        &self,
        record: &Record<K, L>,
        windows: JoinWindows,
    ) -> Result<
        impl Iterator<Item = Result<(Timestamp, L), Error>> + use<K, V, KT, L, R, VR, F>,
        Error,
    > {
        let store = self.store.as_ref();
        let store = store.expect("init opens the store before the first record");
        let (from, to) = windows.around(record.timestamp);
        store.fetch(&record.key, from, to)
    }

    /// Whether the record meets itself: one that is past the retention, or about to be, meets only
    /// what is there. As in Kafka Streams this begins a millisecond before the store refuses it.
    fn meets_itself(&self, timestamp: Timestamp) -> bool {
        let edge = Duration::from_millis(1);
        let store = self.store.as_ref();
        store.is_some_and(|store| store.retention() > edge && store.keeps(timestamp - edge))
    }

    fn forward(
        &self,
        record: &Record<K, L>,
        (left, right): (L, &L),
        timestamp: Timestamp,
        ctx: &mut Context<K, VR>,
    ) -> Result<(), Fault> {
        let value = (self.join)(&record.key, Some(left), as_right(right));
        let Some(value) = value else { return Ok(()) };
        ctx.forward(Record {
            key: record.key.clone(),
            value,
            timestamp,
            headers: record.headers.clone(),
        })
    }
}

impl<K, V, KT, L, R, VR, F> Processor for MeetSelf<K, V, KT, L, R, VR, F>
where
    K: Data + OrNull<KT>,
    V: Data + OrNull<L>,
    KT: Data,
    L: Data,
    R: Data,
    VR: Data,
    F: StreamJoin<K, L, R, VR>,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = VR;

    fn init(&mut self, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        self.store = Some(ctx.window_store(&self.name)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        if present_in(&record.key, &self.key).is_none() {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        }
        let Some(value) = present(record.value, &self.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let record = Record {
            key: record.key,
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        for entry in self.met(&record, self.windows)? {
            let (at, other) = entry?;
            let both = (record.value.clone(), &other);
            self.forward(&record, both, record.timestamp.max(at), ctx)?;
        }
        let mut met_itself = false;
        let itself = || (record.value.clone(), &record.value);
        let meets_itself = self.meets_itself(record.timestamp);
        for entry in self.met(&record, self.windows.flipped())? {
            let (at, other) = entry?;
            if at > record.timestamp && !met_itself && meets_itself {
                met_itself = true;
                self.forward(&record, itself(), record.timestamp, ctx)?;
            }
            let both = (other, &record.value);
            self.forward(&record, both, record.timestamp.max(at), ctx)?;
        }
        match met_itself || !meets_itself {
            true => Ok(()),
            false => self.forward(&record, itself(), record.timestamp, ctx),
        }
    }
}
