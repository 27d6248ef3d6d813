//! A task with its input: the queues of its partitions, and the choice of the next record.
//!
//! # Invariants
//!
//! - Records of one partition are processed in the order of their offsets; between partitions
//!   the head with the lowest timestamp goes first, the lower input on a tie. While an input is
//!   awaited (see [`idle`](super::idle)) none does.
//! - A queue forgets a record only when the batch that processed it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::catch_up::Cut;
use super::idle::Idle;
use super::metadata::{OffsetMetadata, Stamp};
use super::task::Task;
use crate::broker::{Committed, RecordQueue};
use crate::error::Error;
use crate::metrics::Drops;
use crate::processor::{Passed, Prepared, PunctuationKind};
use crate::record::{Offset, TaskId, TopicPartition};
use crate::time::Timestamp;

/// One input partition of a task.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) partition: TopicPartition,
    /// Its index in the consumer's assignment.
    pub(crate) fetch_index: usize,
    /// Which input of the task it is.
    pub(crate) input: usize,
    pub(crate) queue: RecordQueue,
    /// Where consumption goes on as of the last commit.
    pub(crate) committed: Offset,
    /// Whether the others wait for it while it is empty.
    pub(super) idle: Idle,
    /// The timestamp and offset of the head, once it is prepared.
    prepared: Option<(Timestamp, Offset)>,
}

impl Lane {
    pub(crate) fn new(
        partition: TopicPartition,
        fetch_index: usize,
        input: usize,
        committed: Offset,
    ) -> Self {
        let queue = RecordQueue::default();
        Lane {
            partition,
            fetch_index,
            input,
            queue,
            committed,
            idle: Idle::default(),
            prepared: None,
        }
    }

    /// Where consumption goes on after the open batch.
    pub(super) fn resume_at(&self) -> Offset {
        self.queue.resume_at().unwrap_or(self.committed)
    }

    /// Where consumption goes on after everything that was fetched.
    fn end(&self) -> Offset {
        self.queue.end().unwrap_or(self.committed)
    }

    /// Whether it is empty, and the others are to wait for it.
    fn is_awaited(&self) -> bool {
        self.queue.ahead() == 0 && self.idle.is_awaited()
    }
}

/// What there is to process.
enum Pick {
    /// The head of this lane, which is prepared: its timestamp and offset.
    Lane(usize, Timestamp, Offset),
    /// A head that was dropped instead.
    Dropped,
    Nothing,
}

/// What came of processing the next record.
pub(crate) enum Progress {
    /// A record was processed, or dropped.
    Done,
    /// The next record cannot be read: nothing of it has happened.
    Unreadable(Error),
    /// No record is there.
    Idle,
    /// There is no room for the calls of another.
    Waits,
}

/// What becomes of the calls in flight when a batch closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenCalls {
    /// Their results are the batch's.
    Finish,
    /// They are left to the next batch, where that can be.
    Leave,
}

/// A task that a worker owns.
pub(crate) struct ActiveTask {
    pub(crate) task: Task,
    pub(crate) lanes: Vec<Lane>,
    /// Whether its stores are restored and its processors initialised.
    pub(crate) running: bool,
    /// Of the last batch that was committed, by whichever worker.
    last: Stamp,
    /// Of the batch that is open, or of the next one.
    next: Stamp,
    /// Whether the open batch, or the next one, did anything here.
    touched: bool,
    /// Whether what was fetched is committed before it is processed.
    reserved: bool,
    /// How far external systems are, while they may be ahead of Kafka.
    pub(super) cuts: Vec<Cut>,
}

