//! The processor that holds changes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::processor::{Context, Processor, Punctuation};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::BufferStore;
use onceflow_framework::{Fault, Headers, Record, Timestamp};

use super::Overflow;
use crate::Data;
use crate::change::{Change, LoggedOld};
use crate::table::Initial;
use crate::waiting_entry::Entry;
use crate::windows::OperatorTime;

/// The header that tells the version of a logged entry.
const VERSION_HEADER: (&str, &[u8]) = ("v", &[3]);

/// How much a buffer may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) records_max: u64,
    pub(super) bytes_max: u64,
    pub(super) overflow: Overflow,
}

/// Which old values somebody downstream reads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OldValues {
    /// What was handed on before: something computes from it.
    pub(super) told: bool,
    /// What Kafka Streams hands on: another buffer logs it.
    pub(super) logged: bool,
}

/// Holds changes back, by the time that they leave.
pub(super) struct Suppress<K, V> {
    name: Arc<str>,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    initial: Option<Initial<K, V>>,
    wait: Duration,
    /// The end of a key's window; none if entries wait from their record's time on.
    end_of: Option<fn(&K) -> Timestamp>,
    limits: Limits,
    old_values: OldValues,
    /// The key of a window that is told again, for it had closed; with what was told of it.
    reopened: Option<(Vec<u8>, V)>,
    time: OperatorTime,
    store: Option<BufferStore>,
    /// What the store holds, by the time and key that it leaves by.
    order: BTreeSet<(Timestamp, Vec<u8>)>,
    bytes: u64,
    /// Keys whose entries changed since the last commit.
    dirty: BTreeSet<Vec<u8>>,
}

