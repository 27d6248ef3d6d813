//! Calls that a batch leaves to the next, so that calls go on while it is committed.
//!
//! ```text
//!   offsets ───────────────────────────────────────────────────────────────>
//!   [ results forwarded: this batch | calls in flight: the next │ not read ]
//!                                   ^ position and time that are committed
//! ```
//!
//! A batch that waits for its last calls and then for the broker has none in flight meanwhile, for a
//! quarter of its time. So one that is closed for its age, with more records there, ends at the first
//! record whose call is in flight: that record and those behind it are of the next batch, whose
//! results they become. They have done nothing yet but start calls, which is what makes this right,
//! and why it is only done where all records of a task come from one partition and go through
//! nothing stateful before their call ([`Topology::front_calls`](crate::topology::Topology)).
//!
//! | if it ends there | of the calls left over |
//! |---|---|
//! | the batch is aborted, or its commit | dropped with the rest; their records are processed again |
//! | crash, before or after the commit | gone with the process; the successor begins at the first |
//! | the next batch is aborted | dropped; the kept records are processed again from the first on |
//! | partitions revoked, application closed | finished, in one more batch |
//! | partitions lost | dropped; whoever has them begins at the first |
//!
//! # Invariants
//!
//! - A record is of one batch: that of all its results.
//! - What is committed, position, partition time and drops, is as if nothing behind the position had
//!   been read.

use std::time::Duration;

use super::task::Task;
use crate::error::Error;
use crate::processor::{Origin, Until};
use crate::record::Offset;
use crate::time::Timestamp;

/// Where the next batch begins, though its records have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOver {
    /// Of the first record with a call in flight.
    pub(super) from: Offset,
    /// The partition time before that record.
    pub(super) time: Timestamp,
}

impl Task {
    /// As [`flush`](Self::flush), but leaves calls to the next batch where it can.
    pub(crate) fn flush_finished(&mut self) -> Result<(), Error> {
        match self.front.filter(|_| self.may_leave_calls()) {
            Some(front) => self.flush_behind(front),
            None => self.flush(),
        }
    }

    /// Not where records can fail alone, nor where rows wait for a database: both know their records
    /// by position.
    fn may_leave_calls(&self) -> bool {
        !self.isolates() && self.condemned.is_empty() && self.scope.outlets.is_empty()
    }

    fn flush_behind(&mut self, front: usize) -> Result<(), Error> {
        self.left_over = None;
        let nodes: Vec<usize> = self.chain.processors.keys().copied().collect();
        for node in nodes {
            if node == front {
                self.left_over = self.finish_records(front)?;
            } else {
                self.take_results_of(node, Until::Done)?;
            }
            self.chain.processors[&node].borrow_mut().flush()?;
        }
        self.take_waited();
        Ok(())
    }

    /// Takes the results that are there, and awaits those of a record of which some are taken.
    fn finish_records(&mut self, front: usize) -> Result<Option<LeftOver>, Error> {
        let Some(calls) = self.scope.calls.of(front) else {
            return Ok(None);
        };
        loop {
            self.take_results_of(front, Until::Ready)?;
            let Some(first) = calls.first() else {
                return Ok(None);
            };
            let left_over = left_over(first);
            if left_over.is_some_and(|left| !self.is_begun(left.from)) {
                return Ok(left_over);
            }
            calls.wait(Duration::MAX);
        }
    }

    /// Whether the open batch holds something of this record, or of one behind it.
    fn is_begun(&self, record: Offset) -> bool {
        let at = self.delivered.max(self.scope.dropped_at.get());
        at.is_some_and(|(_, offset)| record <= offset)
    }

    /// Where the batch ends, if it leaves calls to the next.
    pub(crate) fn left_from(&self) -> Option<Offset> {
        self.left_over.map(|left| left.from)
    }
}

fn left_over(first: Origin) -> Option<LeftOver> {
    let (_, from) = first.at?;
    let time = first.time_before;
    Some(LeftOver { from, time })
}
