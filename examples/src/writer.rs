//! Records written to a topic, each exactly once: an idempotent producer that owns up to failures.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::Result;
use crate::cluster::Cluster;

/// How long the last records may take to arrive.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Writes records in the background.
pub struct Writer {
    producer: BaseProducer<Deliveries>,
}

impl Writer {
    /// A writer that partitions by key as Java's producers do, and as onceflow does.
    ///
    /// # Errors
    ///
    /// When the client library refuses the configuration.
    pub fn open(cluster: &Cluster) -> Result<Self> {
        let mut config = cluster.client_config();
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5");
        let producer = config.create_with_context(Deliveries::default())?;
        Ok(Writer { producer })
    }

    /// Takes a record on its way; answers false if there is no room for it yet.
    ///
    /// # Errors
    ///
    /// When this record cannot be sent, or one before it has not arrived.
    pub fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<bool> {
        let record = BaseRecord::to(topic).key(key).payload(value);
        let sent = match self.producer.send(record) {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((error, _)) => return Err(error.into()),
        };
        self.check()?;
        Ok(sent)
    }

    /// Serves delivery reports.
    ///
    /// # Errors
    ///
    /// When a record has not arrived.
    pub fn check(&self) -> Result<()> {
        self.producer.poll(Duration::ZERO);
        match self.producer.context().failure() {
            Some(error) => Err(format!("a record could not be written: {error}").into()),
            None => Ok(()),
        }
    }

    /// Waits until everything has arrived.
    ///
    /// # Errors
    ///
    /// When something has not.
    pub fn finish(&self) -> Result<()> {
        self.producer.flush(FLUSH_TIMEOUT)?;
        self.check()
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

/// The first record that did not arrive.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn failure(&self) -> Option<KafkaError> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            let failure = self.failure.lock();
            let mut failure = failure.unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.clone());
        }
    }
}
