//! A member of the application's group on librdkafka.
//!
//! ```text
//!   group events ──> events queue ──> poll ──> the worker ──> assign | unassign
//!   records ───────> partition queues ───────> fetch
//! ```
//!
//! A rebalance is an event on a queue; taking it off the queue answers nothing. librdkafka has
//! paused all fetching by then, and waits, as the group does, for the worker's answer.
//!
//! # Invariants
//!
//! - Only what the worker says is assigned; dropping the consumer answers a rebalance that is
//!   still open, so that it never hangs on one.
//! - Errors that pass are logged, not returned: a broker out of reach is no reason to stop.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};

use super::call::Call;
use super::failure::{Failure, Severity};
use super::native::{Client, Event, Membership, Queue, Role, Taken, entries};
use super::partitions::{Partitions, add, committing};
use crate::broker::{
    BrokerError, Committed, ConsumerEvent, GroupConsumer, RecordQueue, Verdict, Wake,
};
use crate::record::{Offset, TopicPartition};
use crate::topology::OffsetReset;

/// How long a consumer may take to leave its group and to go: somewhat more than it takes to leave
/// a group that does not answer.
const CLOSE_MAX: Duration = Duration::from_secs(10);

const WHILE_ALIVE: &str = "the client goes with the consumer";

/// Events looked at in one poll that concern nobody: a bound, not a limit anyone reaches.
const IGNORED_EVENTS_MAX: usize = 64;

/// A member of the group.
#[derive(Debug)]
pub(crate) struct KafkaConsumer {
    reading: Partitions,
    /// None only while it is dropped, as the client: queues go before it.
    events: Option<Queue>,
    client: Option<Client>,
    wake: Arc<Wake>,
}

impl KafkaConsumer {
    pub(super) fn new(client: Client, wake: &Arc<Wake>) -> Self {
        let mut events = client.events(Role::Consumer);
        events.ring(wake);
        KafkaConsumer {
            reading: Partitions::default(),
            events: Some(events),
            client: Some(client),
            wake: Arc::clone(wake),
        }
    }

    fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("it is dropped with the consumer")
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.reading.clear();
        self.events = None;
        let Some(client) = self.client.take() else {
            return;
        };
        let closing = Call::start("leave", move || client.leave());
        if closing.outcome(CLOSE_MAX).is_none() {
            tracing::warn!("librdkafka does not let a consumer go, its threads are left behind");
        }
    }
}

impl GroupConsumer for KafkaConsumer {
    type Group = Membership;

    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), BrokerError> {
        let tried = |failure: Failure| failure.ordinary("subscribing");
        let mut list = TopicPartitionList::with_capacity(topics.len());
        for topic in topics {
            // A name that starts with ^ would be a pattern.
            if topic.contains('\0') || topic.starts_with('^') {
                let failure = Failure::plain(Code::InvalidTopic, &format!("{topic:?}"));
                return Err(tried(failure));
            }
            list.add_topic_unassigned(topic);
        }
        self.client().subscribe(&list).map_err(tried)
    }

    fn poll(&mut self) -> Result<Option<ConsumerEvent>, BrokerError> {
        for _ in 0..IGNORED_EVENTS_MAX {
            let event = self
                .events
                .as_ref()
                .and_then(|events| events.event(Duration::ZERO));
            let Some(event) = event else {
                return Ok(None);
            };
            // There may be more, and a queue that is not empty does not ring.
            self.wake.ring();
            let event = match event {
                Event::Assigned(partitions) => ConsumerEvent::Assigned(partitions),
                Event::Revoked => ConsumerEvent::Revoked {
                    lost: self.client().assignment_lost(),
                },
                Event::Failed(failure) => match judge(failure) {
                    Some(error) => return Err(error),
                    None => continue,
                },
                Event::Undelivered(..) | Event::Committed(_) | Event::Other => continue,
            };
            return Ok(Some(event));
        }
        Ok(None)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        let client = self.client.as_ref().expect(WHILE_ALIVE);
        self.reading.assign(client, partitions, &self.wake)
    }

    fn unassign(&mut self) -> Result<(), BrokerError> {
        self.reading.clear();
        let unassigned = self.client().assign(None);
        unassigned.map_err(|failure| failure.ordinary("giving partitions back"))
    }

    fn fetch(
        &mut self,
        partition: usize,
        records_max: usize,
        queue: &mut RecordQueue,
    ) -> Result<usize, BrokerError> {
        self.reading.take(partition, records_max, |taken| {
            match taken {
                Taken::Record {
                    offset,
                    timestamp,
                    key,
                    value,
                    headers,
                } => queue.push(offset, timestamp, (key, value), headers),
                Taken::End(_) => queue.reach_end(),
                Taken::Failed(..) => {} // judged where it is taken
            }
            std::ops::ControlFlow::Continue(())
        })
    }

    fn watermark(&self, partition: usize) -> Option<Offset> {
        let partition = self.reading.partition(partition)?;
        self.client().watermark(partition)
    }

    fn group(&self) -> Option<Membership> {
        let membership = self.client().membership()?;
        // Asked last: an assignment lost meanwhile counts.
        (!self.client().assignment_lost()).then_some(membership)
    }

    fn assignment_lost(&self) -> bool {
        self.client().assignment_lost()
    }

    fn commit(
        &self,
        offsets: &[(TopicPartition, Committed)],
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let list = committing(offsets)?;
        let committed = self.client().commit(&list, timeout);
        committed.map_err(|failure| {
            let verdict = match failure.code {
                Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId => {
                    Verdict::Fenced
                }
                _ if failure.is_of_the_client() => Verdict::Fatal,
                _ if failure.is_passing() => Verdict::Retriable,
                _ => Verdict::Refused,
            };
            failure.with(verdict, "committing offsets")
        })
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        committed(self.client(), partitions, timeout)
    }

    fn reset_offset(
        &mut self,
        partition: &TopicPartition,
        reset: OffsetReset,
        timeout: Duration,
    ) -> Result<Offset, BrokerError> {
        let edge = match reset {
            OffsetReset::Earliest => NativeOffset::Beginning,
            OffsetReset::Latest => NativeOffset::End,
            OffsetReset::None => unreachable!("the worker refuses a source without a reset"),
        };
        let mut found = edges(
            self.client(),
            std::slice::from_ref(partition),
            edge,
            timeout,
        )?;
        Ok(found.remove(0))
    }

    fn close(self) {}
}

