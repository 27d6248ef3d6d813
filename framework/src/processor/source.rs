//! Sources: bytes become records, timed, one at a time.
//!
//! A record is prepared when it becomes the head of its partition (the picker needs its
//! timestamp) and processed when it is picked.

use std::rc::Rc;
use std::sync::Arc;

use super::node::Children;
use super::scope::TaskScope;
use crate::error::{Error, ErrorKind, Fault};
use crate::metrics::DropReason;
use crate::record::{RawRecord, Record};
use crate::serde::{Serde, SerdeError, SharedSerde};
use crate::time::{Extractor, Timestamp};

/// What became of a raw record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// It waits in its slot, at this time.
    At(Timestamp),
    /// It is dropped and counted; its offset is consumed.
    Dropped,
    /// Its bytes cannot be read now: it is to be tried again later.
    Again,
}

/// What became of a raw record that was not to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It was processed, at this time.
    At(Timestamp),
    /// It is dropped and counted; its offset is consumed.
    Dropped,
    /// It cannot be read, and nothing of it has happened: [`Ingest::prepare`] says why.
    Unreadable,
}

/// A source, whatever its types: one slot for each input topic.
pub(crate) trait Ingest {
    /// Reads a record into its slot.
    fn prepare(
        &mut self,
        slot: usize,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Prepared, Error>;

    /// Sends the prepared record on its way.
    fn process(&mut self, slot: usize) -> Result<(), Error>;

    /// Both at once, where no other input is to be compared with; stream time goes on in between.
    fn pass(&mut self, raw: &RawRecord<'_>, partition_time: Timestamp) -> Result<Passed, Error>;
}

/// A source in its place.
pub(crate) struct SourceNode<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) extractor: Extractor<K, V>,
    pub(crate) children: Children<K, V>,
    pub(crate) scope: Rc<TaskScope>,
    /// The prepared head of each input topic.
    pub(crate) heads: Vec<Option<Record<K, V>>>,
}

impl<K: Clone + 'static, V: Clone + 'static> SourceNode<K, V> {
    #[expect(
        clippy::inline_always,
        reason = "a record that is copied once more is a tenth of its way"
    )]
    #[inline(always)]
    fn read(&self, raw: &RawRecord<'_>) -> Result<Record<K, V>, Error> {
        let key = self.key.deserialize(raw.key);
        let value = self.value.deserialize(raw.value);
        match (key, value) {
            (Ok(key), Ok(value)) => Ok(Record {
                key,
                value,
                timestamp: raw.timestamp,
                headers: raw.headers.clone(),
            }),
            (Err(error), _) => Err(cannot_read("key", error)),
            (_, Err(error)) => Err(cannot_read("value", error)),
        }
    }

    /// Reads a record and its time; none if it is dropped and counted.
    #[inline]
    fn ingest(
        &self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Option<Record<K, V>>, Error> {
        match self.read(raw) {
            Ok(record) if self.extractor.keeps(raw.timestamp) => Ok(Some(record)),
            Ok(record) => self.timed(record, raw, partition_time),
            Err(error) => Err(self.blame(error)),
        }
    }

    /// Gives a record the time that is not simply its own.
    #[inline(never)]
    fn timed(
        &self,
        mut record: Record<K, V>,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Option<Record<K, V>>, Error> {
        let timestamp = self.time_of(&record, raw, partition_time);
        record.timestamp = timestamp.map_err(|error| self.blame(error))?;
        if record.timestamp.is_some() {
            return Ok(Some(record));
        }
        self.scope
            .dropped(&self.name, DropReason::NegativeTimestamp);
        Ok(None)
    }

    /// Sends a record on its way.
    #[inline]
    fn send(&self, record: Record<K, V>) -> Result<(), Error> {
        self.scope.record_time.set(record.timestamp);
        let sent: Result<(), Fault> = self.children.send(record);
        sent.map_err(|fault| self.blame(fault.into_error(&self.name)))
    }

    fn time_of(
        &self,
        record: &Record<K, V>,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, Error> {
        let timestamp = match &self.extractor {
            Extractor::Record(rule) => {
                rule.resolve(raw.timestamp, partition_time, &*self.scope.clock)
            }
            Extractor::Custom(custom) => custom.extract(record, raw, partition_time),
        };
        timestamp.map_err(|why| Error::new(ErrorKind::Processing, why))
    }

    /// Names this node and the record that is being prepared.
    #[cold]
    fn blame(&self, error: Error) -> Error {
        let error = error.at_node(&self.name);
        match self.scope.position() {
            Some(position) => error.at(position),
            None => error,
        }
    }
}

#[cold]
fn cannot_read(what: &str, error: SerdeError) -> Error {
    let message = format!("cannot deserialize the {what}");
    Error::new(ErrorKind::Deserialization, message).because(error)
}

impl<K: Clone + 'static, V: Clone + 'static> Ingest for SourceNode<K, V> {
    fn prepare(
        &mut self,
        slot: usize,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Prepared, Error> {
        let Some(record) = self.ingest(raw, partition_time)? else {
            return Ok(Prepared::Dropped);
        };
        let timestamp = record.timestamp;
        self.heads[slot] = Some(record);
        Ok(Prepared::At(timestamp))
    }

    fn process(&mut self, slot: usize) -> Result<(), Error> {
        let record = self.heads[slot]
            .take()
            .expect("the task prepares a record before it");
        self.send(record)
    }

    fn pass(&mut self, raw: &RawRecord<'_>, partition_time: Timestamp) -> Result<Passed, Error> {
        let Ok(mut record) = self.read(raw) else {
            return Ok(Passed::Unreadable);
        };
        if !self.extractor.keeps(raw.timestamp) {
            record = match self.timed(record, raw, partition_time) {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(Passed::Dropped),
                Err(_) => return Ok(Passed::Unreadable),
            };
        }
        let timestamp = record.timestamp;
        self.scope.reach(timestamp);
        self.send(record)?;
        Ok(Passed::At(timestamp))
    }
}
