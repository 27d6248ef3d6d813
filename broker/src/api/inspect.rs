//! For administrators: ListTransactions, DescribeTransactions, DescribeProducers, DescribeLogDirs.

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{
    TopicData, TransactionState as DescribedTransaction,
};
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::{
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ListPartitionReassignmentsResponse, ListTransactionsRequest, ListTransactionsResponse,
    ProducerId, TransactionalId,
};

use super::{text, topic_name};
use crate::ErrorCode;
use crate::core::Core;
use crate::log::Log;
use crate::request::{Context, Handled};
use crate::transactions::{State, Transaction};

const STATES: [State; 6] = [
    State::Empty,
    State::Ongoing,
    State::PrepareCommit,
    State::PrepareAbort,
    State::CompleteCommit,
    State::CompleteAbort,
];

impl Core {
    pub(super) fn list_transactions(
        &mut self,
        context: &Context,
        request: &ListTransactionsRequest,
    ) -> Handled {
        let known = |name: &str| STATES.iter().any(|state| state.name() == name);
        let unknown = request
            .state_filters
            .iter()
            .filter(|name| !known(name))
            .cloned()
            .collect();
        let older_ms = if context.version() >= 1 {
            request.duration_filter
        } else {
            -1
        };
        let wanted = |transaction: &Transaction| {
            let states = &request.state_filters;
            let producers = &request.producer_id_filters;
            let age_ms = context.now_ms - transaction.started_ms;
            (states.is_empty()
                || states
                    .iter()
                    .any(|name| name.as_str() == transaction.state.name()))
                && (producers.is_empty()
                    || producers.iter().any(|id| id.0 == transaction.producer.id))
                && (older_ms < 0 || (transaction.state == State::Ongoing && age_ms > older_ms))
        };
        let listed = self
            .transactions
            .iter()
            .filter(|(_, transaction)| wanted(transaction));
        let listed = listed.map(|(id, transaction)| {
            ListedTransaction::default()
                .with_transactional_id(TransactionalId(text(id)))
                .with_producer_id(ProducerId(transaction.producer.id))
                .with_transaction_state(text(transaction.state.name()))
        });
        let response =
            ListTransactionsResponse::default().with_transaction_states(listed.collect());
        Handled::answer(response.with_unknown_state_filters(unknown))
    }

    pub(super) fn describe_transactions(
        &mut self,
        request: DescribeTransactionsRequest,
    ) -> Handled {
        let states = request.transactional_ids.into_iter().map(|id| {
            let described = match self.transactions.get(id.0.as_str()) {
                Some(transaction) => described(transaction),
                None if id.0.is_empty() => refused(ErrorCode::InvalidRequest),
                None => refused(ErrorCode::TransactionalIdNotFound),
            };
            described.with_transactional_id(id)
        });
        let states = states.collect();
        Handled::answer(DescribeTransactionsResponse::default().with_transaction_states(states))
    }

    pub(super) fn describe_producers(&mut self, request: DescribeProducersRequest) -> Handled {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let response = PartitionResponse::default()
                    .with_partition_index(*index)
                    .with_error_message(None);
                match self.topics.partition(&topic.name, *index) {
                    Some(log) => response.with_active_producers(producers(log)),
                    None => response.with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
                }
            });
            let partitions = partitions.collect();
            TopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Handled::answer(DescribeProducersResponse::default().with_topics(topics))
    }

    pub(super) fn describe_log_dirs(
        &mut self,
        context: &Context,
        request: &DescribeLogDirsRequest,
    ) -> Handled {
        let wanted = |name: &str| match &request.topics {
            None => true,
            Some(topics) => topics.iter().any(|topic| topic.topic.as_str() == name),
        };
        let topics = self
            .topics
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, topic)| {
                let sizes = (0_i32..).zip(&topic.partitions).map(|(index, log)| {
                    DescribeLogDirsPartition::default()
                        .with_partition_index(index)
                        .with_partition_size(i64::try_from(log.bytes()).unwrap_or(i64::MAX))
                });
                DescribeLogDirsTopic::default()
                    .with_name(topic_name(name))
                    .with_partitions(sizes.collect())
            });
        let mut result = DescribeLogDirsResult::default()
            .with_log_dir(text("memory"))
            .with_topics(topics.collect());
        if context.version() >= 4 {
            result = result.with_total_bytes(-1).with_usable_bytes(-1);
        }
        Handled::answer(DescribeLogDirsResponse::default().with_results(vec![result]))
    }

    /// One broker has nothing to reassign.
    pub(super) fn list_partition_reassignments() -> Handled {
        Handled::answer(ListPartitionReassignmentsResponse::default().with_error_message(None))
    }
}

fn described(transaction: &Transaction) -> DescribedTransaction {
    let mut topics: Vec<TopicData> = Vec::new();
    for (topic, index) in &transaction.partitions {
        match topics.last_mut() {
            Some(last) if last.topic.as_str() == topic.as_str() => last.partitions.push(*index),
            _ => topics.push(
                TopicData::default()
                    .with_topic(topic_name(topic))
                    .with_partitions(vec![*index]),
            ),
        }
    }
    DescribedTransaction::default()
        .with_transaction_state(text(transaction.state.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_ms)
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics)
}

fn refused(code: ErrorCode) -> DescribedTransaction {
    DescribedTransaction::default().with_error_code(code.code())
}

fn producers(log: &Log) -> Vec<ProducerState> {
    let state = |(id, entry): (i64, &crate::log::producers::ProducerEntry)| {
        ProducerState::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(i32::from(entry.epoch))
            .with_last_sequence(entry.last_sequence())
            .with_last_timestamp(entry.last_timestamp)
            .with_coordinator_epoch(0)
            .with_current_txn_start_offset(entry.open_since.unwrap_or(-1))
    };
    log.producers.iter().map(state).collect()
}
