//! The offsets that a group has committed, plainly or inside transactions.
//!
//! # Invariants
//!
//! - **Pending until the marker:** a transactional offset is invisible before its transaction commits,
//!   and an unstable partition says so to whoever asks for stable offsets.
//! - **The later commit wins, by the time it was made,** not by the time its marker was written.

use std::collections::BTreeMap;

/// A partition by topic name and index.
pub(crate) type Partition = (String, i32);

/// A group's offsets.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<Partition, Committed>,
    pending: BTreeMap<i64, BTreeMap<Partition, Committed>>,
    commits: u64,
}

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    order: u64,
}

impl Committed {
    pub(crate) fn new(offset: i64, leader_epoch: i32, metadata: String) -> Self {
        Self {
            offset,
            leader_epoch,
            metadata,
            order: 0,
        }
    }
}

impl Offsets {
    pub(crate) fn commit(&mut self, partition: Partition, committed: Committed) {
        let order = self.next_order();
        self.committed
            .insert(partition, Committed { order, ..committed });
    }

    pub(crate) fn commit_in_transaction(
        &mut self,
        producer_id: i64,
        partition: Partition,
        committed: Committed,
    ) {
        let order = self.next_order();
        self.pending
            .entry(producer_id)
            .or_default()
            .insert(partition, Committed { order, ..committed });
    }

    /// Ends a producer's transaction for this group.
    pub(crate) fn mark(&mut self, producer_id: i64, commit: bool) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        for (partition, committed) in pending.into_iter().filter(|_| commit) {
            let newer = self
                .committed
                .get(&partition)
                .is_some_and(|known| known.order > committed.order);
            if !newer {
                self.committed.insert(partition, committed);
            }
        }
    }

    pub(crate) fn get(&self, topic: &str, index: i32) -> Option<&Committed> {
        self.committed.get(&(topic.to_owned(), index))
    }

    /// All committed offsets, in the order of their partitions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, &Committed)> {
        self.committed
            .iter()
            .map(|((topic, index), committed)| (topic.as_str(), *index, committed))
    }

    pub(crate) fn is_unstable(&self, topic: &str, index: i32) -> bool {
        let partition = (topic.to_owned(), index);
        self.pending
            .values()
            .any(|offsets| offsets.contains_key(&partition))
    }

    pub(crate) fn delete(&mut self, topic: &str, index: i32) {
        self.committed.remove(&(topic.to_owned(), index));
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|(name, _), _| name != topic);
        self.pending
            .values_mut()
            .for_each(|offsets| offsets.retain(|(name, _), _| name != topic));
    }

    fn next_order(&mut self) -> u64 {
        self.commits += 1;
        self.commits
    }
}
