//! Stores that are copies of a topic which the topology reads: they need no changelog.
//!
//! # Invariants
//!
//! - A record makes the same row in a restore as it made when it was processed: it is read by the
//!   same serdes and timed by the same extractor, not copied byte by byte.
//! - What the source drops makes no row.

use std::fmt;
use std::sync::Arc;

use super::options::{Consumed, TopicName};
use crate::record::{RawRecord, Record};
use crate::serde::{Serde, SharedSerde};
use crate::state::StoreSerdes;
use crate::time::{Clock, Extractor, Timestamp};

/// The topic of a store, and how its records become rows.
#[derive(Clone)]
pub(crate) struct SourceStore {
    pub(crate) topic: TopicName,
    pub(crate) rows: Arc<dyn SourceRows>,
}

/// A row as bytes: what a changelog record would hold.
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    /// None deletes.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Timestamp,
}

/// Makes rows of records; knows their types.
pub(crate) trait SourceRows: Send + Sync {
    fn row(&self, raw: &RawRecord<'_>, partition_time: Timestamp, clock: &dyn Clock)
    -> Option<Row>;
}

/// As the source of the topic is read, and as the store is written.
pub(super) struct RowsOf<K, V> {
    pub(super) consumed: Consumed<Option<K>, Option<V>>,
    pub(super) store: Arc<StoreSerdes<K, V>>,
}

impl<K: Clone + 'static, V: Clone + 'static> SourceRows for RowsOf<K, V> {
    fn row(
        &self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
        clock: &dyn Clock,
    ) -> Option<Row> {
        let record = Record {
            key: self.consumed.key.deserialize(raw.key).ok()?,
            value: self.consumed.value.deserialize(raw.value).ok()?,
            timestamp: raw.timestamp,
            headers: raw.headers.clone(),
        };
        let timestamp = match &self.consumed.extractor {
            Extractor::Record(rule) => rule.resolve(raw.timestamp, partition_time, clock),
            Extractor::Custom(custom) => custom.extract(&record, raw, partition_time),
        };
        let timestamp = timestamp.ok().filter(|timestamp| timestamp.is_some())?;
        Some(Row {
            key: written(&self.store.key, record.key.as_ref())?,
            value: written(&self.store.value, record.value.as_ref()),
            timestamp,
        })
    }
}

fn written<T: 'static>(serde: &SharedSerde<T>, item: Option<&T>) -> Option<Vec<u8>> {
    serde.to_vec(item?).ok().flatten()
}

/// Reads one partition of the topic from its beginning.
pub(crate) struct Replay {
    rows: Arc<dyn SourceRows>,
    clock: Arc<dyn Clock>,
    partition_time: Timestamp,
}

impl Replay {
    pub(crate) fn new(rows: Arc<dyn SourceRows>, clock: Arc<dyn Clock>) -> Self {
        Replay {
            rows,
            clock,
            partition_time: Timestamp::NONE,
        }
    }

    /// The row of the next record, if it makes one.
    pub(crate) fn row(&mut self, raw: &RawRecord<'_>) -> Option<Row> {
        let row = self.rows.row(raw, self.partition_time, &*self.clock)?;
        self.partition_time = self.partition_time.max(row.timestamp);
        Some(row)
    }
}

impl fmt::Debug for SourceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceStore({})", self.topic)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({})", self.partition_time)
    }
}
