//! How a group gets from one generation to the next, and what happens when somebody is late.
//!
//! # Invariants
//!
//! - **A rebalance ends:** when all have joined, or at its time-out without those who have not.
//! - **Only dynamic members are dropped for not joining;** a static one has until its session ends.

use kafka_protocol::messages::JoinGroupResponse;

use super::group::{Group, GroupState};
use super::join::refusal;
use super::sync::sync_refusal;
use super::{GroupLimits, Groups, Step};
use crate::ErrorCode;
use crate::timers::Timer;

impl Groups {
    /// The broker was restarted: nobody waits any more, and every session begins anew.
    pub(crate) fn restarted(&mut self, step: &mut Step<'_>) {
        for group in self.by_id.values_mut() {
            for member in group.members.values_mut() {
                member.joining = None;
                member.syncing = None;
                step.start_session(&group.id, &member.id, member.session_timeout_ms);
            }
        }
    }

    /// The time for joining is over.
    pub(crate) fn join_time_is_over(&mut self, id: &str, step: &mut Step<'_>) {
        let limits = self.limits;
        let Some(group) = self.get_mut(id) else {
            return;
        };
        if group.state != GroupState::PreparingRebalance {
            return;
        }
        match group.first_round_left_ms {
            Some(left_ms) if left_ms > 0 && std::mem::take(&mut group.joined_in_first_round) => {
                let delay_ms = i64::from(limits.initial_rebalance_delay_ms).min(left_ms);
                group.first_round_left_ms = Some(left_ms - delay_ms);
                step.timers
                    .set(Timer::Join(id.to_owned()), step.now_ms + delay_ms.max(1));
            }
            _ => group.complete_join(step),
        }
    }

    /// The time for fetching assignments is over.
    pub(crate) fn sync_time_is_over(&mut self, id: &str, step: &mut Step<'_>) {
        let limits = self.limits;
        let Some(group) = self.get_mut(id) else {
            return;
        };
        let late = std::mem::take(&mut group.unsynced);
        if late.is_empty()
            || matches!(
                group.state,
                GroupState::Empty | GroupState::PreparingRebalance
            )
        {
            return;
        }
        for member in late {
            group.drop_member(&member, step);
        }
        group.rebalance(&limits, step);
    }

    /// A member has not been heard of for its session time-out.
    pub(crate) fn session_is_over(&mut self, id: &str, member: &str, step: &mut Step<'_>) {
        let limits = self.limits;
        let Some(group) = self.get_mut(id) else {
            return;
        };
        if group.expected.remove(member) {
            group.complete_if_all_joined(step);
            return;
        }
        let waits =
            |known: &super::group::Member| known.joining.is_some() || known.syncing.is_some();
        if group.members.get(member).is_some_and(|known| !waits(known)) {
            group.drop_member(member, step);
            group.after_leaving(&limits, step);
        }
    }
}

impl Group {
    /// Starts a rebalance, or sees whether the one under way is complete.
    pub(super) fn rebalance(&mut self, limits: &GroupLimits, step: &mut Step<'_>) {
        if self.state == GroupState::PreparingRebalance {
            self.complete_if_all_joined(step);
            return;
        }
        if self.state == GroupState::CompletingRebalance {
            self.send_back_to_join(step);
        }
        step.timers.cancel(Timer::Sync(self.id.clone()));
        let first_round = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        if first_round {
            let delay_ms = i64::from(limits.initial_rebalance_delay_ms);
            self.first_round_left_ms = Some((self.rebalance_timeout_ms() - delay_ms).max(0));
            self.joined_in_first_round = false;
            step.timers
                .set(Timer::Join(self.id.clone()), step.now_ms + delay_ms);
        } else if !self.complete_if_all_joined(step) {
            let at_ms = step.now_ms + self.rebalance_timeout_ms();
            step.timers.set(Timer::Join(self.id.clone()), at_ms);
        }
    }

    /// What somebody's leaving means for the others.
    pub(super) fn after_leaving(&mut self, limits: &GroupLimits, step: &mut Step<'_>) {
        if self.state != GroupState::Empty {
            self.rebalance(limits, step);
        }
    }

    /// Removes a member and answers whatever it waits for.
    pub(super) fn drop_member(&mut self, id: &str, step: &mut Step<'_>) {
        step.stop_session(&self.id, id);
        let Some(member) = self.remove(id) else {
            return;
        };
        if let Some(waiter) = member.joining {
            step.answer_join(
                waiter,
                refusal(waiter.version, id, ErrorCode::UnknownMemberId),
            );
        }
        if let Some(waiter) = member.syncing {
            step.answer_sync(waiter, sync_refusal(ErrorCode::UnknownMemberId));
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, step: &mut Step<'_>) -> bool {
        let waiting =
            self.state == GroupState::PreparingRebalance && self.first_round_left_ms.is_none();
        let complete = waiting && self.all_joined();
        if complete {
            self.complete_join(step);
        }
        complete
    }

    fn complete_join(&mut self, step: &mut Step<'_>) {
        step.timers.cancel(Timer::Join(self.id.clone()));
        let absent =
            |member: &&super::group::Member| member.joining.is_none() && member.instance.is_none();
        let late: Vec<_> = self
            .members
            .values()
            .filter(absent)
            .map(|member| member.id.clone())
            .collect();
        for member in late {
            self.drop_member(&member, step);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members, all of them silent: they may still be back within their sessions.
            let at_ms = step.now_ms + self.rebalance_timeout_ms();
            step.timers.set(Timer::Join(self.id.clone()), at_ms);
            return;
        }
        self.next_generation();
        if self.state == GroupState::Empty {
            return;
        }
        let at_ms = step.now_ms + self.rebalance_timeout_ms();
        step.timers.set(Timer::Sync(self.id.clone()), at_ms);
        let answers: Vec<(String, JoinGroupResponse)> = self
            .members
            .values()
            .map(|member| {
                (
                    &member.id,
                    member.joining.map_or(0, |waiter| waiter.version),
                )
            })
            .map(|(id, version)| (id.clone(), self.join_answer(id, version)))
            .collect();
        for (id, response) in answers {
            self.answer_joined(&id, response, step);
        }
    }

    /// Fails the syncs that wait for an assignment which will never come.
    fn send_back_to_join(&mut self, step: &mut Step<'_>) {
        let group = self.id.clone();
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            if let Some(waiter) = member.syncing.take() {
                step.answer_sync(waiter, sync_refusal(ErrorCode::RebalanceInProgress));
                step.start_session(&group, &member.id, member.session_timeout_ms);
            }
        }
    }
}
