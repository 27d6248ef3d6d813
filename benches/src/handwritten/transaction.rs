//! One commit interval: what was consumed, and the commit.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

use super::clients::{Committer, Reader, TIMEOUT};
use super::native::{Taken, Topic, flush};
use crate::Failure;
use crate::os;
use crate::workload::Guarantee;

/// A failed record is noticed between two slices.
const FLUSH_SLICE: Duration = Duration::from_millis(50);

/// What was consumed since the last commit.
pub(super) struct Open<'t> {
    topics: &'t [String],
    /// The topics as librdkafka knows them, and the next offset of each partition.
    next: Vec<(*const std::ffi::c_void, usize, Vec<i64>)>,
    records: u64,
}

impl<'t> Open<'t> {
    pub(super) fn begin(committer: &Committer, topics: &'t [String]) -> Result<Self, Failure> {
        if committer.guarantee == Guarantee::ExactlyOnce {
            committer.producer.begin_transaction()?;
        }
        Ok(Open {
            topics,
            next: Vec::new(),
            records: 0,
        })
    }

    pub(super) fn consumed(&mut self, record: &Taken<'_>) {
        let known = self
            .next
            .iter()
            .position(|(topic, ..)| *topic == record.topic);
        let known = known.unwrap_or_else(|| {
            let name = Topic::name_of(record);
            let index = self.topics.iter().position(|topic| *topic == name);
            let index = index.expect("only what was subscribed is consumed");
            self.next.push((record.topic, index, Vec::new()));
            self.next.len() - 1
        });
        let offsets = &mut self.next[known].2;
        let partition = usize::try_from(record.partition).expect("partitions count from zero");
        if offsets.len() <= partition {
            offsets.resize(partition + 1, -1);
        }
        offsets[partition] = record.offset + 1;
        self.records += 1;
    }

    /// Commits; answers how many records.
    pub(super) fn commit(self, reader: &Reader, committer: &Committer) -> Result<u64, Failure> {
        let offsets = self.offsets()?;
        let producer = &committer.producer;
        let transactional = committer.guarantee == Guarantee::ExactlyOnce;
        if transactional {
            let group = reader
                .consumer()
                .group_metadata()
                .ok_or("not a member of the group")?;
            producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT)?;
        }
        if committer.guarantee == Guarantee::AtMostOnce {
            reader.consumer().commit(&offsets, CommitMode::Sync)?;
            return Ok(self.records);
        }
        let deadline = os::now() + TIMEOUT;
        while !flush(producer.client().native_ptr(), FLUSH_SLICE) {
            committer.poll();
            committer.check_delivered()?;
            if os::now() > deadline {
                return Err("records were not delivered in time".into());
            }
        }
        committer.poll();
        committer.check_delivered()?;
        if transactional {
            producer.commit_transaction(TIMEOUT)?;
        } else if self.records > 0 {
            reader.consumer().commit(&offsets, CommitMode::Sync)?;
        }
        Ok(self.records)
    }

    fn offsets(&self) -> Result<TopicPartitionList, Failure> {
        let mut list = TopicPartitionList::new();
        for (_, topic, next) in &self.next {
            for (partition, offset) in next.iter().enumerate().filter(|(_, offset)| **offset >= 0) {
                let partition = i32::try_from(partition)?;
                list.add_partition_offset(
                    &self.topics[*topic],
                    partition,
                    Offset::Offset(*offset),
                )?;
            }
        }
        Ok(list)
    }
}
