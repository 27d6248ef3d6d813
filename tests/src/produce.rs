//! Sending records and knowing where each one went.
//!
//! All tests share one idempotent producer of a cluster: a new one waits up to half a second for
//! its producer id. A record carries the way back to its sender, since whoever polls the shared
//! producer also serves the reports of others.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

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
const POLL_SLICE: Duration = Duration::from_millis(1);

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset; negative where the broker was not asked to acknowledge (`acks=0`).
    pub offset: i64,
}

/// What became of one record.
pub type Delivery = Result<Delivered, RDKafkaErrorCode>;

/// The producer that the tests of a cluster share.
pub(crate) type SharedProducer = Mutex<Option<Arc<BaseProducer<Reports>>>>;

impl Cluster {
    /// Sends records with an idempotent producer and returns where each went, in order.
    ///
    /// # Panics
    ///
    /// When a record is not delivered.
    pub fn produce(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Outgoing>,
    ) -> Vec<Delivered> {
        let producer = self.shared_producer();
        send_through(&producer, topic, records)
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

    fn shared_producer(&self) -> Arc<BaseProducer<Reports>> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        // A broker that lost its memory breaks an idempotent producer for good: the next
        // test must not pay for it.
        if let Some(shared) = slot.as_ref()
            && shared.client().fatal_error().is_none()
        {
            return Arc::clone(shared);
        }
        let mut config = self.producer_config();
        config.set("enable.idempotence", "true");
        let fresh = Arc::new(producer(&config));
        *slot = Some(Arc::clone(&fresh));
        fresh
    }
}

/// Sends records with a producer of this configuration and waits for every report; outcomes are
/// in the order of sending.
///
/// # Panics
///
/// When the configuration is refused, or when reports are missing after a deadline.
pub fn send_all(
    config: &ClientConfig,
    topic: &str,
    records: impl IntoIterator<Item = Outgoing>,
) -> Vec<Delivery> {
    send_through(&producer(config), topic, records)
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

fn producer(config: &ClientConfig) -> BaseProducer<Reports> {
    config
        .create_with_context(Reports)
        .expect("the producer's configuration is valid")
}

fn send_through(
    producer: &BaseProducer<Reports>,
    topic: &str,
    records: impl IntoIterator<Item = Outgoing>,
) -> Vec<Delivery> {
    let (report_to, reports) = channel();
    let mut sent = 0;
    for record in records {
        send_one(producer, topic, &record, sent, &report_to);
        sent += 1;
    }
    collect(producer, &reports, sent)
}

/// Hands one record over; a full queue is served until there is room.
fn send_one(
    producer: &BaseProducer<Reports>,
    topic: &str,
    record: &Outgoing,
    index: usize,
    report_to: &Sender<(usize, Delivery)>,
) {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let way_back = Box::new(WayBack {
            index,
            report_to: report_to.clone(),
        });
        let Err((error, refused)) = producer.send(record.to(topic, way_back)) else {
            return;
        };
        let code = error.rdkafka_error_code().expect("a refusal has a code");
        if code != RDKafkaErrorCode::QueueFull || deadline.passed() {
            refused.delivery_opaque.report(Err(code));
            return;
        }
        producer.poll(POLL_SLICE);
    }
}

fn collect(
    producer: &BaseProducer<Reports>,
    reports: &Receiver<(usize, Delivery)>,
    sent: usize,
) -> Vec<Delivery> {
    let deadline = Deadline::after(2 * PATIENCE);
    let mut outcomes = BTreeMap::new();
    loop {
        outcomes.extend(reports.try_iter());
        if outcomes.len() == sent {
            return outcomes.into_values().collect();
        }
        assert!(
            !deadline.passed(),
            "{} of {sent} records have neither arrived nor failed",
            sent - outcomes.len()
        );
        producer.poll(POLL_SLICE);
    }
}

/// Takes the report of a record to whoever sent it.
#[derive(Debug)]
pub(crate) struct WayBack {
    index: usize,
    report_to: Sender<(usize, Delivery)>,
}

impl WayBack {
    fn report(&self, outcome: Delivery) {
        if self.report_to.send((self.index, outcome)).is_err() {
            tracing::debug!(index = self.index, "the sender no longer waits");
        }
    }
}

/// The context of producers whose records know the way back.
#[derive(Debug)]
pub(crate) struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<WayBack>;

    fn delivery(&self, result: &DeliveryResult<'_>, way_back: Box<WayBack>) {
        way_back.report(match result {
            Ok(message) => Ok(Delivered {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("a failure has a code")),
        });
    }
}
