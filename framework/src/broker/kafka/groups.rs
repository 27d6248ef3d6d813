//! What is asked about a group from outside, and changed while it has no members: for a reset.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::AdminClient;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};

use super::client;
use super::consumer::{committed, edges};
use super::failure::Failure;
use super::logs::Logs;
use super::native::{Client, Role, entries};
use super::partitions::{add, committing};
use super::topics::{options, refused};
use crate::broker::{BrokerError, Committed, Wake};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::record::{Offset, TopicPartition};
use crate::time::Timestamp;

/// Between two tries of what needs time, such as finding a new group's coordinator.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How long one try takes at most.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is tried.
const TRIES: usize = 20;

/// The group of one application, seen from outside: no member of it.
pub(crate) struct GroupAdmin {
    group: String,
    client: Client,
    admin: AdminClient<Logs>,
}

impl GroupAdmin {
    /// Nothing is connected yet: a cluster out of reach shows in the first call.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let mut properties = config.client_properties();
        // It commits for the group without a name in it.
        properties.static_membership = false;
        let admin = properties.admin().create_with_context(Logs);
        let admin = admin.map_err(|error| {
            let message = "cannot make an admin client of these settings";
            Error::new(ErrorKind::Config, message).because(error)
        })?;
        let consumer = properties.member("reset");
        Ok(GroupAdmin {
            group: config.application_id().to_owned(),
            client: client(Role::Consumer, &consumer, "consumer")?,
            admin,
        })
    }

    /// Every topic, and how many partitions it has.
    pub(crate) fn topics(&self) -> Result<BTreeMap<String, i32>, BrokerError> {
        patiently(|| {
            let metadata = self.admin.inner().fetch_metadata(None, TRY_TIMEOUT);
            let metadata = metadata.map_err(|error| refused(&error, "looking topics up"))?;
            let topics = metadata.topics().iter().map(|topic| {
                let partitions = i32::try_from(topic.partitions().len());
                let partitions = partitions.expect("librdkafka counts in an i32");
                (topic.name().to_owned(), partitions)
            });
            Ok(topics.collect())
        })
    }

    /// The ids of all groups.
    pub(crate) fn groups(&self) -> Result<Vec<String>, BrokerError> {
        let list = self.list(None)?;
        Ok(list.into_iter().map(|(id, _)| id).collect())
    }

    /// The members of the group: their client ids and hosts.
    pub(crate) fn members(&self) -> Result<Vec<String>, BrokerError> {
        let list = self.list(Some(&self.group))?;
        let own = list.into_iter().find(|(id, _)| *id == self.group);
        Ok(own.map(|(_, members)| members).unwrap_or_default())
    }

    fn list(&self, group: Option<&str>) -> Result<Vec<(String, Vec<String>)>, BrokerError> {
        patiently(|| {
            let list = self.admin.inner().fetch_group_list(group, TRY_TIMEOUT);
            let list = list.map_err(|error| refused(&error, "looking groups up"))?;
            let member = |member: &rdkafka::groups::GroupMemberInfo| {
                format!("{} at {}", member.client_id(), member.client_host())
            };
            let groups = list.groups().iter().map(|group| {
                let members = group.members().iter().map(member).collect();
                (group.name().to_owned(), members)
            });
            Ok(groups.collect())
        })
    }

    /// The offsets that the group has committed; waits for those that a transaction may change.
    pub(crate) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BrokerError> {
        let found = patiently(|| committed(&self.client, partitions, TRY_TIMEOUT))?;
        let offsets = found.into_iter().map(|found| Some(found?.offset));
        Ok(offsets.collect())
    }

    /// From the first record to the end, of each partition.
    pub(crate) fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Range<Offset>>, BrokerError> {
        let ends = |edge| patiently(|| edges(&self.client, partitions, edge, TRY_TIMEOUT));
        let firsts = ends(NativeOffset::Beginning)?;
        let ends = ends(NativeOffset::End)?;
        let ranges = firsts.into_iter().zip(ends).map(|(first, end)| first..end);
        Ok(ranges.collect())
    }

    /// The first record of each partition that is not older; none if all are.
    pub(crate) fn at_time(
        &self,
        partitions: &[TopicPartition],
        time: Timestamp,
    ) -> Result<Vec<Option<Offset>>, BrokerError> {
        patiently(|| {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                add(&mut list, partition, Offset::new(time.as_millis()))?;
            }
            let tried = |failure: Failure| failure.ordinary("asking for offsets by time");
            let asked = self.client.offsets_for_times(&mut list, TRY_TIMEOUT);
            asked.map_err(tried)?;
            let found = entries(&list).into_iter().map(|entry| match entry.failure {
                Some(failure) => Err(tried(failure)),
                None => Ok((entry.offset >= 0).then(|| Offset::new(entry.offset))),
            });
            found.collect()
        })
    }

    /// Deletes the group with all its offsets; refused while it has members.
    pub(crate) fn delete_group(&self) -> Result<(), BrokerError> {
        let tried = format!("deleting the offsets of group {}", self.group);
        patiently(|| {
            let deleted = self
                .admin
                .delete_groups(&[&*self.group], &options(TRY_TIMEOUT));
            let deleted = block_on(deleted).map_err(|error| refused(&error, &tried))?;
            for outcome in deleted {
                match outcome {
                    Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
                    Err((_, code)) => return Err(refused(&KafkaError::AdminOp(code), &tried)),
                }
            }
            Ok(())
        })
    }

    /// Deletes topics, and waits until they are gone: an application that starts finds none.
    pub(crate) fn delete_topics(&self, topics: &[String]) -> Result<(), BrokerError> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let deleted = block_on(self.admin.delete_topics(&names, &options(TRY_TIMEOUT)));
        for outcome in deleted.map_err(|error| refused(&error, "deleting topics"))? {
            if let Err((topic, code)) = outcome
                && !matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
            {
                let tried = format!("deleting topic {topic}");
                return Err(refused(&KafkaError::AdminOp(code), &tried));
            }
        }
        patiently(|| {
            let left = self.topics()?;
            let Some(left) = topics.iter().find(|topic| left.contains_key(*topic)) else {
                return Ok(());
            };
            let failure = Failure::plain(Code::OperationTimedOut, "it is still there");
            Err(failure.ordinary(&format!("waiting for the end of topic {left}")))
        })
    }

    /// Commits offsets for the group; refused while it has members.
    pub(crate) fn commit(&self, offsets: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        let offsets = offsets.iter().map(|(partition, offset)| {
            let metadata = String::new();
            let offset = *offset;
            (partition.clone(), Committed { offset, metadata })
        });
        let list = committing(&offsets.collect::<Vec<_>>())?;
        patiently(|| {
            let committed = self.client.commit(&list, TRY_TIMEOUT);
            committed.map_err(|failure| failure.ordinary("committing offsets"))
        })
    }
}

/// Tries until it is done, or refused; gives up after a while.
fn patiently<T>(mut call: impl FnMut() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
    let pause = Wake::default();
    for _ in 1..TRIES {
        match call() {
            Err(error) if error.is_passing() => pause.sleep(RETRY_INTERVAL),
            done => return done,
        }
    }
    call()
}
