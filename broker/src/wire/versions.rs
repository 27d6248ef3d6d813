//! Which APIs the broker speaks, in which versions.
//!
//! # Invariants
//!
//! - **What is advertised is answered:** every API here has its arm in the dispatcher, every version an
//!   encoding that the tests have tried.
//! - **No transactions of the second generation** (KIP-890 part 2): EndTxn stops at 4 and
//!   TxnOffsetCommit at 4, so that every client adds its partitions itself, as librdkafka does.

use kafka_protocol::messages::{ApiKey, RequestKind};

/// An API and the versions of it that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) api: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

const fn spoken(api: ApiKey, min: i16, max: i16) -> Spoken {
    Spoken { api, min, max }
}

/// Every API, in the order of its key.
pub(crate) const SPOKEN: &[Spoken] = &[
    spoken(ApiKey::Produce, 3, 13),
    spoken(ApiKey::Fetch, 4, 18),
    spoken(ApiKey::ListOffsets, 1, 10),
    spoken(ApiKey::Metadata, 0, 13),
    spoken(ApiKey::OffsetCommit, 2, 9),
    spoken(ApiKey::OffsetFetch, 1, 9),
    spoken(ApiKey::FindCoordinator, 0, 6),
    spoken(ApiKey::JoinGroup, 0, 9),
    spoken(ApiKey::Heartbeat, 0, 4),
    spoken(ApiKey::LeaveGroup, 0, 5),
    spoken(ApiKey::SyncGroup, 0, 5),
    spoken(ApiKey::DescribeGroups, 0, 6),
    spoken(ApiKey::ListGroups, 0, 5),
    spoken(ApiKey::ApiVersions, 0, 4),
    spoken(ApiKey::CreateTopics, 2, 7),
    spoken(ApiKey::DeleteTopics, 1, 6),
    spoken(ApiKey::DeleteRecords, 0, 2),
    spoken(ApiKey::InitProducerId, 0, 5),
    spoken(ApiKey::OffsetForLeaderEpoch, 2, 4),
    spoken(ApiKey::AddPartitionsToTxn, 0, 5),
    spoken(ApiKey::AddOffsetsToTxn, 0, 4),
    spoken(ApiKey::EndTxn, 0, 4),
    spoken(ApiKey::TxnOffsetCommit, 0, 4),
    spoken(ApiKey::DescribeConfigs, 1, 4),
    spoken(ApiKey::AlterConfigs, 0, 2),
    spoken(ApiKey::DescribeLogDirs, 1, 4),
    spoken(ApiKey::CreatePartitions, 0, 3),
    spoken(ApiKey::DeleteGroups, 0, 2),
    spoken(ApiKey::IncrementalAlterConfigs, 0, 1),
    spoken(ApiKey::ListPartitionReassignments, 0, 0),
    spoken(ApiKey::OffsetDelete, 0, 0),
    spoken(ApiKey::DescribeCluster, 0, 2),
    spoken(ApiKey::DescribeProducers, 0, 0),
    spoken(ApiKey::DescribeTransactions, 0, 0),
    spoken(ApiKey::ListTransactions, 0, 2),
];

/// The versions of an API, if it is spoken at all.
pub(crate) fn of(api: i16) -> Option<Spoken> {
    SPOKEN
        .iter()
        .find(|spoken| spoken.api as i16 == api)
        .copied()
}

/// The key of a request's API; −1 for one that is not spoken.
pub(crate) fn api_key(request: &RequestKind) -> i16 {
    let api = match request {
        RequestKind::Produce(_) => ApiKey::Produce,
        RequestKind::Fetch(_) => ApiKey::Fetch,
        RequestKind::ListOffsets(_) => ApiKey::ListOffsets,
        RequestKind::Metadata(_) => ApiKey::Metadata,
        RequestKind::OffsetCommit(_) => ApiKey::OffsetCommit,
        RequestKind::OffsetFetch(_) => ApiKey::OffsetFetch,
        RequestKind::FindCoordinator(_) => ApiKey::FindCoordinator,
        RequestKind::JoinGroup(_) => ApiKey::JoinGroup,
        RequestKind::Heartbeat(_) => ApiKey::Heartbeat,
        RequestKind::LeaveGroup(_) => ApiKey::LeaveGroup,
        RequestKind::SyncGroup(_) => ApiKey::SyncGroup,
        RequestKind::DescribeGroups(_) => ApiKey::DescribeGroups,
        RequestKind::ListGroups(_) => ApiKey::ListGroups,
        RequestKind::ApiVersions(_) => ApiKey::ApiVersions,
        RequestKind::CreateTopics(_) => ApiKey::CreateTopics,
        RequestKind::DeleteTopics(_) => ApiKey::DeleteTopics,
        RequestKind::DeleteRecords(_) => ApiKey::DeleteRecords,
        RequestKind::InitProducerId(_) => ApiKey::InitProducerId,
        RequestKind::OffsetForLeaderEpoch(_) => ApiKey::OffsetForLeaderEpoch,
        RequestKind::AddPartitionsToTxn(_) => ApiKey::AddPartitionsToTxn,
        RequestKind::AddOffsetsToTxn(_) => ApiKey::AddOffsetsToTxn,
        RequestKind::EndTxn(_) => ApiKey::EndTxn,
        RequestKind::TxnOffsetCommit(_) => ApiKey::TxnOffsetCommit,
        RequestKind::DescribeConfigs(_) => ApiKey::DescribeConfigs,
        RequestKind::AlterConfigs(_) => ApiKey::AlterConfigs,
        RequestKind::DescribeLogDirs(_) => ApiKey::DescribeLogDirs,
        RequestKind::CreatePartitions(_) => ApiKey::CreatePartitions,
        RequestKind::DeleteGroups(_) => ApiKey::DeleteGroups,
        RequestKind::IncrementalAlterConfigs(_) => ApiKey::IncrementalAlterConfigs,
        RequestKind::ListPartitionReassignments(_) => ApiKey::ListPartitionReassignments,
        RequestKind::OffsetDelete(_) => ApiKey::OffsetDelete,
        RequestKind::DescribeCluster(_) => ApiKey::DescribeCluster,
        RequestKind::DescribeProducers(_) => ApiKey::DescribeProducers,
        RequestKind::DescribeTransactions(_) => ApiKey::DescribeTransactions,
        RequestKind::ListTransactions(_) => ApiKey::ListTransactions,
        _ => return -1,
    };
    api as i16
}
