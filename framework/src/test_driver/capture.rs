//! What a broker would hold: every topic as a log, and the open transaction beside it.
//!
//! # Invariants
//!
//! - A record is in a log once its transaction is committed; an aborted one leaves no trace.
//! - An offset is an index into its partition, from 0 on: no markers, no gaps.

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::processor::{Collector, OutgoingRecord, TopicId, partition_of_key};
use crate::record::{Headers, Offset, Record};
use crate::time::Timestamp;
use crate::topology::TopicPattern;

/// A record as bytes, null where there is none.
pub type RawBytes = Record<Option<Bytes>, Option<Bytes>>;

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedRecord {
    /// The partition that it was written to.
    pub partition: i32,
    /// Its offset there.
    pub offset: Offset,
    /// The key's bytes, or null.
    pub key: Option<Bytes>,
    /// The value's bytes, or null.
    pub value: Option<Bytes>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: Headers,
}

/// One topic: its records in the order of writing, and by partition.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) name: Arc<str>,
    records: Vec<CapturedRecord>,
    /// By partition, then by offset: an index into `records`.
    partitions: Vec<Vec<usize>>,
    /// Where the next record without a key goes.
    next_keyless: usize,
}

impl TopicLog {
    fn new(name: Arc<str>, partitions: i32) -> Self {
        let count = usize::try_from(partitions).unwrap_or(0).max(1);
        TopicLog {
            name,
            records: Vec::new(),
            partitions: vec![Vec::new(); count],
            next_keyless: 0,
        }
    }

    pub(super) fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("made from an i32")
    }

    /// Every record, in the order in which they were written.
    pub(super) fn records(&self) -> &[CapturedRecord] {
        &self.records
    }

    /// The record of a partition at an offset, if it is written.
    pub(super) fn at(&self, partition: usize, offset: usize) -> Option<&CapturedRecord> {
        let index = self.partitions.get(partition)?.get(offset)?;
        Some(&self.records[*index])
    }

    /// The records of a partition, by offset.
    pub(super) fn partition(&self, partition: usize) -> impl Iterator<Item = &CapturedRecord> {
        let indices = self.partitions.get(partition).into_iter().flatten();
        indices.map(|index| &self.records[*index])
    }

    fn append(&mut self, partition: Option<i32>, record: RawBytes) -> i32 {
        let partition = partition.unwrap_or_else(|| self.choose(record.key.as_deref()));
        let place = usize::try_from(partition).expect("partitions are checked when sent");
        let offset = i64::try_from(self.partitions[place].len()).expect("a test fits in memory");
        self.partitions[place].push(self.records.len());
        self.records.push(CapturedRecord {
            partition,
            offset: Offset::new(offset),
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
        });
        partition
    }

    /// Murmur2 of the key as Kafka's producers; without a key one partition after the other.
    fn choose(&mut self, key: Option<&[u8]>) -> i32 {
        let count = self.partitions();
        if let Some(key) = key {
            return partition_of_key(key, count);
        }
        let place = self.next_keyless;
        self.next_keyless = (place + 1) % self.partitions.len();
        i32::try_from(place).expect("below the partition count")
    }
}

/// The topics, and what the open transaction will append to them.
#[derive(Debug, Default)]
pub(super) struct Capture(RefCell<Topics>);

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<Arc<str>, TopicId>,
    logs: Vec<TopicLog>,
    pending: Vec<(TopicId, Option<i32>, RawBytes)>,
    described: Vec<Described>,
}

/// The topics that an expression matches, read as one.
#[derive(Debug)]
struct Described {
    pattern: TopicPattern,
    log: TopicId,
    /// Topics of the application's own, which nothing matches.
    own: Rc<BTreeSet<String>>,
}

impl Topics {
    /// The log by which a topic is read that a source describes.
    fn described_as(&self, topic: &str) -> Option<TopicId> {
        let matching = |described: &&Described| {
            described.pattern.matches(topic) && !described.own.contains(topic)
        };
        Some(self.described.iter().find(matching)?.log)
    }

    /// Appends a record; answers where it can be read.
    fn append(
        &mut self,
        (topic, partition): (TopicId, Option<i32>),
        record: RawBytes,
    ) -> impl Iterator<Item = (TopicId, i32)> + use<> {
        let log = &self.logs[topic.0 as usize];
        let described = match self.described.is_empty() {
            true => None,
            false => self.described_as(&log.name),
        };
        let copy = described.map(|described| (described, record.clone()));
        let partition = self.logs[topic.0 as usize].append(partition, record);
        let copied = copy.map(|(described, record)| {
            let log = &mut self.logs[described.0 as usize];
            (described, log.append(Some(partition), record))
        });
        std::iter::once((topic, partition)).chain(copied)
    }
}

