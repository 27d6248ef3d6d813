//! A producer on librdkafka: transactional, or one that delivers as it goes.
//!
//! ```text
//!   send ──> librdkafka's queue ──> broker        only failures are reported back
//!   flush ─> waits on a counter, in slices: a failed record counts until its report was polled
//!   commit | abort ─> one call of librdkafka each: one that was resumed can meet its own late
//!                     answer, which librdkafka then takes for the answer to the next call
//! ```
//!
//! # Invariants
//!
//! - A record that was accepted by `send` is in the transaction, or the transaction cannot commit.
//! - Time is counted in slices asked for, so a call never takes longer than it was given.
//! - Dropping the producer sends nothing: an open transaction is aborted by its successor.
//! - Without transactions nothing of librdkafka's transactional calls is made: what was sent is
//!   sent, and aborting is waiting until nothing is on its way any more.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::call::Call;
use super::failure::{Failure, Severity};
use super::native::{Client, Event, Membership, Queue, Role, Topic};
use super::partitions::committing;
use crate::broker::{BrokerError, Committed, Producer, Verdict};
use crate::processor::OutgoingRecord;
use crate::record::TopicPartition;

/// How long a wait goes on without looking for reports of failed records.
const FLUSH_SLICE: Duration = Duration::from_millis(10);

/// How long after the time-out of a request librdkafka notices it: it looks once a second.
const NOTICE: Duration = Duration::from_secs(2);

/// A producer of one transactional id, or without one.
#[derive(Debug)]
pub(crate) struct KafkaProducer {
    // Field order: topics and queue go before the client.
    topics: Vec<Option<Destination>>,
    events: Queue,
    client: Client,
    transactional: bool,
    /// The first record of the transaction that was not delivered.
    undelivered: Option<BrokerError>,
    /// How long librdkafka may take to add offsets to a transaction, beyond the time given: a
    /// broker that hangs is not yet a reason to give the producer up.
    offsets_grace: Duration,
    /// A record that takes more on the wire is refused by librdkafka.
    message_bytes_max: usize,
    /// A call has not returned in time: no other can be made any more.
    stuck: bool,
}

#[derive(Debug)]
struct Destination {
    name: Box<str>,
    topic: Topic,
}

impl KafkaProducer {
    /// A request to the broker takes at most `request_timeout`.
    pub(super) fn new(
        client: Client,
        request_timeout: Duration,
        transactional: bool,
        message_bytes_max: usize,
    ) -> Self {
        KafkaProducer {
            topics: Vec::new(),
            events: client.events(Role::Producer),
            client,
            transactional,
            undelivered: None,
            offsets_grace: request_timeout + NOTICE,
            message_bytes_max,
            stuck: false,
        }
    }

    /// Serves everything that waits to be told.
    fn serve(&mut self) {
        while let Some(event) = self.events.event(Duration::ZERO) {
            match event {
                Event::Undelivered(partition, failure) => {
                    if self.undelivered.is_none() {
                        tracing::debug!(%partition, %failure, "record not delivered");
                        let tried = format!("a record for {partition} was not delivered");
                        self.undelivered = Some(failure.undelivered(&tried));
                    }
                }
                // Fatal ones are the answer to the next call as well.
                Event::Failed(failure) if failure.severity == Severity::Fatal => {
                    tracing::debug!(%failure, "producer closed for good");
                }
                Event::Failed(failure) => tracing::warn!(%failure, "producer"),
                Event::Assigned(_) | Event::Revoked | Event::Committed(_) | Event::Other => {}
            }
        }
    }

    /// The answer to a transactional call; a producer that was fenced before says so again.
    fn judge(&self, failure: Failure, tried: &str) -> BrokerError {
        match self.client.fatal() {
            Some(cause) if failure.severity == Severity::Fatal => cause.transactional(tried),
            _ => failure.transactional(tried),
        }
    }

    fn refused_record(
        &self,
        failure: Failure,
        topic: &str,
        record: &OutgoingRecord<'_>,
    ) -> BrokerError {
        match failure.code {
            Code::QueueFull => failure.with(Verdict::QueueFull, "queueing a record"),
            Code::MessageSizeTooLarge => {
                let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                let size = size + record.headers.size_bytes();
                failure.with(
                    Verdict::Refused,
                    &format!("a record of {size} bytes for topic {topic}"),
                )
            }
            // The transaction failed while it was filled: a record was refused, a group moved on.
            Code::State if self.client.fatal().is_none() => {
                failure.with(Verdict::Abortable, "the transaction has failed")
            }
            Code::UnknownPartition | Code::UnknownTopic | Code::InvalidArgument => {
                let partition = record.partition;
                failure.with(
                    Verdict::Refused,
                    &format!("a record for topic {topic}, partition {partition:?}"),
                )
            }
            _ => self.judge(failure, &format!("a record for topic {topic}")),
        }
    }
}

impl Producer for KafkaProducer {
    type Group = Membership;

