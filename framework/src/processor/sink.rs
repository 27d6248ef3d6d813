//! Sinks: records become bytes and leave through the collector.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::node::Receive;
use super::partition::{Partitioner, Partitions};
use super::refusal::SinkTopic;
use super::scope::{OutgoingRecord, TaskScope, TopicId};
use crate::error::{Error, ErrorKind, Fault};
use crate::handler::RefusedOutput;
use crate::metrics::DropReason;
use crate::record::Record;
use crate::serde::{Encoded, Serde, SharedSerde};

/// Chooses the topic of each record.
pub(crate) type TopicExtractor<K, V> = Arc<dyn Fn(&Record<K, V>) -> String + Send + Sync>;

/// Where a sink writes.
pub(crate) enum SinkTarget<K, V> {
    /// Always the same topic.
    Topic(TopicId),
    /// A topic that each record names; it must exist.
    Extracted(TopicExtractor<K, V>, BTreeMap<String, TopicId>),
}

/// A sink in its place.
pub(crate) struct SinkNode<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) target: SinkTarget<K, V>,
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) partitioner: Option<Arc<dyn Partitioner<K, V>>>,
    pub(crate) scope: Rc<TaskScope>,
    /// Reused for every record: key and value as bytes.
    pub(crate) key_bytes: Vec<u8>,
    pub(crate) value_bytes: Vec<u8>,
}

impl<K: 'static, V: 'static> SinkNode<K, V> {
    fn topic(&mut self, record: &Record<K, V>) -> Result<TopicId, Error> {
        match &mut self.target {
            SinkTarget::Topic(topic) => Ok(*topic),
            SinkTarget::Extracted(extract, known) => {
                let name = extract(record);
                if let Some(topic) = known.get(&name) {
                    return Ok(*topic);
                }
                let topic = self.scope.collector.topic(&name)?;
                let sink = SinkTopic {
                    node: Arc::clone(&self.name),
                    topic: Arc::from(name.as_str()),
                };
                self.scope.sinks.borrow_mut().insert(topic, sink);
                known.insert(name, topic);
                Ok(topic)
            }
        }
    }

    fn write(&mut self, record: &Record<K, V>) -> Result<(), Error> {
        let topic = self.topic(record)?;
        self.key_bytes.clear();
        self.value_bytes.clear();
        let cannot = |what| {
            let message = format!("cannot serialize the {what}");
            Error::new(ErrorKind::Serialization, message)
        };
        let key = self.key.serialize(&record.key, &mut self.key_bytes);
        let key = key.map_err(|error| cannot("key").because(error))?;
        let value = self.value.serialize(&record.value, &mut self.value_bytes);
        let value = value.map_err(|error| cannot("value").because(error))?;
        let send = |partition| {
            self.scope.collector.send(&OutgoingRecord {
                topic,
                partition,
                key: (key == Encoded::Bytes).then_some(&self.key_bytes[..]),
                value: (value == Encoded::Bytes).then_some(&self.value_bytes[..]),
                timestamp: record.timestamp,
                headers: &record.headers,
            })
        };
        let Some(partitioner) = &self.partitioner else {
            return send(None);
        };
        let count = self.scope.collector.partitions(topic)?;
        match partitioner.partitions(record, count) {
            Partitions::Default => send(None),
            Partitions::One(partition) => send(Some(in_range(partition, count)?)),
            Partitions::Many(partitions) if partitions.is_empty() => {
                self.scope.dropped(&self.name, DropReason::NoPartition);
                Ok(())
            }
            Partitions::Many(partitions) => partitions
                .into_iter()
                .try_for_each(|p| send(Some(in_range(p, count)?))),
        }
    }
}

impl<K: 'static, V: 'static> SinkNode<K, V> {
    /// The record cannot be written, or is refused.
    #[cold]
    fn refuse(&mut self, record: &Record<K, V>, error: Error) -> Result<(), Error> {
        let error = error.at_node(&self.name);
        let error = match self.scope.position() {
            Some(position) => error.at(position),
            None => error,
        };
        let sink = self
            .topic(record)
            .ok()
            .and_then(|topic| self.scope.sink(topic));
        let key = self.key.to_vec(&record.key).ok().flatten();
        let value = self.value.to_vec(&record.value).ok().flatten();
        let output = RefusedOutput {
            topic: sink.as_ref().map(|sink| &*sink.topic),
            partition: None,
            key: key.as_deref(),
            value: value.as_deref(),
            timestamp: record.timestamp,
            headers: &record.headers,
        };
        self.scope.refused(&self.name, &output, error)
    }
}

/// A partitioner is user code: what it answers is checked.
fn in_range(partition: i32, count: i32) -> Result<i32, Error> {
    if (0..count).contains(&partition) {
        return Ok(partition);
    }
    let message = format!("the partitioner chose partition {partition} of {count}");
    Err(Error::new(ErrorKind::Production, message))
}

impl<K: 'static, V: 'static> Receive<K, V> for SinkNode<K, V> {
    fn receive(&mut self, record: Record<K, V>) -> Result<(), Fault> {
        match self.write(&record) {
            Ok(()) => Ok(()),
            Err(error) => Ok(self.refuse(&record, error)?),
        }
    }
}
