//! Keeps a worker's global stores up with their topics.
//!
//! ```text
//!   ends captured ──> read up to them ──> join the group ──> each turn: read what is there
//!        ^                  │ retention deleted what was to be read
//!        └── new stores ────┘
//! ```
//!
//! What may be half-done, and what becomes of it:
//!
//! | the worker ends | the stores hold | after a restart |
//! |---|---|---|
//! | while they are filled | a part of their topics, seen by nobody: no task was made yet | filled anew |
//! | between two updates | a prefix of each partition, each record whole | filled anew, to an end further on |
//! | within an update | the record before: its writes are staged until its processor returns | the same |
//! | while a batch is open | newer rows than the batch began with | the batch is processed again, with the rows of then |
//!
//! # Invariants
//!
//! - A worker joins the group only once its stores hold what its topics held when it began: no
//!   record is joined with less. A transaction that is still open then is waited for, but not for
//!   ever.
//! - Reading is outside any group and any transaction: what a store holds is a pure function of
//!   its topic, so a crash at any point costs reading it again.
//! - What cannot be read or processed stops the worker: going on would leave a row out for good.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::globals::Globals;
use super::shared::Shared;
use super::worker::Worker;
use crate::broker::{ChangelogReader, Chunk, Cluster};
use crate::error::{Error, ErrorKind, Recovery, panic_text};
use crate::metrics::Drops;
use crate::processor::GlobalStores;
use crate::record::{Offset, TopicPartition};
use crate::time::Clock;

/// How many records a filling step takes over, so that the worker looks around in between.
const FILL_RECORDS_MAX: usize = 10_000;

/// How many records of global topics are taken over before the tasks go on.
const UPDATE_RECORDS_MAX: usize = 500;

/// How long a filling step waits for records.
const FILL_WAIT: Duration = Duration::from_millis(20);

/// How long the broker may take to say where the topics end, before it is asked again.
const ENDS_WAIT: Duration = Duration::from_millis(500);

/// How long a transaction that is open at the end of a topic is waited for. Its markers reach
/// partitions one by one, so it may be committed already; or it hangs until it times out.
const OPEN_TRANSACTION_WAIT: Duration = Duration::from_secs(10);

/// How often filling begins anew because records were deleted before they were read.
const FILLS_MAX: u32 = 3;

/// The global stores of a worker and the reader of their topics.
pub(super) struct GlobalReader<R> {
    reader: R,
    globals: Globals,
    lanes: Vec<GlobalLane>,
}

/// One partition of the topic of a global store.
struct GlobalLane {
    store: usize,
    partition: TopicPartition,
    /// The high watermark when the worker began: it counts open transactions.
    end: Offset,
    /// How far it was read.
    position: Offset,
    /// Whether a `read_committed` reader was at its end.
    was_at_end: bool,
}

impl GlobalLane {
    fn is_caught_up(&self) -> bool {
        self.position >= self.end
    }
}

/// What was taken over.
#[derive(Default)]
pub(super) struct Taken {
    records: usize,
    drops: Drops,
}

impl Taken {
    fn add(&mut self, other: Taken) {
        self.records += other.records;
        self.add_drops(other.drops);
    }

    fn add_drops(&mut self, drops: Drops) {
        for (at, count) in drops {
            *self.drops.entry(at).or_default() += count;
        }
    }
}

impl<R: ChangelogReader> GlobalReader<R> {
    /// For these partitions, each with the index of its store.
    pub(super) fn new(
        reader: R,
        globals: Globals,
        partitions: impl Iterator<Item = (usize, TopicPartition)>,
    ) -> Self {
        let lanes = partitions.map(|(store, partition)| GlobalLane {
            store,
            partition,
            end: Offset::new(0),
            position: Offset::new(0),
            was_at_end: false,
        });
        GlobalReader {
            reader,
            globals,
            lanes: lanes.collect(),
        }
    }

