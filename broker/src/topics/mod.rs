//! The topics of the broker: by name and by id, each with its partitions' logs and its settings.
//!
//! # Invariants
//!
//! - **A name and an id lead to the same topic**, and an id is never used twice.
//! - **Partitions only grow in number**, and the whole broker's number is bounded.

use std::collections::BTreeMap;

use uuid::Uuid;

use self::configs::TopicConfigs;
use crate::ErrorCode;
use crate::log::Log;

pub(crate) mod configs;

/// The longest topic name, as Kafka.
const NAME_BYTES_MAX: usize = 249;

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: BTreeMap<Uuid, String>,
    partitions: usize,
    partitions_max: usize,
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) configs: TopicConfigs,
    pub(crate) partitions: Vec<Log>,
}

/// Why a topic was not created or grown: the code and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Log> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

impl Topics {
    pub(crate) fn new(partitions_max: usize) -> Self {
        Self {
            partitions_max,
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<&Log> {
        self.get(name)?.partition(index)
    }

    /// All topics, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.by_name
            .iter()
            .map(|(name, topic)| (name.as_str(), topic))
    }

    /// Whether a topic could be created; [`Topics::create`] checks the same.
    ///
    /// # Errors
    ///
    /// What Kafka refuses, and for which reason.
    pub(crate) fn check(&self, name: &str, partitions: i32) -> Result<(), Refusal> {
        check_name(name)?;
        if self.by_name.contains_key(name) {
            let message = format!("topic '{name}' already exists");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        let twin = self
            .by_name
            .keys()
            .find(|other| metric_name(other) == metric_name(name));
        if let Some(twin) = twin {
            let message = format!("topic '{name}' collides with existing topic: {twin}");
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        self.check_room(usize::try_from(partitions).unwrap_or(0))
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// As [`Topics::check`].
    pub(crate) fn create(
        &mut self,
        name: &str,
        id: Uuid,
        partitions: i32,
        configs: TopicConfigs,
    ) -> Result<&Topic, Refusal> {
        self.check(name, partitions)?;
        let count = usize::try_from(partitions).unwrap_or(0);
        let logs = std::iter::repeat_with(Log::default).take(count).collect();
        self.partitions += count;
        let known = self.names.insert(id, name.to_owned());
        assert!(known.is_none(), "topic id {id} is used twice");
        Ok(self.by_name.entry(name.to_owned()).or_insert(Topic {
            id,
            configs,
            partitions: logs,
        }))
    }

    /// Deletes a topic and all its records.
    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        self.partitions -= topic.partitions.len();
        Some(topic)
    }

    /// Gives a topic `count` partitions in all.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`, or `INVALID_PARTITIONS` unless the number grows within bounds.
    pub(crate) fn grow(
        &mut self,
        name: &str,
        count: i32,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let unknown = || {
            Refusal::new(
                ErrorCode::UnknownTopicOrPartition,
                "this server does not host this topic",
            )
        };
        let current = self.get(name).ok_or_else(unknown)?.partitions.len();
        let wanted = usize::try_from(count).unwrap_or(0);
        if wanted <= current {
            let message = format!(
                "topic currently has {current} partitions, which is not fewer than {count}"
            );
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        self.check_room(wanted - current)?;
        if !validate_only {
            self.partitions += wanted - current;
            let topic = self.get_mut(name).ok_or_else(unknown)?;
            topic.partitions.resize_with(wanted, Log::default);
        }
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), Refusal> {
        if self.partitions.saturating_add(more) > self.partitions_max {
            let message = format!(
                "this broker holds at most {} partitions",
                self.partitions_max
            );
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        Ok(())
    }
}

/// Whether `name` can name a topic.
///
/// # Errors
///
/// `INVALID_TOPIC_EXCEPTION` with the reason.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = if name.is_empty() {
        "the empty string is not allowed"
    } else if name == "." || name == ".." {
        "'.' and '..' are not allowed"
    } else if name.len() > NAME_BYTES_MAX {
        "the length is above 249"
    } else if !name.bytes().all(legal) {
        "only ASCII alphanumerics, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        ErrorCode::InvalidTopicException,
        format!("topic name is invalid: {reason}"),
    ))
}

/// Kafka's metrics cannot tell a dot from an underscore, so names may not differ only there.
fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}
