//! Committed offsets of a group, read and written from outside the group.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::KafkaResult,
};

use crate::{clients::Isolation, cluster::Cluster, wait::PATIENCE};

/// What a group committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to be read.
    pub offset: i64,
    /// The string committed with it; empty if there was none.
    pub metadata: String,
}

impl Cluster {
    /// The committed offsets of a group for a topic; partitions without one are missing.
    /// Waits for offsets that are pending in an open transaction.
    ///
    /// # Panics
    ///
    /// When the broker does not answer, or when the offsets stay pending.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, Committed> {
        self.committed_as(group, topic, Isolation::ReadCommitted, PATIENCE)
            .expect("the group's offsets are stable and readable")
    }

    /// The committed offsets as a consumer of this isolation gets them: `ReadUncommitted` does
    /// not wait for pending ones and answers what was committed before.
    ///
    /// # Errors
    ///
    /// The client's error, `OperationTimedOut` when offsets stay pending for `timeout`.
    pub fn committed_as(
        &self,
        group: &str,
        topic: &str,
        isolation: Isolation,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, Committed>> {
        let mut wanted = TopicPartitionList::new();
        for partition in self.partitions(topic) {
            wanted.add_partition(topic, partition);
        }
        let found = self
            .consumer(group, isolation)
            .committed_offsets(wanted, timeout)?;
        let mut committed = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let metadata = element.metadata().to_owned();
                committed.insert(element.partition(), Committed { offset, metadata });
            }
        }
        Ok(committed)
    }

    /// Commits offsets for a group that has no members.
    ///
    /// # Errors
    ///
    /// The broker's refusal, for instance `UnknownMemberId` when the group has members.
    pub fn commit_offsets(&self, group: &str, offsets: &TopicPartitionList) -> KafkaResult<()> {
        self.consumer(group, Isolation::ReadCommitted)
            .commit(offsets, CommitMode::Sync)
    }
}

/// A list of offsets, each with a metadata string (empty for none).
///
/// # Panics
///
/// When an offset is negative.
#[must_use]
pub fn offsets(entries: &[(&str, i32, i64, &str)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset, metadata) in entries {
        let mut element = list.add_partition(topic, *partition);
        element
            .set_offset(Offset::Offset(*offset))
            .expect("an offset is not negative");
        element.set_metadata(*metadata);
    }
    list
}