    /// The stores, for the tasks that read them.
    pub(super) fn stores(&self) -> Rc<GlobalStores> {
        self.globals.stores()
    }

    /// Captures where the topics end, and begins to read; answers false if the broker did not say.
    fn begin(&mut self) -> Result<bool, Error> {
        let lanes = self.lanes.iter();
        let partitions: Vec<TopicPartition> = lanes.map(|lane| lane.partition.clone()).collect();
        let marks = match self.reader.watermarks(&partitions, ENDS_WAIT) {
            Ok(marks) => marks,
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(error.into_error("asking where they end")),
        };
        let mut starts = Vec::with_capacity(marks.len());
        for (lane, (low, high)) in self.lanes.iter_mut().zip(marks) {
            (lane.position, lane.end) = (low, high);
            starts.push((lane.partition.clone(), low));
        }
        let assigned = self.reader.assign(&starts);
        assigned.map_err(|error| error.into_error("beginning to read"))?;
        Ok(true)
    }

    /// Whether everything is read that was there at the beginning.
    fn is_caught_up(&self) -> bool {
        self.lanes.iter().all(GlobalLane::is_caught_up)
    }

    /// The partitions of which only open transactions are missing; none if there is more to read.
    fn held_up(&self) -> Option<Vec<String>> {
        let behind = self.lanes.iter().filter(|lane| !lane.is_caught_up());
        let held: Option<Vec<String>> = behind
            .map(|lane| lane.was_at_end.then(|| lane.partition.to_string()))
            .collect();
        held.filter(|held| !held.is_empty())
    }

    /// Takes over what has come, waiting for it for at most `wait`.
    fn step(&mut self, wait: Duration, records_max: usize) -> Result<Taken, Error> {
        let (lanes, globals) = (&mut self.lanes, &mut self.globals);
        let mut taken = Taken::default();
        taken.records = self.reader.read(wait, records_max, &mut |chunk| {
            taken.add_drops(take(lanes, globals, chunk)?);
            Ok(())
        })?;
        Ok(taken)
    }

    /// Names the topics; what is behind it has the partition and the offset.
    fn cannot_fill(&self, error: Error) -> Error {
        let topics: Vec<&str> = self.globals.topics().map(|topic| &**topic).collect();
        let topics = topics.join(", ");
        let message = match error.recovery() {
            Recovery::Restore => format!(
                "records of {topics} were deleted before a global store had them; start the \
                 application again, which fills the stores anew, and keep the topic longer or \
                 compact it (cleanup.policy, retention.ms)"
            ),
            _ => format!("cannot fill the global stores from {topics}"),
        };
        let filling = Error::new(error.kind(), message).because(error);
        filling.recover_by(Recovery::Stop)
    }

    /// Closes the processors.
    pub(super) fn close(self) {
        self.globals.close();
    }
}

fn take(lanes: &mut [GlobalLane], globals: &mut Globals, chunk: Chunk<'_>) -> Result<Drops, Error> {
    match chunk {
        Chunk::Record { partition, record } => {
            let lane = &mut lanes[partition];
            lane.position = record.offset.next();
            let (store, number) = (lane.store, lane.partition.partition);
            let update = AssertUnwindSafe(|| globals.update(store, number, &record));
            catch_unwind(update).unwrap_or_else(|panic| {
                let message = format!("a processor panicked: {}", panic_text(&*panic));
                Err(globals.blame_panic(store, Error::new(ErrorKind::Processing, message)))
            })
        }
        Chunk::End { partition, offset } => {
            let lane = &mut lanes[partition];
            lane.position = lane.position.max(offset);
            lane.was_at_end = true;
            Ok(Drops::new())
        }
    }
}

/// What ends a filling, beside being filled.
pub(super) struct Limits<'l> {
    pub(super) clock: &'l dyn Clock,
    pub(super) shared: &'l Shared,
    /// How long brokers may take to say where the topics end.
    pub(super) ends_within: Duration,
}

