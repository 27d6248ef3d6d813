//! Looks a record's id up among those that went through, by time.
//!
//! # Invariants
//!
//! - What is looked at is within the grace, and the store keeps span and grace: so everything that
//!   it could repeat is still there.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, NodeTime, Processor};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::WindowStore;
use onceflow_framework::{Bytes, Fault, Record, Timestamp};

use crate::Data;

/// Lets a record through if its id did not go through within the span.
pub(super) struct Deduplicate<K, V, I, F> {
    id_of: Arc<F>,
    id: SharedSerde<I>,
    span: Duration,
    grace: Duration,
    store: Arc<str>,
    /// By id and time; there is nothing to say but that it went through.
    through: Option<WindowStore<I, Bytes>>,
    time: Option<NodeTime>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, I, F> Deduplicate<K, V, I, F> {
    pub(super) fn new(
        (id_of, id): (Arc<F>, SharedSerde<I>),
        (span, grace): (Duration, Duration),
        store: &Arc<str>,
    ) -> Self {
        Deduplicate {
            id_of,
            id,
            span,
            grace,
            store: Arc::clone(store),
            through: None,
            time: None,
            types: PhantomData,
        }
    }
}

impl<K, V, I, F> Deduplicate<K, V, I, F>
where
    I: Data,
    F: Fn(&K, &V) -> Option<I>,
{
    /// Why a record goes no further, if it does not; one that does is noted.
    fn refuse(&self, id: Option<&I>, at: Timestamp) -> Result<Option<DropReason>, Fault> {
        let time = self.time.as_ref().expect("init ran");
        if !at.is_some() {
            return Ok(Some(DropReason::NegativeTimestamp));
        }
        let now = time.advance(at);
        let Some(id) = id.filter(|id| !self.id.is_null(id)) else {
            return Ok(None);
        };
        if at < now - self.grace {
            return Ok(Some(DropReason::Late));
        }
        let through = self.through.as_ref().expect("init ran");
        let mut near = through.fetch(id, at - self.span, at + self.span)?;
        if near.next().transpose()?.is_some() {
            return Ok(Some(DropReason::Duplicate));
        }
        through.put(id, Some(&Bytes::new()), at)?;
        Ok(None)
    }
}

impl<K, V, I, F> Processor for Deduplicate<K, V, I, F>
where
    K: Data,
    V: Data,
    I: Data,
    F: Fn(&K, &V) -> Option<I> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    fn init(&mut self, ctx: &mut Context<K, V>) -> Result<(), Fault> {
        self.through = Some(ctx.window_store(&self.store)?);
        self.time = Some(ctx.node_time());
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, V>) -> Result<(), Fault> {
        let id = (self.id_of)(&record.key, &record.value);
        match self.refuse(id.as_ref(), record.timestamp)? {
            None => ctx.forward(record),
            Some(reason) => {
                ctx.dropped(reason);
                Ok(())
            }
        }
    }
}
