//! At most once: what a worker does differently around a batch.
//!
//! ```text
//!   fetch ─> reserve ─> process all of it ─> apply ─> fetch
//!              │             └── failed: skip the rest of it
//!              ├── not a member any more: drop the tasks
//!              └── not answered: leave, join as a new member
//! ```
//!
//! # Invariants
//!
//! - What was fetched is reserved as a whole, and nothing is fetched before it is done with: every
//!   record that waits in a queue of an open batch is reserved.
//! - A worker that gives its partitions up processes what it has reserved first: nobody else will.

use super::active_task::ActiveTask;
use super::transaction::Outcome;
use super::worker::Worker;
use crate::broker::{Cluster, GroupConsumer};
use crate::config::Guarantee;
use crate::error::Error;

impl<C: Cluster> Worker<C> {
    /// Whether offsets are committed before their records are processed.
    pub(super) fn reserves(&self) -> bool {
        self.settings.config.guarantee() == Guarantee::AtMostOnce
    }

    /// Fetches for the next batch, unless one is open. What is reserved may be lost, and keeps a
    /// revoke waiting: a turn's worth, not more.
    pub(super) fn fetch_reservable(&mut self) -> Result<(), Error> {
        if self.transactor.is_open() {
            return Ok(());
        }
        let records_max = self.turn_records;
        (0..self.tasks.len()).try_for_each(|index| self.fetch(index, records_max))
    }

    /// Commits the offsets after everything that was fetched; answers whether it may be processed.
    pub(super) fn reserve(&mut self) -> Result<bool, Error> {
        let running = || self.tasks.iter().filter(|active| active.running);
        let offsets: Vec<_> = running().flat_map(ActiveTask::reservations).collect();
        match self.transactor.reserve(&offsets, &self.consumer) {
            Outcome::Committed => {
                let running = self.tasks.iter_mut().filter(|active| active.running);
                running.for_each(ActiveTask::reserve);
                Ok(true)
            }
            Outcome::NotCommitted(error) => Err(error),
            Outcome::NotMember(error) => {
                tracing::warn!(%error, "nothing reserved, the tasks are dropped");
                self.drop_tasks();
                Ok(false)
            }
            Outcome::Unknown(error) => {
                tracing::warn!(%error, "joining as a new member");
                self.rejoin()?;
                Ok(false)
            }
        }
    }

    /// Ends the membership, and with it whatever it still has on its way to the group.
    pub(super) fn rejoin(&mut self) -> Result<(), Error> {
        self.drop_tasks();
        let new = Self::consumer(&self.settings)?;
        std::mem::replace(&mut self.consumer, new).close();
        self.subscribe()
    }

    /// Finishes the batch before partitions, or the group, are given up.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if !self.reserves() {
            return self.commit();
        }
        while self.transactor.is_open() && self.has_records() {
            self.process()?;
        }
        self.commit()?;
        self.transactor.drain();
        Ok(())
    }

    pub(super) fn has_records(&self) -> bool {
        self.tasks.iter().any(ActiveTask::has_records)
    }
}
