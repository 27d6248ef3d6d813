//! A reader that keeps up with a topic: for waiting until outputs are there.

use std::fmt;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::{
    clients::Isolation,
    cluster::{Cluster, unique},
    record::Record,
    wait::Deadline,
};

/// One wait for the next record.
const POLL_SLICE: std::time::Duration = std::time::Duration::from_millis(20);

/// The committed records of a topic, as they come.
pub struct Tail {
    consumer: BaseConsumer,
    /// What has come so far, in the order of arrival.
    pub records: Vec<Record>,
}

impl Tail {
    /// Reads a topic from its beginning.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn of(cluster: &Cluster, topic: &str) -> Self {
        let consumer = cluster.consumer(&unique("tail"), Isolation::ReadCommitted);
        consumer
            .assign(&cluster.beginnings(topic))
            .expect("a fresh consumer takes an assignment");
        Self {
            consumer,
            records: Vec::new(),
        }
    }

    /// Reads until this many records have come, or the deadline passes; answers whether they have.
    pub fn reach(&mut self, records: usize, deadline: Deadline) -> bool {
        while self.records.len() < records {
            if deadline.passed() {
                return false;
            }
            match self.consumer.poll(POLL_SLICE) {
                None => {}
                Some(Ok(message)) => self.records.push(Record::from(&message)),
                // A broker that is away: the deadline decides.
                Some(Err(error)) => tracing::debug!(%error, "tail goes on"),
            }
        }
        true
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}