impl Capture {
    /// Makes a topic, or answers the one that is there.
    pub(super) fn create(&self, name: &str, partitions: i32) -> TopicId {
        let mut topics = self.0.borrow_mut();
        if let Some(id) = topics.by_name.get(name) {
            return *id;
        }
        let id = TopicId(u32::try_from(topics.logs.len()).expect("a test has few topics"));
        let name: Arc<str> = Arc::from(name);
        topics
            .logs
            .push(TopicLog::new(Arc::clone(&name), partitions));
        topics.by_name.insert(name, id);
        id
    }

    /// Has the topics that an expression matches read as one, under its text: as Kafka Streams'
    /// driver does. It has been created.
    pub(super) fn describe(&self, pattern: &TopicPattern, own: &Rc<BTreeSet<String>>) {
        let log = self.find(pattern.as_str());
        let described = Described {
            pattern: pattern.clone(),
            log: log.expect("a source's topics are created first"),
            own: Rc::clone(own),
        };
        self.0.borrow_mut().described.push(described);
    }

    /// The topic that a record is piped into: one that a source describes is created.
    pub(super) fn input(&self, name: &str) -> Option<TopicId> {
        let found = self.find(name);
        found.or_else(|| {
            let described = self.0.borrow().described_as(name)?;
            let partitions = self.log(described).partitions();
            Some(self.create(name, partitions))
        })
    }

    /// The log by which a topic is read.
    pub(super) fn read_as(&self, topic: TopicId) -> TopicId {
        let topics = self.0.borrow();
        let described = topics.described_as(&topics.logs[topic.0 as usize].name);
        described.unwrap_or(topic)
    }

    pub(super) fn find(&self, name: &str) -> Option<TopicId> {
        self.0.borrow().by_name.get(name).copied()
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let topics = self.0.borrow();
        let is_described = |id: &TopicId| topics.described.iter().any(|d| d.log == *id);
        let named = topics.by_name.iter().filter(|(_, id)| !is_described(id));
        named.map(|(name, _)| Arc::clone(name)).collect()
    }

    pub(super) fn log(&self, topic: TopicId) -> Ref<'_, TopicLog> {
        Ref::map(self.0.borrow(), |topics| &topics.logs[topic.0 as usize])
    }

    /// Writes outside of any transaction, as a client of the application does.
    pub(super) fn append(
        &self,
        topic: TopicId,
        partition: Option<i32>,
        record: RawBytes,
    ) -> Result<i32, Error> {
        self.check(topic, partition)?;
        let mut written = self.0.borrow_mut().append((topic, partition), record);
        let (_, partition) = written.next().expect("the topic itself comes first");
        Ok(partition)
    }

    /// Commits the transaction; answers the partitions written to, in the order of the records.
    pub(super) fn commit(&self) -> Vec<(TopicId, i32)> {
        let mut topics = self.0.borrow_mut();
        let pending = std::mem::take(&mut topics.pending);
        let written = pending
            .into_iter()
            .flat_map(|(topic, partition, record)| topics.append((topic, partition), record));
        written.collect()
    }

    /// Aborts the transaction.
    pub(super) fn abort(&self) {
        self.0.borrow_mut().pending.clear();
    }

    fn check(&self, topic: TopicId, partition: Option<i32>) -> Result<(), Error> {
        let log = self.log(topic);
        let count = log.partitions();
        match partition {
            Some(partition) if !(0..count).contains(&partition) => {
                let name = &log.name;
                let message = format!(
                    "topic {name} has no partition {partition}: it has {count}; tell the \
                     builder of the driver if it should have more"
                );
                Err(Error::new(ErrorKind::Production, message))
            }
            _ => Ok(()),
        }
    }
}

impl Collector for Capture {
    /// Topics spring into existence with one partition.
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        Ok(self.create(name, 1))
    }

    fn partitions(&self, topic: TopicId) -> Result<i32, Error> {
        Ok(self.log(topic).partitions())
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        self.check(record.topic, record.partition)?;
        let raw = Record {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
        };
        let mut topics = self.0.borrow_mut();
        topics.pending.push((record.topic, record.partition, raw));
        Ok(())
    }
}
