//! One batch, one broker transaction: the unit of exactly-once. The two other guarantees take the
//! same steps without a transaction: `plain` says which of them mean something else then.
//!
//! ```text
//!          begin           commit
//!   idle --------> open ------------> idle     outputs, changelog and offsets visible
//!                   |-- refused ----> idle     aborted: nothing visible; the worker replays
//!                   |-- not a member > idle     aborted: somebody else replays
//!                   `-- unknown               the next producer settles it, the group's
//!                                             offsets tell which way it went
//! ```
//!
//! # Invariants
//!
//! - **One road out.** All that tasks emit goes through [`Collector::send`] here, and only
//!   while a transaction is open.
//! - A commit that was sent is resumed by commits, never by an abort.
//! - After any call that was not clean and first-try the producer is made anew before the next
//!   begin: without KIP-890 a delayed EndTxn could end a later transaction.

mod plain;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{BrokerError, Cluster, Committed, GroupConsumer, Producer, Verdict, Wake};
use crate::config::Guarantee;
use crate::error::{Blame, Error, ErrorKind, Recovery};
use crate::processor::{Collector, OutgoingRecord, TopicId};
use crate::record::TopicPartition;
use crate::runtime::probe::{BatchPoint, Probe};
use crate::time::Clock;

/// How long one call may block before the worker looks around again.
const CALL_SLICE: Duration = Duration::from_millis(500);

/// Raw flushes longer than this sit out their whole time-out once a record has failed.
const FLUSH_SLICE: Duration = Duration::from_millis(50);

/// The wait between attempts while the local queue is full or a call fails at once.
const PAUSE: Duration = Duration::from_millis(1);

/// A commit or abort slower than this may have been retried on the way: the producer is made anew.
const SLOW_CALL: Duration = Duration::from_secs(1);

/// More fencings than this within [`FENCING_WINDOW`] are another instance with the same id.
const FENCINGS_MAX: usize = 4;
const FENCING_WINDOW: Duration = Duration::from_secs(60);

/// How a commit ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Committed,
    /// Aborted, or never got so far: nothing is visible.
    NotCommitted(Error),
    /// Aborted: the partitions are somebody else's by now.
    NotMember(Error),
    /// The commit was sent, the answer is missing.
    Unknown(Error),
}

/// What is promised, and how long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) guarantee: Guarantee,
    /// For a commit or an abort: an outage shorter than this loses nothing.
    pub(crate) transaction: Duration,
    /// For a new producer to be initialised.
    pub(crate) init: Duration,
}

/// The worker's producer and its transaction.
pub(crate) struct Transactor<C: Cluster> {
    cluster: Arc<C>,
    transactional_id: String,
    clock: Arc<dyn Clock>,
    terms: Terms,
    probe: Probe,
    inner: RefCell<Inner<C::Producer>>,
}

struct Inner<P> {
    /// None only while a lost producer is being replaced, and after that failed.
    producer: Option<P>,
    open: bool,
    /// A call was not clean: recycle before the next begin.
    unclean: bool,
    /// Each record is delivered before the next is sent, to tell which one is refused.
    careful: bool,
    topics: Vec<Arc<str>>,
    topic_ids: BTreeMap<Arc<str>, TopicId>,
    partition_counts: BTreeMap<Arc<str>, i32>,
    fenced_at: VecDeque<Duration>,
    /// Why the first record of the transaction was not delivered.
    first_refusal: Option<BrokerError>,
    /// Never rung: only slept on.
    pause: Wake,
}

impl<C: Cluster> Transactor<C> {
    /// Makes and initialises the producer, which fences and finishes what an earlier one left.
    pub(crate) fn new(
        cluster: Arc<C>,
        transactional_id: String,
        clock: Arc<dyn Clock>,
        terms: Terms,
        probe: Probe,
    ) -> Result<Self, Error> {
        let inner = RefCell::new(Inner {
            producer: None,
            open: false,
            unclean: false,
            careful: false,
            topics: Vec::new(),
            topic_ids: BTreeMap::new(),
            partition_counts: BTreeMap::new(),
            fenced_at: VecDeque::new(),
            first_refusal: None,
            pause: Wake::default(),
        });
        let transactor = Transactor {
            cluster,
            transactional_id,
            clock,
            terms,
            probe,
            inner,
        };
        transactor.recreate()?;
        Ok(transactor)
    }

