//! Rows for systems outside Kafka: committed there before the batch is committed to Kafka.
//!
//! ```text
//!   flush ──> external commit, task by task ──┬── done ─────────> Kafka's commit
//!                                             ├── unreachable ──> abort, replay, until it is given up
//!                                             ├── refused ──────> abort, stop | replay without the record,
//!                                             │                   found by halves if nobody says which
//!                                             └── fenced ───────> abort, join as a new member
//! ```
//!
//! # Invariants
//!
//! - The system is ahead of Kafka or level with it, never behind.
//! - A record whose row was refused is given up before anything of it happens again.
//! - At most half of the transaction's time is spent here: Kafka's commit needs some, too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::active_task::ActiveTask;
use super::probe::BatchPoint;
use super::task::Task;
use super::worker::{Worker, guard};
use crate::broker::Cluster;
use crate::error::{Blame, Error, ErrorKind, Recovery};
use crate::processor::external::{AppliedPosition, Cause, ExternalFault};
use crate::record::{Offset, Position, TopicPartition};

/// A batch closes when a task holds this many rows.
pub(super) const EXTERNAL_ROWS_MAX: usize = 50_000;

/// The least that a task's commit is given, however long those before it took.
const WITHIN_MIN: Duration = Duration::from_millis(200);

/// More fencings than this within [`FENCING_WINDOW`] are another application with the same id.
const FENCINGS_MAX: usize = 4;
const FENCING_WINDOW: Duration = Duration::from_secs(60);

/// Why a record is not tried again.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What it failed at; none for a changelog.
    node: Option<String>,
    message: &'static str,
    cause: String,
}

impl Refusal {
    fn by(sink: &str, cause: &str) -> Self {
        Refusal {
            node: Some(sink.to_owned()),
            message: "an external system refused the row of this record",
            cause: cause.to_owned(),
        }
    }

    /// The batch was refused, for a record that was found.
    pub(super) fn of(error: &Error) -> Self {
        Refusal {
            node: error.node().map(str::to_owned),
            message: "a batch cannot be committed with what this record leads to",
            cause: error.to_string(),
        }
    }
}

/// When this worker was refused by its epoch.
#[derive(Debug, Default)]
pub(super) struct Fencings(VecDeque<Duration>);

impl Fencings {
    /// Whether there have been so many that it cannot be a matter of one rebalance.
    fn note(&mut self, now: Duration) -> bool {
        self.0.push_back(now);
        self.0
            .retain(|at| now.saturating_sub(*at) <= FENCING_WINDOW);
        self.0.len() > FENCINGS_MAX
    }
}

