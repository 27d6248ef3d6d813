//! The group coordinator: the classic protocol, and the offsets of every group.
//!
//! # Invariants
//!
//! - **A parked JoinGroup or SyncGroup is always answered:** by the others, by a time-out, or by an
//!   error when its member goes.
//! - **A member that waits is not expired;** its session starts again with the answer.

use std::collections::BTreeMap;

use kafka_protocol::messages::{JoinGroupResponse, ResponseKind, SyncGroupResponse};

use self::group::Group;
use crate::ErrorCode;
use crate::request::{ConnectionId, Waiter};
use crate::timers::{Timer, Timers};

pub(crate) mod group;
pub(crate) mod offsets;
pub(crate) mod join;
pub(crate) mod rebalance;
pub(crate) mod sync;
#[cfg(test)]
mod tests;

/// Groups beyond this number are refused.
const GROUPS_MAX: usize = 100_000;

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    by_id: BTreeMap<String, Group>,
    limits: GroupLimits,
}

/// The coordinator's settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    pub(crate) session_timeout_min_ms: i32,
    pub(crate) session_timeout_max_ms: i32,
    pub(crate) initial_rebalance_delay_ms: i32,
    pub(crate) members_max: usize,
}

/// What a step of the coordinator may touch besides its groups.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) now_ms: i64,
    pub(crate) timers: &'a mut Timers,
    /// Answers to requests that waited.
    pub(crate) answers: &'a mut Vec<(ConnectionId, ResponseKind)>,
}

impl Step<'_> {
    fn answer_join(&mut self, to: Waiter, response: JoinGroupResponse) {
        self.answers.push((to.connection, response.into()));
    }

    fn answer_sync(&mut self, to: Waiter, response: SyncGroupResponse) {
        self.answers.push((to.connection, response.into()));
    }

    fn start_session(&mut self, group: &str, member: &str, timeout_ms: i32) {
        let timer = Timer::Session(group.to_owned(), member.to_owned());
        self.timers.set(timer, self.now_ms + i64::from(timeout_ms));
    }

    fn stop_session(&mut self, group: &str, member: &str) {
        self.timers
            .cancel(Timer::Session(group.to_owned(), member.to_owned()));
    }
}

impl Groups {
    pub(crate) fn new(limits: GroupLimits) -> Self {
        Self {
            by_id: BTreeMap::new(),
            limits,
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.by_id.get_mut(id)
    }

    /// All groups, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.by_id.iter().map(|(id, group)| (id.as_str(), group))
    }

    /// The group, made if need be.
    ///
    /// # Errors
    ///
    /// `COORDINATOR_NOT_AVAILABLE` when there are too many groups already.
    pub(crate) fn get_or_create(&mut self, id: &str) -> Result<&mut Group, ErrorCode> {
        if self.by_id.len() >= GROUPS_MAX && !self.by_id.contains_key(id) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        Ok(self
            .by_id
            .entry(id.to_owned())
            .or_insert_with(|| Group::new(id)))
    }

    /// The group that a commit with this generation is for: without one, a commit makes the group.
    ///
    /// # Errors
    ///
    /// `ILLEGAL_GENERATION` from a member of a group that does not exist.
    pub(crate) fn for_commit(
        &mut self,
        id: &str,
        generation: i32,
    ) -> Result<&mut Group, ErrorCode> {
        if generation >= 0 && !self.by_id.contains_key(id) {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.get_or_create(id)
    }

    /// Deletes a group that has no members.
    ///
    /// # Errors
    ///
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ErrorCode> {
        let group = self.by_id.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.members.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        self.by_id.remove(id);
        Ok(())
    }

    /// Lets go of a deleted topic's offsets.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.by_id
            .values_mut()
            .for_each(|group| group.offsets.forget_topic(topic));
    }

    /// A member that is alive without heartbeats: it has just committed.
    pub(crate) fn heard_of(&mut self, id: &str, member: &str, step: &mut Step<'_>) {
        let known = self
            .by_id
            .get(id)
            .and_then(|group| group.members.get(member));
        if let Some(member) =
            known.filter(|member| member.joining.is_none() && member.syncing.is_none())
        {
            step.start_session(id, &member.id, member.session_timeout_ms);
        }
    }
}
