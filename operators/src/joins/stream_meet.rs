//! The processor of a join of two streams that has the records of both sides meet.
//!
//! ```text
//!   record ──> Keep (puts it) ──> Meet ──┬── matches in the other side's store ──> joined, at the
//!                                        │                                         later time
//!                                        ├── none, window open ──> waits
//!                                        └── none, window closed ──> dropped, counted
//!   a record at stream time first has all that waited in vain leave, joined with none
//! ```
//!
//! # Invariants
//!
//! - A record of an outer side leaves joined with none at most once, and only when its window and
//!   the grace have passed. Kafka Streams lets one that comes late leave at once, and may join it
//!   once more (KAFKA-19536).
//! - Stream time is that of both sides together, each of which keeps its own through a crash.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, NodeTime, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::{KeyValueStore, WindowStore};
use onceflow_framework::{Error, Fault, Headers, Record, Timestamp};

use super::stream_sides::{Side, StreamJoin};
use super::unmatched::{Sided, WaitingKey};
use super::windows::JoinWindows;
use crate::Data;
use crate::null::{OrNull, present, present_in};

/// What both sides of a join know in common.
pub(super) struct JoinTime {
    stream_ms: Cell<i64>,
    /// The earliest record that waits.
    waiting_ms: Cell<i64>,
}

impl JoinTime {
    fn new() -> Self {
        JoinTime {
            stream_ms: Cell::new(Timestamp::NONE.as_millis()),
            waiting_ms: Cell::new(i64::MAX),
        }
    }

    fn advance(&self, millis: i64) {
        self.stream_ms.set(self.stream_ms.get().max(millis));
    }

    fn waits(&self, millis: i64) {
        self.waiting_ms.set(self.waiting_ms.get().min(millis));
    }
}

/// What a side's processor is made from.
pub(super) struct MeetSettings<KT, VS, F> {
    pub(super) key: SharedSerde<KT>,
    pub(super) value: SharedSerde<VS>,
    /// What both sides know the join by.
    pub(super) name: Arc<str>,
    /// The other side's store.
    pub(super) other: Arc<str>,
    /// Where unmatched records wait; none for an inner join.
    pub(super) waiting: Option<Arc<str>>,
    /// The window, seen from this side.
    pub(super) windows: JoinWindows,
    /// Whether records of this side leave unmatched.
    pub(super) is_outer: bool,
    pub(super) join: Arc<F>,
}

impl<KT, VS, F> Clone for MeetSettings<KT, VS, F> {
    fn clone(&self) -> Self {
        MeetSettings {
            key: self.key.clone(),
            value: self.value.clone(),
            name: Arc::clone(&self.name),
            other: Arc::clone(&self.other),
            waiting: self.waiting.as_ref().map(Arc::clone),
            windows: self.windows,
            is_outer: self.is_outer,
            join: Arc::clone(&self.join),
        }
    }
}

/// Where unmatched records of both sides wait.
type Waiting<K, L, R> = KeyValueStore<WaitingKey<K>, Vec<Sided<L, R>>>;

/// The stores and the time, once they are open.
struct Opened<K, L, R, VO> {
    other: WindowStore<K, VO>,
    waiting: Option<Waiting<K, L, R>>,
    time: Rc<JoinTime>,
    /// The highest time that came here: what this side adds to the join's after a crash.
    own_time: NodeTime,
}

/// Has the records of one side meet those of the other.
pub(super) struct Meet<K, V, KT, L: Data, R: Data, VR, F, S: Side<L, R>> {
    settings: MeetSettings<KT, S::This, F>,
    opened: Option<Opened<K, L, R, S::Other>>,
    types: PhantomData<fn(V) -> VR>,
}

