//! Committed offsets: OffsetCommit, TxnOffsetCommit, OffsetFetch, OffsetDelete.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{text, topic_name};
use crate::ErrorCode;
use crate::core::Core;
use crate::groups::group::Committer;
use crate::groups::offsets::Committed;
use crate::request::{Context, Handled};
use crate::transactions::{Producer, Target};

/// The first version of TxnOffsetCommit in which a client understands TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 4;
/// The first version of OffsetFetch that asks for several groups.
const MANY_GROUPS_VERSION: i16 = 8;

/// An offset of a commit request.
struct Wanted<'a> {
    topic: &'a str,
    index: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<&'a StrBytes>,
}

/// The offsets that are asked for: a topic's partitions, or everything.
type Asked<'a> = Option<Vec<(&'a str, &'a [i32])>>;

/// A topic's partitions with what is committed there.
type Found = Vec<(String, Vec<(i32, Result<Option<Committed>, ErrorCode>)>)>;

impl Core {
    pub(super) fn offset_commit(
        &mut self,
        context: &Context,
        request: OffsetCommitRequest,
    ) -> Handled {
        let group = request.group_id.0.as_str().to_owned();
        let committer = Committer {
            generation: request.generation_id_or_member_epoch,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
        };
        let allowed = self
            .check_commit(&group, &committer, false)
            .map_err(|code| {
                // Version 9 knows groups that do not exist; older ones are told of a wrong generation.
                let missing =
                    self.groups.get(&group).is_none() && code == ErrorCode::IllegalGeneration;
                if missing && context.version() >= 9 {
                    ErrorCode::GroupIdNotFound
                } else {
                    code
                }
            });
        if allowed.is_ok() {
            self.with_groups(|groups, step| groups.heard_of(&group, committer.member, step));
        }
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let wanted = Wanted {
                    topic: &topic.name,
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref(),
                };
                let result = self.commit_one(&group, allowed, &wanted, None);
                OffsetCommitResponsePartition::default()
                    .with_partition_index(wanted.index)
                    .with_error_code(super::code(&result))
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Handled::answer(OffsetCommitResponse::default().with_topics(topics))
    }

