//! Sending records and knowing where each one went.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, Producer, ProducerContext},
};

use crate::{
    cluster::Cluster,
    record::Outgoing,
    wait::{Deadline, PATIENCE},
};

/// Between two looks at a producer's queue.
const POLL_SLICE: std::time::Duration = std::time::Duration::from_millis(1);

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset; `-1` where the broker was not asked to acknowledge (`acks=0`).
    pub offset: i64,
}

/// What became of each record sent, in the order of sending.
pub type Deliveries = Vec<Result<Delivered, RDKafkaErrorCode>>;

impl Cluster {
    /// Sends records with an idempotent producer and returns where each went.
    ///
    /// # Panics
    ///
    /// When a record is not delivered.
    pub fn produce(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Outgoing>,
    ) -> Vec<Delivered> {
        let mut config = self.producer_config();
        config.set("enable.idempotence", "true");
        send_all(&config, topic, records)
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|code| panic!("not delivered: {code}")))
            .collect()
    }

    /// Sends plain values to partition 0.
    ///
    /// # Panics
    ///
    /// When a record is not delivered.
    pub fn produce_values<V: AsRef<[u8]>>(
        &self,
        topic: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Vec<Delivered> {
        let records = values.into_iter().map(|v| Outgoing::value(v).partition(0));
        self.produce(topic, records)
    }
}

/// Sends records with a producer of this configuration and waits for every report.
///
/// # Panics
///
/// When the configuration is refused, or when reports are missing after a deadline.
pub fn send_all(
    config: &ClientConfig,
    topic: &str,
    records: impl IntoIterator<Item = Outgoing>,
) -> Deliveries {
    let producer: BaseProducer<Reports> = config
        .create_with_context(Reports::default())
        .expect("the producer's configuration is valid");
    let mut refused = Vec::new();
    let mut sent = 0;
    for (index, record) in records.into_iter().enumerate() {
        if let Err((error, _)) = producer.send(record.to(topic, index)) {
            let code = error.rdkafka_error_code().expect("a refusal has a code");
            refused.push((index, Err(code)));
        }
        sent = index + 1;
    }
    drain(&producer).expect("every record is delivered or fails within its time");
    let mut outcomes = producer.context().take();
    outcomes.extend(refused);
    outcomes.sort_by_key(|(index, _)| *index);
    assert_eq!(outcomes.len(), sent, "every record sent has one outcome");
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Serves a producer until nothing is queued or in flight.
///
/// The wrapper's own `flush` blocks in steps of 100 ms; this one looks every millisecond.
///
/// # Errors
///
/// The error of `flush` when the queue has not emptied by the deadline.
pub fn drain<C: ProducerContext>(producer: &BaseProducer<C>) -> KafkaResult<()> {
    let deadline = Deadline::after(PATIENCE);
    while producer.in_flight_count() > 0 {
        if deadline.passed() {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        producer.poll(POLL_SLICE);
    }
    Ok(())
}

/// Collects delivery reports by the index of the record.
#[derive(Default)]
struct Reports(Mutex<Vec<(usize, Result<Delivered, RDKafkaErrorCode>)>>);

impl Reports {
    fn take(&self) -> Vec<(usize, Result<Delivered, RDKafkaErrorCode>)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let outcome = match result {
            Ok(message) => Ok(Delivered {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("a failure has a code")),
        };
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push((index, outcome));
    }
}
