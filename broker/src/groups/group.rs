//! A consumer group of the classic protocol: its members, its generation, its choice of protocol.
//!
//! ```text
//!          join                 all joined               leader's sync
//!   Empty ──────> Preparing ──────────────> Completing ──────────────> Stable
//!     ^            │  ^  ^                      │ join, leave, time-out    │
//!     └────────────┘  │  └──────────────────────┘                         │
//!       nobody left   └───────────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - **The leader is a member**, and there is one as long as there are members.
//! - **A static member's instance id leads to exactly one member id**, the newest.
//! - **Every member supports the chosen protocol.**

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};

use super::offsets::Offsets;
use crate::ErrorCode;
use crate::request::Waiter;

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) state: GroupState,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) offsets: Offsets,
    /// Ids given out with MEMBER_ID_REQUIRED that have not come back yet.
    pub(crate) expected: BTreeSet<String>,
    /// Members that have not asked for their assignment in this generation.
    pub(crate) unsynced: BTreeSet<String>,
    /// Left of the time that an empty group gives its first members; `None` outside of it.
    pub(crate) first_round_left_ms: Option<i64>,
    pub(crate) joined_in_first_round: bool,
    instances: BTreeMap<String, String>,
}

/// Where a group is; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// A member of a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Its JoinGroup, while that waits for the others.
    pub(crate) joining: Option<Waiter>,
    /// Its SyncGroup, while that waits for the leader.
    pub(crate) syncing: Option<Waiter>,
}

impl GroupState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl Member {
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let chosen = self.protocols.iter().find(|(name, _)| name == protocol);
        chosen
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

impl Group {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            offsets: Offsets::default(),
            expected: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            first_round_left_ms: None,
            joined_in_first_round: false,
            instances: BTreeMap::new(),
        }
    }

    pub(crate) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// The member id that an instance id has now.
    pub(crate) fn member_of(&self, instance: &str) -> Option<&str> {
        self.instances.get(instance).map(String::as_str)
    }

    /// Whether a request may speak for this member.
    ///
    /// # Errors
    ///
    /// `FENCED_INSTANCE_ID` if another member has taken the instance over, `UNKNOWN_MEMBER_ID`.
    pub(crate) fn check_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let current = self.member_of(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if current != member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// Whether an offset commit of this generation and member is accepted.
    ///
    /// # Errors
    ///
    /// As [`Group::check_member`]; `ILLEGAL_GENERATION`; `REBALANCE_IN_PROGRESS` for a plain commit
    /// between joining and the assignment.
    pub(crate) fn check_commit(
        &self,
        by: &Committer<'_>,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        if by.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if by.generation >= 0 || !by.member.is_empty() || by.instance.is_some() {
            self.check_member(by.member, by.instance)?;
            if by.generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !transactional {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !transactional && self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether somebody with these protocols could join.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    pub(crate) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        self.expected.remove(&member.id);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        self.expected.remove(id);
        self.unsynced.remove(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member a new id, keeping its assignment and, if it leads, its leadership.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        let Some(mut member) = self.members.remove(old) else {
            return;
        };
        new.clone_into(&mut member.id);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new.to_owned());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(new.to_owned());
        }
        if self.is_leader(old) {
            self.leader = Some(new.to_owned());
        }
        self.members.insert(new.to_owned(), member);
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.expected.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// Makes sure that a member which has joined leads, if there is one.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.joining.is_some();
        if self
            .leader
            .as_ref()
            .and_then(|leader| self.members.get(leader))
            .is_some_and(joined)
        {
            return true;
        }
        let next = self
            .members
            .values()
            .find(|member| joined(member))
            .map(|member| member.id.clone());
        let found = next.is_some();
        self.leader = next.or(self.leader.take());
        found
    }

    /// Enters the next generation, with members or without.
    pub(crate) fn next_generation(&mut self) {
        self.generation += 1;
        self.first_round_left_ms = None;
        self.protocol = self.vote();
        let all = self.members.keys().cloned();
        (self.state, self.unsynced) = if self.members.is_empty() {
            (GroupState::Empty, BTreeSet::new())
        } else {
            (GroupState::CompletingRebalance, all.collect())
        };
    }

    /// The protocol that most members like best, of those that all of them support.
    pub(crate) fn vote(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |name: &str| self.members.values().all(|other| other.supports(name));
            let favourite = member
                .protocols
                .iter()
                .map(|(name, _)| name.as_str())
                .find(|name| common(name));
            *votes.entry(favourite?).or_default() += 1;
        }
        votes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(name, _)| name.to_owned())
    }

    /// Whether a member's subscription names this topic.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        let subscriptions = self.members.values().flat_map(|member| &member.protocols);
        subscriptions
            .map(|(_, metadata)| subscribed(metadata))
            .any(|topics| topics.iter().any(|name| name == topic))
    }

    pub(crate) fn rebalance_timeout_ms(&self) -> i64 {
        self.members
            .values()
            .map(|member| i64::from(member.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }
}

/// The topics of a consumer's subscription: a version, then a list of names.
fn subscribed(metadata: &Bytes) -> Vec<String> {
    let mut rest = metadata.clone();
    let count = rest
        .try_get_i16()
        .and_then(|_version| rest.try_get_i32())
        .unwrap_or(0);
    let mut topics = Vec::new();
    for _ in 0..count {
        let Ok(length) = rest.try_get_u16() else {
            break;
        };
        if rest.remaining() < usize::from(length) {
            break;
        }
        topics.push(String::from_utf8_lossy(&rest.split_to(usize::from(length))).into_owned());
    }
    topics
}

/// Who commits offsets, as the request says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) generation: i32,
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
}
