//! An output that the broker refuses after it was sent: which one it was, and the batch without it.
//!
//! ```text
//!   batch ── refused ──> abort, replay carefully: each output waits for the one before it
//!                           └─ refused ──> asked: stop │ leave it out ──> abort, replay without it
//!                                                                            └─ committed: carefree
//! ```
//!
//! A transaction one of whose records was refused can only be aborted, and librdkafka tells of all
//! records that travelled in one batch with it that they were refused. So it is found by sending the
//! records of that batch one by one, which takes a round trip each: until what had failed is committed.
//!
//! # Invariants
//!
//! - An output is known by the input record that it came from and by its bytes: what is refused is
//!   refused again, however often and in whichever order a replay makes it.
//! - Each further replay leaves out one output more, and of a record at most
//!   [`REFUSED_MAX`]: it ends.

use std::collections::BTreeMap;

use super::active_task::ActiveTask;
use super::task::Task;
use super::worker::{TURN_RECORDS_FIRST, Worker};
use crate::broker::Cluster;
use crate::error::{Error, Recovery};
use crate::handler::{Answer, DeadLetter};
use crate::metrics::DropReason;
use crate::processor::{Collector, OutgoingRecord, TopicId};
use crate::record::{Offset, TopicPartition};

/// Of more refused outputs of one record than this, user code makes new ones in each attempt.
const REFUSED_MAX: usize = 1_000;

/// Outputs to do without, by input and offset of the record that they came from.
pub(super) type LeftOut = BTreeMap<(usize, Offset), Vec<Refused>>;

/// What is left of an output.
#[derive(Debug)]
pub(super) struct Refused {
    topic: TopicId,
    partition: Option<i32>,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    letters: Vec<DeadLetter>,
}

impl Refused {
    fn of(record: &OutgoingRecord<'_>, letters: Vec<DeadLetter>) -> Self {
        Refused {
            topic: record.topic,
            partition: record.partition,
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            letters,
        }
    }

    fn is(&self, record: &OutgoingRecord<'_>) -> bool {
        self.topic == record.topic
            && self.partition == record.partition
            && self.key.as_deref() == record.key
            && self.value.as_deref() == record.value
    }
}

/// What has to be committed before outputs travel together again.
pub(super) type Careful = BTreeMap<TopicPartition, Offset>;

impl Task {
    /// Sends an output of a record that is done.
    pub(super) fn send_out(
        &mut self,
        record: &OutgoingRecord<'_>,
        collector: &dyn Collector,
    ) -> Result<(), Error> {
        if let Some(refused) = self.refused(record) {
            self.scope.bury(&refused.letters)?;
            self.drop_output(record.topic, None);
            return Ok(());
        }
        let Err(error) = collector.send(record) else {
            return Ok(());
        };
        let sent = error.is_undelivered();
        match self.scope.decide_late(record, error) {
            Answer::Resume(letters, error) if sent => Err(self.leave_out(record, letters, error)),
            Answer::Resume(letters, error) => {
                self.scope.bury(&letters)?;
                self.drop_output(record.topic, Some(&error));
                Ok(())
            }
            Answer::Retry(error) | Answer::Fail(error) => Err(error.settled()),
        }
    }

    fn refused(&self, record: &OutgoingRecord<'_>) -> Option<&Refused> {
        if self.left_out.is_empty() {
            return None;
        }
        let of_input = self.left_out.get(&self.scope.at.get()?)?;
        of_input.iter().find(|refused| refused.is(record))
    }

    fn drop_output(&self, topic: TopicId, error: Option<&Error>) {
        let sink = self.scope.sink(topic);
        let node = sink.as_ref().map_or("", |sink| &sink.node);
        match error {
            Some(error) => self.scope.given_up(node, DropReason::Production, error),
            None => self.scope.dropped(node, DropReason::Production),
        }
    }

    /// The transaction that it was sent in is lost: the next one does without it.
    fn leave_out(
        &mut self,
        record: &OutgoingRecord<'_>,
        letters: Vec<DeadLetter>,
        error: Error,
    ) -> Error {
        let Some(at) = self.scope.at.get() else {
            let what = "an output of a punctuation cannot be left out";
            return error.told_with(what).settled();
        };
        let of_input = self.left_out.entry(at).or_default();
        if of_input.len() >= REFUSED_MAX {
            let what = "the outputs of a record are not the same in each attempt";
            return error.told_with(what).settled();
        }
        of_input.push(Refused::of(record, letters));
        error.recover_by(Recovery::Replay)
    }

    /// What an input has committed is not processed again.
    pub(super) fn forget_left_out(&mut self, input: usize, below: Offset) {
        self.left_out
            .retain(|(of, offset), _| *of != input || *offset >= below);
    }
}

impl<C: Cluster> Worker<C> {
    /// A batch that failed for an output, but which? It is processed again to find out, if somebody
    /// would go on without it.
    pub(super) fn look_closer(&mut self, error: Error) -> Error {
        if !error.is_undelivered() {
            return error;
        }
        if error.recovery() == Recovery::Replay {
            // One output less: that is no repetition.
            self.replays = super::settle::Replays::default();
            return error;
        }
        let goes_on = !self.settings.config.on_refused_output().only_fails();
        if !goes_on || self.careful.is_some() || error.is_settled() {
            return error;
        }
        let positions = self.tasks.iter().flat_map(ActiveTask::offsets);
        let until = positions.map(|(partition, committed)| (partition, committed.offset));
        self.careful = Some(until.collect());
        self.turn_records = TURN_RECORDS_FIRST;
        self.transactor.be_careful(true);
        error.recover_by(Recovery::Replay)
    }

    /// Outputs travel together again once all is committed that had failed.
    pub(super) fn relax(&mut self) {
        let Some(until) = &self.careful else { return };
        let lanes = self.tasks.iter().flat_map(|active| &active.lanes);
        let is_behind = |partition, committed| {
            let until = until.get(partition);
            until.is_some_and(|until| committed < *until)
        };
        let mut lanes = lanes.map(|lane| (&lane.partition, lane.committed));
        if lanes.any(|(partition, committed)| is_behind(partition, committed)) {
            return;
        }
        self.careful = None;
        self.transactor.be_careful(false);
    }
}