/// Makes stores and fills them, anew if records are deleted before they are read.
pub(super) fn fill<R: ChangelogReader>(
    make: impl Fn() -> Result<GlobalReader<R>, Error>,
    limits: &Limits<'_>,
) -> Result<(GlobalReader<R>, Drops), Error> {
    let mut attempt = 1;
    loop {
        let mut reader = make()?;
        match reader.fill(limits) {
            Ok(drops) => return Ok((reader, drops)),
            Err(error) if error.recovery() == Recovery::Restore && attempt < FILLS_MAX => {
                tracing::warn!(%error, "filling the global stores begins anew");
                attempt += 1;
            }
            Err(error) => return Err(reader.cannot_fill(error)),
        }
    }
}

impl<R: ChangelogReader> GlobalReader<R> {
    /// Reads to the ends as of now, or until the application is closing; answers what was dropped.
    fn fill(&mut self, limits: &Limits<'_>) -> Result<Drops, Error> {
        let (shared, clock) = (limits.shared, limits.clock);
        let began = clock.elapsed();
        while !shared.is_closing() && !self.begin()? {
            if clock.elapsed() - began >= limits.ends_within {
                let message = "no broker said where they end within task.timeout.ms; is it up?";
                return Err(Error::new(ErrorKind::Unreachable, message));
            }
        }
        let (mut taken, mut held_since) = (Taken::default(), None);
        while !shared.is_closing() && !self.is_caught_up() {
            taken.add(self.step(FILL_WAIT, FILL_RECORDS_MAX)?);
            let Some(held_up) = self.held_up() else {
                held_since = None;
                continue;
            };
            let now = clock.elapsed();
            if now - *held_since.get_or_insert(now) >= OPEN_TRANSACTION_WAIT {
                let partitions = held_up.join(", ");
                tracing::warn!(partitions, "an open transaction is left for later");
                break;
            }
        }
        let took_ms = (clock.elapsed() - began).as_millis();
        tracing::info!(records = taken.records, took_ms, "global stores filled");
        Ok(taken.drops)
    }
}

impl<C: Cluster> Worker<C> {
    /// Makes the global stores and reads what their topics hold by now.
    pub(super) fn fill_globals(&mut self) -> Result<(), Error> {
        if self.settings.topology.global_parts().next().is_none() {
            return Ok(());
        }
        let limits = Limits {
            clock: &*self.settings.clock,
            shared: &self.settings.shared,
            ends_within: self.settings.config.task_timeout(),
        };
        let (reader, drops) = fill(|| self.global_reader(), &limits)?;
        self.count_global(drops);
        self.globals = Some(reader);
        self.settings.shared.desk.set_globals(self.settings.number);
        Ok(())
    }

    fn global_reader(&self) -> Result<GlobalReader<C::Changelogs>, Error> {
        let globals = Globals::new(&self.settings.topology, &self.task_settings())?;
        let topics: Vec<Arc<str>> = globals.topics().map(Arc::clone).collect();
        let inputs = &self.settings.inputs;
        let partitions = topics.iter().enumerate().flat_map(|(store, topic)| {
            let partitions = inputs.global_partitions(topic);
            partitions.map(move |partition| (store, partition))
        });
        let reader = self.settings.cluster.changelogs()?;
        Ok(GlobalReader::new(reader, globals, partitions))
    }

    /// Takes over what has come for the global stores; answers whether there may be more.
    pub(super) fn update_globals(&mut self) -> Result<bool, Error> {
        let Some(reader) = &mut self.globals else {
            return Ok(false);
        };
        match reader.step(Duration::ZERO, UPDATE_RECORDS_MAX) {
            Ok(taken) => {
                self.count_global(taken.drops);
                Ok(taken.records > 0)
            }
            Err(error) => Err(reader.cannot_fill(error)),
        }
    }

    /// Every worker drops the same records: one counts them.
    fn count_global(&self, drops: Drops) {
        if self.settings.number == 0 {
            self.settings.shared.metrics.add_drops(drops);
        }
    }
}
