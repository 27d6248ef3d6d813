//! JoinGroup: new members, returning members, and static members that come back under a new id.
//!
//! # Invariants
//!
//! - **A client of version 4 or later joins with an id that the broker gave it:** the first join only
//!   hands out the id, so a client that never sees its answer leaves no ghost that holds up the group.
//! - **A static member replaces itself:** its old id is fenced at once, its assignment stays.

use bytes::Bytes;
use kafka_protocol::messages::JoinGroupResponse;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::group::{Group, GroupState, Member};
use super::sync::sync_refusal;
use super::{GroupLimits, Groups, Step};
use crate::ErrorCode;
use crate::request::Waiter;

/// The first version in which a new member is told its id before it joins.
const ID_FIRST_VERSION: i16 = 4;
/// The first version whose leader can be told not to compute an assignment.
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

/// A JoinGroup request.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) waiter: Waiter,
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Ends the member id, should a new one be needed.
    pub(crate) fresh: Uuid,
}

impl Joining {
    fn fresh_id(&self) -> String {
        let prefix = self.instance.as_ref().unwrap_or(&self.client_id);
        format!("{prefix}-{}", self.fresh)
    }

    fn into_member(self, id: String) -> Member {
        Member {
            id,
            instance: self.instance,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            protocols: self.protocols,
            assignment: Bytes::new(),
            joining: Some(self.waiter),
            syncing: None,
        }
    }
}

impl Groups {
    /// Handles a join; the answer comes through `step`, now or later.
    pub(crate) fn join(&mut self, joining: Joining, step: &mut Step<'_>) {
        let (waiter, member) = (joining.waiter, joining.member.clone());
        if let Err(code) = self.try_join(joining, step) {
            step.answer_join(waiter, refusal(waiter.version, &member, code));
        }
    }

