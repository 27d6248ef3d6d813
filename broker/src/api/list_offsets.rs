//! ListOffsets and OffsetForLeaderEpoch: where in a log something is.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::fetch::{check_leader_epoch, read_until};
use crate::ErrorCode;
use crate::core::Core;
use crate::log::{LEADER_EPOCH, Log, TimedOffset};
use crate::request::{Context, Handled};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

impl Core {
    pub(super) fn list_offsets(
        &mut self,
        context: &Context,
        request: &ListOffsetsRequest,
    ) -> Handled {
        let isolation_level = if context.version() >= 2 {
            request.isolation_level
        } else {
            0
        };
        let topics = request.topics.iter().map(|topic| {
            let mut wanted: BTreeMap<i32, Vec<&ListOffsetsPartition>> = BTreeMap::new();
            for partition in &topic.partitions {
                wanted
                    .entry(partition.partition_index)
                    .or_default()
                    .push(partition);
            }
            let partitions = wanted.into_iter().map(|(index, wanted)| {
                let result = match wanted.as_slice() {
                    [once] => {
                        self.list_offset(context.version(), &topic.name, once, isolation_level)
                    }
                    _ => Err(ErrorCode::InvalidRequest),
                };
                partition_response(context.version(), index, result)
            });
            ListOffsetsTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name.clone())
        });
        Handled::answer(ListOffsetsResponse::default().with_topics(topics.collect()))
    }

    fn list_offset(
        &self,
        version: i16,
        topic: &str,
        wanted: &ListOffsetsPartition,
        isolation_level: i8,
    ) -> Result<Option<TimedOffset>, ErrorCode> {
        let log = self.topics.partition(topic, wanted.partition_index);
        let log = log.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        check_leader_epoch(wanted.current_leader_epoch)?;
        if !is_spoken(version, wanted.timestamp) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let until = read_until(log, isolation_level);
        let at = |offset| {
            Some(TimedOffset {
                timestamp: -1,
                offset,
            })
        };
        Ok(match wanted.timestamp {
            LATEST => at(until),
            EARLIEST | EARLIEST_LOCAL => at(log.start_offset()),
            LATEST_TIERED => None,
            MAX_TIMESTAMP => log.latest_timestamp().filter(|found| found.offset < until),
            timestamp => log
                .first_at_or_after(timestamp)
                .filter(|found| found.offset < until),
        })
    }

    pub(super) fn offset_for_leader_epoch(
        &mut self,
        request: &OffsetForLeaderEpochRequest,
    ) -> Handled {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let response = EpochEndOffset::default().with_partition(wanted.partition);
                let Some(log) = self.topics.partition(&topic.topic, wanted.partition) else {
                    return response.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
                };
                match check_leader_epoch(wanted.current_leader_epoch) {
                    Err(code) => response.with_error_code(code.code()),
                    Ok(()) => with_end_of(log, wanted.leader_epoch, response),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        Handled::answer(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
    }
}

/// Whether a version knows a timestamp that stands for something else.
fn is_spoken(version: i16, timestamp: i64) -> bool {
    match timestamp {
        0.. | LATEST | EARLIEST => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        _ => false,
    }
}

/// The only epoch ends where the log ends; any other is unknown.
fn with_end_of(log: &Log, epoch: i32, response: EpochEndOffset) -> EpochEndOffset {
    if epoch == LEADER_EPOCH {
        response
            .with_leader_epoch(LEADER_EPOCH)
            .with_end_offset(log.end_offset())
    } else {
        response.with_leader_epoch(-1).with_end_offset(-1)
    }
}

fn partition_response(
    version: i16,
    index: i32,
    result: Result<Option<TimedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let error_code = super::code(&result);
    let found = result.ok().flatten();
    let epoch = found.filter(|_| version >= 4).map_or(-1, |_| LEADER_EPOCH);
    ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(error_code)
        .with_timestamp(found.map_or(-1, |found| found.timestamp))
        .with_offset(found.map_or(-1, |found| found.offset))
        .with_leader_epoch(epoch)
}
