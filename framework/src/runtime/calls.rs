//! Results of asynchronous calls on their way into the batch.
//!
//! ```text
//!   process a record ──> results that are there ──> a punctuation is due? the rest of them
//!   commit ──> node by node: all results, what it holds back ──> offsets, transaction
//! ```
//!
//! A result is an attempt of its own, as of the record that caused it: where failed records are
//! passed over, it is its results that are taken back, and its bytes that are buried. What its
//! record did before the call stays, as if a topic lay between.
//!
//! # Invariants
//!
//! - A stream-time punctuation sees what it would see had every call been answered at once.
//! - After a flush no call is left, so none outlives its batch.

use std::time::Duration;

use super::task::Task;
use crate::error::Error;
use crate::processor::{Origin, Until};
use crate::record::Offset;

/// A call, or what followed from its result, that failed and was passed over.
#[derive(Debug)]
pub(crate) struct FailedCall {
    /// The input and the offset of its record; none if a punctuation caused it.
    pub(crate) at: Option<(usize, Offset)>,
    pub(crate) error: Error,
}

impl Task {
    /// Forwards the results that are there, and awaits others where there is no room for calls.
    pub(super) fn take_results(&mut self) -> Result<(), Error> {
        self.take_results_until(Until::Room)
    }

    /// Forwards all results.
    pub(super) fn finish_calls(&mut self) -> Result<(), Error> {
        self.take_results_until(Until::Done)
    }

    fn take_results_until(&mut self, until: Until) -> Result<(), Error> {
        if self.scope.calls.is_empty() {
            return Ok(());
        }
        // A node's results may be calls of a later one, never of an earlier one.
        let mut nodes = self.scope.calls.nodes().into_iter();
        nodes.try_for_each(|node| self.take_results_of(node, until))
    }

    /// Forwards the results of one node.
    pub(super) fn take_results_of(&mut self, node: usize, until: Until) -> Result<(), Error> {
        while let Some(origin) = self.next_result(node, until) {
            self.deliver(node, origin)?;
        }
        Ok(())
    }

    /// Where the next result comes from, awaited if need be; the wait is not work.
    fn next_result(&mut self, node: usize, until: Until) -> Option<Origin> {
        let calls = self.scope.calls.of(node)?;
        let clock = &self.scope.clock;
        loop {
            let ready = calls.ready();
            if ready.is_some() || !calls.awaits(until) {
                return ready;
            }
            let began = clock.elapsed();
            calls.wait();
            self.waited += clock.elapsed().saturating_sub(began);
        }
    }

    /// How long calls were awaited since it was last asked.
    pub(crate) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    fn deliver(&mut self, node: usize, origin: Origin) -> Result<(), Error> {
        let present = self.scope.return_to(origin);
        let given_up = self.attempt(|chain| chain.processors[&node].borrow_mut().deliver())?;
        self.scope.return_to(present);
        if let Some(error) = given_up {
            let at = origin.at;
            self.failed_calls.push(FailedCall { at, error });
        }
        Ok(())
    }

    /// What was passed over since it was last asked: no head is prepared any more if there is any.
    pub(crate) fn take_failed_calls(&mut self) -> Vec<FailedCall> {
        std::mem::take(&mut self.failed_calls)
    }
}
