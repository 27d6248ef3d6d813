//! How a batch ends: committed and applied, or aborted and processed again.
//!
//! ```text
//!   commit ──┬── committed ──────────────────────────> apply ──> go on
//!            ├── not committed ──> recover ──> roll back, replay | drop the tasks | stop
//!            ├── not a member ───────────────────────> drop the tasks
//!            └── unknown ──> resolve ──> the group's offsets say which of these
//! ```
//!
//! # Invariants
//!
//! - Nothing is applied that the broker, or the group's stable offsets, did not call committed.
//! - A batch that cannot commit is replayed for at most `task.timeout.ms`.

use std::time::Duration;

use super::active_task::{ActiveTask, OpenCalls};
use super::metadata::OffsetMetadata;
use super::probe::BatchPoint;
use super::transaction::Outcome;
use super::worker::{Worker, guard};
use crate::broker::{Cluster, Committed, GroupConsumer};
use crate::error::{Blame, Error, ErrorKind, Recovery};
use crate::record::TopicPartition;

/// The waits between replays of a batch that cannot commit: doubled from the first to the last.
const REPLAY_PAUSE_MIN: Duration = Duration::from_millis(50);
const REPLAY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Attempts at a batch that does not commit.
#[derive(Debug, Default)]
pub(super) struct Replays {
    first: Option<Duration>,
    count: u32,
    pub(super) not_before: Duration,
}

impl<C: Cluster> Worker<C> {
    /// Commits what has been begun, if anything has, with all its calls.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        if !self.reserves() && self.tasks.iter().any(ActiveTask::is_touched) {
            // The last batch may have left calls.
            self.begin()?;
        }
        self.commit_batch(OpenCalls::Finish)
    }

    /// Commits the open batch, if there is one, and settles how that went.
    pub(super) fn commit_batch(&mut self, calls: OpenCalls) -> Result<(), Error> {
        self.pace.end();
        if !self.transactor.is_open() {
            return Ok(());
        }
        for active in self.tasks.iter_mut().filter(|active| active.is_touched()) {
            guard(active, |active| active.flush(calls))?;
            // The last value of a key is of many records, whichever is sent alone.
            active.task.log_staged().map_err(Error::of_batch)?;
        }
        let offsets: Vec<_> = self.tasks.iter().flat_map(ActiveTask::offsets).collect();
        if offsets.is_empty() {
            return self.transactor.abort();
        }
        if !self.commit_external()? {
            return Ok(());
        }
        match self.transactor.commit(&offsets, &self.consumer) {
            Outcome::Committed => self.apply(),
            Outcome::NotCommitted(error) => Err(error),
            Outcome::NotMember(error) => {
                tracing::warn!(%error, "batch given up");
                self.drop_tasks();
                Ok(())
            }
            Outcome::Unknown(error) => {
                tracing::warn!(%error, "asking the group which way the batch went");
                self.resolve(&offsets)
            }
        }
    }

    /// The broker has committed: stores follow.
    fn apply(&mut self) -> Result<(), Error> {
        self.settings.probe.reach(BatchPoint::AfterCommit);
        self.replays = Replays::default();
        self.batches += 1;
        self.narrow();
        let shared = &self.settings.shared;
        for active in self.tasks.iter_mut().filter(|active| active.is_touched()) {
            shared.metrics.add_drops(active.committed()?);
            let internal = active.lanes.iter();
            let internal =
                internal.filter(|lane| self.settings.inputs.is_repartition(&lane.partition.topic));
            shared.consumed(internal.map(|lane| (lane.partition.clone(), lane.committed)));
        }
        self.settings.probe.reach(BatchPoint::AfterApply);
        Ok(())
    }

    /// The commit was sent and not answered: a new producer ends the old transaction one way or
    /// the other, then the group's stable offsets say which.
    fn resolve(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), Error> {
        self.transactor.recreate()?;
        if self.consumer.group().is_none() || self.consumer.assignment_lost() {
            // The next owner reads the truth from the broker; so do we, if it is us.
            self.drop_tasks();
            return Ok(());
        }
        let partitions: Vec<TopicPartition> = offsets.iter().map(|(tp, _)| tp.clone()).collect();
        let found = self.committed_offsets(&partitions)?;
        match verdict(offsets, &found) {
            Found::Ours => {
                tracing::info!("the batch was committed");
                self.apply()
            }
            Found::Before => {
                tracing::info!("the batch was not committed, it is processed again");
                self.roll_back()
            }
            Found::Others => {
                tracing::info!("somebody else has gone on with these tasks");
                self.drop_tasks();
                Ok(())
            }
            Found::Torn => {
                let message = "a part of the offsets of one transaction is committed, which the \
                               protocol rules out; was a group offset changed by hand?";
                Err(Error::new(ErrorKind::Transaction, message))
            }
        }
    }

    /// The group's stable offsets, asked until they are known.
    pub(super) fn committed_offsets(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>, Error> {
        let deadline = self.now() + self.settings.config.task_timeout();
        loop {
            match self
                .consumer
                .committed(partitions, Duration::from_millis(500))
            {
                Ok(found) => return Ok(found),
                Err(error) if error.is_passing() && self.now() < deadline => {
                    if self.settings.shared.is_closing() {
                        // Nothing was decided: whoever comes next asks again.
                        let error = error.into_error("closing while the offsets are awaited");
                        return Err(error.recover_by(Recovery::Rejoin));
                    }
                    tracing::info!(%error, "waiting for the group's offsets to settle");
                }
                Err(error) => {
                    let error = error.into_error("cannot fetch the group's offsets");
                    return Err(error.recover_by(Recovery::Stop));
                }
            }
        }
    }

    /// Does what the error asks for, or returns it.
    pub(super) fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.pace.end();
        let error = self.look_closer(error);
        let aborted = self.transactor.abort();
        if error.recovery() == Recovery::Stop {
            // The error that made it stop outranks the one of the abort.
            drop(aborted);
            return Err(error);
        }
        aborted?;
        if error.recovery() == Recovery::Rejoin {
            tracing::warn!(%error, "the tasks are dropped");
            self.drop_tasks();
            return Ok(());
        }
        let now = self.now();
        let since = *self.replays.first.get_or_insert(now);
        if now - since > self.settings.config.task_timeout() {
            return Err(error);
        }
        let pause = REPLAY_PAUSE_MIN.saturating_mul(1 << self.replays.count.min(10));
        // To look closer is no repetition.
        let pause = match error.blame() {
            Blame::Said => pause.min(REPLAY_PAUSE_MAX),
            Blame::Batch | Blame::Found => Duration::ZERO,
        };
        self.replays.count += 1;
        self.replays.not_before = now + pause;
        tracing::warn!(%error, pause_ms = pause.as_millis(), "batch aborted, it is processed again");
        self.roll_back()
    }

    /// The batch was aborted: everything of it goes back.
    fn roll_back(&mut self) -> Result<(), Error> {
        assert!(
            !self.transactor.is_open(),
            "a batch is aborted before it is rolled back"
        );
        self.settings.probe.reach(BatchPoint::AfterAbort);
        for active in self.tasks.iter_mut().filter(|active| active.running) {
            guard(active, ActiveTask::rolled_back)?;
        }
        Ok(())
    }
}