    /// Opens a transaction.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        if let Some(error) = self.dead_or_unclean() {
            if let Some(error) = error {
                tracing::info!(%error, "the idle producer is made anew");
                self.note_fencing(&error)?;
            }
            self.recreate()?;
        }
        self.probe.reach(BatchPoint::BeforeBegin);
        let mut inner = self.inner.borrow_mut();
        assert!(!inner.open, "one open transaction at a time");
        if let Err(error) = inner.producer().begin() {
            inner.unclean = true;
            drop(inner);
            return Err(self.blame("cannot begin a transaction", error));
        }
        inner.open = true;
        Ok(())
    }

    /// Whether a new producer is needed, and the error of the old one if it has died.
    fn dead_or_unclean(&self) -> Option<Option<BrokerError>> {
        let inner = self.inner.borrow();
        let Some(producer) = inner.producer.as_ref() else {
            return Some(None);
        };
        match producer.fatal_error() {
            Some(error) => Some(Some(error)),
            None => inner.unclean.then_some(None),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.inner.borrow().open
    }

    /// Serves delivery reports; called once a loop of the worker.
    pub(crate) fn poll(&self) {
        if let Some(producer) = self.inner.borrow_mut().producer.as_mut() {
            producer.poll();
        }
    }

    /// Commits outputs, changelogs and offsets as one, or does what the guarantee has instead.
    pub(crate) fn commit(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
    ) -> Outcome {
        assert!(self.is_open(), "only an open transaction can be committed");
        assert!(
            !offsets.is_empty(),
            "a batch has consumed something, or says where it is"
        );
        let deadline = self.clock.elapsed() + self.terms.transaction;
        let outcome = match self.terms.guarantee {
            Guarantee::ExactlyOnceV2 => self.commit_transaction(offsets, consumer, deadline),
            Guarantee::AtLeastOnce => self.commit_delivered(offsets, consumer, deadline),
            Guarantee::AtMostOnce => self.commit_reserved(),
        };
        if let Outcome::Committed = outcome {
            self.inner.borrow_mut().open = false;
        }
        outcome
    }

    fn commit_transaction(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
        deadline: Duration,
    ) -> Outcome {
        self.probe.reach(BatchPoint::BeforeSendOffsets);
        if let Err(outcome) = self.send_offsets(offsets, consumer, deadline) {
            return outcome;
        }
        self.probe.reach(BatchPoint::AfterSendOffsets);
        if let Err(error) = self.flush(deadline) {
            return self.not_committed(error);
        }
        self.probe.reach(BatchPoint::BeforeCommit);
        self.end(deadline)
    }

    /// The offsets go in with the membership as it is now: a zombie is refused here.
    fn send_offsets(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
        deadline: Duration,
    ) -> Result<(), Outcome> {
        loop {
            let group = self.membership(consumer)?;
            let sent = self.with_producer(|p| p.send_offsets(offsets, &group, CALL_SLICE));
            match sent {
                Ok(()) => return Ok(()),
                Err(error) if self.may_retry(&error, deadline) => self.pause(),
                Err(error) => {
                    let tried = "cannot add the offsets to the transaction";
                    let error = match error.verdict {
                        Verdict::Abortable => self.reason(tried, error),
                        _ => self.blame(tried, error),
                    };
                    return Err(self.not_committed(error));
                }
            }
        }
    }

    /// The membership as it is now. An empty one would be accepted unfenced, so there is none to send.
    fn membership(&self, consumer: &C::Consumer) -> Result<C::Group, Outcome> {
        let group = consumer.group().filter(|_| !consumer.assignment_lost());
        group.ok_or_else(|| {
            let message = "the worker is no longer a member of its group";
            self.not_member(Error::new(ErrorKind::Assignment, message))
        })
    }

    fn not_member(&self, error: Error) -> Outcome {
        match self.give_up() {
            Ok(()) => Outcome::NotMember(error.recover_by(Recovery::Rejoin)),
            Err(worse) => Outcome::NotMember(worse),
        }
    }

    /// A time-out is no error here: the commit says whether something is missing.
    fn flush(&self, deadline: Duration) -> Result<(), Error> {
        while self.clock.elapsed() < deadline {
            match self.with_producer(|producer| producer.flush(FLUSH_SLICE)) {
                Ok(true) => return Ok(()),
                // A record was refused for good: waiting for the others changes nothing.
                Ok(false) if self.has_delivery_error() => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(self.blame("cannot flush the transaction", error)),
            }
        }
        Ok(())
    }

    fn has_delivery_error(&self) -> bool {
        // Peeked through `take`: what was not delivered stays the first reason.
        let mut inner = self.inner.borrow_mut();
        let error = inner.producer().delivery_error();
        let refused = error.is_some();
        if let Some(error) = error {
            inner.first_refusal.get_or_insert(error);
        }
        refused
    }

    /// Sends the commit and resumes it until it is answered.
    fn end(&self, deadline: Duration) -> Outcome {
        let started = self.clock.elapsed();
        let mut calls = 0;
        loop {
            calls += 1;
            let error = match self.with_producer(|producer| producer.commit(CALL_SLICE)) {
                Ok(()) => {
                    let slow = self.clock.elapsed() - started > SLOW_CALL;
                    self.inner.borrow_mut().unclean |= calls > 1 || slow;
                    return Outcome::Committed;
                }
                Err(error) => error,
            };
            match error.verdict {
                Verdict::Retriable | Verdict::QueueFull if self.clock.elapsed() < deadline => {
                    tracing::warn!(%error, calls, "commit not answered yet, asking again");
                    self.pause();
                }
                Verdict::Abortable => {
                    let error = self.reason("the transaction cannot commit", error);
                    self.inner.borrow_mut().unclean = true;
                    return self.not_committed(error);
                }
                _ => {
                    let error = self.blame("the outcome of a commit is unknown", error);
                    self.lose_producer();
                    return Outcome::Unknown(error.recover_by(Recovery::Restore));
                }
            }
        }
    }

    /// A call only says that the transaction has failed: the delivery report says why.
    fn reason(&self, tried: &str, error: BrokerError) -> Error {
        self.has_delivery_error();
        let refusal = self.inner.borrow_mut().first_refusal.take();
        let Some(refusal) = refusal else {
            return self.blame(tried, error);
        };
        // A record that was refused has spent its sequence number: the next transaction of this
        // producer would be refused for the gap.
        self.inner.borrow_mut().unclean = true;
        refused(&refusal)
    }

    /// From here on each record is delivered before the next is sent, or not any more.
    pub(crate) fn be_careful(&self, careful: bool) {
        self.inner.borrow_mut().careful = careful;
    }

    /// Delivers what was sent, so that whatever is refused is known.
    pub(crate) fn deliver_outputs(&self) -> Result<(), Error> {
        if self.terms.guarantee == Guarantee::AtMostOnce {
            return Ok(());
        }
        self.flush(self.clock.elapsed() + self.terms.transaction)?;
        self.first_refused().map_or(Ok(()), Err)
    }

    /// Delivers the only record that is on its way: if it is refused, it was this one.
    fn deliver_alone(&self) -> Result<(), Error> {
        self.flush(self.clock.elapsed() + self.terms.transaction)?;
        let Some(error) = self.first_refused() else {
            return Ok(());
        };
        Err(match error.blame() {
            Blame::Batch => error.blaming(Blame::Found),
            Blame::Found | Blame::Said => error,
        })
    }

    fn first_refused(&self) -> Option<Error> {
        if !self.has_delivery_error() {
            return None;
        }
        let mut inner = self.inner.borrow_mut();
        inner.unclean = true;
        let refusal = inner.first_refusal.take();
        Some(refused(&refusal.expect("a refusal was seen")))
    }

    /// Aborts because of `error`, which a failed abort does not outrank: the abort's own road
    /// out is a new producer.
    fn not_committed(&self, error: Error) -> Outcome {
        match self.abort() {
            Ok(()) => Outcome::NotCommitted(error),
            Err(worse) => Outcome::NotCommitted(worse),
        }
    }

    /// Makes everything sent since `begin` invisible for ever; without a transaction, waits until
    /// nothing of it is on its way any more.
    ///
    /// # Errors
    ///
    /// When the producer was lost on the way and cannot be replaced.
    pub(crate) fn abort(&self) -> Result<(), Error> {
        match self.try_abort()? {
            true => Ok(()),
            false => self.recreate(),
        }
    }

    /// As [`abort`](Self::abort), of a worker that ends: what cannot be aborted is left to its
    /// successor, or to the transaction's time-out, not to a new producer.
    ///
    /// # Errors
    ///
    /// When the producer was fenced too often.
    pub(crate) fn end_for_good(&self) -> Result<(), Error> {
        self.try_abort().map(drop)
    }

    /// Answers whether there is a producer for the next batch.
    fn try_abort(&self) -> Result<bool, Error> {
        if !self.is_open() {
            return Ok(true);
        }
        if self.terms.guarantee == Guarantee::AtMostOnce {
            // Nobody waits for what was sent, and nothing of it is sent again.
            self.inner.borrow_mut().open = false;
            return Ok(true);
        }
        let started = self.clock.elapsed();
        let deadline = started + self.terms.transaction;
        let mut calls = 0u32;
        loop {
            if self.inner.borrow().producer.is_none() {
                return Ok(false);
            }
            calls += 1;
            let aborted = self.with_producer(|producer| {
                producer.poll();
                producer.abort(CALL_SLICE)
            });
            match aborted {
                Ok(()) => break,
                Err(error) if self.may_retry(&error, deadline) => {}
                Err(error) => {
                    tracing::warn!(%error, "abort failed, the producer is made anew");
                    self.note_fencing(&error)?;
                    self.lose_producer();
                    return Ok(false);
                }
            }
        }
        let mut inner = self.inner.borrow_mut();
        // A call that was resumed may have left an answer behind for the next one to trip over.
        inner.unclean |= calls > 1 || self.clock.elapsed() - started > SLOW_CALL;
        inner.open = false;
        inner.first_refusal = None;
        tracing::debug!(calls, "transaction aborted");
        Ok(true)
    }

    /// A new producer with the same id: completes or aborts what the old one left.
    ///
    /// # Errors
    ///
    /// When the broker does not answer within the limit, or refuses the id.
    pub(crate) fn recreate(&self) -> Result<(), Error> {
        self.lose_producer();
        let deadline = self.clock.elapsed() + self.terms.init;
        let mut producer = self.cluster.producer(&self.transactional_id)?;
        loop {
            let error = match producer.init_transactions(CALL_SLICE) {
                Ok(()) => break,
                Err(error) => error,
            };
            match error.verdict {
                Verdict::Retriable if self.clock.elapsed() < deadline => self.pause(),
                // Fenced while it was initialised: the next attempt has the newer epoch.
                Verdict::Fenced | Verdict::Fatal if self.clock.elapsed() < deadline => {
                    self.note_fencing(&error)?;
                    producer = self.cluster.producer(&self.transactional_id)?;
                }
                _ => {
                    let id = &self.transactional_id;
                    let tried = format!("cannot initialise the transactional id {id}");
                    return Err(error.into_error(tried).recover_by(Recovery::Stop));
                }
            }
        }
        let mut inner = self.inner.borrow_mut();
        for (index, topic) in (0u32..).zip(inner.topics.clone()) {
            producer
                .register(index, &topic)
                .map_err(|e| e.into_error("cannot use the topic"))?;
        }
        inner.producer = Some(producer);
        Ok(())
    }

    /// Forgets the producer; what it had open is settled by the next one.
    pub(crate) fn lose_producer(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.producer = None;
        inner.open = false;
        inner.unclean = false;
        inner.first_refusal = None;
    }

    fn with_producer<R>(
        &self,
        call: impl FnOnce(&mut C::Producer) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        call(self.inner.borrow_mut().producer())
    }

    fn may_retry(&self, error: &BrokerError, deadline: Duration) -> bool {
        error.is_passing() && self.clock.elapsed() < deadline
    }

    fn pause(&self) {
        self.inner.borrow().pause.sleep(PAUSE);
    }

    /// The framework's error for a failed call; a fencing is counted.
    fn blame(&self, tried: &str, error: BrokerError) -> Error {
        if let Err(duplicate) = self.note_fencing(&error) {
            return duplicate;
        }
        error.into_error(format!(
            "{tried} (transactional id {})",
            self.transactional_id
        ))
    }

    /// It has not been sent, and cannot be.
    fn refused_output(&self, record: &OutgoingRecord<'_>, error: &BrokerError) -> Error {
        let topic = Arc::clone(&self.inner.borrow().topics[record.topic.0 as usize]);
        let message = format!("an output record for topic {topic} was refused: {error}");
        Error::new(ErrorKind::Production, message)
    }

    /// One fencing is routine (a transaction that timed out); many are a duplicate.
    fn note_fencing(&self, error: &BrokerError) -> Result<(), Error> {
        if error.verdict != Verdict::Fenced {
            return Ok(());
        }
        let now = self.clock.elapsed();
        let mut inner = self.inner.borrow_mut();
        inner.fenced_at.push_back(now);
        inner
            .fenced_at
            .retain(|at| now.saturating_sub(*at) <= FENCING_WINDOW);
        if inner.fenced_at.len() <= FENCINGS_MAX {
            return Ok(());
        }
        let id = &self.transactional_id;
        let message = format!(
            "transactional id {id} was fenced {} times within a minute: another running instance \
             uses it; give every instance its own instance.id",
            inner.fenced_at.len()
        );
        Err(Error::new(ErrorKind::Fenced, message))
    }
}

