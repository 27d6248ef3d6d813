//! The ends of a topology under test: typed handles that write its inputs and read its outputs.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::capture::{CapturedRecord, RawBytes};
use super::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::record::{Position, Record, TopicPartition};
use crate::serde::{Serde, SharedSerde};
use crate::time::Timestamp;

/// Writes records to an input topic; each is processed to the end before the call returns.
///
/// Made by [`TestDriver::input_topic`](super::TestDriver::input_topic).
pub struct TestInputTopic<K, V> {
    engine: Rc<RefCell<Engine>>,
    topic: Arc<str>,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> TestInputTopic<K, V> {
    pub(super) fn new(
        engine: Rc<RefCell<Engine>>,
        topic: &str,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        TestInputTopic {
            engine,
            topic: Arc::from(topic),
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
        }
    }

    /// Writes a record, to the partition that murmur2 of its key says.
    ///
    /// Records whose key is null go to one partition after the other. Null values have calls
    /// of their own: [`pipe_tombstone`](Self::pipe_tombstone) here, `None` in
    /// [`pipe_record`](Self::pipe_record).
    ///
    /// # Errors
    ///
    /// When no source reads the topic, when key or value cannot be serialized, and whatever
    /// fails while the record, or one that waits in an internal topic, is processed. What the
    /// failed record did is taken back, and the driver can be used on.
    pub fn pipe(
        &self,
        key: impl Into<K>,
        value: impl Into<V>,
        timestamp: Timestamp,
    ) -> Result<(), Error> {
        self.pipe_record(Record::new(key.into(), value.into(), timestamp))
    }

    /// Writes a record whose value is null, whatever the value's serde.
    ///
    /// # Errors
    ///
    /// As [`pipe`](Self::pipe).
    pub fn pipe_tombstone(&self, key: impl Into<K>, timestamp: Timestamp) -> Result<(), Error> {
        let key = self.bytes(&self.key, &key.into(), "key")?;
        self.pipe_raw(Record::new(key, None, timestamp))
    }

    /// Writes a record with its headers.
    ///
    /// # Errors
    ///
    /// As [`pipe`](Self::pipe).
    pub fn pipe_record(&self, record: Record<K, V>) -> Result<(), Error> {
        let raw = self.encode(record)?;
        self.pipe_raw(raw)
    }

    /// Writes records one by one: each is processed before the next is written.
    ///
    /// # Errors
    ///
    /// As [`pipe`](Self::pipe), at the first record that fails; those behind it are not written.
    pub fn pipe_all(&self, records: impl IntoIterator<Item = Record<K, V>>) -> Result<(), Error> {
        records
            .into_iter()
            .try_for_each(|record| self.pipe_record(record))
    }

    /// Writes a record to a partition of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`pipe`](Self::pipe), and when there is no such partition.
    pub fn pipe_to_partition(&self, partition: i32, record: Record<K, V>) -> Result<(), Error> {
        let raw = self.encode(record)?;
        self.engine
            .borrow_mut()
            .pipe(&self.topic, Some(partition), raw)
    }

    /// Writes bytes past the serdes: what a producer that knows no better would send.
    ///
    /// ```
    /// use onceflow_framework::processor::OnBadRecord;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::test_driver::{RawBytes, TestDriver};
    /// use onceflow_framework::topology::{Consumed, TopologyBuilder};
    /// use onceflow_framework::Timestamp;
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_source("in", ["amounts"], Consumed::<String, i64>::new());
    /// let driver = TestDriver::builder(builder.build()?)
    ///     .on_bad_record(OnBadRecord::Continue)
    ///     .build()?;
    ///
    /// let (key, value) = (b"k".to_vec().into(), b"not an i64".to_vec().into());
    /// let poison = RawBytes::new(Some(key), Some(value), Timestamp::from_millis(0));
    /// driver.input_topic("amounts", utf8(), i64()).pipe_raw(poison)?;
    /// assert_eq!(driver.dropped_total(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`pipe`](Self::pipe).
    pub fn pipe_raw(&self, record: RawBytes) -> Result<(), Error> {
        self.engine.borrow_mut().pipe(&self.topic, None, record)
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.topic
    }

    fn encode(&self, record: Record<K, V>) -> Result<RawBytes, Error> {
        Ok(Record {
            key: self.bytes(&self.key, &record.key, "key")?,
            value: self.bytes(&self.value, &record.value, "value")?,
            timestamp: record.timestamp,
            headers: record.headers,
        })
    }

    fn bytes<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        item: &T,
        what: &str,
    ) -> Result<Option<Bytes>, Error> {
        let bytes = serde.to_vec(item).map_err(|error| {
            let message = format!("cannot serialize the {what} for topic {}", self.topic);
            Error::new(ErrorKind::Serialization, message).because(error)
        });
        Ok(bytes?.map(Bytes::from))
    }
}

