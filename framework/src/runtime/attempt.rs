//! A record, or a punctuation, that may fail without taking its batch along.
//!
//! ```text
//!   hold ──> user code ──┬── done ──────────────> outputs released, writes kept
//!                        └── failed, panicked ──> outputs discarded, writes undone, new processors
//! ```
//!
//! The batch is not aborted for it: neighbours of a poison record are processed once, in the same
//! transaction, and the record costs what it has done and what taking that back takes.
//!
//! # Invariants
//!
//! - Only where the handler says to go on; else an error is the batch's, as without this module.
//! - A record that is done has put nothing off: processors are flushed after each, so that a record
//!   cache saves nothing here, and one record's failure costs no other's update.
//! - Only errors of user code and of serdes are a record's. Those of broker and stores are the
//!   batch's, whatever the handler says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::task::Task;
use crate::error::{Error, ErrorKind, panic_text};
use crate::metrics::DropReason;
use crate::record::RawRecord;
use crate::topology::TaskChain;

impl Task {
    /// Does what may fail; answers the error if it did and is passed over.
    pub(super) fn attempt(
        &mut self,
        call: impl FnOnce(&TaskChain) -> Result<(), Error>,
    ) -> Result<Option<Error>, Error> {
        let Some(outbox) = self.outbox.as_ref().map(Rc::clone) else {
            return call(&self.chain).map(|()| None);
        };
        outbox.hold();
        self.scope.outlets.each(|outlet| outlet.hold());
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().hold();
        }
        self.scope.calls.hold();
        // What processors have put off is done with the record: new ones would not know of it.
        let attempt = || call(&self.chain).and_then(|()| self.flush_processors());
        let called = catch_unwind(AssertUnwindSafe(attempt));
        let outcome = called.unwrap_or_else(|panic| {
            let message = format!("a processor panicked: {}", panic_text(&*panic));
            Err(self.blame_panic(Error::new(ErrorKind::Processing, message)))
        });
        match outcome {
            Ok(()) => {
                for slot in self.scope.stores.values() {
                    slot.store.borrow_mut().keep();
                }
                outbox.release()?;
                Ok(None)
            }
            Err(error) if is_of_the_record(&error) => {
                outbox.discard();
                self.scope.outlets.each(|outlet| outlet.undo());
                self.take_back()?;
                tracing::warn!(%error, "given up");
                let node = error.node().unwrap_or_default();
                self.scope.dropped(node, DropReason::Processing);
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }

    fn take_back(&mut self) -> Result<(), Error> {
        for slot in self.scope.stores.values() {
            slot.store.borrow_mut().undo()?;
        }
        self.scope.calls.undo();
        let schedules = self.scope.schedules.borrow().clone();
        self.new_processors(&schedules)
    }

    /// Sends the bytes of a record that was given up to the topic of dead letters.
    pub(crate) fn bury(&self, raw: &RawRecord<'_>, error: &Error) -> Result<(), Error> {
        self.scope.bury(raw, error)
    }
}

fn is_of_the_record(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Processing | ErrorKind::Serialization
    )
}
