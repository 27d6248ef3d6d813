//! A record, or a punctuation, that may fail without taking its batch along.
//!
//! ```text
//!   hold ──> user code ──┬── done ──────────────> outputs released, writes kept
//!                        └── failed, panicked ──> outputs discarded, writes undone, new processors
//!                                                   └─ asked: given up │ again, later │ the batch fails
//! ```
//!
//! The batch is not aborted for it: neighbours of a poison record are processed once, in the same
//! transaction, and the record costs what it has done and what taking that back takes.
//!
//! # Invariants
//!
//! - Under [`FailureScope::Node`](crate::handler::FailureScope::Node) nothing is held or taken back:
//!   nodes are asked about one by one (`processor/guard`), and what is left is asked about here.
//! - Only where a handler may go on, or retries are allowed; else an error is the batch's, as without
//!   this module.
//! - A record that is done has put nothing off: processors are flushed after each, so that a record
//!   cache saves nothing here, and one record's failure costs no other's update.
//! - Only errors of user code and of serdes are a record's, and outputs that are too large. Those of
//!   broker and stores are the batch's, whatever the handler says.
//! - The task of a record that is tried again waits, and processes nothing meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::task::Task;
use crate::error::{Error, ErrorKind, panic_text};
use crate::handler::{Answer, Isolation, Stage};
use crate::processor::{Prepared, is_of_the_record};
use crate::record::{Offset, RawRecord};
use crate::topology::TaskChain;

/// What came of a record or a punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Done,
    /// Nothing of it stands.
    GivenUp,
    /// Nothing of it stands, and it is to be processed once more when the task goes on.
    Again,
    /// Nothing of it stands, and it is to be made once more at once: a record that waited in its way
    /// was given up. The task does that itself.
    Cleared,
}

/// A record that is tried again.
#[derive(Debug)]
pub(super) struct Retrying {
    at: (usize, Offset),
    /// How many attempts have failed.
    attempts: u32,
    due: Duration,
}

impl Task {
    /// Keeps what a handler would be shown of the record that is processed next.
    pub(crate) fn note(&self, raw: &RawRecord<'_>) {
        self.scope.input.borrow_mut().note(raw);
    }

    /// Whether one record can fail alone, and so has to be noted.
    pub(crate) fn isolates(&self) -> bool {
        self.isolation != Isolation::Batch
    }

