//! What a test does to the broker without a client: topics, compaction, and a look at offsets.

use crate::ErrorCode;
use crate::core::Core;
use crate::topics::Refusal;
use crate::topics::configs::TopicConfigs;

/// Why the broker did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AdminError {
    /// The error code that a client would get.
    pub code: ErrorCode,
    /// The sentence that goes with it.
    pub message: String,
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message,
        }
    }
}

fn unknown(topic: &str) -> AdminError {
    let code = ErrorCode::UnknownTopicOrPartition;
    AdminError {
        code,
        message: format!("there is no topic or partition {topic}"),
    }
}

impl Core {
    /// Creates a topic with `partitions` partitions and these settings.
    ///
    /// # Errors
    ///
    /// As CreateTopics: the name is taken or illegal, a setting is unknown, the count is not positive.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        if partitions <= 0 {
            let message = "number of partitions must be larger than 0";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message).into());
        }
        let pairs = configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let configs =
            TopicConfigs::new(pairs).map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
        Ok(self.create_topic_with(name, partitions, configs)?)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), AdminError> {
        self.delete_topic_named(name)
            .map_err(|_unknown| unknown(name))?;
        self.complete_fetches();
        Ok(())
    }

    /// The names of all topics, in their order.
    #[must_use]
    pub fn topic_names(&self) -> Vec<String> {
        self.topics
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The number of a topic's partitions.
    #[must_use]
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(|topic| topic.partitions.len())
    }

    /// Compacts every partition of a topic now: of the stable records with one key, the last one stays.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_CONFIG` unless its `cleanup.policy` says `compact`.
    pub fn compact(&mut self, topic: &str) -> Result<(), AdminError> {
        let now_ms = self.now_ms;
        let found = self.topics.get_mut(topic).ok_or_else(|| unknown(topic))?;
        if !found.configs.is_compacted() {
            let message = format!("topic {topic} has no cleanup.policy=compact");
            return Err(Refusal::new(ErrorCode::InvalidConfig, message).into());
        }
        let tombstones_before_ms = now_ms.saturating_sub(found.configs.delete_retention_ms());
        found
            .partitions
            .iter_mut()
            .for_each(|log| log.compact(tombstones_before_ms));
        Ok(())
    }

    /// The first offset of a partition, its last stable offset, and its end.
    #[must_use]
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64, i64)> {
        let log = self.topics.partition(topic, partition)?;
        Some((log.start_offset(), log.stable_offset(), log.end_offset()))
    }

    /// What a group has committed for a partition: the offset and its metadata.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let committed = self.groups.get(group)?.offsets.get(topic, partition)?;
        Some((committed.offset, committed.metadata.clone()))
    }
}
