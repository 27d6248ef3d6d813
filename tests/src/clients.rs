//! Client configurations for tests: the real librdkafka, tuned so that nothing waits out a
//! default of half a second, and with no setting that changes what is delivered.

use std::{sync::OnceLock, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::BaseConsumer,
};

use crate::{cluster::Cluster, wait::PATIENCE};

/// What a reader sees of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only what was committed, up to the last stable offset.
    ReadCommitted,
    /// Everything, up to the high watermark.
    ReadUncommitted,
}

impl Isolation {
    /// The value of `isolation.level`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// The clients that ask where partitions end, one for each isolation. A new one for each question
/// would take half a second to come and a tenth to go.
#[derive(Default)]
pub(crate) struct Lookups {
    read_committed: OnceLock<BaseConsumer>,
    read_uncommitted: OnceLock<BaseConsumer>,
}

impl Cluster {
    /// What every client starts from: the address, and short back-offs.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap_servers())
            .set("broker.address.family", "v4")
            .set("retry.backoff.ms", "5")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .set("topic.metadata.refresh.fast.interval.ms", "20");
        config
    }

    /// A consumer's configuration: no automatic commits, earliest on no offset, quick fetches,
    /// and the shortest session that Kafka accepts.
    #[must_use]
    pub fn consumer_config(&self, group: &str, isolation: Isolation) -> ClientConfig {
        let mut config = self.client_config();
        config
            .set("group.id", group)
            .set("isolation.level", isolation.as_str())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "10");
        config
    }

    /// A producer's configuration: nothing lingers, keys are partitioned as Java does.
    #[must_use]
    pub fn producer_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        config
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "30000");
        config
    }

    /// A consumer of a group, not subscribed to anything yet.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn consumer(&self, group: &str, isolation: Isolation) -> BaseConsumer {
        self.consumer_config(group, isolation)
            .create()
            .expect("the consumer's configuration is valid")
    }

    /// The client that asks where partitions end for readers of this isolation.
    pub(crate) fn lookup(&self, isolation: Isolation) -> &BaseConsumer {
        let slot = match isolation {
            Isolation::ReadCommitted => &self.lookups.read_committed,
            Isolation::ReadUncommitted => &self.lookups.read_uncommitted,
        };
        slot.get_or_init(|| {
            // Without a group: it joins none and has none to leave.
            let mut config = self.client_config();
            config.set("isolation.level", isolation.as_str());
            config
                .create()
                .expect("the configuration of a plain consumer is valid")
        })
    }

    /// The cluster's admin client.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    pub fn admin(&self) -> &AdminClient<DefaultClientContext> {
        self.admin.get_or_init(|| {
            self.client_config()
                .create()
                .expect("the admin client's configuration is valid")
        })
    }
}

/// Options for admin calls: wait until the broker has done it.
#[must_use]
pub fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(Duration::from_secs(10)))
}