    /// Whether its processors were made anew since this was last asked: no head is prepared then.
    pub(crate) fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.renewed)
    }

    /// When the record is tried again that the task waits for.
    pub(crate) fn retry_due(&self) -> Option<Duration> {
        let due = self.retrying.as_ref()?.due;
        (due > self.scope.clock.elapsed()).then_some(due)
    }

    /// Does what may fail; what failed alone is undone, and its handler asked.
    pub(super) fn attempt(
        &mut self,
        call: impl FnOnce(&TaskChain) -> Result<(), Error>,
    ) -> Result<Attempt, Error> {
        match self.isolation {
            Isolation::Batch => call(&self.chain).map(|()| Attempt::Done),
            Isolation::Record => self.attempt_whole(call),
            Isolation::Call => self.attempt_call(call),
        }
    }

    /// Nothing stays of what fails.
    fn attempt_whole(
        &mut self,
        call: impl FnOnce(&TaskChain) -> Result<(), Error>,
    ) -> Result<Attempt, Error> {
        let outbox = self.outbox.as_ref().map(Rc::clone);
        let outbox = outbox.expect("what can be taken back is held back");
        self.number_attempt();
        self.scope.forget_blamed();
        outbox.hold();
        self.scope.outlets.each(|outlet| outlet.hold());
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().hold();
        }
        self.scope.calls.hold();
        self.scope.node_times.hold();
        // What processors have put off is done with the record: new ones would not know of it.
        let attempt = || call(&self.chain).and_then(|()| self.flush_processors());
        match self.catch(attempt) {
            Ok(()) => {
                for slot in self.scope.stores.values() {
                    slot.store.borrow_mut().keep();
                }
                outbox.release(|record, behind| self.send_out(record, behind))?;
                self.forget_attempts();
                Ok(Attempt::Done)
            }
            Err(error) if is_of_the_record(&error) => {
                outbox.discard();
                self.scope.outlets.each(|outlet| outlet.undo());
                self.take_back()?;
                self.settle_taken_back(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What was done before the failure stays. Nodes have asked about theirs: this is for the calls
    /// that no node makes, and for sinks behind a source.
    fn attempt_call(
        &mut self,
        call: impl FnOnce(&TaskChain) -> Result<(), Error>,
    ) -> Result<Attempt, Error> {
        let outbox = self.outbox.as_ref().map(Rc::clone);
        if let Some(outbox) = &outbox {
            outbox.hold();
        }
        let failed = match self.catch(|| call(&self.chain)) {
            Ok(()) => None,
            Err(error) if is_of_the_record(&error) => Some(error),
            Err(error) => return Err(error),
        };
        if let Some(outbox) = outbox {
            outbox.release(|record, behind| self.send_out(record, behind))?;
        }
        match failed {
            None => Ok(Attempt::Done),
            Some(error) => self.settle(Stage::Processing, error),
        }
    }

    fn catch(&self, attempt: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let called = catch_unwind(AssertUnwindSafe(attempt));
        called.unwrap_or_else(|panic| {
            let message = format!("a processor panicked: {}", panic_text(&*panic));
            Err(self.blame_panic(Error::new(ErrorKind::Processing, message)))
        })
    }

    /// Nothing of it stands; it may have failed for another record than the one in process.
    fn settle_taken_back(&mut self, error: Error) -> Result<Attempt, Error> {
        let obstacle = self.scope.obstacle.take();
        let settled = self.settle(Stage::Processing, error);
        self.scope.blamed.take();
        match (settled?, obstacle) {
            (Attempt::GivenUp, Some(obstacle)) => {
                obstacle.clear_away()?;
                // Those that there are know of it.
                let schedules = self.scope.schedules.borrow().clone();
                self.new_processors(&schedules)?;
                Ok(Attempt::Cleared)
            }
            (attempt, _) => Ok(attempt),
        }
    }

    fn take_back(&mut self) -> Result<(), Error> {
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().undo()?;
        }
        self.scope.calls.undo();
        self.scope.node_times.undo();
        self.renewed = true;
        let schedules = self.scope.schedules.borrow().clone();
        self.new_processors(&schedules)
    }

    /// The bytes of a head cannot be read.
    pub(super) fn unreadable(
        &mut self,
        raw: &RawRecord<'_>,
        error: Error,
    ) -> Result<Prepared, Error> {
        self.note(raw);
        self.number_attempt();
        match self.settle(Stage::Deserialization, error)? {
            Attempt::Again => Ok(Prepared::Again),
            Attempt::Done | Attempt::GivenUp | Attempt::Cleared => Ok(Prepared::Dropped),
        }
    }

    /// Nothing of the record stands: asks what becomes of it.
    fn settle(&mut self, stage: Stage, error: Error) -> Result<Attempt, Error> {
        match self.scope.decide(stage, None, error) {
            Answer::Resume(letters, error) => {
                self.scope.go_on(stage, &letters, &error)?;
                self.forget_attempts();
                Ok(Attempt::GivenUp)
            }
            Answer::Retry(error) => {
                self.try_later(&error);
                Ok(Attempt::Again)
            }
            Answer::Fail(error) => Err(error),
        }
    }

    /// A handler may ask which attempt this is.
    fn number_attempt(&self) {
        let failed = self.retrying.as_ref();
        let failed = failed.filter(|retrying| self.scope.at.get() == Some(retrying.at));
        let attempt = failed.map_or(1, |retrying| retrying.attempts + 1);
        self.scope.attempt.set(attempt);
    }

    fn try_later(&mut self, error: &Error) {
        let attempts = self.scope.attempt.get();
        let pause = self.scope.handlers.retry.pause_after(attempts);
        tracing::warn!(%error, attempts, pause_ms = pause.as_millis(), "tried again later");
        let due = self.scope.clock.elapsed() + pause;
        let at = self.scope.at.get();
        self.retrying = at.map(|at| Retrying { at, attempts, due });
    }

    /// The record in process has its end.
    fn forget_attempts(&mut self) {
        let at = self.scope.at.get();
        self.retrying.take_if(|retrying| at == Some(retrying.at));
    }
}