impl<K, V, KT, L: Data, R: Data, VR, F, S: Side<L, R>> Meet<K, V, KT, L, R, VR, F, S>
where
    K: Data,
    VR: Data,
    F: StreamJoin<K, L, R, VR>,
{
    pub(super) fn new(settings: MeetSettings<KT, S::This, F>) -> Self {
        Meet {
            settings,
            opened: None,
            types: PhantomData,
        }
    }

    fn opened(&self) -> &Opened<K, L, R, S::Other> {
        let opened = self.opened.as_ref();
        opened.expect("init opens the stores before the first record")
    }

    /// Has all leave that waited in vain until now.
    fn let_go(&self, headers: &Headers, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let Opened { waiting, time, .. } = self.opened();
        let Some(waiting) = waiting else {
            return Ok(());
        };
        let (now, windows) = (time.stream_ms.get(), self.settings.windows);
        if !has_closed(
            time.waiting_ms.get(),
            windows.after_ms,
            windows.grace_ms,
            now,
        ) {
            return Ok(());
        }
        time.waiting_ms.set(i64::MAX);
        let mut is_open = [false; 2];
        for entry in waiting.all() {
            let (place, values) = entry?;
            let at = place.timestamp.as_millis();
            // Of the last one that is looked at, as in Kafka Streams: an earlier one that stays may
            // leave a record later than it could.
            time.waiting_ms.set(at);
            // Entries come by time: neither side has more to let go.
            if is_open == [true; 2] {
                break;
            }
            let ahead = match place.is_left == S::IS_LEFT {
                true => windows.after_ms,
                false => windows.before_ms,
            };
            if !has_closed(at, ahead, windows.grace_ms, now) {
                is_open[usize::from(place.is_left)] = true;
                continue;
            }
            for value in values {
                let sides = match value {
                    Sided::Left(left) => (Some(left), None),
                    Sided::Right(right) => (None, Some(right)),
                };
                let alone = Record {
                    key: place.key.clone(),
                    value: sides,
                    timestamp: place.timestamp,
                    headers: headers.clone(),
                };
                self.forward(alone, ctx)?;
            }
            waiting.delete(&place)?;
        }
        Ok(())
    }

    fn forward(
        &self,
        sides: Record<K, (Option<L>, Option<R>)>,
        ctx: &mut Context<K, VR>,
    ) -> Result<(), Fault> {
        let Record {
            key,
            value: (left, right),
            timestamp,
            headers,
        } = sides;
        let Some(value) = (self.settings.join)(&key, left, right) else {
            return Ok(());
        };
        ctx.forward(Record {
            key,
            value,
            timestamp,
            headers,
        })
    }

    /// Joins a record with all that it meets; answers whether it met any.
    fn meet(&self, record: &Record<K, S::This>, ctx: &mut Context<K, VR>) -> Result<bool, Fault> {
        let Opened { other, waiting, .. } = self.opened();
        let (from, to) = self.settings.windows.around(record.timestamp);
        let mut met = false;
        for entry in other.fetch(&record.key, from, to)? {
            let (other_time, other) = entry?;
            met = true;
            if let Some(waiting) = waiting {
                let place = WaitingKey {
                    timestamp: other_time,
                    is_left: !S::IS_LEFT,
                    key: record.key.clone(),
                };
                // Found first: a deletion of what is not there would be logged.
                if waiting.get(&place)?.is_some() {
                    waiting.delete(&place)?;
                }
            }
            let both = S::in_order(record.value.clone(), Some(other));
            let both = Record {
                key: record.key.clone(),
                value: both,
                timestamp: record.timestamp.max(other_time),
                headers: record.headers.clone(),
            };
            self.forward(both, ctx)?;
        }
        Ok(met)
    }

    /// Keeps an unmatched record, as long as its window is open.
    fn wait(&self, record: Record<K, S::This>, ctx: &Context<K, VR>) -> Result<(), Error> {
        let Opened { waiting, time, .. } = self.opened();
        let (at, windows) = (record.timestamp.as_millis(), self.settings.windows);
        let Some(waiting) = waiting.as_ref().filter(|_| self.settings.is_outer) else {
            return Ok(());
        };
        if has_closed(at, windows.after_ms, windows.grace_ms, time.stream_ms.get()) {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let place = WaitingKey {
            timestamp: record.timestamp,
            is_left: S::IS_LEFT,
            key: record.key,
        };
        let mut values = waiting.get(&place)?.unwrap_or_default();
        values.push(S::sided(record.value));
        time.waits(at);
        waiting.put(&place, &values)
    }
}

/// Whether nobody can meet a record of that time any more.
fn has_closed(at: i64, ahead_ms: i64, grace_ms: i64, now: i64) -> bool {
    at.saturating_add(ahead_ms).saturating_add(grace_ms) < now
}

impl<K, V, KT, L, R, VR, F, S> Processor for Meet<K, V, KT, L, R, VR, F, S>
where
    K: Data + OrNull<KT>,
    V: Data + OrNull<S::This>,
    KT: Data,
    L: Data,
    R: Data,
    VR: Data,
    F: StreamJoin<K, L, R, VR>,
    S: Side<L, R>,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = VR;

    fn init(&mut self, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let other: WindowStore<K, S::Other> = ctx.window_store(&self.settings.other)?;
        let waiting = match &self.settings.waiting {
            Some(name) => Some(ctx.key_value_store::<WaitingKey<K>, Vec<Sided<L, R>>>(name)?),
            None => None,
        };
        let time = ctx.stores().shared(&self.settings.name, JoinTime::new);
        let own_time = ctx.node_time();
        time.advance(own_time.get().as_millis());
        let first = waiting.as_ref().and_then(|waiting| waiting.all().next());
        if let Some((place, _)) = first.transpose()? {
            time.waits(place.timestamp.as_millis());
        }
        self.opened = Some(Opened {
            other,
            waiting,
            time,
            own_time,
        });
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let time = Rc::clone(&self.opened().time);
        time.advance(record.timestamp.as_millis());
        self.opened().own_time.advance(record.timestamp);
        let has_key = present_in(&record.key, &self.settings.key).is_some();
        let value = present(record.value, &self.settings.value);
        let Some(value) = value.filter(|_| has_key || self.settings.is_outer) else {
            ctx.dropped(match has_key {
                true => DropReason::NullValue,
                false => DropReason::NullKey,
            });
            return Ok(());
        };
        let record = Record {
            key: record.key,
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        if !has_key {
            let alone = Record {
                key: record.key,
                value: S::in_order(record.value, None),
                timestamp: record.timestamp,
                headers: record.headers,
            };
            return self.forward(alone, ctx);
        }
        if record.timestamp.as_millis() == time.stream_ms.get() {
            self.let_go(&record.headers, ctx)?;
        }
        if !self.meet(&record, ctx)? {
            self.wait(record, ctx)?;
        }
        Ok(())
    }
}