impl ActiveTask {
    /// A task of this worker, after the batch that was committed `last`.
    pub(crate) fn new(task: Task, lanes: Vec<Lane>, last: Stamp, worker: i64) -> Self {
        ActiveTask {
            task,
            lanes,
            running: false,
            last,
            next: last.next(worker),
            touched: false,
            reserved: false,
            cuts: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Gets the stores ready for the next records.
    pub(crate) fn look_ahead(&self, records_max: usize) {
        for lane in &self.lanes {
            self.task.look_ahead(&lane.queue.keys_ahead(records_max));
        }
    }

    /// Processes the next record.
    pub(crate) fn process_next(&mut self) -> Result<Progress, Error> {
        if self.lanes.len() == 1
            && self.cuts.is_empty()
            && self.task.is_plain()
            && let Some(progress) = self.pass_next()?
        {
            return Ok(progress);
        }
        if self.task.makes_calls() {
            let has_room = self.task.make_room()?;
            self.forget_renewed();
            if !has_room {
                return Ok(Progress::Waits);
            }
        }
        let (next, timestamp, offset) = match self.pick() {
            Ok(Pick::Lane(next, timestamp, offset)) => (next, timestamp, offset),
            Ok(Pick::Dropped) => return Ok(Progress::Done),
            Ok(Pick::Nothing) => return Ok(Progress::Idle),
            Err(error) => return Ok(Progress::Unreadable(error)),
        };
        let lane = &mut self.lanes[next];
        lane.prepared = None;
        self.touched = true;
        if self.task.isolates() {
            let raw = lane.queue.head().expect("a picked head is there");
            self.task.note(&raw);
        }
        let attempt = self.task.process(lane.input, offset, timestamp)?;
        if attempt != Attempt::Again {
            lane.queue.advance();
        }
        self.forget_renewed();
        match attempt {
            Attempt::Done | Attempt::GivenUp => Ok(Progress::Done),
            // The task waits until it is due, and what came before it is committed.
            Attempt::Again => Ok(Progress::Idle),
            Attempt::Cleared => unreachable!("a task makes such an attempt again itself"),
        }
    }

    /// The short way, where there is nothing to choose from, nor a record to isolate; none if it
    /// cannot be read.
    fn pass_next(&mut self) -> Result<Option<Progress>, Error> {
        let lane = &mut self.lanes[0];
        let Some(raw) = lane.queue.head() else {
            return Ok(Some(Progress::Idle));
        };
        let touched = std::mem::replace(&mut self.touched, true);
        if self.task.pass(lane.input, &raw)? == Passed::Unreadable {
            self.touched = touched;
            return Ok(None);
        }
        lane.queue.advance();
        Ok(Some(Progress::Done))
    }

    /// Where the nodes are new, no head is prepared any more.
    fn forget_renewed(&mut self) {
        if self.task.take_renewed() {
            self.lanes.iter_mut().for_each(|lane| lane.prepared = None);
        }
    }

    /// Goes on with the calls of the records that are processed; answers whether none is left.
    pub(crate) fn settle_calls(&mut self) -> Result<bool, Error> {
        let settled = self.task.settle_calls()?;
        self.forget_renewed();
        Ok(settled)
    }

    /// Has the task finish what it has put off, before the batch is committed.
    pub(crate) fn flush(&mut self, calls: OpenCalls) -> Result<(), Error> {
        match calls {
            OpenCalls::Finish => self.task.flush()?,
            OpenCalls::Leave => self.task.flush_finished()?,
        }
        self.forget_renewed();
        Ok(())
    }

    /// The lane whose head has the lowest timestamp; a head that is dropped is passed over.
    fn pick(&mut self) -> Result<Pick, Error> {
        if self.lanes.len() == 1 && self.cuts.is_empty() {
            return self.pick_only();
        }
        let mut best: Option<(Timestamp, Offset, usize)> = None;
        let held_back = self.held_back();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if held_back.get(index) == Some(&true) {
                continue;
            }
            if lane.prepared.is_none() {
                let Some(raw) = lane.queue.head() else {
                    if lane.idle.is_awaited() && !self.reserved {
                        return Ok(Pick::Nothing);
                    }
                    continue;
                };
                match self.task.prepare(lane.input, &raw)? {
                    Prepared::At(timestamp) => lane.prepared = Some((timestamp, raw.offset)),
                    Prepared::Dropped => {
                        lane.queue.advance();
                        self.touched = true;
                        return Ok(Pick::Dropped);
                    }
                    Prepared::Again => return Ok(Pick::Nothing),
                }
            }
            let Some((timestamp, offset)) = lane.prepared else {
                continue;
            };
            if best.is_none_or(|(lowest, _, _)| timestamp < lowest) {
                best = Some((timestamp, offset, index));
            }
        }
        Ok(best.map_or(Pick::Nothing, |(timestamp, offset, index)| {
            Pick::Lane(index, timestamp, offset)
        }))
    }

    /// As [`pick`](Self::pick), where there is nothing to choose from.
    fn pick_only(&mut self) -> Result<Pick, Error> {
        let lane = &mut self.lanes[0];
        let Some(raw) = lane.queue.head() else {
            return Ok(Pick::Nothing);
        };
        match self.task.prepare(lane.input, &raw)? {
            Prepared::At(timestamp) => Ok(Pick::Lane(0, timestamp, raw.offset)),
            Prepared::Dropped => {
                lane.queue.advance();
                self.touched = true;
                Ok(Pick::Dropped)
            }
            Prepared::Again => Ok(Pick::Nothing),
        }
    }

    /// Makes the wall-clock calls that are due; answers how many.
    pub(crate) fn punctuate(&mut self) -> Result<usize, Error> {
        let calls = self.task.punctuate(PunctuationKind::WallClock)?;
        self.forget_renewed();
        self.touched |= calls > 0;
        Ok(calls)
    }

    /// Records that were fetched and can be processed.
    pub(crate) fn has_records(&self) -> bool {
        let held_back = self.held_back();
        let fetched = || {
            let mut lanes = (0..).zip(&self.lanes);
            lanes.any(|(index, lane)| lane.queue.ahead() > 0 && held_back.get(index) != Some(&true))
        };
        let waits = || self.task.retry_due().is_some();
        self.running && fetched() && (self.reserved || !self.is_waiting()) && !waits()
    }

    /// Whether nothing is processed until more of an input has arrived.
    fn is_waiting(&self) -> bool {
        self.lanes.iter().any(Lane::is_awaited)
    }

    /// When it stops waiting for an input, or for another attempt at a record, if that is a matter of
    /// time.
    pub(crate) fn idle_until(&self) -> Option<Duration> {
        let awaited = self.lanes.iter().filter(|lane| lane.is_awaited());
        let awaited = awaited.filter_map(|lane| lane.idle.until());
        awaited.chain(self.task.retry_due()).min()
    }

    /// Bytes held for a replay of the open batch.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| lane.queue.retained_bytes())
            .sum()
    }

    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// What the open batch commits for this task: each partition's position, the next stamp.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (TopicPartition, Committed)> + '_ {
        let touched = self.lanes.iter().filter(|_| self.touched);
        let left = self.task.left_from();
        touched.map(move |lane| self.position(lane, left.unwrap_or(lane.resume_at())))
    }

    /// What is committed before anything fetched is processed: the position after all of it, with
    /// the times as they are before. A task that waits reserves nothing: it would not be processed.
    pub(crate) fn reservations(&self) -> impl Iterator<Item = (TopicPartition, Committed)> + '_ {
        let waiting = self.is_waiting();
        self.lanes.iter().map(move |lane| {
            let offset = if waiting {
                lane.resume_at()
            } else {
                lane.end()
            };
            self.position(lane, offset)
        })
    }

    fn position(&self, lane: &Lane, offset: Offset) -> (TopicPartition, Committed) {
        let partition_time = self.task.partition_time(lane.input);
        let metadata = OffsetMetadata::new(partition_time, self.next);
        let metadata = metadata.with_node_times(&self.task.node_times());
        let metadata = metadata.encode();
        (lane.partition.clone(), Committed { offset, metadata })
    }

    /// The reservations are committed: what was fetched is this batch.
    pub(crate) fn reserve(&mut self) {
        self.touched = true;
        self.reserved = !self.is_waiting();
    }

    /// The broker has committed the open batch.
    pub(crate) fn committed(&mut self) -> Result<Drops, Error> {
        if !self.touched {
            return Ok(Drops::new());
        }
        let left = self.task.left_from();
        for lane in &mut self.lanes {
            lane.committed = left.unwrap_or(lane.resume_at());
            match left {
                Some(from) => lane.queue.commit_below(from),
                None => lane.queue.commit(),
            }
            self.task.acquit_below(lane.input, lane.committed);
            if !self.task.left_out.is_empty() {
                self.task.forget_left_out(lane.input, lane.committed);
            }
        }
        self.drop_passed_cuts();
        self.next_batch();
        // What is left over is of the next batch, whatever else that will hold.
        self.touched = left.is_some();
        self.task.committed()
    }

    fn next_batch(&mut self) {
        self.last = self.next;
        self.next = self.last.next(self.last.worker);
        self.touched = false;
        self.reserved = false;
    }

    /// The open batch has failed: its records are next again, unless they were reserved.
    pub(crate) fn rolled_back(&mut self) -> Result<(), Error> {
        if self.reserved {
            return self.skipped();
        }
        if !self.touched && self.lanes.iter().all(|lane| lane.prepared.is_none()) {
            return Ok(());
        }
        for lane in &mut self.lanes {
            lane.queue.rewind();
            lane.prepared = None;
        }
        self.touched = false;
        self.task.rolled_back()
    }

    /// The open batch was reserved and has failed: it counts as processed, and changes no state.
    fn skipped(&mut self) -> Result<(), Error> {
        for lane in &mut self.lanes {
            while lane.queue.ahead() > 0 {
                lane.queue.advance();
            }
            lane.committed = lane.resume_at();
            lane.queue.commit();
            lane.prepared = None;
        }
        self.next_batch();
        self.task.rolled_back()
    }

    /// What is worth keeping when the partitions are taken away: the task and where it stood.
    pub(crate) fn park(self) -> ParkedTask {
        assert!(
            !self.touched,
            "a batch is committed or aborted before its task is parked"
        );
        self.task.close_external();
        let positions = self
            .lanes
            .iter()
            .map(|l| (l.partition.clone(), l.committed))
            .collect();
        ParkedTask {
            task: self.task,
            running: self.running,
            positions,
            last: self.last,
        }
    }
}

/// A task whose partitions were taken: as good as new if nobody committed in between.
pub(crate) struct ParkedTask {
    task: Task,
    running: bool,
    positions: BTreeMap<TopicPartition, Offset>,
    last: Stamp,
}

impl ParkedTask {
    pub(crate) fn id(&self) -> TaskId {
        self.task.id()
    }

    /// The task, if its stores hold exactly what the group has committed.
    pub(crate) fn resume(
        self,
        positions: &BTreeMap<TopicPartition, Offset>,
        last: Stamp,
    ) -> Option<Task> {
        let current = self.running && self.last == last && self.positions == *positions;
        current.then_some(self.task)
    }

    /// Ends the task for good.
    pub(crate) fn close(self) {
        if self.running {
            self.task.close();
        }
    }
}

impl std::fmt::Debug for ActiveTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topics: Vec<&Arc<str>> = self
            .lanes
            .iter()
            .map(|lane| &lane.partition.topic)
            .collect();
        write!(
            f,
            "ActiveTask({}, {topics:?}, running: {})",
            self.id(),
            self.running
        )
    }
}