impl<K, V> fmt::Debug for TestInputTopic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestInputTopic({})", self.topic)
    }
}

/// A record with the partition and offset that it was written to.
pub type WithPosition<K, V> = (Position, Record<K, V>);

/// Reads what a topology wrote to a topic, in the order of writing, each record once.
///
/// Every handle reads from the beginning, whenever it was made. Made by
/// [`TestDriver::output_topic`](super::TestDriver::output_topic).
pub struct TestOutputTopic<K, V> {
    engine: Rc<RefCell<Engine>>,
    topic: Arc<str>,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    /// How many records this handle has read.
    read: std::cell::Cell<usize>,
}

impl<K: 'static, V: 'static> TestOutputTopic<K, V> {
    pub(super) fn new(
        engine: Rc<RefCell<Engine>>,
        topic: &str,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        TestOutputTopic {
            engine,
            topic: Arc::from(topic),
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            read: std::cell::Cell::new(0),
        }
    }

    /// The next record, if there is one.
    ///
    /// # Errors
    ///
    /// When the topology cannot write such a topic (a name mistyped, say), or the serdes cannot
    /// read the record.
    pub fn read(&self) -> Result<Option<Record<K, V>>, Error> {
        Ok(self.read_with_position()?.map(|(_, record)| record))
    }

    /// The next record with the partition and offset that it was written to.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_with_position(&self) -> Result<Option<WithPosition<K, V>>, Error> {
        let Some(record) = self.next()? else {
            return Ok(None);
        };
        self.read.set(self.read.get() + 1);
        let position = Position {
            topic_partition: TopicPartition::new(Arc::clone(&self.topic), record.partition),
            offset: record.offset,
        };
        Ok(Some((position.clone(), self.decode(record, position)?)))
    }

    /// All records that were not read yet.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_all(&self) -> Result<Vec<Record<K, V>>, Error> {
        std::iter::from_fn(|| self.read().transpose()).collect()
    }

    /// Keys and values of all records that were not read yet.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_key_values(&self) -> Result<Vec<(K, V)>, Error> {
        let records = self.read_all()?.into_iter();
        Ok(records.map(|record| (record.key, record.value)).collect())
    }

    /// Whether everything was read.
    ///
    /// # Errors
    ///
    /// When the topology cannot write such a topic.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.next()?.is_none())
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.topic
    }

    fn next(&self) -> Result<Option<CapturedRecord>, Error> {
        let engine = self.engine.borrow();
        let Some(topic) = engine.written_topic(&self.topic)? else {
            return Ok(None);
        };
        let log = engine.setup.capture.log(topic);
        Ok(log.records().get(self.read.get()).cloned())
    }

    fn decode(&self, record: CapturedRecord, position: Position) -> Result<Record<K, V>, Error> {
        let cannot = |what| {
            let message = format!("the test's serde cannot read the {what}");
            Error::new(ErrorKind::Deserialization, message).at(position.clone())
        };
        let key = self.key.deserialize(record.key.as_deref());
        let value = self.value.deserialize(record.value.as_deref());
        Ok(Record {
            key: key.map_err(|error| cannot("key").because(error))?,
            value: value.map_err(|error| cannot("value").because(error))?,
            timestamp: record.timestamp,
            headers: record.headers,
        })
    }
}

impl<K, V> fmt::Debug for TestOutputTopic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TestOutputTopic({}, {} read)",
            self.topic,
            self.read.get()
        )
    }
}
