//! The group APIs: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and those of administrators.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{kept, text};
use crate::ErrorCode;
use crate::core::Core;
use crate::groups::group::{Group, GroupState, Member};
use crate::groups::join::Joining;
use crate::groups::sync::{Beat, Syncing};
use crate::request::{Context, Handled};

/// The first version of LeaveGroup that names several members.
const MANY_LEAVE_VERSION: i16 = 3;
/// The first version of DescribeGroups that tells an unknown group from a dead one.
const NOT_FOUND_VERSION: i16 = 6;
/// Everything that may be done with a group: read, delete, describe, and its configs.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
const CLASSIC: &str = "classic";

fn owned(value: &StrBytes) -> String {
    value.as_str().to_owned()
}

impl Core {
    pub(super) fn join_group(&mut self, context: &Context, request: &JoinGroupRequest) -> Handled {
        let protocols = request.protocols.iter();
        let version = context.version();
        let joining = Joining {
            waiter: context.waiter,
            group: owned(&request.group_id),
            member: owned(&request.member_id),
            instance: request.group_instance_id.as_ref().map(owned),
            client_id: context.client_id.clone(),
            client_host: context.client_host.clone(),
            session_timeout_ms: request.session_timeout_ms,
            // Version 0 knows one time-out for both.
            rebalance_timeout_ms: if version >= 1 {
                request.rebalance_timeout_ms
            } else {
                request.session_timeout_ms
            },
            protocol_type: owned(&request.protocol_type),
            protocols: protocols
                .map(|protocol| (owned(&protocol.name), kept(&protocol.metadata)))
                .collect(),
            fresh: self.ids.uuid(),
        };
        self.with_groups(|groups, step| groups.join(joining, step));
        Handled::Parked
    }

    pub(super) fn sync_group(&mut self, context: &Context, request: &SyncGroupRequest) -> Handled {
        let assignments = request.assignments.iter();
        let syncing = Syncing {
            waiter: context.waiter,
            group: owned(&request.group_id),
            generation: request.generation_id,
            member: owned(&request.member_id),
            instance: request.group_instance_id.as_ref().map(owned),
            protocol_type: request.protocol_type.as_ref().map(owned),
            protocol: request.protocol_name.as_ref().map(owned),
            assignments: assignments
                .map(|one| (owned(&one.member_id), kept(&one.assignment)))
                .collect(),
        };
        self.with_groups(|groups, step| groups.sync(syncing, step));
        Handled::Parked
    }

    pub(super) fn heartbeat(&mut self, request: &HeartbeatRequest) -> Handled {
        let beat = Beat {
            group: &request.group_id,
            generation: request.generation_id,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
        };
        let result = self.with_groups(|groups, step| groups.heartbeat(&beat, step));
        Handled::answer(HeartbeatResponse::default().with_error_code(super::code(&result)))
    }

    pub(super) fn leave_group(&mut self, context: &Context, request: LeaveGroupRequest) -> Handled {
        let many = context.version() >= MANY_LEAVE_VERSION;
        let leaving: Vec<_> = if many {
            let members = request.members.iter();
            members
                .map(|one| {
                    (
                        owned(&one.member_id),
                        one.group_instance_id.as_ref().map(owned),
                    )
                })
                .collect()
        } else {
            vec![(owned(&request.member_id), None)]
        };
        let group = owned(&request.group_id);
        let response = LeaveGroupResponse::default();
        let results = match self.with_groups(|groups, step| groups.leave(&group, &leaving, step)) {
            Ok(results) => results,
            // As Kafka: nobody is a member of a group that does not exist.
            Err(code @ ErrorCode::UnknownMemberId) => leaving.iter().map(|_| Err(code)).collect(),
            Err(code) => return Handled::answer(response.with_error_code(code.code())),
        };
        if !many {
            let code = results.first().map_or(0, super::code);
            return Handled::answer(response.with_error_code(code));
        }
        let members = request
            .members
            .into_iter()
            .zip(results)
            .map(|(one, result)| {
                MemberResponse::default()
                    .with_member_id(one.member_id)
                    .with_group_instance_id(one.group_instance_id)
                    .with_error_code(super::code(&result))
            });
        Handled::answer(response.with_members(members.collect()))
    }

    pub(super) fn list_groups(
        &mut self,
        context: &Context,
        request: &ListGroupsRequest,
    ) -> Handled {
        let named = |filter: &[StrBytes], name: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.as_str().eq_ignore_ascii_case(name))
        };
        let wanted = |group: &Group| {
            named(&request.states_filter, group.state.name())
                && named(&request.types_filter, CLASSIC)
        };
        let groups = self
            .groups
            .iter()
            .filter(|(_, group)| wanted(group))
            .map(|(id, group)| {
                let mut listed = ListedGroup::default()
                    .with_group_id(GroupId(text(id)))
                    .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()));
                if context.version() >= 4 {
                    listed = listed.with_group_state(text(group.state.name()));
                }
                if context.version() >= 5 {
                    listed.with_group_type(text(CLASSIC))
                } else {
                    listed
                }
            });
        Handled::answer(ListGroupsResponse::default().with_groups(groups.collect()))
    }

    pub(super) fn describe_groups(
        &mut self,
        context: &Context,
        request: DescribeGroupsRequest,
    ) -> Handled {
        let operations = request.include_authorized_operations;
        let groups = request.groups.into_iter().map(|id| {
            let described = match self.groups.get(&id) {
                Some(group) => described(group, context.version()),
                None => unknown(context.version()),
            };
            let described = described.with_group_id(id);
            if operations {
                described.with_authorized_operations(GROUP_OPERATIONS)
            } else {
                described
            }
        });
        let groups = groups.collect();
        Handled::answer(DescribeGroupsResponse::default().with_groups(groups))
    }

    pub(super) fn delete_groups(&mut self, request: DeleteGroupsRequest) -> Handled {
        let results = request.groups_names.into_iter().map(|id| {
            let result = self.groups.delete(&id);
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(super::code(&result))
        });
        let results = results.collect();
        Handled::answer(DeleteGroupsResponse::default().with_results(results))
    }
}

fn described(group: &Group, version: i16) -> DescribedGroup {
    let stable = group.state == GroupState::Stable;
    let protocol = group
        .protocol
        .as_deref()
        .filter(|_| stable)
        .unwrap_or_default();
    let member = |member: &Member| {
        let instance = member
            .instance
            .as_deref()
            .filter(|_| version >= 4)
            .map(text);
        let described = DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(instance)
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host));
        let described = described.with_member_assignment(member.assignment.clone());
        if stable {
            described.with_member_metadata(member.metadata(protocol))
        } else {
            described
        }
    };
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_protocol_data(text(protocol))
        .with_members(group.members.values().map(member).collect())
}

fn unknown(version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(text("Dead"));
    if version < NOT_FOUND_VERSION {
        return dead;
    }
    dead.with_error_code(ErrorCode::GroupIdNotFound.code())
        .with_error_message(Some(text("group not found")))
}
