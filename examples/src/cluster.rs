//! The Kafka cluster that an example runs on: the embedded broker, or one that was named.
//!
//! # Invariants
//!
//! - After the connection both are the same: topics are made, read and deleted over the protocol.

use std::time::Duration;

use futures::executor::block_on;
use onceflow_broker::EmbeddedBroker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::Result;
use crate::clock::wait_until;

/// How long a broker may take to answer an administrative call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a new topic may take until every partition has a leader.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a cluster, and the broker itself if it is embedded.
pub struct Cluster {
    bootstrap_servers: String,
    admin: AdminClient<DefaultClientContext>,
    embedded: Option<EmbeddedBroker>,
}

impl Cluster {
    /// The cluster at these servers, or, without any, a broker started in this process.
    ///
    /// # Errors
    ///
    /// When the embedded broker cannot start, or nothing answers at the servers.
    pub fn connect(bootstrap_servers: Option<&str>) -> Result<Self> {
        let embedded = match bootstrap_servers {
            Some(_) => None,
            None => Some(EmbeddedBroker::start()?),
        };
        let own = embedded.as_ref().map(EmbeddedBroker::bootstrap_servers);
        let servers = bootstrap_servers.or(own).unwrap_or_default().to_owned();
        let admin: AdminClient<_> = config(&servers).create()?;
        let reached = admin.inner().fetch_metadata(None, ANSWER_TIMEOUT);
        reached.map_err(|error| format!("no broker answers at {servers}: {error}"))?;
        Ok(Cluster {
            bootstrap_servers: servers,
            admin,
            embedded,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Whether the broker is in this process, and ends with it.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// What every client of this cluster is configured with.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        config(&self.bootstrap_servers)
    }

    /// Creates topics, and waits until they can be written.
    ///
    /// # Errors
    ///
    /// When the broker refuses: a topic of that name exists, say.
    pub fn create_topics(&self, names: &[&str], partitions: i32) -> Result<()> {
        let topic = |name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let topics: Vec<NewTopic<'_>> = names.iter().copied().map(topic).collect();
        for answer in block_on(self.admin.create_topics(&topics, &options()))? {
            answer.map_err(|(topic, code)| format!("topic {topic} cannot be created: {code}"))?;
        }
        for name in names {
            let led = || Ok(self.leaders_that_know(name)? == count(partitions));
            if !wait_until(LEADERS_TIMEOUT, led)? {
                return Err(format!("the partitions of topic {name} got no leaders").into());
            }
        }
        Ok(())
    }

    /// Of how many partitions the leader answers as one.
    ///
    /// It is elected a moment before it knows. A producer that sends several batches meanwhile may
    /// have the first refused and the second taken; the first is then too late for its place, and
    /// lost without an error.
    fn leaders_that_know(&self, topic: &str) -> Result<usize> {
        let client = self.admin.inner();
        let knows = |partition: &i32| {
            let ends = client.fetch_watermarks(topic, *partition, ANSWER_TIMEOUT);
            ends.is_ok()
        };
        Ok(self
            .partitions(topic)?
            .iter()
            .filter(|it| knows(it))
            .count())
    }

    /// Deletes topics; those that do not exist are none of its business.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub fn delete_topics(&self, names: &[&str]) -> Result<()> {
        block_on(self.admin.delete_topics(names, &options()))?;
        Ok(())
    }

    /// The partitions of a topic that have a leader, in order; none if there is no such topic.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>> {
        let client = self.admin.inner();
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        let found = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic);
        let partitions = found.flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let led = partitions.filter(|partition| partition.leader() >= 0);
        let mut ids: Vec<i32> = led.map(rdkafka::metadata::MetadataPartition::id).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.bootstrap_servers)
    }
}

fn count(partitions: i32) -> usize {
    usize::try_from(partitions).unwrap_or(0)
}

fn config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.fast.interval.ms", "50");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER_TIMEOUT))
        .operation_timeout(Some(ANSWER_TIMEOUT))
}
