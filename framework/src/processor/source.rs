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
    #[inline]
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

    #[inline]
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
        let mut record = match self.read(raw) {
            Ok(record) => record,
            Err(error) => return Err(self.blame(error)),
        };
        let timestamp = self.time_of(&record, raw, partition_time);
        let timestamp = timestamp.map_err(|error| self.blame(error))?;
        if !timestamp.is_some() {
            self.scope
                .dropped(&self.name, DropReason::NegativeTimestamp);
            return Ok(Prepared::Dropped);
        }
        record.timestamp = timestamp;
        self.heads[slot] = Some(record);
        Ok(Prepared::At(timestamp))
    }

    fn process(&mut self, slot: usize) -> Result<(), Error> {
        let record = self.heads[slot]
            .take()
            .expect("the task prepares a record before it");
        self.scope.record_time.set(record.timestamp);
        let sent: Result<(), Fault> = self.children.send(record);
        sent.map_err(|fault| self.blame(fault.into_error(&self.name)))
    }
}
