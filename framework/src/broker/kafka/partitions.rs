//! What is being read: one queue a partition, known by its index in the assignment.
//!
//! ```text
//!   fetcher threads ──> queue 0 ─┐
//!                       queue 1 ─┼─> take, in bulk, from whichever the caller asks for
//!                       queue 2 ─┘   the first arrival in an empty queue rings the bell
//! ```
//!
//! # Invariants
//!
//! - The bell rings when a queue stops being empty and not again: whoever sleeps has seen all its
//!   queues empty, or does not want their records yet.
//! - Nothing of an earlier assignment comes out: librdkafka stamps messages with the version of
//!   the fetch that brought them, errors that carry none are thrown away before a start, and what
//!   is left over when reading stops goes with the queue.
//! - A partition that failed for good stays failed: records behind a hole are not delivered.

use std::ops::ControlFlow;
use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};

use super::failure::Failure;
use super::native::{Client, Queue, Taken};
use crate::broker::{BrokerError, Committed, Verdict, Wake};
use crate::record::{Offset, TopicPartition};

/// The partitions being read.
#[derive(Debug, Default)]
pub(super) struct Partitions(Vec<Reading>);

#[derive(Debug)]
struct Reading {
    partition: TopicPartition,
    queue: Queue,
    /// Why nothing more comes.
    failed: Option<BrokerError>,
}

impl Partitions {
    /// Reads these partitions, from these offsets, and no others.
    pub(super) fn assign(
        &mut self,
        client: &Client,
        partitions: &[(TopicPartition, Offset)],
        wake: &Arc<Wake>,
    ) -> Result<(), BrokerError> {
        self.clear();
        let tried = |failure: Failure| failure.ordinary("starting to read");
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (partition, offset) in partitions {
            // Cut off before assign: no record may reach the consumer's own queue.
            let queue = client.partition(partition, wake).map_err(tried)?;
            self.0.push(Reading {
                partition: partition.clone(),
                queue,
                failed: None,
            });
            add(&mut list, partition, *offset)?;
        }
        client.assign(Some(&list)).map_err(tried)?;
        // What came before the callbacks were in place rang nobody.
        wake.ring();
        Ok(())
    }

    /// Lets go of the queues. What they hold would otherwise stay in memory until the partition
    /// is read again.
    pub(super) fn clear(&mut self) {
        for reading in self.0.drain(..) {
            reading.queue.discard();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn partition(&self, index: usize) -> Option<&TopicPartition> {
        self.0.get(index).map(|reading| &reading.partition)
    }

    /// Takes up to `records_max` records of a partition, and ends, while `each` goes on. Answers
    /// how many records.
    pub(super) fn take(
        &mut self,
        index: usize,
        records_max: usize,
        mut each: impl FnMut(Taken<'_>) -> ControlFlow<()>,
    ) -> Result<usize, BrokerError> {
        let Reading {
            partition,
            queue,
            failed,
        } = &mut self.0[index];
        if let Some(error) = failed {
            return Err(error.clone());
        }
        let records = queue.take(records_max, |taken| match taken {
            Taken::Failed(offset, failure) => {
                *failed = judge(partition, offset, failure);
                match failed {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            }
            other => each(other),
        });
        // Records before the failure are good: they are answered first.
        match failed {
            Some(error) if records == 0 => Err(error.clone()),
            _ => Ok(records),
        }
    }
}

/// The error that ends the reading of a partition; none if it passes.
fn judge(partition: &TopicPartition, offset: Offset, failure: Failure) -> Option<BrokerError> {
    if failure.is_passing() || failure.code == Code::PollExceeded {
        tracing::debug!(%partition, %failure, "fetch failed, librdkafka goes on");
        return None;
    }
    let error = match failure.code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            let tried = format!(
                "{partition} has no offset {offset} (any more): the committed offset is below \
                 what retention kept, or the topic was created anew; reset the group's offsets"
            );
            failure.with(Verdict::Refused, &tried)
        }
        // An offset that a broker fails to read, or a client to unpack, is not skipped.
        _ => failure.ordinary(&format!("reading {partition} at offset {offset}")),
    };
    Some(error)
}

/// Offsets to be committed, with their metadata.
pub(super) fn committing(
    offsets: &[(TopicPartition, Committed)],
) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        add(&mut list, partition, committed.offset)?;
        if !committed.metadata.is_empty() {
            let element = list.find_partition(&partition.topic, partition.partition);
            let mut element = element.expect("just added");
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}

/// Adds a partition and an offset to a list.
pub(super) fn add(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    offset: Offset,
) -> Result<(), BrokerError> {
    let invalid = || {
        let text = format!("{partition:?} at {offset} cannot be addressed");
        Failure::plain(Code::InvalidArgument, &text).ordinary("naming a partition")
    };
    if partition.topic.contains('\0') {
        return Err(invalid());
    }
    let mut element = list.add_partition(&partition.topic, partition.partition);
    let offset = NativeOffset::Offset(offset.get());
    element.set_offset(offset).map_err(|_negative| invalid())
}
