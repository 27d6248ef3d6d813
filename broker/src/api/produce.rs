//! Produce.
//!
//! # Invariants
//!
//! - **A transactional batch needs its partition in the transaction**, checked when the producer has
//!   nothing open there: without it a late write would stay open for ever.
//! - **`acks=0` is never answered;** an error closes the connection, which is all that such a client can see.

use bytes::Bytes;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::ErrorCode;
use crate::core::Core;
use crate::log::batch::BatchHeader;
use crate::log::{Appended, LEADER_EPOCH};
use crate::request::{Context, Handled};
use crate::transactions::{Producer, Target};

/// The first version in which a client understands TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;
/// The first version in which topics are named by their ids.
const TOPIC_ID_VERSION: i16 = 13;
/// The first version that may carry zstd.
const ZSTD_VERSION: i16 = 7;
const ZSTD: i16 = 4;

/// One partition's batch of a request.
struct Batch<'a> {
    topic: &'a str,
    index: i32,
    records: &'a Bytes,
    transactional_id: Option<&'a str>,
}

impl Core {
    pub(super) fn produce(&mut self, context: &Context, request: ProduceRequest) -> Handled {
        let acks = request.acks;
        let mut refused = false;
        let transactional_id = request.transactional_id.as_ref().map(|id| id.0.as_str());
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in &request.topic_data {
            let name = self.produced_topic(context, topic);
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for partition in &topic.partition_data {
                let empty = Bytes::new();
                let result = match &name {
                    Err(code) => Err(*code),
                    Ok(_) if !(-1..=1).contains(&acks) => Err(ErrorCode::InvalidRequiredAcks),
                    Ok(topic) => {
                        let records = partition.records.as_ref().unwrap_or(&empty);
                        let batch = Batch {
                            topic,
                            index: partition.index,
                            records,
                            transactional_id,
                        };
                        self.produce_batch(context, &batch)
                    }
                };
                refused |= result.is_err();
                let start = name
                    .as_ref()
                    .ok()
                    .and_then(|name| self.log_start(name, partition.index));
                partitions.push(partition_response(context, partition.index, result, start));
            }
            let response = TopicProduceResponse::default().with_partition_responses(partitions);
            responses.push(if context.version() >= TOPIC_ID_VERSION {
                response.with_topic_id(topic.topic_id)
            } else {
                response.with_name(topic.name.clone())
            });
        }
        match (acks, refused) {
            (0, true) => Handled::Close,
            (0, false) => Handled::Silence,
            _ => Handled::answer(ProduceResponse::default().with_responses(responses)),
        }
    }

    fn produced_topic(
        &self,
        context: &Context,
        topic: &TopicProduceData,
    ) -> Result<String, ErrorCode> {
        if context.version() >= TOPIC_ID_VERSION {
            return self
                .topics
                .name_of(topic.topic_id)
                .map(str::to_owned)
                .ok_or(ErrorCode::UnknownTopicId);
        }
        let name = topic.name.as_str();
        self.topics
            .get(name)
            .map(|_| name.to_owned())
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    fn log_start(&self, topic: &str, index: i32) -> Option<i64> {
        self.topics
            .partition(topic, index)
            .map(crate::log::Log::start_offset)
    }

    fn produce_batch(
        &mut self,
        context: &Context,
        batch: &Batch<'_>,
    ) -> Result<Appended, ErrorCode> {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        self.topics
            .partition(batch.topic, batch.index)
            .ok_or(unknown)?;
        let header = BatchHeader::parse(batch.records)?;
        if header.compression() == ZSTD && context.version() < ZSTD_VERSION {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        if header.is_transactional() && header.has_producer() {
            self.verify_transaction(context, batch, &header)?;
        }
        let message_bytes_max = self.options.message_bytes_max;
        let topic = self.topics.get_mut(batch.topic).ok_or(unknown)?;
        let rules = topic.configs.append_rules(message_bytes_max);
        let index = usize::try_from(batch.index).map_err(|_negative| unknown)?;
        let log = topic.partitions.get_mut(index).ok_or(unknown)?;
        let appended = log.append(batch.records, &rules, context.now_ms)?;
        self.fetches.touch(topic.id, batch.index);
        Ok(appended)
    }

    fn verify_transaction(
        &mut self,
        context: &Context,
        batch: &Batch<'_>,
        header: &BatchHeader,
    ) -> Result<(), ErrorCode> {
        let id = batch
            .transactional_id
            .ok_or(ErrorCode::TransactionalIdAuthorizationFailed)?;
        let log = self.topics.partition(batch.topic, batch.index);
        if log.is_some_and(|log| {
            log.producers
                .has_open(header.producer_id, header.producer_epoch)
        }) {
            return Ok(());
        }
        let producer = Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
        };
        let target = Target::Partition(batch.topic.to_owned(), batch.index);
        self.transactions
            .verify(id, producer, &target)
            .map_err(|code| match code {
                ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
                ErrorCode::TransactionAbortable if context.version() < ABORTABLE_VERSION => {
                    ErrorCode::InvalidTxnState
                }
                // Older clients retry this one without asking for metadata first; as Kafka.
                ErrorCode::ConcurrentTransactions => ErrorCode::NotEnoughReplicas,
                other => other,
            })
    }
}

fn partition_response(
    context: &Context,
    index: i32,
    result: Result<Appended, ErrorCode>,
    start: Option<i64>,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok(appended) => response
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time_ms)
            .with_log_start_offset(if context.version() >= 5 {
                start.unwrap_or(-1)
            } else {
                -1
            })
            .with_current_leader(LeaderIdAndEpoch::default()),
        Err(code) => {
            let message = (context.version() >= 8)
                .then(|| super::text(&format!("{code}, epoch {LEADER_EPOCH}")));
            response
                .with_error_code(code.code())
                .with_base_offset(-1)
                .with_error_message(message)
        }
    }
}