/// What the group's offsets say of a batch whose commit was not answered.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// They are those of the batch.
    Ours,
    /// They are from before it.
    Before,
    /// Of some of its tasks later batches are committed, or others of the same number: by a
    /// worker that owns them by now.
    Others,
    /// Some are those of the batch and some from before it.
    Torn,
}

fn verdict(sent: &[(TopicPartition, Committed)], found: &[Option<Committed>]) -> Found {
    let (mut ours, mut before) = (false, false);
    for ((_, sent), found) in sent.iter().zip(found) {
        let Some(found) = found else {
            before = true;
            continue;
        };
        if found == sent {
            ours = true;
        } else if number(found) < number(sent) {
            before = true;
        } else {
            return Found::Others;
        }
    }
    match (ours, before) {
        (true, true) => Found::Torn,
        (true, false) => Found::Ours,
        (false, _) => Found::Before,
    }
}

fn number(committed: &Committed) -> i64 {
    OffsetMetadata::decode(&committed.metadata).stamp().batch
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Stamp;
    use super::*;
    use crate::record::Offset;
    use crate::time::Timestamp;

    const ME: i64 = 7;
    const OTHER: i64 = 8;

    fn committed(offset: i64, batch: i64, worker: i64) -> Committed {
        let metadata = OffsetMetadata::new(Timestamp::from_millis(1), Stamp { batch, worker });
        Committed {
            offset: Offset::new(offset),
            metadata: metadata.encode(),
        }
    }

    /// Two partitions for which batch 5 was sent, to offset 20, over batch 4 at offset 10.
    fn check(found: [Option<Committed>; 2], expected: &Found) {
        let sent = [0, 1].map(|partition| {
            let partition = TopicPartition::new("in", partition);
            (partition, committed(20, 5, ME))
        });
        assert_eq!(verdict(&sent, &found), *expected);
    }

    #[test]
    fn all_or_none_of_the_batch_is_committed() {
        check([(); 2].map(|()| Some(committed(20, 5, ME))), &Found::Ours);
        check(
            [(); 2].map(|()| Some(committed(10, 4, OTHER))),
            &Found::Before,
        );
        check([None, Some(committed(10, 4, ME))], &Found::Before);
    }

    #[test]
    fn the_same_batch_of_a_successor_is_not_ours() {
        let same = || Some(committed(20, 5, OTHER));
        check([same(), same()], &Found::Others);
        // It has taken over one task, and the other stands where the batch began.
        check([same(), Some(committed(10, 4, ME))], &Found::Others);
    }

    #[test]
    fn a_successor_that_went_on_from_the_batch_owns_it() {
        let further = || Some(committed(30, 6, OTHER));
        check([further(), further()], &Found::Others);
        check([further(), Some(committed(20, 5, ME))], &Found::Others);
    }

    #[test]
    fn a_part_of_a_transaction_is_against_the_protocol() {
        let (ours, before) = (committed(20, 5, ME), committed(10, 4, ME));
        check([Some(ours), Some(before)], &Found::Torn);
    }
}
