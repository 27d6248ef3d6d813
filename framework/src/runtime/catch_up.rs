//! A task whose external system is ahead of Kafka goes there before it goes on.
//!
//! ```text
//!   input a  ──●──●──●──|──○──○     | where the system is: its rows are of everything before
//!   input b  ──●──●·····|──○        a's ○ wait until b has processed what is left before its |
//! ```
//!
//! Between inputs the order of a replay is free. What the system holds was made of just the records
//! before the cut: were one from behind it processed first, its row would lack what the others
//! bring, and theirs, being before the cut, are left out.
//!
//! # Invariants
//!
//! - A task of one input, or without external sinks, has no cuts and pays nothing.
//! - A cut is passed for good only when Kafka has committed beyond it.

use super::active_task::{ActiveTask, Lane};
use crate::record::Offset;

/// How far an external system is, for each lane of a task.
#[derive(Debug)]
pub(super) struct Cut(Vec<Offset>);

impl Cut {
    fn is_before(&self, lane: usize, lanes: &[Lane]) -> bool {
        let (lane, cut) = (&lanes[lane], self.0[lane]);
        // At its end nothing is left before the cut: the last records there were compacted away.
        lane.resume_at() < cut && !(lane.queue.ahead() == 0 && lane.queue.is_at_end())
    }

    fn is_passed(&self, lanes: &[Lane]) -> bool {
        (0..lanes.len()).all(|lane| !self.is_before(lane, lanes))
    }
}

impl ActiveTask {
    /// Asks the external sinks how far their systems are.
    pub(super) fn cut_inputs(&mut self) {
        self.cuts.clear();
        if self.lanes.len() < 2 {
            return;
        }
        let (lanes, cuts) = (&self.lanes, &mut self.cuts);
        self.task.scope().outlets.each(|outlet| {
            let applied = outlet.applied();
            let next = lanes.iter().map(|lane| {
                let of_lane = applied
                    .iter()
                    .find(|applied| applied.topic_partition == lane.partition);
                of_lane.map_or(Offset::ZERO, |applied| applied.next)
            });
            cuts.push(Cut(next.collect()));
        });
    }

    /// Which lanes wait for others; empty if none does.
    #[inline]
    pub(super) fn held_back(&self) -> Vec<bool> {
        match self.cuts.is_empty() {
            true => Vec::new(),
            false => self.held_back_by_cuts(),
        }
    }

    #[cold]
    fn held_back_by_cuts(&self) -> Vec<bool> {
        let lanes = 0..self.lanes.len();
        let waits =
            |cut: &Cut, lane| !cut.is_before(lane, &self.lanes) && !cut.is_passed(&self.lanes);
        lanes
            .map(|lane| self.cuts.iter().any(|cut| waits(cut, lane)))
            .collect()
    }

    /// Forgets the cuts that are behind, once Kafka has committed.
    pub(super) fn drop_passed_cuts(&mut self) {
        let lanes = &self.lanes;
        self.cuts.retain(|cut| !cut.is_passed(lanes));
    }
}
