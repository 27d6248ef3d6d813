//! Looks topics up, creates them, trims them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as NativeTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset as NativeOffset, TopicPartitionList};

use super::consumer::edges;
use super::failure::Failure;
use super::logs::Logs;
use super::native::{Client, entries};
use super::partitions::add;
use crate::broker::{BrokerError, NewTopic, Wake};
use crate::record::{Offset, TopicPartition};

/// How often a new topic is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The administrative side of a cluster.
pub(super) struct Topics {
    lookup: Client,
    admin: ClientConfig,
    /// Made when first needed: it runs a thread of its own.
    client: Mutex<Option<Arc<AdminClient<Logs>>>>,
}

impl Topics {
    pub(super) fn new(lookup: Client, admin: ClientConfig) -> Self {
        Topics {
            lookup,
            admin,
            client: Mutex::new(None),
        }
    }

    fn client(&self) -> Result<Arc<AdminClient<Logs>>, BrokerError> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.as_ref() {
            return Ok(Arc::clone(client));
        }
        let client = self.admin.create_with_context(Logs);
        let client = Arc::new(client.map_err(|error| refused(&error, "creating an admin client"))?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    pub(super) fn names(&self, timeout: Duration) -> Result<Vec<Arc<str>>, BrokerError> {
        let names = self.lookup.topic_names(timeout);
        let names = names.map_err(|failure| failure.ordinary("listing topics"))?;
        Ok(names.into_iter().map(Arc::from).collect())
    }

    pub(super) fn partition_counts(
        &self,
        topics: &[Arc<str>],
        timeout: Duration,
    ) -> Result<BTreeMap<Arc<str>, i32>, BrokerError> {
        let mut counts = BTreeMap::new();
        for topic in topics {
            if let Some(leaders) = self.leaders(topic, timeout)? {
                let count = i32::try_from(leaders.len()).expect("librdkafka counts in an i32");
                counts.insert(Arc::clone(topic), count);
            }
        }
        Ok(counts)
    }

    fn leaders(&self, topic: &str, timeout: Duration) -> Result<Option<Vec<bool>>, BrokerError> {
        let found = self.lookup.partitions(topic, timeout);
        found.map_err(|failure| failure.ordinary(&format!("looking up topic {topic}")))
    }

    pub(super) fn create(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), BrokerError> {
        if topics.is_empty() {
            return Ok(());
        }
        let client = self.client()?;
        let natives: Vec<_> = topics.iter().map(native).collect();
        let outcomes = block_on(client.create_topics(&natives, &options(timeout)))
            .map_err(|error| refused(&error, "creating topics"))?;
        for outcome in outcomes {
            match outcome {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let failure = Failure::plain(code, &code.to_string());
                    return Err(failure.ordinary(&format!("creating topic {topic}")));
                }
            }
        }
        topics
            .iter()
            .try_for_each(|topic| self.await_leaders(&topic.name, timeout))
    }

    fn await_leaders(&self, topic: &Arc<str>, timeout: Duration) -> Result<(), BrokerError> {
        let pause = Wake::default();
        let looks = timeout.as_millis().div_ceil(LOOK_INTERVAL.as_millis());
        for _ in 0..looks.max(1) {
            match self.is_led(topic, timeout) {
                Ok(true) => return Ok(()),
                Err(error) if !error.is_passing() => return Err(error),
                Ok(false) | Err(_) => pause.sleep(LOOK_INTERVAL),
            }
        }
        let failure = Failure::plain(Code::OperationTimedOut, "no leaders in time");
        Err(failure.ordinary(&format!("waiting for topic {topic}")))
    }

    /// Whether all partitions have leaders, and those know that they are.
    pub(super) fn is_led(&self, topic: &Arc<str>, timeout: Duration) -> Result<bool, BrokerError> {
        let leaders = self.leaders(topic, timeout)?.unwrap_or_default();
        if leaders.is_empty() || leaders.contains(&false) {
            return Ok(false);
        }
        let partitions: Vec<_> = (0..)
            .zip(&leaders)
            .map(|(partition, _led)| TopicPartition::new(Arc::clone(topic), partition))
            .collect();
        edges(&self.lookup, &partitions, NativeOffset::End, timeout)?;
        Ok(true)
    }

    pub(super) fn delete_records(
        &self,
        below: &[(TopicPartition, Offset)],
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::with_capacity(below.len());
        for (partition, offset) in below {
            add(&mut list, partition, *offset)?;
        }
        if below.is_empty() {
            return Ok(());
        }
        let client = self.client()?;
        let outcome = block_on(client.delete_records(&list, &options(timeout)))
            .map_err(|error| refused(&error, "deleting records"))?;
        // librdkafka answers in an order of its own: elements name their partition.
        let failed = entries(&outcome).into_iter().zip(outcome.elements());
        for (entry, element) in failed {
            if let Some(failure) = entry.failure {
                let partition = TopicPartition::new(element.topic(), element.partition());
                return Err(failure.ordinary(&format!("deleting records of {partition}")));
            }
        }
        Ok(())
    }
}

pub(super) fn options(timeout: Duration) -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout))
}

fn native(topic: &NewTopic) -> NativeTopic<'_> {
    let replication = TopicReplication::Fixed(topic.replication_factor);
    let mut native = NativeTopic::new(&topic.name, topic.partitions, replication);
    for (name, value) in &topic.config {
        native = native.set(name, value);
    }
    native
}

pub(super) fn refused(error: &KafkaError, tried: &str) -> BrokerError {
    let code = match error {
        KafkaError::AdminOp(code) => *code,
        other => other.rdkafka_error_code().unwrap_or(Code::InvalidArgument),
    };
    Failure::plain(code, &error.to_string()).ordinary(tried)
}
