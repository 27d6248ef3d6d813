//! SyncGroup, Heartbeat and LeaveGroup: life inside a generation.
//!
//! # Invariants
//!
//! - **One assignment a generation:** the leader's, given to whoever asks, then and later.

use bytes::Bytes;
use kafka_protocol::messages::SyncGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, GroupState};
use super::{Groups, Step};
use crate::ErrorCode;
use crate::request::Waiter;
use crate::timers::Timer;

/// A SyncGroup request.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) waiter: Waiter,
    pub(crate) group: String,
    pub(crate) generation: i32,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// A Heartbeat request.
#[derive(Debug)]
pub(crate) struct Beat<'a> {
    pub(crate) group: &'a str,
    pub(crate) generation: i32,
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
}

impl Groups {
    /// Handles a sync; the answer comes through `step`, now or later.
    pub(crate) fn sync(&mut self, syncing: Syncing, step: &mut Step<'_>) {
        let waiter = syncing.waiter;
        if let Err(code) = self.try_sync(syncing, step) {
            step.answer_sync(waiter, sync_refusal(code));
        }
    }

    fn try_sync(&mut self, syncing: Syncing, step: &mut Step<'_>) -> Result<(), ErrorCode> {
        if syncing.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self
            .get_mut(&syncing.group)
            .ok_or(ErrorCode::UnknownMemberId)?;
        group.check_member(&syncing.member, syncing.instance.as_deref())?;
        if syncing.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
        if differs(&syncing.protocol_type, &group.protocol_type)
            || differs(&syncing.protocol, &group.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match group.state {
            GroupState::Empty => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                group.park_sync(&syncing, step);
                if group.is_leader(&syncing.member) {
                    group.assign(syncing.assignments, step);
                }
                Ok(())
            }
            GroupState::Stable => {
                group.park_sync(&syncing, step);
                group.answer_synced(&syncing.member, step);
                Ok(())
            }
        }
    }

    /// Notes a heartbeat.
    ///
    /// # Errors
    ///
    /// What the member is to do: `UNKNOWN_MEMBER_ID`, `ILLEGAL_GENERATION`, `FENCED_INSTANCE_ID`,
    /// or join again on `REBALANCE_IN_PROGRESS`.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        if beat.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.get_mut(beat.group).ok_or(ErrorCode::UnknownMemberId)?;
        group.check_member(beat.member, beat.instance)?;
        if beat.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let member = &group.members[beat.member];
        if member.joining.is_none() && member.syncing.is_none() {
            step.start_session(beat.group, beat.member, member.session_timeout_ms);
        }
        match group.state {
            GroupState::Empty => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Removes members at their own or an administrator's wish; one result each.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_MEMBER_ID` for a group that does not exist.
    pub(crate) fn leave(
        &mut self,
        id: &str,
        members: &[(String, Option<String>)],
        step: &mut Step<'_>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let limits = self.limits;
        let group = self.get_mut(id).ok_or(ErrorCode::UnknownMemberId)?;
        let results: Vec<_> = members
            .iter()
            .map(|(member, instance)| group.leave_one(member, instance.as_deref(), step))
            .collect();
        if results.iter().any(Result::is_ok) {
            group.after_leaving(&limits, step);
        }
        Ok(results)
    }
}

impl Group {
    fn leave_one(
        &mut self,
        member: &str,
        instance: Option<&str>,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let id = if member.is_empty() {
            // An administrator removes a static member by its instance id alone.
            instance
                .and_then(|instance| self.member_of(instance))
                .ok_or(ErrorCode::UnknownMemberId)?
                .to_owned()
        } else if self.expected.contains(member) {
            member.to_owned()
        } else {
            self.check_member(member, instance)?;
            member.to_owned()
        };
        self.drop_member(&id, step);
        Ok(())
    }

    fn park_sync(&mut self, syncing: &Syncing, step: &mut Step<'_>) {
        step.stop_session(&self.id, &syncing.member);
        let member = self
            .members
            .get_mut(&syncing.member)
            .expect("checked to be a member");
        if let Some(before) = member.syncing.replace(syncing.waiter) {
            // The member asks again on another connection: nobody may wait for ever on the first.
            step.answer_sync(before, sync_refusal(ErrorCode::RebalanceInProgress));
        }
        self.unsynced.remove(&syncing.member);
        if self.unsynced.is_empty() {
            step.timers.cancel(Timer::Sync(self.id.clone()));
        }
    }

    fn assign(&mut self, assignments: Vec<(String, Bytes)>, step: &mut Step<'_>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = GroupState::Stable;
        let all: Vec<_> = self.members.keys().cloned().collect();
        for id in all {
            self.answer_synced(&id, step);
        }
    }

    fn answer_synced(&mut self, id: &str, step: &mut Step<'_>) {
        let member = self.members.get_mut(id).expect("only members are answered");
        let Some(waiter) = member.syncing.take() else {
            return;
        };
        step.start_session(&self.id, id, member.session_timeout_ms);
        let mut response = SyncGroupResponse::default().with_assignment(member.assignment.clone());
        if waiter.version >= 5 {
            let name = |text: &Option<String>| text.clone().map(StrBytes::from_string);
            response = response
                .with_protocol_type(name(&self.protocol_type))
                .with_protocol_name(name(&self.protocol));
        }
        step.answer_sync(waiter, response);
    }
}

/// An error answer to a SyncGroup.
pub(crate) fn sync_refusal(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(code.code())
}
