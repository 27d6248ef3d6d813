//! One error as the whole answer to a request: what a fault or an absent coordinator says.
//!
//! # Invariants
//!
//! - **Every partition of the request gets the error**, since that is where clients look.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    ApiVersionsResponse, BrokerId, EndTxnResponse, FetchRequest, FetchResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, InitProducerIdResponse,
    LeaveGroupResponse, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, ProduceRequest, ProduceResponse, ProducerId,
    RequestKind, ResponseKind, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::admin_refusal;
use crate::ErrorCode;
use crate::groups::join::refusal as join_refusal;
use crate::groups::sync::sync_refusal;
use crate::request::{Outcome, Request};

/// The answer to `request` that says nothing but `code`; closing where no such answer exists.
pub(crate) fn outcome(request: &Request, code: ErrorCode) -> Outcome {
    response(&request.body, request.version, code).map_or(Outcome::Close, |response| {
        Outcome::Answer(Box::new(response))
    })
}

pub(crate) fn response(
    request: &RequestKind,
    version: i16,
    error: ErrorCode,
) -> Option<ResponseKind> {
    let code = error.code();
    Some(match request {
        RequestKind::Produce(request) if request.acks == 0 => return None,
        RequestKind::Produce(request) => produce(request, version, code).into(),
        RequestKind::Fetch(request) => fetch(request, version, code).into(),
        RequestKind::ListOffsets(request) => list_offsets(request, code).into(),
        RequestKind::Metadata(request) => metadata(request, code).into(),
        RequestKind::FindCoordinator(request) => find_coordinator(request, version, code).into(),
        RequestKind::JoinGroup(request) => join_refusal(version, &request.member_id, error).into(),
        RequestKind::SyncGroup(_) => sync_refusal(error).into(),
        RequestKind::Heartbeat(_) => HeartbeatResponse::default().with_error_code(code).into(),
        RequestKind::LeaveGroup(_) => LeaveGroupResponse::default().with_error_code(code).into(),
        RequestKind::OffsetCommit(request) => offset_commit(request, code).into(),
        RequestKind::OffsetFetch(request) => offset_fetch(request, version, code).into(),
        RequestKind::InitProducerId(_) => InitProducerIdResponse::default()
            .with_error_code(code)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
            .into(),
        RequestKind::AddPartitionsToTxn(request) => add_partitions(request, version, code).into(),
        RequestKind::AddOffsetsToTxn(_) => AddOffsetsToTxnResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::EndTxn(_) => EndTxnResponse::default().with_error_code(code).into(),
        RequestKind::TxnOffsetCommit(request) => txn_offset_commit(request, code).into(),
        RequestKind::ListGroups(_) => ListGroupsResponse::default().with_error_code(code).into(),
        RequestKind::ApiVersions(_) => ApiVersionsResponse::default().with_error_code(code).into(),
        other => return admin_refusal::response(other, code),
    })
}

fn produce(request: &ProduceRequest, version: i16, code: i16) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(code)
                .with_base_offset(-1)
        });
        let response =
            TopicProduceResponse::default().with_partition_responses(partitions.collect());
        if version >= 13 {
            response.with_topic_id(topic.topic_id)
        } else {
            response.with_name(topic.name.clone())
        }
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn fetch(request: &FetchRequest, version: i16, code: i16) -> FetchResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition)
                .with_error_code(code)
                .with_high_watermark(-1)
                .with_aborted_transactions(None)
        });
        let response = FetchableTopicResponse::default().with_partitions(partitions.collect());
        if version >= 13 {
            response.with_topic_id(topic.topic_id)
        } else {
            response.with_topic(topic.topic.clone())
        }
    });
    FetchResponse::default().with_responses(topics.collect())
}

fn list_offsets(request: &ListOffsetsRequest, code: i16) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
                .with_timestamp(-1)
                .with_offset(-1)
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn metadata(request: &MetadataRequest, code: i16) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(code)
    });
    MetadataResponse::default().with_topics(topics.collect())
}

fn find_coordinator(
    request: &FindCoordinatorRequest,
    version: i16,
    code: i16,
) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default();
    if version < 4 {
        return response
            .with_error_code(code)
            .with_node_id(BrokerId(-1))
            .with_port(-1);
    }
    let coordinators = request.coordinator_keys.iter().map(|key| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(code)
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    });
    response.with_coordinators(coordinators.collect())
}

fn offset_commit(request: &OffsetCommitRequest, code: i16) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn txn_offset_commit(request: &TxnOffsetCommitRequest, code: i16) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn offset_fetch(request: &OffsetFetchRequest, version: i16, code: i16) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    if version < 8 {
        return response.with_error_code(if version >= 2 { code } else { 0 });
    }
    let groups = request.groups.iter().map(|group| {
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_error_code(code)
    });
    response.with_groups(groups.collect())
}

fn add_partitions(
    request: &AddPartitionsToTxnRequest,
    version: i16,
    code: i16,
) -> AddPartitionsToTxnResponse {
    let response = AddPartitionsToTxnResponse::default();
    if version >= 4 {
        return response.with_error_code(code);
    }
    let topics = request.v3_and_below_topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    response.with_results_by_topic_v3_and_below(topics.collect())
}
