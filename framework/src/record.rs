//! The nouns of a record: its key and value, where it came from, when it happened.
//!
//! A [`Record`] is moved by value from node to node and cloned only where the graph forks.
//! Without headers it owns no heap memory of the framework's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::time::Timestamp;

/// A key, a value, a timestamp and headers: what flows through a topology.
///
/// A value that may be absent (a tombstone) is an `Option`; see [`crate::serde::nullable`].
///
/// ```
/// use onceflow_framework::{Record, Timestamp};
///
/// let record = Record::new("alice", 12, Timestamp::from_millis(5)).with_value("twelve");
/// assert_eq!((record.key, record.value), ("alice", "twelve"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<K, V> {
    /// What the record is about; its serialized form chooses the partition.
    pub key: K,
    /// What is said of the key.
    pub value: V,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Side information, kept in order, keys may repeat.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    pub fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Record {
            key,
            value,
            timestamp,
            headers: Headers::new(),
        }
    }

    /// The same record under another key.
    pub fn with_key<K2>(self, key: K2) -> Record<K2, V> {
        Record {
            key,
            value: self.value,
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> Record<K, V2> {
        Record {
            key: self.key,
            value,
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }

    /// The same record at another time.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

/// One header: a name and bytes, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name; names may repeat within a record.
    pub key: Arc<str>,
    /// The bytes, or null.
    pub value: Option<Bytes>,
}

/// The headers of a record, in order. Empty headers own no memory.
///
/// ```
/// use onceflow_framework::Headers;
///
/// let mut headers = Headers::new();
/// headers.push("trace", Some(b"42".as_slice()));
/// assert_eq!(headers.last("trace").and_then(|h| h.value.as_deref()), Some(b"42".as_slice()));
/// ```
// One word, and null when there are none, as nearly always: a record is moved at every edge.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Box<HeaderList>>);

/// At least one header.
#[derive(Clone, PartialEq, Eq)]
struct HeaderList(Vec<Header>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Headers(None)
    }

    /// Appends a header; an earlier one of the same name stays.
    pub fn push(&mut self, key: &str, value: Option<&[u8]>) {
        let list = self
            .0
            .get_or_insert_with(|| Box::new(HeaderList(Vec::new())));
        list.0.push(Header {
            key: Arc::from(key),
            value: value.map(Bytes::copy_from_slice),
        });
    }

    /// The last header of that name, which is the one that counts in Kafka.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&Header> {
        self.iter().rev().find(|header| &*header.key == key)
    }

    /// Removes every header of that name.
    pub fn remove(&mut self, key: &str) {
        if let Some(list) = &mut self.0 {
            list.0.retain(|header| &*header.key != key);
        }
        self.0.take_if(|list| list.0.is_empty());
    }

    /// Removes all headers.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// The headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        let headers = self.0.as_ref().map_or(&[][..], |list| &list.0);
        headers.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of names and values, for accounting.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.iter()
            .map(|h| h.key.len() + h.value.as_ref().map_or(0, Bytes::len))
            .sum()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        let list: Vec<Header> = headers.into_iter().collect();
        Headers((!list.is_empty()).then(|| Box::new(HeaderList(list))))
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The place of a record within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of a partition that was never truncated.
    pub const ZERO: Offset = Offset(0);

    /// From Kafka's number.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Offset(offset)
    }

    /// Kafka's number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// One past: where consumption goes on once this record is done.
    #[must_use]
    pub const fn next(self) -> Self {
        Offset(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic, printed as Kafka does: `orders-3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Where the record being processed was read: its topic-partition and offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The partition it was read from.
    pub topic_partition: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.topic_partition, self.offset)
    }
}

/// A task: the part of a sub-topology that works on one partition of each of its inputs.
///
/// Printed as Kafka Streams does: `0_3` is partition 3 of sub-topology 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The sub-topology, numbered as in `describe()`.
    pub sub_topology: u32,
    /// The partition of each input topic.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

/// A record as bytes, borrowed from wherever it was fetched.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its offset in the partition it was read from.
    pub offset: Offset,
    /// The timestamp that the record carries; negative if it has none.
    pub timestamp: Timestamp,
    /// The key's bytes, or null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes, or null.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a Headers,
}
