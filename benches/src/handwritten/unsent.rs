//! What handing a record to librdkafka costs, without a broker: records are queued, then purged.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer, PurgeConfig};

use super::native::Topic;
use crate::Failure;

/// A producer that never sends.
pub struct Unsent {
    // Field order: the topic goes before its client.
    topic: Topic,
    producer: BaseProducer,
}

impl std::fmt::Debug for Unsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsent").finish_non_exhaustive()
    }
}

impl Unsent {
    /// A producer whose broker is nowhere.
    ///
    /// # Errors
    ///
    /// When librdkafka refuses its settings.
    pub fn new() -> Result<Self, Failure> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("log_level", "0")
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        let topic = Topic::new(producer.client().native_ptr(), "nowhere")?;
        Ok(Unsent { topic, producer })
    }

    /// Queues a record, copying it, as the loop does.
    ///
    /// # Errors
    ///
    /// When the queue is full.
    pub fn produce(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.topic.produce(None, key, value, 1)
    }

    /// Throws away what is queued.
    pub fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue());
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
    }
}