    fn try_join(&mut self, joining: Joining, step: &mut Step<'_>) -> Result<(), ErrorCode> {
        let limits = self.limits;
        if joining.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let session_timeouts = limits.session_timeout_min_ms..=limits.session_timeout_max_ms;
        if !session_timeouts.contains(&joining.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if !joining.member.is_empty() && self.get(&joining.group).is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let group = self.get_or_create(&joining.group)?;
        let known =
            group.members.contains_key(&joining.member) || group.expected.contains(&joining.member);
        if !known && group.members.len() + group.expected.len() >= limits.members_max {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !group.supports(&joining.protocol_type, &joining.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match (joining.member.is_empty(), &joining.instance) {
            (true, Some(_)) => group.join_static(joining, &limits, step),
            (true, None) if joining.waiter.version >= ID_FIRST_VERSION => {
                group.hand_out_id(&joining, step)
            }
            (true, None) => {
                let id = joining.fresh_id();
                group.join_new(joining, id, &limits, step);
            }
            (false, _) => group.rejoin(joining, &limits, step)?,
        }
        Ok(())
    }
}

impl Group {
    fn hand_out_id(&mut self, joining: &Joining, step: &mut Step<'_>) {
        let id = joining.fresh_id();
        step.start_session(&self.id, &id, joining.session_timeout_ms);
        let response = refusal(joining.waiter.version, &id, ErrorCode::MemberIdRequired);
        self.expected.insert(id);
        step.answer_join(joining.waiter, response);
    }

    fn join_new(
        &mut self,
        joining: Joining,
        id: String,
        limits: &GroupLimits,
        step: &mut Step<'_>,
    ) {
        step.stop_session(&self.id, &id);
        if self.state == GroupState::PreparingRebalance && self.first_round_left_ms.is_some() {
            self.joined_in_first_round = true;
        }
        let protocol_type = joining.protocol_type.clone();
        self.add(joining.into_member(id), &protocol_type);
        self.rebalance(limits, step);
    }

    fn join_static(&mut self, joining: Joining, limits: &GroupLimits, step: &mut Step<'_>) {
        let new = joining.fresh_id();
        let instance = joining.instance.as_deref().unwrap_or_default();
        let Some(old) = self.member_of(instance).map(str::to_owned) else {
            return self.join_new(joining, new, limits, step);
        };
        let leader_before = self.leader.clone().unwrap_or_default();
        self.fence(&old, step);
        self.rename(&old, &new);
        let waiter = joining.waiter;
        self.update(&new, joining, step);
        if self.state == GroupState::Stable && self.protocol == self.vote() {
            // Nothing changed for the others: no rebalance, the member picks its assignment up again.
            let response = self.static_answer(&new, &leader_before, waiter.version);
            self.answer_joined(&new, response, step);
        } else {
            self.rebalance(limits, step);
        }
    }

    fn rejoin(
        &mut self,
        joining: Joining,
        limits: &GroupLimits,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let id = joining.member.clone();
        if self.expected.contains(&id) {
            self.join_new(joining, id, limits, step);
            return Ok(());
        }
        self.check_member(&id, joining.instance.as_deref())?;
        let unchanged = self.members[&id].protocols == joining.protocols;
        let current = match self.state {
            GroupState::Empty => return Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => false,
            GroupState::CompletingRebalance => unchanged,
            // A leader rejoins to have partitions spread anew: topics may have changed, not its metadata.
            GroupState::Stable => unchanged && !self.is_leader(&id),
        };
        self.update(&id, joining, step);
        if current {
            let response = self.join_answer(
                &id,
                self.members[&id].joining.map_or(0, |waiter| waiter.version),
            );
            self.answer_joined(&id, response, step);
        } else {
            self.rebalance(limits, step);
        }
        Ok(())
    }

    /// Takes a returning member's request over and parks it.
    fn update(&mut self, id: &str, joining: Joining, step: &mut Step<'_>) {
        step.stop_session(&self.id, id);
        let member = self.members.get_mut(id).expect("checked to be a member");
        if let Some(before) = member.joining.replace(joining.waiter) {
            // The member asks again on another connection: nobody may wait for ever on the first.
            step.answer_join(
                before,
                refusal(before.version, id, ErrorCode::RebalanceInProgress),
            );
        }
        member.protocols = joining.protocols;
        member.client_id = joining.client_id;
        member.client_host = joining.client_host;
        member.session_timeout_ms = joining.session_timeout_ms;
        member.rebalance_timeout_ms = joining.rebalance_timeout_ms;
    }

    /// Ends whatever the old id of a static member waits for.
    fn fence(&mut self, old: &str, step: &mut Step<'_>) {
        step.stop_session(&self.id, old);
        let member = self
            .members
            .get_mut(old)
            .expect("an instance leads to a member");
        if let Some(waiter) = member.joining.take() {
            step.answer_join(
                waiter,
                refusal(waiter.version, old, ErrorCode::FencedInstanceId),
            );
        }
        if let Some(waiter) = member.syncing.take() {
            step.answer_sync(waiter, sync_refusal(ErrorCode::FencedInstanceId));
        }
    }

    /// Answers a parked join and starts the member's session.
    pub(super) fn answer_joined(
        &mut self,
        id: &str,
        response: JoinGroupResponse,
        step: &mut Step<'_>,
    ) {
        let member = self.members.get_mut(id).expect("only members are answered");
        if let Some(waiter) = member.joining.take() {
            step.answer_join(waiter, response);
        }
        step.start_session(&self.id, id, member.session_timeout_ms);
    }

    /// What a member that has joined this generation is told.
    pub(super) fn join_answer(&self, id: &str, version: i16) -> JoinGroupResponse {
        let members = if self.is_leader(id) {
            self.roll()
        } else {
            Vec::new()
        };
        let protocol_type = self.protocol_type.clone().filter(|_| version >= 7);
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(protocol_type.map(StrBytes::from_string))
            .with_protocol_name(Some(StrBytes::from_string(
                self.protocol.clone().unwrap_or_default(),
            )))
            .with_leader(StrBytes::from_string(
                self.leader.clone().unwrap_or_default(),
            ))
            .with_member_id(StrBytes::from_string(id.to_owned()))
            .with_members(members)
    }

    fn static_answer(&self, id: &str, leader_before: &str, version: i16) -> JoinGroupResponse {
        let answer = self.join_answer(id, version);
        if version >= SKIP_ASSIGNMENT_VERSION {
            return answer.with_skip_assignment(self.is_leader(id));
        }
        // An older client would assign anew if it read that it leads; told the old id, it does not.
        answer
            .with_leader(StrBytes::from_string(leader_before.to_owned()))
            .with_members(Vec::new())
    }

    fn roll(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| {
                JoinGroupResponseMember::default()
                    .with_member_id(StrBytes::from_string(member.id.clone()))
                    .with_group_instance_id(member.instance.clone().map(StrBytes::from_string))
                    .with_metadata(member.metadata(protocol))
            })
            .collect()
    }
}

/// An error answer to a JoinGroup.
pub(crate) fn refusal(version: i16, member: &str, code: ErrorCode) -> JoinGroupResponse {
    let protocol_name = if version >= 7 {
        None
    } else {
        Some(StrBytes::new())
    };
    JoinGroupResponse::default()
        .with_error_code(code.code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name)
        .with_member_id(StrBytes::from_string(member.to_owned()))
}
