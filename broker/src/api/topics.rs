//! Topics come and go: CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.
//!
//! # Invariants
//!
//! - **Whoever deletes a topic tells everybody who knows it:** groups lose its offsets, transactions its
//!   partitions, and waiting fetches learn that it is gone.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};

use super::configs::described_configs;
use super::{BROKER_ID, text};
use crate::ErrorCode;
use crate::core::Core;
use crate::request::{Context, Handled};
use crate::topics::Refusal;
use crate::topics::configs::TopicConfigs;

impl Core {
    pub(super) fn create_topics(
        &mut self,
        context: &Context,
        request: CreateTopicsRequest,
    ) -> Handled {
        let mut named: BTreeMap<String, Vec<CreatableTopic>> = BTreeMap::new();
        for topic in request.topics {
            named
                .entry(topic.name.as_str().to_owned())
                .or_default()
                .push(topic);
        }
        let validate_only = request.validate_only;
        let results = named.into_values().filter_map(|mut topics| {
            let topic = topics.pop()?;
            let name = topic.name.clone();
            let created = if topics.is_empty() {
                self.create_one(topic, validate_only)
            } else {
                Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "duplicate topic name",
                ))
            };
            Some(self.created(context.version(), name, created))
        });
        let results = results.collect();
        Handled::answer(CreateTopicsResponse::default().with_topics(results))
    }

    /// Creates a topic, or only checks that it could be created. Answers its number of partitions.
    fn create_one(&mut self, topic: CreatableTopic, validate_only: bool) -> Result<i32, Refusal> {
        let name = topic.name.as_str();
        // As Kafka: an existing topic is told before anything else is looked at.
        if self.topics.get(name).is_some() {
            self.topics.check(name, 0)?;
        }
        let count = self.creatable_count(&topic)?;
        let pairs = topic.configs.iter().map(|config| {
            let value = config.value.as_ref().map(|value| value.as_str().to_owned());
            let null = || {
                Refusal::new(
                    ErrorCode::InvalidConfig,
                    format!("null value for config {}", config.name),
                )
            };
            Ok((config.name.as_str().to_owned(), value.ok_or_else(null)?))
        });
        let pairs = pairs.collect::<Result<Vec<_>, Refusal>>()?;
        let configs =
            TopicConfigs::new(pairs).map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
        if validate_only {
            self.topics.check(name, count)?;
        } else {
            self.create_topic_with(name, count, configs)?;
        }
        Ok(count)
    }

    fn creatable_count(&self, topic: &CreatableTopic) -> Result<i32, Refusal> {
        if topic.assignments.is_empty() {
            if !matches!(topic.replication_factor, -1 | 1) {
                let message = format!(
                    "replication factor {} on a single broker",
                    topic.replication_factor
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
            return match topic.num_partitions {
                -1 => Ok(self.options.partitions),
                count if count > 0 => Ok(count),
                _ => Err(Refusal::new(
                    ErrorCode::InvalidPartitions,
                    "number of partitions must be larger than 0",
                )),
            };
        }
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message =
                "a manual assignment comes without partition count and replication factor";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let mut indexes: Vec<_> = topic
            .assignments
            .iter()
            .map(|assignment| assignment.partition_index)
            .collect();
        indexes.sort_unstable();
        let count = i32::try_from(indexes.len()).unwrap_or(i32::MAX);
        let consecutive = indexes.into_iter().eq(0..count);
        let here = topic
            .assignments
            .iter()
            .all(|assignment| assignment.broker_ids == [BrokerId(BROKER_ID)]);
        if consecutive && here {
            Ok(count)
        } else {
            Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                "partitions from 0, each on the only broker",
            ))
        }
    }

    /// Creates a topic with checked settings; −1 partitions is the default.
    pub(crate) fn create_topic_with(
        &mut self,
        name: &str,
        count: i32,
        configs: TopicConfigs,
    ) -> Result<(), Refusal> {
        let count = if count == -1 {
            self.options.partitions
        } else {
            count
        };
        let id = self.ids.uuid();
        self.topics.create(name, id, count, configs)?;
        tracing::info!(topic = name, partitions = count, "topic created");
        Ok(())
    }

    fn created(
        &self,
        version: i16,
        name: TopicName,
        created: Result<i32, Refusal>,
    ) -> CreatableTopicResult {
        let result = CreatableTopicResult::default().with_name(name.clone());
        match created {
            Err(refusal) => result
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(&refusal.message)))
                .with_configs(Some(Vec::new())),
            Ok(count) => {
                let topic = self.topics.get(&name);
                let result = result.with_error_message(None);
                if version < 5 {
                    return result;
                }
                let none = TopicConfigs::default();
                let configs = topic.map_or(&none, |topic| &topic.configs);
                let configs =
                    described_configs(configs, self.options.message_bytes_max).map(|config| {
                        CreatableTopicConfigs::default()
                            .with_name(text(config.name))
                            .with_value(Some(text(&config.value)))
                            .with_config_source(config.source)
                    });
                let result = result
                    .with_num_partitions(count)
                    .with_replication_factor(1)
                    .with_configs(Some(configs.collect()));
                if version >= 7 {
                    result.with_topic_id(topic.map_or_else(Default::default, |topic| topic.id))
                } else {
                    result
                }
            }
        }
    }

    pub(super) fn delete_topics(
        &mut self,
        context: &Context,
        request: DeleteTopicsRequest,
    ) -> Handled {
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        let wanted = if context.version() >= 6 {
            request.topics
        } else {
            request.topic_names.into_iter().map(by_name).collect()
        };
        let responses = wanted.into_iter().map(|topic| {
            let found = match &topic.name {
                Some(name) => self.topics.get(name).map(|_| name.as_str().to_owned()),
                None => self.topics.name_of(topic.topic_id).map(str::to_owned),
            };
            let unknown = match topic.name {
                Some(_) => ErrorCode::UnknownTopicOrPartition,
                None if topic.topic_id.is_nil() => ErrorCode::InvalidRequest,
                None => ErrorCode::UnknownTopicId,
            };
            let id = found
                .as_deref()
                .and_then(|name| self.topics.get(name))
                .map(|found| found.id);
            let result = match &found {
                _ if !self.options.delete_topics => Err(ErrorCode::TopicDeletionDisabled),
                Some(name) => self.delete_topic_named(name),
                None => Err(unknown),
            };
            let name = found.map(|name| super::topic_name(&name)).or(topic.name);
            let response = DeletableTopicResult::default()
                .with_name(name)
                .with_error_code(super::code(&result));
            let id = id.unwrap_or(topic.topic_id);
            if context.version() >= 6 {
                response.with_topic_id(id)
            } else {
                response
            }
        });
        let responses = responses.collect();
        Handled::answer(DeleteTopicsResponse::default().with_responses(responses))
    }

    /// Deletes a topic and everything that others hold of it.
    pub(crate) fn delete_topic_named(&mut self, name: &str) -> Result<(), ErrorCode> {
        let topic = self
            .topics
            .delete(name)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.groups.forget_topic(name);
        self.transactions.forget_topic(name);
        for index in 0..topic.partitions.len() {
            self.fetches.touch(
                topic.id,
                i32::try_from(index).expect("partitions are counted in an i32"),
            );
        }
        tracing::info!(topic = name, "topic deleted");
        Ok(())
    }

    pub(super) fn create_partitions(&mut self, request: CreatePartitionsRequest) -> Handled {
        let validate_only = request.validate_only;
        let results = request.topics.into_iter().map(|topic| {
            let grown = self.grow_one(&topic, validate_only);
            let result = CreatePartitionsTopicResult::default().with_name(topic.name);
            match grown {
                Ok(()) => result.with_error_message(None),
                Err(refusal) => result
                    .with_error_code(refusal.code.code())
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        let results = results.collect();
        Handled::answer(CreatePartitionsResponse::default().with_results(results))
    }

    fn grow_one(
        &mut self,
        topic: &CreatePartitionsTopic,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        self.topics.grow(&topic.name, topic.count, true)?;
        let current = self
            .topics
            .get(&topic.name)
            .map_or(0, |known| known.partitions.len());
        if let Some(assignments) = &topic.assignments {
            let more = usize::try_from(topic.count).unwrap_or(0) - current;
            let here = assignments
                .iter()
                .all(|assignment| assignment.broker_ids == [BrokerId(BROKER_ID)]);
            if assignments.len() != more || !here {
                let message = format!("{more} assignments to the only broker expected");
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            }
        }
        self.topics.grow(&topic.name, topic.count, validate_only)
    }

    pub(super) fn delete_records(&mut self, request: DeleteRecordsRequest) -> Handled {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let result =
                    self.delete_records_of(&topic.name, wanted.partition_index, wanted.offset);
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(wanted.partition_index)
                    .with_error_code(super::code(&result))
                    .with_low_watermark(result.unwrap_or(-1))
            });
            let partitions = partitions.collect();
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Handled::answer(DeleteRecordsResponse::default().with_topics(topics))
    }

    /// Deletes the records of a partition below an offset. Answers where the log starts now.
    pub(crate) fn delete_records_of(
        &mut self,
        topic: &str,
        index: i32,
        offset: i64,
    ) -> Result<i64, ErrorCode> {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let topic = self.topics.get_mut(topic).ok_or(unknown)?;
        let (id, deletes) = (topic.id, topic.configs.deletes());
        let log = usize::try_from(index)
            .ok()
            .and_then(|index| topic.partitions.get_mut(index))
            .ok_or(unknown)?;
        if !deletes {
            return Err(ErrorCode::PolicyViolation);
        }
        let start = log.delete_before(offset)?;
        self.fetches.touch(id, index);
        Ok(start)
    }
}