impl<C: Cluster> Worker<C> {
    /// Commits the rows of the open batch outside; answers whether the worker still owns it.
    pub(super) fn commit_external(&mut self) -> Result<bool, Error> {
        if self.tasks.iter().all(|active| active.external_rows() == 0) {
            return Ok(true);
        }
        // What the broker refuses is known before anything is written elsewhere.
        self.transactor.deliver_outputs()?;
        self.settings.probe.reach(BatchPoint::BeforeExternalCommit);
        let clock = Arc::clone(&self.settings.clock);
        let deadline = clock.elapsed() + self.settings.config.transaction_timeout() / 2;
        for active in self.tasks.iter_mut().filter(|active| active.is_touched()) {
            let within = deadline.saturating_sub(clock.elapsed()).max(WITHIN_MIN);
            match guard(active, |active| active.commit_external(within)) {
                Ok(()) => {}
                Err(error) if error.recovery() == Recovery::Rejoin => {
                    self.fenced_outside(error)?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.settings.probe.reach(BatchPoint::AfterExternalCommit);
        Ok(true)
    }

    /// Somebody else has the positions. Whether it has the partitions too, only the group knows:
    /// a new member is told.
    fn fenced_outside(&mut self, error: Error) -> Result<(), Error> {
        if self.fencings.note(self.settings.clock.elapsed()) {
            return Err(error.recover_by(Recovery::Stop));
        }
        tracing::warn!(%error, "joining as a new member");
        self.rejoin()
    }
}

impl ActiveTask {
    /// Rows that wait for the batch to close.
    pub(super) fn external_rows(&self) -> usize {
        self.task.scope().outlets.rows()
    }

    /// Opens the way to external systems, and finds out how far they are.
    pub(crate) fn open_external(&mut self) -> Result<(), Error> {
        let inputs: Vec<_> = self.lanes.iter().map(|l| l.partition.clone()).collect();
        self.task.open_external(&inputs)?;
        self.cut_inputs();
        Ok(())
    }

    pub(crate) fn commit_external(&mut self, within: Duration) -> Result<(), Error> {
        let ends = self.lanes.iter();
        let ends: Vec<_> = ends
            .map(|lane| (lane.partition.clone(), lane.resume_at()))
            .collect();
        let committed = self.task.commit_external(&ends, within);
        // Of a commit that failed, too, the system may have told how far it is.
        self.cut_inputs();
        committed
    }
}

impl Task {
    /// Opens the external sinks for these inputs, and notes which records they have refused.
    pub(crate) fn open_external(&mut self, inputs: &[TopicPartition]) -> Result<(), Error> {
        let outlets = &self.scope.outlets;
        outlets.open(&self.scope.application_id, self.scope.task, inputs)?;
        for (sink, outlet) in outlets.all() {
            let applied = outlet.borrow().applied().to_vec();
            for position in applied {
                for offset in position.given_up {
                    // Its row is not there, and would be left out as if it were.
                    let refusal = Refusal::by(&sink, "before a restart");
                    self.condemn(&position.topic_partition, offset, refusal);
                }
            }
        }
        Ok(())
    }

    /// Commits the rows of the open batch, sink by sink.
    pub(crate) fn commit_external(
        &mut self,
        ends: &[(TopicPartition, Offset)],
        within: Duration,
    ) -> Result<(), Error> {
        let positions: Vec<_> = ends.iter().map(|end| self.applied_position(end)).collect();
        for (sink, outlet) in self.scope.outlets.all() {
            let mut outlet = outlet.borrow_mut();
            if let Err(fault) = outlet.commit(&positions, within) {
                let position = |row| outlet.position_of(row);
                return Err(self.settle_external(&sink, fault, &position));
            }
        }
        Ok(())
    }

    fn applied_position(&self, (partition, next): &(TopicPartition, Offset)) -> AppliedPosition {
        let input = self.inputs().iter().position(|t| *t == partition.topic);
        let given_up = self.condemned.keys();
        let given_up = given_up.filter(|(of, offset)| Some(*of) == input && offset < next);
        AppliedPosition {
            topic_partition: partition.clone(),
            next: *next,
            given_up: given_up.map(|(_, offset)| *offset).collect(),
        }
    }

    fn settle_external(
        &mut self,
        sink: &str,
        fault: ExternalFault,
        position: &dyn Fn(usize) -> Option<Position>,
    ) -> Error {
        let blame = |message: &str, row: usize, cause: Cause| {
            let error = Error::new(ErrorKind::External, message).at_node(sink);
            let error = error.because(cause);
            match position(row) {
                Some(position) => error.at(position),
                None => error,
            }
        };
        let (message, cause, recovery) = match fault {
            ExternalFault::Unreachable(cause) => {
                ("an external system is away", cause, Recovery::Replay)
            }
            ExternalFault::Fenced(cause) => (
                "the positions in an external system were claimed by another worker; if this \
                 repeats, another application writes there under the same application.id",
                cause,
                Recovery::Rejoin,
            ),
            ExternalFault::Failed(cause) => (
                "an external system cannot be written",
                cause,
                Recovery::Stop,
            ),
            ExternalFault::Ahead(_) => {
                let message = "an external system had taken an earlier attempt at the batch";
                let error = Error::new(ErrorKind::External, message).at_node(sink);
                return error.recover_by(Recovery::Replay);
            }
            ExternalFault::RefusedBatch(cause) => {
                // Of which row it is only known that it is one of these.
                let error = blame("an external system refuses a batch", 0, cause);
                return error.blaming(Blame::Batch);
            }
            ExternalFault::Refused(rows) => {
                return self.settle_refused(sink, rows, position, &blame);
            }
        };
        // The first row is where the batch begins, as far as the system is concerned.
        blame(message, 0, cause).recover_by(recovery)
    }

    /// The records of refused rows are given up in the replay, if that is what failed records are.
    fn settle_refused(
        &mut self,
        sink: &str,
        rows: Vec<(usize, Cause)>,
        position: &dyn Fn(usize) -> Option<Position>,
        blame: &dyn Fn(&str, usize, Cause) -> Error,
    ) -> Error {
        let message = "an external system refuses a row";
        let mut first = None;
        let mut passed_over = self.isolates();
        for (row, cause) in rows {
            match position(row) {
                Some(at) => {
                    let refusal = Refusal::by(sink, &cause.to_string());
                    self.condemn(&at.topic_partition, at.offset, refusal);
                }
                None => passed_over = false,
            }
            first.get_or_insert((row, cause));
        }
        let Some((row, cause)) = first else {
            let error = blame(
                "an external system refuses a batch",
                0,
                "it names no row".into(),
            );
            return error.blaming(Blame::Batch);
        };
        let error = blame(message, row, cause);
        match passed_over {
            true => error.blaming(Blame::Found).recover_by(Recovery::Replay),
            false => error,
        }
    }

    fn condemn(&mut self, partition: &TopicPartition, offset: Offset, refusal: Refusal) {
        let input = self.inputs().iter().position(|t| *t == partition.topic);
        if let Some(input) = input {
            self.condemned.entry((input, offset)).or_insert(refusal);
        }
    }

    /// Why the record in process is given up without being tried, if it is.
    #[inline]
    pub(super) fn verdict_on(&self, input: usize, offset: Offset) -> Option<Error> {
        match self.condemned.is_empty() {
            true => None,
            false => self.verdict(input, offset),
        }
    }

    #[cold]
    fn verdict(&self, input: usize, offset: Offset) -> Option<Error> {
        let refusal = self.condemned.get(&(input, offset))?;
        let error = Error::new(ErrorKind::Processing, refusal.message);
        let error = error.because(refusal.cause.clone());
        let error = match &refusal.node {
            Some(node) => error.at_node(node),
            None => error,
        };
        Some(match self.scope.position() {
            Some(position) => error.at(position),
            None => error,
        })
    }

    /// The broker has committed what is below `next`.
    pub(super) fn acquit_below(&mut self, input: usize, next: Offset) {
        let stays = |of: usize, offset: Offset| of != input || offset >= next;
        self.condemned.retain(|(of, offset), _| stays(*of, *offset));
    }
}
