//! The transaction APIs: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn.
//!
//! # Invariants
//!
//! - **A fenced producer reads PRODUCER_FENCED only where its version knows it:** older ones read
//!   INVALID_PRODUCER_EPOCH.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId,
};

use crate::ErrorCode;
use crate::core::Core;
use crate::request::{Context, Handled};
use crate::transactions::{Init, Producer, Target};

/// The first version of InitProducerId that knows PRODUCER_FENCED; the other APIs': 2.
const INIT_FENCED_VERSION: i16 = 4;
const FENCED_VERSION: i16 = 2;
/// From this version AddPartitionsToTxn comes from brokers, in batches.
const BATCHED_VERSION: i16 = 4;

impl Core {
    pub(super) fn init_producer_id(
        &mut self,
        context: &Context,
        request: &InitProducerIdRequest,
    ) -> Handled {
        let response = InitProducerIdResponse::default();
        let result = self.init(context, request).map_err(|code| match code {
            ErrorCode::ProducerFenced if context.version() < INIT_FENCED_VERSION => {
                ErrorCode::InvalidProducerEpoch
            }
            other => other,
        });
        Handled::answer(match result {
            Ok(producer) => response
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch),
            Err(code) => response
                .with_error_code(code.code())
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1),
        })
    }

    fn init(
        &mut self,
        context: &Context,
        request: &InitProducerIdRequest,
    ) -> Result<Producer, ErrorCode> {
        let expected = match (request.producer_id.0, request.producer_epoch) {
            _ if context.version() < 3 => None,
            (-1, -1) => None,
            (id, epoch) if id >= 0 && epoch >= 0 => Some(Producer { id, epoch }),
            _ => return Err(ErrorCode::InvalidRequest),
        };
        let Some(id) = request.transactional_id.as_ref() else {
            return Ok(self.transactions.idempotent());
        };
        let timeout_ms = request.transaction_timeout_ms;
        match self
            .transactions
            .init(id.0.as_str(), timeout_ms, expected, context.now_ms)
        {
            Init::Ready(producer) => Ok(producer),
            Init::Refused(code) => Err(code),
            Init::Aborting => {
                // The client asks again, and by then the abort is done and gets it a clean epoch.
                self.start_markers(id.0.as_str());
                Err(ErrorCode::ConcurrentTransactions)
            }
        }
    }

    pub(super) fn add_partitions(
        &mut self,
        context: &Context,
        request: AddPartitionsToTxnRequest,
    ) -> Handled {
        if context.version() < BATCHED_VERSION {
            let id = request.v3_and_below_transactional_id.0.as_str().to_owned();
            let producer = Producer {
                id: request.v3_and_below_producer_id.0,
                epoch: request.v3_and_below_producer_epoch,
            };
            let topics = request.v3_and_below_topics;
            let results = self.add_topics(context, &id, producer, topics);
            let response =
                AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
            return Handled::answer(response);
        }
        let results = request.transactions.into_iter().map(|transaction| {
            let id = transaction.transactional_id.0.as_str().to_owned();
            let producer = Producer {
                id: transaction.producer_id.0,
                epoch: transaction.producer_epoch,
            };
            let results = if transaction.verify_only {
                self.verify_topics(&id, producer, transaction.topics)
            } else {
                self.add_topics(context, &id, producer, transaction.topics)
            };
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id)
                .with_topic_results(results)
        });
        let results = results.collect();
        Handled::answer(AddPartitionsToTxnResponse::default().with_results_by_transaction(results))
    }

    fn add_topics(
        &mut self,
        context: &Context,
        id: &str,
        producer: Producer,
        topics: Vec<AddPartitionsToTxnTopic>,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let known = |topic: &str, index: i32| self.topics.partition(topic, index).is_some();
        let all_known = topics.iter().all(|topic| {
            topic
                .partitions
                .iter()
                .all(|index| known(&topic.name, *index))
        });
        if !all_known {
            // All or nothing: one unknown partition keeps the others out.
            return results_by_topic(topics, |topic, index| {
                if known(topic, index) {
                    ErrorCode::OperationNotAttempted
                } else {
                    ErrorCode::UnknownTopicOrPartition
                }
                .code()
            });
        }
        let targets = topics.iter().flat_map(|topic| {
            let name = topic.name.as_str();
            topic
                .partitions
                .iter()
                .map(|index| Target::Partition(name.to_owned(), *index))
        });
        let targets = targets.collect();
        let added = self
            .transactions
            .add(id, producer, targets, context.now_ms)
            .map_err(|code| fenced(context, code));
        self.schedule_sweep();
        results_by_topic(topics, |_, _| super::code(&added))
    }

    fn verify_topics(
        &mut self,
        id: &str,
        producer: Producer,
        topics: Vec<AddPartitionsToTxnTopic>,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        results_by_topic(topics, |topic, index| {
            let target = Target::Partition(topic.to_owned(), index);
            super::code(&self.transactions.verify(id, producer, &target))
        })
    }

    pub(super) fn add_offsets(
        &mut self,
        context: &Context,
        request: &AddOffsetsToTxnRequest,
    ) -> Handled {
        let id = request.transactional_id.0.as_str();
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let target = Target::Group(request.group_id.0.as_str().to_owned());
        let added = self
            .transactions
            .add(id, producer, vec![target], context.now_ms)
            .map_err(|code| fenced(context, code));
        self.schedule_sweep();
        Handled::answer(AddOffsetsToTxnResponse::default().with_error_code(super::code(&added)))
    }

    pub(super) fn end_txn(&mut self, context: &Context, request: &EndTxnRequest) -> Handled {
        let id = request.transactional_id.0.as_str();
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let ended = self
            .transactions
            .end(id, producer, request.committed)
            .map_err(|code| fenced(context, code));
        if ended == Ok(true) {
            self.start_markers(id);
        }
        Handled::answer(EndTxnResponse::default().with_error_code(super::code(&ended)))
    }
}

fn fenced(context: &Context, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if context.version() < FENCED_VERSION => {
            ErrorCode::InvalidProducerEpoch
        }
        other => other,
    }
}

fn results_by_topic(
    topics: Vec<AddPartitionsToTxnTopic>,
    mut code_of: impl FnMut(&str, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let results = topics.into_iter().map(|topic| {
        let of_partition = |index: &i32| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code_of(&topic.name, *index))
        };
        let partitions = topic.partitions.iter().map(of_partition).collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name)
            .with_results_by_partition(partitions)
    });
    results.collect()
}