    fn init_transactions(&mut self, timeout: Duration) -> Result<(), BrokerError> {
        self.serve();
        if !self.transactional {
            return Ok(());
        }
        let outcome = self.client.init_transactions(timeout);
        outcome.map_err(|failure| self.judge(failure, "initialising transactions"))
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.serve();
        self.undelivered = None;
        if !self.transactional {
            return Ok(());
        }
        let outcome = self.client.begin_transaction();
        outcome.map_err(|failure| self.judge(failure, "beginning a transaction"))
    }

    fn register(&mut self, index: u32, topic: &str) -> Result<(), BrokerError> {
        let resolved = self.client.topic(topic);
        let destination = Destination {
            name: topic.into(),
            topic: resolved.map_err(|f| f.ordinary(&format!("resolving topic {topic}")))?,
        };
        let index = usize::try_from(index).expect("indexes fit into memory");
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        self.topics[index] = Some(destination);
        Ok(())
    }

    fn check(&self, record: &OutgoingRecord<'_>) -> Result<(), BrokerError> {
        if wire_bytes_max(record) <= self.message_bytes_max {
            return Ok(());
        }
        let index = usize::try_from(record.topic.0).expect("indexes fit into memory");
        let destination = self.topics.get(index).and_then(Option::as_ref);
        let destination = destination.expect("a topic is registered before records are sent");
        let failure = Failure::plain(
            Code::MessageSizeTooLarge,
            "it is larger than message.max.bytes",
        );
        Err(self.refused_record(failure, &destination.name, record))
    }

    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<(), BrokerError> {
        let index = usize::try_from(record.topic.0).expect("indexes fit into memory");
        let destination = self.topics.get(index).and_then(Option::as_ref);
        let destination = destination.expect("a topic is registered before records are sent");
        let outcome = destination.topic.produce(record);
        outcome.map_err(|failure| self.refused_record(failure, &destination.name, record))
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        group: &Membership,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let list = committing(offsets)?;
        let (client, group) = (self.client.clone(), group.clone());
        let call = Call::start("offsets", move || {
            client.send_offsets(&list, &group, timeout)
        });
        let tried = "adding offsets to the transaction";
        // What is queued leaves while the coordinator is asked: neither waits for the other.
        let (mut left, mut outcome) = (timeout + self.offsets_grace, None);
        while outcome.is_none() && !left.is_zero() && !self.client.flush(FLUSH_SLICE.min(left)) {
            self.serve();
            left = left.saturating_sub(FLUSH_SLICE);
            outcome = call.outcome(Duration::ZERO);
        }
        match outcome.or_else(|| call.outcome(left.max(FLUSH_SLICE))) {
            Some(outcome) => outcome.map_err(|failure| self.judge(failure, tried)),
            None => {
                self.stuck = true;
                Err(stuck().with(Verdict::Fatal, tried))
            }
        }
    }

    fn flush(&mut self, slice: Duration) -> Result<bool, BrokerError> {
        let mut left = slice;
        loop {
            self.serve();
            let now = left.min(FLUSH_SLICE);
            if self.client.flush(now) {
                return Ok(true);
            }
            left = left.saturating_sub(now);
            if left.is_zero() {
                self.serve();
                return Ok(self.client.outstanding() == 0);
            }
        }
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), BrokerError> {
        // A record that failed counts as outstanding until its report was served.
        self.serve();
        let outcome = self.client.commit_transaction(timeout);
        outcome.map_err(|failure| self.judge(failure, "committing"))
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), BrokerError> {
        if self.stuck {
            return Err(stuck().with(Verdict::Fatal, "aborting"));
        }
        if !self.transactional {
            if !self.flush(timeout)? {
                let slow = Failure::plain(Code::OperationTimedOut, "records are on their way");
                return Err(slow.with(Verdict::Retriable, "waiting for what was sent"));
            }
            self.undelivered = None;
            return Ok(());
        }
        // Purging would leave a report for each record, which the call below waits for and cannot
        // serve: what is on its way is delivered first, and then aborted with the rest.
        let delivered = self.flush(timeout / 2)?;
        let left = if delivered { timeout } else { timeout / 2 };
        let outcome = self.client.abort_transaction(left);
        outcome.map_err(|failure| self.judge(failure, "aborting"))
    }

    fn poll(&mut self) {
        self.serve();
    }

    fn fatal_error(&self) -> Option<BrokerError> {
        let failure = self.client.fatal()?;
        Some(failure.transactional("the producer is closed for good"))
    }

    fn delivery_error(&mut self) -> Option<BrokerError> {
        self.serve();
        self.undelivered.clone()
    }
}

/// The most that a record may take on the wire, as librdkafka reckons: its lengths and deltas take
/// up to 36 bytes, and those of a header up to 10.
fn wire_bytes_max(record: &OutgoingRecord<'_>) -> usize {
    let data = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    data + 36 + record.headers.size_bytes() + 10 * record.headers.len()
}

fn stuck() -> Failure {
    Failure::plain(
        Code::OperationTimedOut,
        "librdkafka has not returned; the producer is given up",
    )
}
