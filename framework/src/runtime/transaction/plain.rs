//! Batches without a transaction: at least once and at most once.
//!
//! ```text
//!   at least once   begin ─ process ─ deliver, every report checked ─ commit offsets ─ apply
//!                     ^                      │ failed                       │ refused
//!                     └── all that was sent has arrived or failed, processed again ──┘
//!
//!   at most once    reserve: commit offsets ─ begin ─ process, not waiting for an answer ─ apply
//!                      │ not answered                  │ failed
//!                      └── a new member of the group   └── the rest of the batch is skipped
//! ```
//!
//! # Invariants
//!
//! - **At least once: offsets last.** An offset is committed when the outputs and changelogs of
//!   all records before it are acknowledged by all in-sync replicas. A late commit, or one sent
//!   twice, can only move the group back.
//! - **Nothing of an attempt is on its way when the next one begins**: an old changelog record that
//!   arrives after a newer one would outlive it. What cannot be waited for goes with its producer.
//! - **At most once: offsets first.** A record is processed only when the broker has said that the
//!   offset after it is committed, and nothing is sent a second time.
//! - A commit that was not answered is never followed by another of the same member: if the first
//!   arrived last, the group would move back over records that are processed.
//!
//! What may be half-done when a worker dies is told, point by point, in `ARCHITECTURE.md`.

use std::time::Duration;

use super::{FLUSH_SLICE, Outcome, Transactor};
use crate::broker::{BrokerError, Cluster, Committed, GroupConsumer, Producer, Verdict};
use crate::config::Guarantee;
use crate::error::{Error, ErrorKind, Recovery};
use crate::record::TopicPartition;
use crate::runtime::probe::BatchPoint;

impl<C: Cluster> Transactor<C> {
    /// At least once: commits the offsets once everything that led to them is delivered.
    pub(super) fn commit_delivered(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
        deadline: Duration,
    ) -> Outcome {
        self.probe.reach(BatchPoint::BeforeSendOffsets);
        if let Err(error) = self.deliver(deadline) {
            return self.not_committed(error);
        }
        self.probe.reach(BatchPoint::BeforeCommit);
        match self.commit_offsets(offsets, consumer, deadline) {
            // It may be committed or not: processing the batch again is right either way.
            Outcome::Unknown(error) => self.not_committed(error.recover_by(Recovery::Replay)),
            Outcome::NotCommitted(error) => self.not_committed(error),
            outcome => outcome,
        }
    }

    /// At most once: commits the offsets after records that nobody has looked at yet.
    pub(crate) fn reserve(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
    ) -> Outcome {
        self.probe.reach(BatchPoint::BeforeSendOffsets);
        let deadline = self.clock.elapsed() + self.terms.transaction;
        let outcome = self.commit_offsets(offsets, consumer, deadline);
        if let Outcome::Committed = outcome {
            // Taken away while the answer was on its way: the records are lost, which is allowed.
            if let Err(outcome) = self.membership(consumer) {
                return outcome;
            }
            self.probe.reach(BatchPoint::AfterSendOffsets);
        }
        outcome
    }

    /// At most once: the offsets are committed, and what was sent is not asked about.
    pub(super) fn commit_reserved(&self) -> Outcome {
        self.probe.reach(BatchPoint::BeforeCommit);
        self.has_delivery_error();
        if let Some(error) = self.inner.borrow_mut().first_refusal.take() {
            tracing::warn!(%error, "output records are lost");
        }
        Outcome::Committed
    }

    /// Waits, before partitions are given up, until what was sent without being waited for is out.
    pub(crate) fn drain(&self) {
        let deadline = self.clock.elapsed() + self.terms.transaction;
        let sends = self.inner.borrow().producer.is_some();
        if let Some(error) = sends.then(|| self.deliver(deadline).err()).flatten() {
            tracing::warn!(%error, "output records are lost");
        }
    }

    /// Ends the batch of tasks that are, or may be, somebody else's.
    ///
    /// # Errors
    ///
    /// As [`abort`](Self::abort).
    pub(crate) fn give_up(&self) -> Result<(), Error> {
        if self.terms.guarantee == Guarantee::ExactlyOnceV2 {
            return self.abort();
        }
        // What has not left yet had better not: it could overwrite what the next owner writes.
        if self.is_open() {
            self.lose_producer();
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    fn deliver(&self, deadline: Duration) -> Result<(), Error> {
        loop {
            let flushed = self.with_producer(|producer| producer.flush(FLUSH_SLICE));
            let flushed = flushed.map_err(|error| self.blame("cannot deliver the batch", error))?;
            if self.has_delivery_error() {
                return Err(self.refusal());
            }
            if flushed {
                return Ok(());
            }
            if self.clock.elapsed() >= deadline {
                let limit_ms = self.terms.transaction.as_millis();
                let message = format!("the batch was not delivered within {limit_ms} ms");
                let error = Error::new(ErrorKind::Unreachable, message);
                return Err(error.recover_by(Recovery::Replay));
            }
        }
    }

    fn refusal(&self) -> Error {
        let refusal = self.inner.borrow_mut().first_refusal.take();
        super::refused(&refusal.expect("a refusal was seen"))
    }

    /// Commits offsets with the membership as it is now: a zombie is refused here.
    fn commit_offsets(
        &self,
        offsets: &[(TopicPartition, Committed)],
        consumer: &C::Consumer,
        deadline: Duration,
    ) -> Outcome {
        loop {
            if let Err(outcome) = self.membership(consumer) {
                return outcome;
            }
            let left = deadline.saturating_sub(self.clock.elapsed());
            let Err(error) = consumer.commit(offsets, left) else {
                return Outcome::Committed;
            };
            match error.verdict {
                Verdict::Retriable if self.clock.elapsed() < deadline => self.pause(),
                Verdict::Fenced => return self.outdated(error),
                Verdict::Fatal => {
                    let error = error.into_error("the outcome of a commit is unknown");
                    return Outcome::Unknown(error.recover_by(Recovery::Restore));
                }
                _ => return Outcome::NotCommitted(error.into_error("cannot commit the offsets")),
            }
        }
    }

    fn outdated(&self, error: BrokerError) -> Outcome {
        let message = format!("the group has gone on without this worker: {error}");
        self.not_member(Error::new(ErrorKind::Assignment, message))
    }
}