    pub(super) fn txn_offset_commit(
        &mut self,
        context: &Context,
        request: TxnOffsetCommitRequest,
    ) -> Handled {
        let group = request.group_id.0.as_str().to_owned();
        let committer = Committer {
            generation: request.generation_id,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
        };
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let id = request.transactional_id.0.as_str();
        let allowed = self
            .verify_group(context, id, producer, &group)
            .and_then(|()| self.check_commit(&group, &committer, true));
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let wanted = Wanted {
                    topic: &topic.name,
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref(),
                };
                let result = self.commit_one(&group, allowed, &wanted, Some(producer.id));
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(wanted.index)
                    .with_error_code(super::code(&result))
            });
            let partitions = partitions.collect();
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Handled::answer(TxnOffsetCommitResponse::default().with_topics(topics))
    }

    fn verify_group(
        &mut self,
        context: &Context,
        id: &str,
        producer: Producer,
        group: &str,
    ) -> Result<(), ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let verified = self
            .transactions
            .verify(id, producer, &Target::Group(group.to_owned()));
        verified.map_err(|code| match code {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if context.version() < ABORTABLE_VERSION => {
                ErrorCode::InvalidTxnState
            }
            other => other,
        })
    }

    fn check_commit(
        &mut self,
        group: &str,
        by: &Committer<'_>,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        self.groups
            .for_commit(group, by.generation)?
            .check_commit(by, transactional)
    }

    fn commit_one(
        &mut self,
        group: &str,
        allowed: Result<(), ErrorCode>,
        wanted: &Wanted<'_>,
        transaction_of: Option<i64>,
    ) -> Result<(), ErrorCode> {
        // As Kafka: an unknown partition is told whoever asks, before the group is looked at.
        let known = self.topics.partition(wanted.topic, wanted.index);
        known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        allowed?;
        let metadata = wanted.metadata.map_or("", |metadata| metadata.as_str());
        if metadata.encode_utf16().count() > self.options.offset_metadata_max {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let offsets = &mut self.groups.get_or_create(group)?.offsets;
        let partition = (wanted.topic.to_owned(), wanted.index);
        let committed = Committed::new(wanted.offset, wanted.leader_epoch, metadata.to_owned());
        match transaction_of {
            None => offsets.commit(partition, committed),
            Some(producer_id) => offsets.commit_in_transaction(producer_id, partition, committed),
        }
        Ok(())
    }

    pub(super) fn offset_fetch(
        &mut self,
        context: &Context,
        request: &OffsetFetchRequest,
    ) -> Handled {
        let version = context.version();
        let stable = version >= 7 && request.require_stable;
        if version >= MANY_GROUPS_VERSION {
            let groups = request.groups.iter().map(|wanted| {
                let asked: Asked<'_> = wanted.topics.as_ref().map(|topics| {
                    topics
                        .iter()
                        .map(|topic| (topic.name.as_str(), topic.partition_indexes.as_slice()))
                        .collect()
                });
                let found = self.find_offsets(&wanted.group_id, asked, stable);
                let topics = found.into_iter().map(|(name, partitions)| {
                    OffsetFetchResponseTopics::default()
                        .with_name(topic_name(&name))
                        .with_partitions(partitions.into_iter().map(of_many).collect())
                });
                OffsetFetchResponseGroup::default()
                    .with_group_id(wanted.group_id.clone())
                    .with_topics(topics.collect())
            });
            return Handled::answer(OffsetFetchResponse::default().with_groups(groups.collect()));
        }
        let asked: Asked<'_> = request.topics.as_ref().map(|topics| {
            topics
                .iter()
                .map(|topic| (topic.name.as_str(), topic.partition_indexes.as_slice()))
                .collect()
        });
        let found = self.find_offsets(&request.group_id, asked, stable);
        let topics = found.into_iter().map(|(name, partitions)| {
            OffsetFetchResponseTopic::default()
                .with_name(topic_name(&name))
                .with_partitions(
                    partitions
                        .into_iter()
                        .map(|one| of_one(version, one))
                        .collect(),
                )
        });
        Handled::answer(OffsetFetchResponse::default().with_topics(topics.collect()))
    }

    fn find_offsets(&self, group: &str, asked: Asked<'_>, stable: bool) -> Found {
        let offsets = self.groups.get(group).map(|group| &group.offsets);
        let find = |topic: &str, index: i32| {
            let Some(offsets) = offsets else {
                return (index, Ok(None));
            };
            if stable && offsets.is_unstable(topic, index) {
                return (index, Err(ErrorCode::UnstableOffsetCommit));
            }
            (index, Ok(offsets.get(topic, index).cloned()))
        };
        if let Some(asked) = asked {
            let of_topic = |(topic, indexes): (&str, &[i32])| {
                (
                    topic.to_owned(),
                    indexes.iter().map(|index| find(topic, *index)).collect(),
                )
            };
            return asked.into_iter().map(of_topic).collect();
        }
        let mut all: Found = Vec::new();
        for (topic, index, _) in offsets.into_iter().flat_map(|offsets| offsets.iter()) {
            match all.last_mut() {
                Some((name, partitions)) if name == topic => partitions.push(find(topic, index)),
                _ => all.push((topic.to_owned(), vec![find(topic, index)])),
            }
        }
        all
    }

    pub(super) fn offset_delete(&mut self, request: OffsetDeleteRequest) -> Handled {
        let response = OffsetDeleteResponse::default();
        if request.group_id.is_empty() {
            return Handled::answer(response.with_error_code(ErrorCode::InvalidGroupId.code()));
        }
        let topics_known = &self.topics;
        let Some(group) = self.groups.get_mut(&request.group_id) else {
            return Handled::answer(response.with_error_code(ErrorCode::GroupIdNotFound.code()));
        };
        if !group.members.is_empty() && group.protocol_type.as_deref() != Some("consumer") {
            return Handled::answer(response.with_error_code(ErrorCode::NonEmptyGroup.code()));
        }
        let topics = request.topics.into_iter().map(|topic| {
            let subscribed = group.subscribes_to(&topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let answer = OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index);
                if topics_known
                    .partition(&topic.name, partition.partition_index)
                    .is_none()
                {
                    return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
                }
                if subscribed {
                    return answer.with_error_code(ErrorCode::GroupSubscribedToTopic.code());
                }
                group.offsets.delete(&topic.name, partition.partition_index);
                answer
            });
            let partitions = partitions.collect();
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Handled::answer(response.with_topics(topics))
    }
}

fn of_many(
    (index, found): (i32, Result<Option<Committed>, ErrorCode>),
) -> OffsetFetchResponsePartitions {
    let error_code = super::code(&found);
    let found = found.ok().flatten();
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_error_code(error_code)
        .with_committed_offset(found.as_ref().map_or(-1, |found| found.offset))
        .with_committed_leader_epoch(found.as_ref().map_or(-1, |found| found.leader_epoch))
        .with_metadata(Some(text(
            found.as_ref().map_or("", |found| &found.metadata),
        )))
}

fn of_one(
    version: i16,
    found: (i32, Result<Option<Committed>, ErrorCode>),
) -> OffsetFetchResponsePartition {
    let found = of_many(found);
    let epoch = if version >= 5 {
        found.committed_leader_epoch
    } else {
        -1
    };
    OffsetFetchResponsePartition::default()
        .with_partition_index(found.partition_index)
        .with_error_code(found.error_code)
        .with_committed_offset(found.committed_offset)
        .with_committed_leader_epoch(epoch)
        .with_metadata(found.metadata)
}