/// What the client's group has committed for partitions.
pub(super) fn committed(
    client: &Client,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, BrokerError> {
    let tried = |failure: Failure| failure.ordinary("asking for committed offsets");
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        add(&mut list, partition, Offset::ZERO)?;
    }
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    client.committed(&mut list, timeout).map_err(tried)?;
    let committed = entries(&list).into_iter().map(|entry| match entry.failure {
        Some(failure) => Err(tried(failure)),
        // Negative: never committed.
        None => Ok((entry.offset >= 0).then(|| Committed {
            offset: Offset::new(entry.offset),
            metadata: entry.metadata,
        })),
    });
    committed.collect()
}

/// The first or last offsets of partitions, as the client is allowed to see them.
pub(super) fn edges(
    client: &Client,
    partitions: &[TopicPartition],
    edge: NativeOffset,
    timeout: Duration,
) -> Result<Vec<Offset>, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        add(&mut list, partition, Offset::ZERO)?;
    }
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let tried = |failure: Failure| failure.ordinary("asking for the ends of partitions");
    let set = list.set_all_offsets(edge);
    set.expect("beginning and end have numbers");
    client
        .offsets_for_times(&mut list, timeout)
        .map_err(tried)?;
    let found = entries(&list).into_iter().zip(partitions);
    let found = found.map(|(entry, partition)| match entry.failure {
        Some(failure) => Err(failure.ordinary(&format!("asking for the ends of {partition}"))),
        // Some leaders did not answer.
        None if entry.offset < 0 => {
            let failure = Failure::plain(Code::OffsetNotAvailable, "no offset");
            Err(failure.ordinary(&format!("asking for the ends of {partition}")))
        }
        None => Ok(Offset::new(entry.offset)),
    });
    found.collect()
}

/// The error that ends the consumer; none if it passes.
fn judge(failure: Failure) -> Option<BrokerError> {
    let tried = "consuming in the group";
    match failure.code {
        // A revocation with `lost` follows.
        Code::PollExceeded => {
            tracing::warn!(%failure, "the worker was busy for too long, the group took its tasks");
            None
        }
        // Metadata that has not reached every broker says so for a moment; a topic that is gone
        // for good is noticed where topics are looked up, at the next assignment.
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            tracing::warn!(%failure, "an input topic is missing");
            None
        }
        Code::IllegalGeneration | Code::UnknownMemberId => {
            tracing::info!(%failure, "membership outdated, joining again");
            None
        }
        _ if failure.is_passing() => {
            tracing::warn!(%failure, "a broker cannot be used at the moment");
            None
        }
        Code::FencedInstanceId => Some(failure.with(Verdict::Refused, tried)),
        _ if failure.severity == Severity::Fatal => Some(failure.with(Verdict::Fatal, tried)),
        _ => Some(failure.ordinary(tried)),
    }
}
