//! Results of asynchronous calls on their way into the batch.
//!
//! ```text
//!   process a record ──> results that are there ──> a punctuation is due? the rest of them
//!   commit ──> node by node: all results, what it holds back ──> offsets, transaction
//!          └── or those that are there, the others for the next batch: `left_over`
//! ```
//!
//! A result is an attempt of its own, as of the record that caused it: where failed records are
//! passed over, it is its results that are taken back, and its bytes that are buried. What its
//! record did before the call stays, as if a topic lay between.
//!
//! # Invariants
//!
//! - Where there is no room for calls, or no record but calls, the worker waits in slices: events and
//!   questions from outside, and a batch that has become old, wait for one of them, not for a call.
//! - A stream-time punctuation sees what it would see had every call been answered at once.
//! - After a flush no call is left, but for those of records that are of the next batch: none
//!   outlives its batch.

use std::time::Duration;

use super::task::Task;
use crate::error::Error;
use crate::processor::{Origin, Until};
use crate::record::Offset;

/// How long a worker waits for calls before it looks at its events and at the age of its batch.
const SLICE: Duration = Duration::from_millis(10);

impl Task {
    /// Forwards the results that are there.
    pub(super) fn take_results(&mut self) -> Result<(), Error> {
        self.take_results_until(Until::Ready)
    }

    /// Whether any of its nodes makes calls.
    pub(crate) fn makes_calls(&self) -> bool {
        !self.scope.calls.is_empty()
    }

    /// Forwards results until there is room for more calls, or for a [`SLICE`]; answers whether
    /// there is room.
    pub(crate) fn make_room(&mut self) -> Result<bool, Error> {
        self.await_results(Until::Room)
    }

    /// Forwards results until no call is left, or for a [`SLICE`]; answers whether none is.
    pub(crate) fn settle_calls(&mut self) -> Result<bool, Error> {
        self.await_results(Until::Done)
    }

    fn await_results(&mut self, until: Until) -> Result<bool, Error> {
        if self.scope.calls.is_empty() {
            return Ok(true);
        }
        let end = self.scope.clock.elapsed() + SLICE;
        loop {
            self.take_results()?;
            let nodes = self.scope.calls.nodes().into_iter();
            let mut queues = nodes.filter_map(|node| self.scope.calls.of(node));
            let Some(awaited) = queues.find(|calls| calls.awaits(until)) else {
                return Ok(true);
            };
            let now = self.scope.clock.elapsed();
            if now >= end {
                return Ok(false);
            }
            awaited.wait(end - now);
            self.waited += self.scope.clock.elapsed().saturating_sub(now);
        }
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
            calls.wait(Duration::MAX);
            self.waited += clock.elapsed().saturating_sub(began);
        }
    }

    /// How long calls were awaited since it was last asked.
    pub(crate) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    fn deliver(&mut self, node: usize, origin: Origin) -> Result<(), Error> {
        let present = self.scope.return_to(origin);
        if let Some(input) = origin.at.and_then(|at| self.kept.get(&at)) {
            self.scope.input.borrow_mut().clone_from(input);
        }
        // A call has retries of its own, and its record is done.
        self.scope.retries.set(false);
        let delivered = self.attempt(|chain| chain.processors[&node].borrow_mut().deliver());
        self.scope.retries.set(true);
        delivered?;
        self.scope.return_to(present);
        if self.front == Some(node) {
            self.delivered = origin.at;
        }
        Ok(())
    }

    /// Keeps what a handler would be shown of the record in process, for as long as results of its
    /// calls may fail.
    pub(super) fn keep_input(&mut self, at: (usize, Offset)) {
        if self.isolates() && !self.scope.calls.is_empty() {
            self.kept.insert(at, self.scope.input.borrow().clone());
        }
    }
}
