//! From a decoded request to the state and back: one file a family of APIs.
//!
//! # Invariants
//!
//! - **Handlers translate, the state decides:** what is allowed is written in `log`, `topics`,
//!   `transactions` and `groups`; here is who asks, in which version, and how the answer is spelt.
//! - **Nothing from a request is kept but copies:** a slice would keep its whole frame in memory.

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::ErrorCode;
use crate::core::Core;
use crate::request::{Context, Handled};

mod produce;
mod fetch;
mod list_offsets;
mod metadata;
mod topics;
mod configs;
mod transactions;
mod offsets;
mod groups;
mod inspect;
pub(crate) mod refusal;
mod admin_refusal;

/// The id of the only broker.
pub(crate) const BROKER_ID: i32 = 1;

impl Core {
    pub(crate) fn dispatch(&mut self, context: &Context, request: RequestKind) -> Handled {
        match request {
            RequestKind::Produce(request) => self.produce(context, request),
            RequestKind::Fetch(request) => self.fetch(context, request),
            RequestKind::ListOffsets(request) => self.list_offsets(context, &request),
            RequestKind::OffsetForLeaderEpoch(request) => self.offset_for_leader_epoch(&request),
            RequestKind::Metadata(request) => self.metadata(context, &request),
            RequestKind::DescribeCluster(request) => self.describe_cluster(context, &request),
            RequestKind::FindCoordinator(request) => self.find_coordinator(context, &request),
            RequestKind::ApiVersions(request) => Self::api_versions(context, &request),
            RequestKind::InitProducerId(request) => self.init_producer_id(context, &request),
            RequestKind::AddPartitionsToTxn(request) => self.add_partitions(context, request),
            RequestKind::AddOffsetsToTxn(request) => self.add_offsets(context, &request),
            RequestKind::EndTxn(request) => self.end_txn(context, &request),
            RequestKind::TxnOffsetCommit(request) => self.txn_offset_commit(context, request),
            RequestKind::OffsetCommit(request) => self.offset_commit(context, request),
            RequestKind::OffsetFetch(request) => self.offset_fetch(context, &request),
            RequestKind::OffsetDelete(request) => self.offset_delete(request),
            RequestKind::JoinGroup(request) => self.join_group(context, &request),
            RequestKind::SyncGroup(request) => self.sync_group(context, &request),
            RequestKind::Heartbeat(request) => self.heartbeat(&request),
            RequestKind::LeaveGroup(request) => self.leave_group(context, request),
            other => self.dispatch_admin(context, other),
        }
    }

    fn dispatch_admin(&mut self, context: &Context, request: RequestKind) -> Handled {
        match request {
            RequestKind::CreateTopics(request) => self.create_topics(context, request),
            RequestKind::DeleteTopics(request) => self.delete_topics(context, request),
            RequestKind::CreatePartitions(request) => self.create_partitions(request),
            RequestKind::DeleteRecords(request) => self.delete_records(request),
            RequestKind::DescribeConfigs(request) => self.describe_configs(context, &request),
            RequestKind::AlterConfigs(request) => self.alter_configs(request),
            RequestKind::IncrementalAlterConfigs(request) => {
                self.incremental_alter_configs(request)
            }
            RequestKind::ListGroups(request) => self.list_groups(context, &request),
            RequestKind::DescribeGroups(request) => self.describe_groups(context, request),
            RequestKind::DeleteGroups(request) => self.delete_groups(request),
            RequestKind::ListTransactions(request) => self.list_transactions(context, &request),
            RequestKind::DescribeTransactions(request) => self.describe_transactions(request),
            RequestKind::DescribeProducers(request) => self.describe_producers(request),
            RequestKind::DescribeLogDirs(request) => self.describe_log_dirs(context, &request),
            RequestKind::ListPartitionReassignments(_) => Self::list_partition_reassignments(),
            // Kafka closes the connection over an API that it does not speak.
            _ => Handled::Close,
        }
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// Bytes to keep: a slice of a request would hold its whole frame in memory.
fn kept(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The number that stands for a result in a response.
fn code<T>(result: &Result<T, ErrorCode>) -> i16 {
    result.as_ref().err().map_or(0, ErrorCode::code)
}
