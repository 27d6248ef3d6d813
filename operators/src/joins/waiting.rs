//! Records of a stream that wait until the row they are to meet is there (KIP-923).
//!
//! ```text
//!   record ──┬── stream time is past its grace, or no key ──────────────────────────> joined
//!            └──> buffer ── stream time reaches its time + grace: by time, key, arrival ─> joined
//!
//!   buffer's key   00 ‖ timestamp (8) ‖ key ‖ arrival (4)
//! ```
//!
//! # Invariants
//!
//! - A record is joined once: it leaves the buffer in the batch that hands its result on, or that
//!   gives it up.
//! - The buffer is logged as it is written, in the bytes of Kafka Streams; `order` is a copy of its
//!   keys, made anew with the processor.
//! - Arrivals are counted from the highest that waits: a record that arrives after a restart takes
//!   no other's place.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::processor::{Context, NodeTime, Processor, WaitingRecord};
use onceflow_framework::record::RawRecord;
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::BufferStore;
use onceflow_framework::{Fault, Headers, Offset, Record, Timestamp};

use super::lookup::Ask;
use crate::Data;
use crate::null::OrNull;
use crate::waiting_entry::Entry;

/// What a buffer's key begins with: that the time comes first.
const BY_TIME: u8 = 0;

/// Bytes of the time before the key, and of the arrival behind it.
const TIME_BYTES: usize = 8;
const ARRIVAL_BYTES: usize = 4;

/// Looks each record's row up when it has waited long enough.
pub(super) struct WaitingLookup<K, V, KT, VT, VS, F> {
    ask: Ask<KT, VT, VS, F>,
    key: SharedSerde<K>,
    grace: Duration,
    name: Arc<str>,
    /// Opened by `init`, as the store is.
    time: Option<NodeTime>,
    store: Option<BufferStore>,
    order: BTreeSet<Vec<u8>>,
    arrivals: i32,
    types: PhantomData<fn(V)>,
}

impl<K, V, KT, VT, VS, F> WaitingLookup<K, V, KT, VT, VS, F>
where
    K: Data + OrNull<KT>,
    KT: Data,
    VT: Data,
    VS: Data,
{
    pub(super) fn new(ask: Ask<KT, VT, VS, F>, grace: Duration, name: Arc<str>) -> Self {
        WaitingLookup {
            key: K::serde(ask.key.clone()),
            ask,
            grace,
            name,
            time: None,
            store: None,
            order: BTreeSet::new(),
            arrivals: 0,
            types: PhantomData,
        }
    }

    fn store(&self) -> &BufferStore {
        let store = self.store.as_ref();
        store.expect("init opens the store before the first record")
    }

    fn time(&self) -> &NodeTime {
        let time = self.time.as_ref();
        time.expect("init opens the time before the first record")
    }

    /// Up to when stream time has come for records to be joined.
    fn due(&self) -> Timestamp {
        self.time().get() - self.grace
    }

    /// Puts a record into the buffer.
    fn hold<VR: Data>(
        &mut self,
        key: &[u8],
        record: Record<K, VS>,
        ctx: &Context<K, VR>,
    ) -> Result<(), Fault> {
        self.arrivals = self.arrivals.wrapping_add(1) & i32::MAX;
        let mut place = Vec::with_capacity(1 + TIME_BYTES + key.len() + ARRIVAL_BYTES);
        place.push(BY_TIME);
        place.extend_from_slice(&record.timestamp.as_millis().to_be_bytes());
        place.extend_from_slice(key);
        place.extend_from_slice(&self.arrivals.to_be_bytes());
        let mut entry = Entry::at(record.timestamp, ctx.position(), record.headers);
        entry.new = self.ask.value.to_vec(&record.value)?;
        entry.time = Timestamp::from_millis(0);
        self.store().put(&place, Some(&entry.write()));
        self.store().log(&place, &Headers::new())?;
        self.order.insert(place);
        Ok(())
    }

    /// Joins what has waited long enough.
    fn release<VR: Data>(&mut self, ctx: &mut Context<K, VR>) -> Result<(), Fault>
    where
        F: Fn(&K, VS, Option<VT>) -> Option<VR>,
    {
        let due = self.due();
        while let Some(place) = self.order.pop_first() {
            let (timestamp, key, _) = self.parts(&place)?;
            if timestamp > due {
                self.order.insert(place);
                break;
            }
            let entry = self.store().get(&place)?;
            let entry = entry.and_then(|entry| Entry::read(&entry));
            let entry = entry.ok_or_else(|| self.unreadable())?;
            let waiting = WaitingRecord {
                buffer: self.store(),
                place: &place,
                record: RawRecord {
                    offset: Offset::new(entry.offset),
                    timestamp,
                    key: Some(key),
                    value: entry.new.as_deref(),
                    headers: &entry.headers,
                },
                position: &|| entry.position(),
            };
            ctx.release(&waiting, |ctx| {
                let record = Record {
                    key: self.key.deserialize(Some(key))?,
                    value: self.ask.value.deserialize(entry.new.as_deref())?,
                    timestamp,
                    headers: entry.headers.clone(),
                };
                self.ask.join(record, ctx)
            })?;
        }
        Ok(())
    }

    /// The time, the key and the arrival that a buffer's key is made of.
    fn parts<'p>(&self, place: &'p [u8]) -> Result<(Timestamp, &'p [u8], i32), Fault> {
        parts(place).ok_or_else(|| self.unreadable())
    }

    fn unreadable(&self) -> Fault {
        let what = "an entry cannot be read; was the changelog written by something else?";
        self.store().error(what).into()
    }
}

fn parts(place: &[u8]) -> Option<(Timestamp, &[u8], i32)> {
    let (&BY_TIME, rest) = place.split_first()? else {
        return None;
    };
    let (time, rest) = rest.split_first_chunk::<TIME_BYTES>()?;
    let (key, arrival) = rest.split_last_chunk::<ARRIVAL_BYTES>()?;
    let time = Timestamp::from_millis(i64::from_be_bytes(*time));
    Some((time, key, i32::from_be_bytes(*arrival)))
}

impl<K, V, KT, VT, VS, VR, F> Processor for WaitingLookup<K, V, KT, VT, VS, F>
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
        self.ask.open(ctx.stores())?;
        self.time = Some(ctx.node_time());
        self.store = Some(ctx.buffer(&self.name)?);
        for entry in self.store().all().collect::<Vec<_>>() {
            let place = entry?.0.to_vec();
            let (timestamp, _, arrival) = self.parts(&place)?;
            // Java commits no time beside the offsets: what waits tells the least that it was.
            self.time().advance(timestamp);
            self.arrivals = self.arrivals.max(arrival);
            self.order.insert(place);
        }
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let Some(record) = self.ask.admit(record, ctx) else {
            return Ok(());
        };
        // Without a key there is no row to wait for.
        let key = self.key.to_vec(&record.key)?;
        let Some(key) = key.filter(|_| record.timestamp >= self.due()) else {
            return self.ask.join(record, ctx);
        };
        self.time().advance(record.timestamp);
        self.hold(&key, record, ctx)?;
        self.release(ctx)
    }
}
