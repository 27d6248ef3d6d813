//! Kafka through librdkafka: the only module that names rdkafka.
//!
//! ```text
//!   settings ──> native ──┬── consumer ──┐
//!                 ^       ├── changelogs ┴── partitions
//!                 |       ├── producer
//!            all unsafe   └── topics, groups (rdkafka's own admin client)
//!   failure: what an answer means      logs: what librdkafka says of itself
//! ```
//!
//! # Invariants
//!
//! - All unsafe code is in `native`.
//! - No callback runs code of ours but a bell and a log line: everything else is an event that
//!   the worker takes when it wants to.
//! - Every wait is bounded by the caller's timeout, with two exceptions: closing a consumer has a
//!   constant of its own, and librdkafka gives the request that adds offsets to a transaction the
//!   time of its sockets, `socket.timeout.ms`, whatever it was asked for. Both are made where they can
//!   be given up (`call`), for neither is sure to return.

mod failure;
mod logs;
mod call;
mod native;
mod settings;
mod partitions;
mod consumer;
mod producer;
mod changelogs;
mod topics;
mod groups;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod transaction_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod topic_tests;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod measurements;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::changelogs::KafkaChangelogs;
use self::consumer::KafkaConsumer;
pub(crate) use self::groups::GroupAdmin;
use self::native::{Client, Membership, Role};
use self::producer::KafkaProducer;
use self::topics::Topics;
use super::{BrokerError, Cluster, NewTopic, Wake};
use crate::config::ClientProperties;
use crate::error::{Error, ErrorKind};
use crate::record::{Offset, TopicPartition};

/// A Kafka cluster, reached with the users' settings.
pub(crate) struct KafkaCluster {
    properties: ClientProperties,
    lookup: Client,
    topics: Topics,
}

impl KafkaCluster {
    /// Nothing is connected yet: a cluster out of reach shows in the first call.
    ///
    /// # Errors
    ///
    /// A setting that librdkafka does not know or cannot combine with another.
    pub(crate) fn new(properties: ClientProperties) -> Result<Self, Error> {
        let lookup = client(Role::Lookup, &properties.lookup(), "admin client")?;
        Ok(KafkaCluster {
            topics: Topics::new(lookup.clone(), properties.admin()),
            lookup,
            properties,
        })
    }
}

fn client(role: Role, config: &rdkafka::ClientConfig, what: &str) -> Result<Client, Error> {
    Client::new(role, config).map_err(|reason| {
        Error::new(
            ErrorKind::Config,
            format!("cannot make a {what} of these settings: {reason}"),
        )
    })
}

impl fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: there are passwords among them.
        f.write_str("KafkaCluster")
    }
}

impl Cluster for KafkaCluster {
    type Consumer = KafkaConsumer;
    type Producer = KafkaProducer;
    type Changelogs = KafkaChangelogs;
    type Group = Membership;

    fn consumer(&self, member: &str, wake: &Arc<Wake>) -> Result<KafkaConsumer, Error> {
        let config = self.properties.member(member);
        Ok(KafkaConsumer::new(
            client(Role::Consumer, &config, "consumer")?,
            wake,
        ))
    }

    fn producer(&self, transactional_id: &str) -> Result<KafkaProducer, Error> {
        let config = self.properties.producer(transactional_id);
        let request_timeout = settings::request_timeout(&config);
        let client = client(Role::Producer, &config, "producer")?;
        let transactional = config.get("transactional.id").is_some();
        let message_bytes_max = settings::message_bytes_max(&config);
        Ok(KafkaProducer::new(
            client,
            request_timeout,
            transactional,
            message_bytes_max,
        ))
    }

    fn changelogs(&self) -> Result<KafkaChangelogs, Error> {
        let config = self.properties.restore();
        let client = client(Role::Consumer, &config, "restore consumer")?;
        Ok(KafkaChangelogs::new(client, self.lookup.clone()))
    }

    fn topics(&self, timeout: Duration) -> Result<Vec<Arc<str>>, BrokerError> {
        self.topics.names(timeout)
    }

    fn partition_counts(
        &self,
        topics: &[Arc<str>],
        timeout: Duration,
    ) -> Result<BTreeMap<Arc<str>, i32>, BrokerError> {
        self.topics.partition_counts(topics, timeout)
    }

    fn are_led(&self, topics: &[Arc<str>], timeout: Duration) -> Result<bool, BrokerError> {
        for topic in topics {
            if !self.topics.is_led(topic, timeout)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), BrokerError> {
        self.topics.create(topics, timeout)
    }

    fn delete_records(
        &self,
        below: &[(TopicPartition, Offset)],
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        self.topics.delete_records(below, timeout)
    }
}