/// Why a batch cannot commit whose record was not delivered.
fn refused(refusal: &BrokerError) -> Error {
    let recovery = match refusal.verdict {
        Verdict::Refused => Recovery::Stop,
        _ => Recovery::Replay,
    };
    let message = format!("an output record was refused: {refusal}");
    let error = Error::new(ErrorKind::Production, message).recover_by(recovery);
    match recovery {
        Recovery::Stop => error.blaming(Blame::Batch),
        _ => error,
    }
}

impl<P> Inner<P> {
    fn producer(&mut self) -> &mut P {
        self.producer
            .as_mut()
            .expect("a lost producer is replaced before it is used")
    }
}

impl<C: Cluster> Collector for Transactor<C> {
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        let mut inner = self.inner.borrow_mut();
        if let Some(id) = inner.topic_ids.get(name) {
            return Ok(*id);
        }
        let index = u32::try_from(inner.topics.len()).expect("fewer than 2^32 topics");
        if let Some(producer) = inner.producer.as_mut() {
            let registered = producer.register(index, name);
            registered.map_err(|e| e.into_error(format!("cannot use topic {name}")))?;
        }
        let name: Arc<str> = Arc::from(name);
        inner.topics.push(Arc::clone(&name));
        inner.topic_ids.insert(name, TopicId(index));
        Ok(TopicId(index))
    }

    fn partitions(&self, topic: TopicId) -> Result<i32, Error> {
        let name = Arc::clone(&self.inner.borrow().topics[topic.0 as usize]);
        if let Some(count) = self.inner.borrow().partition_counts.get(&name) {
            return Ok(*count);
        }
        let counts = self
            .cluster
            .partition_counts(&[Arc::clone(&name)], self.terms.transaction);
        let counts = counts.map_err(|e| e.into_error(format!("cannot look up topic {name}")))?;
        let Some(count) = counts.get(&name).copied() else {
            let message = format!("output topic {name} does not exist; create it first");
            return Err(Error::new(ErrorKind::Topics, message));
        };
        self.inner.borrow_mut().partition_counts.insert(name, count);
        Ok(count)
    }

    fn check(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        let checked = self.inner.borrow_mut().producer().check(record);
        checked.map_err(|error| self.refused_output(record, &error))
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        let mut inner = self.inner.borrow_mut();
        if !inner.open {
            let message = "records can be forwarded and stores written only while a record or a \
                           punctuation is processed, not in init or close";
            return Err(Error::new(ErrorKind::Processing, message));
        }
        let mut deadline = None;
        loop {
            let Err(error) = inner.producer().send(record) else {
                let careful = inner.careful;
                drop(inner);
                return if careful {
                    self.deliver_alone()
                } else {
                    Ok(())
                };
            };
            let now = self.clock.elapsed();
            let until = *deadline.get_or_insert(now + self.terms.transaction);
            if error.verdict == Verdict::QueueFull && now < until {
                inner.producer().poll();
                inner.pause.sleep(PAUSE);
                continue;
            }
            let topic = Arc::clone(&inner.topics[record.topic.0 as usize]);
            drop(inner);
            return Err(match error.verdict {
                Verdict::Refused => self.refused_output(record, &error),
                // It failed for a record that was sent before, perhaps.
                Verdict::Abortable => self.reason(&format!("cannot send to topic {topic}"), error),
                _ => self.blame(&format!("cannot send to topic {topic}"), error),
            });
        }
    }
}

impl<C: Cluster> fmt::Debug for Transactor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transactor({})", self.transactional_id)
    }
}

#[cfg(test)]
mod tests;