impl<K: Data, V: Data> Suppress<K, V> {
    pub(super) fn new(
        name: Arc<str>,
        (key, value): (SharedSerde<K>, SharedSerde<V>),
        initial: Option<Initial<K, V>>,
        idle_after: Option<Duration>,
    ) -> Self {
        Suppress {
            name,
            key,
            value,
            initial,
            wait: Duration::ZERO,
            end_of: None,
            limits: Limits {
                records_max: u64::MAX,
                bytes_max: u64::MAX,
                overflow: Overflow::ShutDown,
            },
            old_values: OldValues::default(),
            reopened: None,
            time: OperatorTime::new(idle_after),
            store: None,
            order: BTreeSet::new(),
            bytes: 0,
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn waiting(mut self, wait: Duration, end_of: Option<fn(&K) -> Timestamp>) -> Self {
        (self.wait, self.end_of) = (wait, end_of);
        self
    }

    pub(super) fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn handing_on(mut self, old_values: OldValues) -> Self {
        self.old_values = old_values;
        self
    }

    fn store(&self) -> &BufferStore {
        let store = self.store.as_ref();
        store.expect("init opens the store before the first record")
    }

    fn entry_of(&self, key: &[u8]) -> Result<Option<Entry>, Fault> {
        let stored = self.store().get(key)?;
        stored.map(|bytes| self.read(&bytes)).transpose()
    }

    fn read(&self, bytes: &[u8]) -> Result<Entry, Fault> {
        let entry = Entry::read(bytes);
        let what = "an entry cannot be read; was the changelog written by something else?";
        Ok(entry.ok_or_else(|| self.store().error(what))?)
    }

    /// Bytes of a value; none for null.
    fn bytes_of(&self, value: Option<&V>) -> Result<Option<Vec<u8>>, Fault> {
        Ok(match value {
            Some(value) => self.value.to_vec(value)?,
            None => None,
        })
    }

    /// Takes the place of what is held back of the key, or a new one.
    fn hold(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &Context<K, Change<V>>,
    ) -> Result<(), Fault> {
        let Some(key) = self.key.to_vec(&record.key)? else {
            return Err(Fault::message("a null key cannot be held back"));
        };
        // To Kafka Streams what was held back is still at its own position.
        let position = record.value.held().cloned().or_else(|| ctx.position());
        let mut entry = Entry::at(record.timestamp, position, record.headers);
        entry.old = self.logged_old(&record.key, &record.value)?;
        entry.new = self.bytes_of(record.value.new.as_ref())?;
        match self.entry_of(&key)? {
            Some(held) => {
                self.bytes -= held.size_bytes(&key);
                (entry.prior, entry.time) = (held.prior, held.time);
            }
            None => {
                entry.prior = self.prior(&entry, &record.value)?;
                if let Some(end_of) = self.end_of {
                    entry.time = end_of(&record.key);
                    self.reopen(entry.time, &key, record.value.old);
                }
            }
        }
        self.bytes += entry.size_bytes(&key);
        self.store().put(&key, Some(&entry.write()));
        self.order.insert((entry.time, key.clone()));
        self.dirty.insert(key);
        Ok(())
    }

    /// The old value as Kafka Streams has it.
    fn logged_old(&self, key: &K, change: &Change<V>) -> Result<Option<Vec<u8>>, Fault> {
        match change.logged_old() {
            None => self.bytes_of(change.old.as_ref()),
            Some(LoggedOld::Nothing) => Ok(None),
            Some(LoggedOld::Value(value)) => self.bytes_of(Some(value)),
            Some(LoggedOld::Initial) => {
                let initial = self.initial.as_ref().and_then(|initial| initial(key));
                self.bytes_of(initial.as_ref())
            }
        }
    }

    /// What a new entry has for its prior value: the old value that is logged, unless that of the
    /// first change will be handed on. A window is only told once it is closed: before it was not.
    fn prior(&self, entry: &Entry, change: &Change<V>) -> Result<Option<Vec<u8>>, Fault> {
        match self.old_values.told && self.end_of.is_none() {
            true => self.bytes_of(change.old.as_ref()),
            false => Ok(entry.old.clone()),
        }
    }

    /// Notes what was told of a window that had closed and is told again at once.
    fn reopen(&mut self, end: Timestamp, key: &[u8], told: Option<V>) {
        let is_told = self.old_values.told && end <= self.time.get() - self.wait;
        self.reopened = told.filter(|_| is_told).map(|told| (key.to_vec(), told));
    }

    /// What was handed on of a key before its entry.
    fn told(&mut self, key: &[u8], prior: Option<Vec<u8>>) -> Result<Option<V>, Fault> {
        match self.end_of {
            _ if !self.old_values.told => Ok(None),
            Some(_) => {
                let reopened = self.reopened.take_if(|(reopened, _)| reopened == key);
                Ok(reopened.map(|(_, told)| told))
            }
            None => self.value_of(prior),
        }
    }

    fn value_of(&self, bytes: Option<Vec<u8>>) -> Result<Option<V>, Fault> {
        let read = |bytes: Vec<u8>| self.value.deserialize(Some(&bytes));
        Ok(bytes.map(read).transpose()?)
    }

    /// Lets go of what has waited long enough, and of what there is no room for.
    fn release(&mut self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        let due = self.time.get() - self.wait;
        while self.order.first().is_some_and(|(time, _)| *time <= due) {
            self.release_first(ctx)?;
        }
        while self.is_full() {
            if self.limits.overflow == Overflow::ShutDown {
                let (records, bytes) = (self.order.len(), self.bytes);
                let message = format!(
                    "the buffer is full with {records} records of {bytes} bytes and nothing may \
                     leave early; raise its bounds, or let it emit early"
                );
                return Err(self.store().error(&message).into());
            }
            self.release_first(ctx)?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.order.len() as u64 > self.limits.records_max || self.bytes > self.limits.bytes_max
    }

    fn release_first(&mut self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        let Some((_, key)) = self.order.pop_first() else {
            return Ok(());
        };
        let entry = self.entry_of(&key)?;
        let entry = entry.expect("what is in order is in the store");
        self.bytes -= entry.size_bytes(&key);
        let typed = self.key.deserialize(Some(&key))?;
        let position = entry.position().filter(|_| self.old_values.logged);
        let old = self.told(&key, entry.prior)?;
        let new = self.value_of(entry.new)?;
        let logged = match self.old_values.logged {
            true => Some(self.value_of(entry.old)?),
            false => None,
        };
        let logged = logged.map(|old| old.map_or(LoggedOld::Nothing, LoggedOld::Value));
        if new.is_some() || self.end_of.is_none() {
            ctx.forward(Record {
                key: typed,
                value: Change::latest(old, new)
                    .logged_as(logged)
                    .held_from(position),
                timestamp: entry.timestamp,
                headers: entry.headers,
            })?;
        }
        // Only now: to a look-up on the way the row is still what was told before.
        self.store().put(&key, None);
        self.dirty.insert(key);
        Ok(())
    }
}

impl<K: Data, V: Data> Processor for Suppress<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn init(&mut self, ctx: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        self.time.open(ctx);
        self.store = Some(ctx.buffer(&self.name)?);
        for entry in self.store().all().collect::<Vec<_>>() {
            let (key, bytes) = entry?;
            let entry = self.read(&bytes)?;
            self.bytes += entry.size_bytes(&key);
            self.order.insert((entry.time, key.to_vec()));
        }
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &mut Context<K, Change<V>>,
    ) -> Result<(), Fault> {
        self.time.advance(record.timestamp);
        self.hold(record, ctx)?;
        self.release(ctx)
    }

    fn punctuate(
        &mut self,
        _: Punctuation,
        _: Timestamp,
        ctx: &mut Context<K, Change<V>>,
    ) -> Result<(), Fault> {
        match self.time.look(ctx) {
            Some(_) => self.release(ctx),
            None => Ok(()),
        }
    }

    fn flush(&mut self, _: &mut Context<K, Change<V>>) -> Result<(), Fault> {
        let mut headers = Headers::new();
        let (name, version) = VERSION_HEADER;
        headers.push(name, Some(version));
        for key in std::mem::take(&mut self.dirty) {
            self.store().log(&key, &headers)?;
        }
        Ok(())
    }
}
