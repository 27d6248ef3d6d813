//! Reads changelogs to their end, outside any group.
//!
//! # Invariants
//!
//! - Records are those of committed transactions; the watermark counts the others as well, and
//!   comes from a client that may see them.
//! - An end is told when it was reached and once more each time it has moved.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset as NativeOffset;

use super::consumer::edges;
use super::native::{Client, Event, Queue, Role, Taken};
use super::partitions::Partitions;
use crate::broker::{BrokerError, ChangelogReader, Chunk, Verdict, Wake};
use crate::error::{Error, Recovery};
use crate::record::{Offset, RawRecord, TopicPartition};

/// A reader of changelogs.
#[derive(Debug)]
pub(crate) struct KafkaChangelogs {
    // Field order: queues go before the clients.
    reading: Partitions,
    events: Queue,
    client: Client,
    /// Sees open transactions.
    lookup: Client,
    wake: Arc<Wake>,
    /// The partition that is looked at first, so that a small limit starves none.
    first: usize,
}

impl KafkaChangelogs {
    pub(super) fn new(client: Client, lookup: Client) -> Self {
        let wake = Arc::new(Wake::default());
        let mut events = client.events(Role::Consumer);
        events.ring(&wake);
        KafkaChangelogs {
            reading: Partitions::default(),
            events,
            client,
            lookup,
            wake,
            first: 0,
        }
    }

    /// Tells what every partition has, up to `records_max` records in all.
    fn round(
        &mut self,
        records_max: usize,
        sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
    ) -> Result<Round, Error> {
        let mut round = Round::default();
        let partitions = self.reading.len();
        for step in 0..partitions {
            let partition = (self.first + step) % partitions;
            let room = records_max - round.records;
            if room == 0 {
                break;
            }
            let mut refused = None;
            let taken = self.reading.take(partition, room, |taken| {
                round.chunks += 1;
                match tell(partition, taken, sink) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        refused = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            if let Some(error) = refused {
                return Err(error);
            }
            round.records += taken.map_err(unreadable)?;
        }
        self.first = (self.first + 1).checked_rem(partitions).unwrap_or(0);
        Ok(round)
    }

    fn serve(&self) -> Result<(), Error> {
        while let Some(event) = self.events.event(Duration::ZERO) {
            let Event::Failed(failure) = event else {
                continue;
            };
            if !failure.is_passing() {
                let error = failure.ordinary("the client of changelogs");
                return Err(error.into_error("reading changelogs"));
            }
            tracing::warn!(%failure, "a broker cannot be used at the moment");
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Round {
    chunks: usize,
    records: usize,
}

fn tell(
    partition: usize,
    taken: Taken<'_>,
    sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    match taken {
        Taken::Record {
            offset,
            timestamp,
            key,
            value,
            headers,
        } => {
            let record = RawRecord {
                offset,
                timestamp,
                key,
                value,
                headers: &headers,
            };
            sink(Chunk::Record { partition, record })
        }
        Taken::End(offset) => sink(Chunk::End { partition, offset }),
        Taken::Failed(..) => Ok(()), // judged below
    }
}

/// A changelog that lost the records between checkpoint and start is read again from its start.
fn unreadable(error: BrokerError) -> Error {
    let gone = error.verdict == Verdict::Refused && error.code == "_AUTO_OFFSET_RESET";
    let error = error.into_error("reading changelogs");
    if gone {
        error.recover_by(Recovery::Restore)
    } else {
        error
    }
}

impl ChangelogReader for KafkaChangelogs {
    fn watermarks(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<(Offset, Offset)>, BrokerError> {
        let first = edges(&self.lookup, partitions, NativeOffset::Beginning, timeout)?;
        let last = edges(&self.lookup, partitions, NativeOffset::End, timeout)?;
        Ok(first.into_iter().zip(last).collect())
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        self.first = 0;
        if partitions.is_empty() {
            self.reading.clear();
            let unassigned = self.client.assign(None);
            return unassigned.map_err(|failure| failure.ordinary("ceasing to read changelogs"));
        }
        self.reading.assign(&self.client, partitions, &self.wake)
    }

    fn read(
        &mut self,
        timeout: Duration,
        records_max: usize,
        sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        self.serve()?;
        let round = self.round(records_max, sink)?;
        if round.chunks > 0 || timeout.is_zero() {
            return Ok(round.records);
        }
        self.wake.sleep(timeout);
        self.serve()?;
        Ok(self.round(records_max, sink)?.records)
    }
}
