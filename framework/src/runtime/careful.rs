//! An output that the broker refuses after it was sent: which one it was, and the batch without it.
//!
//! ```text
//!   batch ── refused ──> abort, halve (see `bisect`) ──> few are left: each output waits for the one before
//!     └─ refused ──> an output: asked: stop │ leave it out ──────> abort, replay without it
//!                    a changelog record: its input is given up ──> abort, replay without that
//! ```
//!
//! A transaction one of whose records was refused can only be aborted, and librdkafka tells of all
//! records that travelled in one batch with it that they were refused. So the last few are sent one by
//! one, which takes a round trip each, and tells the output, not only its input.
//!
//! # Invariants
//!
//! - An output is known by the input record that it came from and by its bytes: what is refused is
//!   refused again, however often and in whichever order a replay makes it.
//! - Each further replay leaves out one output more, and of a record at most
//!   [`REFUSED_MAX`]: it ends.

use std::collections::BTreeMap;

use super::external::Refusal;
use super::task::Task;
use crate::error::{Blame, Error, Recovery};
use crate::handler::{Answer, DeadLetter};
use crate::metrics::DropReason;
use crate::processor::{Collector, OutgoingRecord, TopicId};
use crate::record::Offset;

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
        if error.blame() == Blame::Batch {
            // It was some record before this one.
            return Err(error);
        }
        let sent = error.blame() == Blame::Found;
        if sent && self.scope.sink(record.topic).is_none() {
            return Err(self.give_up_at(error));
        }
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

    /// A changelog record was refused: the input that it came from is given up in the replay.
    fn give_up_at(&mut self, error: Error) -> Error {
        let error = error.blaming(Blame::Found);
        let error = match self.scope.position() {
            Some(position) => error.at(position),
            None => error,
        };
        self.condemn_for(error)
    }

    /// The batch was refused for its only record, or for what was sent last.
    pub(super) fn blame_last(&mut self, error: Error) -> Error {
        self.scope.at.set(self.last);
        self.give_up_at(error)
    }

    fn condemn_for(&mut self, error: Error) -> Error {
        let Some(at) = self.scope.at.get() else {
            return error.settled();
        };
        let may_go_on = !self.scope.handlers.processing.only_fails();
        if !may_go_on || error.is_settled() || self.condemned.contains_key(&at) {
            return error.recover_by(Recovery::Stop).settled();
        }
        self.condemned.insert(at, Refusal::of(&error));
        error.recover_by(Recovery::Replay)
    }

    /// What an input has committed is not processed again.
    pub(super) fn forget_left_out(&mut self, input: usize, below: Offset) {
        self.left_out
            .retain(|(of, offset), _| *of != input || *offset >= below);
    }
}
