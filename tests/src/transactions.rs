//! A transactional producer driven as librdkafka wants to be driven.
//!
//! # Invariants
//!
//! - **Retriable means the same call again.** Commit is repeated as commit and abort as abort:
//!   switching between the two is a conflict that the client answers with an error of its own.
//! - **Served while it blocks.** Reports are drained before commit, and by a second thread while
//!   aborting: unserved, the client waits out its whole timeout.
//! - **One call, not many short ones.** A call that timed out and is resumed can meet its own late
//!   answer, which the client then takes for the answer to the next call. After aborts in slices
//!   of 1 ms, 1 to 3 in a thousand `begin`s were refused, or returned `Ok` without having begun
//!   (the first `send` then fails); after aborts in one call, none of four thousand. Whoever
//!   resumes a call replaces the producer afterwards.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, Producer, ProducerContext},
};

use crate::{
    cluster::Cluster,
    produce::drain,
    record::Outgoing,
    wait::{Deadline, PATIENCE, beside},
};

/// One blocking call of the client.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// One turn of serving reports while an abort blocks.
const SERVE_SLICE: Duration = Duration::from_millis(1);

/// What a transactional error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The producer is of no use any more: fenced, or in doubt.
    Fatal,
    /// The transaction must be aborted; the producer lives.
    Abortable,
    /// The same call again.
    Retriable,
    /// None of these: a wrong state, or a flush that ran out of time.
    Other,
}

/// Classifies an error in the order in which the client wants it classified.
#[must_use]
pub fn verdict(error: &KafkaError) -> Verdict {
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Verdict::Fatal,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Verdict::Abortable,
        KafkaError::Transaction(error) if error.is_retriable() => Verdict::Retriable,
        _ => Verdict::Other,
    }
}

/// The verdict on a call that must have failed, and the code it failed with.
///
/// # Panics
///
/// When the call succeeded.
#[must_use]
pub fn refusal(outcome: KafkaResult<()>) -> (Verdict, RDKafkaErrorCode) {
    let error = outcome.expect_err("the call is refused");
    let code = error.rdkafka_error_code().expect("a refusal has a code");
    (verdict(&error), code)
}

/// A producer with a transactional id. Every call returns the client's own error, so that tests
/// can make claims about it; only retriable ones are retried here.
pub struct TransactionalProducer {
    producer: BaseProducer<Failures>,
}

impl TransactionalProducer {
    /// A producer that has not been initialised: its first call is [`init`](Self::init).
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn new(cluster: &Cluster, transactional_id: &str) -> Self {
        Self::with(cluster, transactional_id, &[])
    }

    /// As [`new`](Self::new), with settings of the client on top.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn with(cluster: &Cluster, transactional_id: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = cluster.producer_config();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", "30000")
            .set("delivery.report.only.error", "true");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let producer = config
            .create_with_context(Failures::default())
            .expect("the producer's configuration is valid");
        Self { producer }
    }

    /// An initialised producer.
    ///
    /// # Panics
    ///
    /// When the coordinator does not accept it.
    #[must_use]
    pub fn ready(cluster: &Cluster, transactional_id: &str) -> Self {
        let producer = Self::new(cluster, transactional_id);
        producer
            .init()
            .expect("the coordinator gives a producer id");
        producer
    }

    /// Gets a producer id, fences earlier owners of the transactional id and settles what they
    /// left open.
    ///
    /// # Errors
    ///
    /// The client's error, once it is not retriable or the deadline passed.
    pub fn init(&self) -> KafkaResult<()> {
        again(|| self.producer.init_transactions(CALL_TIMEOUT))
    }

    /// Begins a transaction: local, nothing is sent. Failures of earlier records are forgotten.
    ///
    /// # Errors
    ///
    /// The client's error: a wrong state, or fatal before.
    pub fn begin(&self) -> KafkaResult<()> {
        self.failures();
        self.producer.begin_transaction()
    }

    /// Hands one record to the client, which sends it when it will.
    ///
    /// # Errors
    ///
    /// The client's refusal; nothing the broker says.
    pub fn send(&self, topic: &str, record: &Outgoing) -> KafkaResult<()> {
        self.producer
            .send(record.to(topic, ()))
            .map_err(|(error, _)| error)
    }

    /// Sends values to one partition and waits until the broker has them.
    ///
    /// # Errors
    ///
    /// The client's refusal, or the first record's failure.
    pub fn send_values<V: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V>,
    ) -> KafkaResult<()> {
        for value in values {
            self.send(topic, &Outgoing::value(value).partition(partition))?;
        }
        self.flush()
    }

    /// Waits until no record is queued or in flight.
    ///
    /// # Errors
    ///
    /// The first failure of a record since the last call, or `Flush` when time ran out.
    pub fn flush(&self) -> KafkaResult<()> {
        drain(&self.producer)?;
        match self.failures().first() {
            Some(code) => Err(KafkaError::MessageProduction(*code)),
            None => Ok(()),
        }
    }

    /// The failures of records since the last call or the last `begin`.
    pub fn failures(&self) -> Vec<RDKafkaErrorCode> {
        self.producer.context().take()
    }

    /// Makes consumed offsets part of the transaction.
    ///
    /// # Errors
    ///
    /// The client's error, once it is not retriable or the deadline passed.
    pub fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> KafkaResult<()> {
        again(|| {
            self.producer
                .send_offsets_to_transaction(offsets, group, CALL_TIMEOUT)
        })
    }

    /// Commits the open transaction.
    ///
    /// # Errors
    ///
    /// The client's error, once it is not retriable or the deadline passed.
    pub fn commit(&self) -> KafkaResult<()> {
        drain(&self.producer)?;
        again(|| self.producer.commit_transaction(CALL_TIMEOUT))
    }

    /// Aborts the open transaction; records not sent yet are dropped.
    ///
    /// # Errors
    ///
    /// The client's error, once it is not retriable or the deadline passed.
    pub fn abort(&self) -> KafkaResult<()> {
        beside(
            || again(|| self.producer.abort_transaction(CALL_TIMEOUT)),
            || self.producer.poll(SERVE_SLICE),
        )?;
        // What the abort purged is reported now, not in the next transaction.
        drain(&self.producer)
    }

    /// The client underneath, for claims about a single call.
    #[must_use]
    pub fn raw(&self) -> &BaseProducer<impl ProducerContext<DeliveryOpaque = ()>> {
        &self.producer
    }
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .finish_non_exhaustive()
    }
}

/// Makes a call until it is not answered with a retriable error.
fn again(call: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match call() {
            Err(error) if verdict(&error) == Verdict::Retriable && !deadline.passed() => {
                tracing::debug!(%error, "the same call again");
            }
            outcome => return outcome,
        }
    }
}

/// Collects the failures of records.
#[derive(Default)]
struct Failures(Mutex<Vec<RDKafkaErrorCode>>);

impl Failures {
    fn take(&self) -> Vec<RDKafkaErrorCode> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().expect("a failure has a code");
            let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(code);
        }
    }
}
