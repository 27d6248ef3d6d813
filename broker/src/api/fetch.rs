//! Fetch: now, or when there is enough to read.
//!
//! # Invariants
//!
//! - **A read-committed reader never passes the last stable offset**, and is told which of the
//!   transactions in what it reads were aborted.
//! - **The first partition with records returns some even above the limits:** a large batch blocks nobody.
//! - **No sessions:** every answer says session 0, so every client sends its whole list each time.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};

use crate::ErrorCode;
use crate::core::Core;
use crate::log::{LEADER_EPOCH, Log, ReadLimits};
use crate::request::{Context, Handled, Waiter};
use crate::timers::Timer;
use crate::topics::Topic;

const READ_COMMITTED: i8 = 1;
/// The first version in which topics are named by their ids.
const TOPIC_ID_VERSION: i16 = 13;

/// What an answer may still hold.
struct Budget {
    bytes_left: usize,
    empty: bool,
}

impl Core {
    pub(super) fn fetch(&mut self, context: &Context, request: FetchRequest) -> Handled {
        if request.session_id != 0 {
            let code = ErrorCode::FetchSessionIdNotFound.code();
            return Handled::answer(FetchResponse::default().with_error_code(code));
        }
        let partitions = self.fetched_partitions(&request, context.version());
        if request.max_wait_ms <= 0
            || partitions.is_empty()
            || self.fetch_is_ready(&request, context.waiter)
        {
            return Handled::answer(self.fetch_response(&request, context.version()));
        }
        let until_ms = context.now_ms + i64::from(request.max_wait_ms);
        let id = self.fetches.park(context.waiter, request, partitions);
        self.timers.set(Timer::Fetch(id), until_ms);
        Handled::Parked
    }

    /// Whether a fetch need not wait: there is enough to read, or an error to tell.
    pub(crate) fn fetch_is_ready(&self, request: &FetchRequest, waiter: Waiter) -> bool {
        let enough = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut bytes = 0;
        for topic in &request.topics {
            let found = self.fetched_topic(topic, waiter.version);
            for partition in &topic.partitions {
                let readable = found.and_then(|topic| readable(topic, partition));
                let Ok(log) = readable else { return true };
                let until = read_until(log, request.isolation_level);
                bytes += log.readable_bytes(partition.fetch_offset, until, enough.max(1));
            }
        }
        bytes >= enough
    }

    /// Reads what the request asks for.
    pub(crate) fn fetch_response(&self, request: &FetchRequest, version: i16) -> FetchResponse {
        let bytes_left = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut budget = Budget {
            bytes_left,
            empty: true,
        };
        let topics = request.topics.iter().map(|topic| {
            let found = self.fetched_topic(topic, version);
            let partitions = topic.partitions.iter().map(|partition| {
                match found.and_then(|topic| readable(topic, partition)) {
                    Ok(log) => read(log, partition, request.isolation_level, &mut budget),
                    Err(code) => unreadable(partition.partition, code),
                }
            });
            let response = FetchableTopicResponse::default().with_partitions(partitions.collect());
            if version >= TOPIC_ID_VERSION {
                response.with_topic_id(topic.topic_id)
            } else {
                response.with_topic(topic.topic.clone())
            }
        });
        FetchResponse::default().with_responses(topics.collect())
    }

    fn fetched_topic(&self, topic: &FetchTopic, version: i16) -> Result<&Topic, ErrorCode> {
        let (name, unknown) = if version >= TOPIC_ID_VERSION {
            (
                self.topics.name_of(topic.topic_id),
                ErrorCode::UnknownTopicId,
            )
        } else {
            (
                Some(topic.topic.as_str()),
                ErrorCode::UnknownTopicOrPartition,
            )
        };
        name.and_then(|name| self.topics.get(name)).ok_or(unknown)
    }

    fn fetched_partitions(&self, request: &FetchRequest, version: i16) -> Vec<(uuid::Uuid, i32)> {
        let of_topic = |topic: &FetchTopic| {
            let id = self
                .fetched_topic(topic, version)
                .map(|found| found.id)
                .unwrap_or_default();
            topic
                .partitions
                .iter()
                .map(move |partition| (id, partition.partition))
                .collect::<Vec<_>>()
        };
        request.topics.iter().flat_map(of_topic).collect()
    }
}

/// The log to read from, if the request may read there.
fn readable<'a>(topic: &'a Topic, wanted: &FetchPartition) -> Result<&'a Log, ErrorCode> {
    let log = topic
        .partition(wanted.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(wanted.current_leader_epoch)?;
    let known_offsets = log.start_offset()..=log.end_offset();
    if !known_offsets.contains(&wanted.fetch_offset) || wanted.last_fetched_epoch > LEADER_EPOCH {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(log)
}

/// Whether the client's idea of the leader's epoch is the present one; −1 is none.
pub(super) fn check_leader_epoch(epoch: i32) -> Result<(), ErrorCode> {
    match epoch {
        -1 | LEADER_EPOCH => Ok(()),
        newer if newer > LEADER_EPOCH => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Err(ErrorCode::FencedLeaderEpoch),
    }
}

/// The first offset that a reader of this isolation level must not see.
pub(super) fn read_until(log: &Log, isolation_level: i8) -> i64 {
    if isolation_level == READ_COMMITTED {
        log.stable_offset()
    } else {
        log.end_offset()
    }
}

fn read(
    log: &Log,
    wanted: &FetchPartition,
    isolation_level: i8,
    budget: &mut Budget,
) -> PartitionData {
    let until = read_until(log, isolation_level);
    let read = log.read(ReadLimits {
        from: wanted.fetch_offset,
        until,
        bytes_max: usize::try_from(wanted.partition_max_bytes)
            .unwrap_or(0)
            .min(budget.bytes_left),
        at_least_one: budget.empty,
    });
    budget.bytes_left = budget.bytes_left.saturating_sub(read.bytes.len());
    budget.empty &= read.bytes.is_empty();
    let aborted = (isolation_level == READ_COMMITTED).then(|| {
        let entries = log.aborted_between(wanted.fetch_offset, read.next);
        let entry = |entry: crate::log::AbortedTransaction| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(entry.producer_id))
                .with_first_offset(entry.first_offset)
        };
        entries.into_iter().map(entry).collect()
    });
    PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_high_watermark(log.end_offset())
        .with_last_stable_offset(log.stable_offset())
        .with_log_start_offset(log.start_offset())
        .with_aborted_transactions(aborted)
        .with_records(Some(read.bytes))
}

fn unreadable(index: i32, code: ErrorCode) -> PartitionData {
    let unknown = matches!(
        code,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId
    );
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(code.code())
        .with_high_watermark(-1)
        .with_aborted_transactions(unknown.then(Vec::new))
}
