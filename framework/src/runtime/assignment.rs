//! From partitions to tasks: what a worker does when the group gives and takes.
//!
//! # Invariants
//!
//! - Revoke before assign: two tasks must never restore into one store.
//! - A task starts only when every partition it reads is assigned to this worker.
//! - The group's stable offsets are fetched before the ends of the changelogs: what they cover
//!   is in the changelogs by then.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::active_task::{ActiveTask, Lane, ParkedTask};
use super::idle::Idle;
use super::metadata::OffsetMetadata;
use super::restore::{FromSource, Restore, Restoring};
use super::shared::WorkerState;
use super::task::Task;
use super::worker::{Worker, guard};
use crate::broker::{Cluster, Committed, GroupConsumer};
use crate::error::{Error, ErrorKind};
use crate::processor::Collector;
use crate::record::{Offset, TaskId, TopicPartition};
use crate::time::Timestamp;
use crate::topology::{OffsetReset, TopicName};

/// Tasks all of whose inputs were assigned, and those.
type Complete = (BTreeSet<TaskId>, Vec<TopicPartition>);

/// Where a partition stood as of the group's last commit.
struct Standing {
    fetch_index: usize,
    offset: Offset,
    metadata: OffsetMetadata,
}

impl<C: Cluster> Worker<C> {
    /// The group gave partitions: makes or resumes their tasks and starts reading.
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        assert!(
            self.tasks.is_empty(),
            "what was assigned before was revoked"
        );
        self.report(WorkerState::Rebalancing);
        let (tasks, partitions) = self.complete_tasks(partitions)?;
        let partitions = &partitions[..];
        let standings = self.standings(partitions)?;
        let starts: Vec<(TopicPartition, Offset)> = partitions
            .iter()
            .map(|p| (p.clone(), standings[p].offset))
            .collect();
        let mut parked: BTreeMap<TaskId, ParkedTask> = self
            .parked
            .drain(..)
            .map(|parked| (parked.id(), parked))
            .collect();
        let mut restoring = Vec::new();
        for id in tasks {
            let mut active = self.make_task(id, &standings, parked.remove(&id))?;
            if !active.running {
                let stores = restoring_stores(&active);
                if stores.is_empty() {
                    start(&mut active)?;
                }
                restoring.extend(stores);
            }
            self.tasks.push(active);
        }
        // What did not come back belongs to somebody else.
        parked.into_values().for_each(ParkedTask::close);
        let assigned = self.consumer.assign(&starts);
        assigned.map_err(|error| error.into_error("cannot start reading"))?;
        tracing::info!(tasks = ?self.tasks.iter().map(|t| t.id().to_string()).collect::<Vec<_>>(),
            restoring = restoring.len(), "partitions assigned");
        if restoring.is_empty() {
            self.report(WorkerState::Running);
        } else {
            let reader = self.settings.cluster.changelogs()?;
            self.restore = Some(Restore::new(reader, restoring));
        }
        Ok(())
    }

    /// The tasks of these partitions, each complete.
    fn complete_tasks(&self, partitions: &[TopicPartition]) -> Result<Complete, Error> {
        let assigned: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let mut tasks = BTreeSet::new();
        for partition in partitions {
            let Some(task) = self.settings.inputs.task_of(partition) else {
                if self.settings.topology.patterns().next().is_some() {
                    tracing::info!(%partition, "no longer read by this topology");
                    continue;
                }
                let message = format!(
                    "the group assigned {partition}, which this topology does not read; do all \
                     members of the group run the same topology?"
                );
                return Err(Error::new(ErrorKind::Assignment, message));
            };
            let count = self.settings.inputs.partition_count(&partition.topic);
            if let Some(count) = count.filter(|count| partition.partition >= *count) {
                return Err(grown(partition, count));
            }
            tasks.insert(task);
        }
        let mut split = Vec::new();
        for task in &tasks {
            let part = &self.settings.topology.sub_topologies()[task.sub_topology as usize];
            let mut needed = self.settings.inputs.partitions_of(*task);
            let missing = needed.find(|partition| !assigned.contains(partition));
            if let Some(missing) = missing.filter(|_| !part.stores.is_empty()) {
                if part.has_pattern {
                    // Not every member has found the same topics yet. When they have, they all
                    // join again; until then the task belongs to who has all that it knows of.
                    tracing::info!(%task, %missing, "waiting for the rest of a task");
                    split.push(*task);
                    continue;
                }
                let message = format!(
                    "task {task} was assigned without {missing}: its inputs are split over \
                     members; do all members subscribe to the same topics, with the range assignor?"
                );
                return Err(Error::new(ErrorKind::Assignment, message));
            }
        }
        split.iter().for_each(|task| {
            tasks.remove(task);
        });
        let of_tasks = |partition: &&TopicPartition| {
            let task = self.settings.inputs.task_of(partition);
            task.is_some_and(|task| tasks.contains(&task))
        };
        let read: Vec<_> = partitions.iter().filter(of_tasks).cloned().collect();
        Ok((tasks, read))
    }

    fn standings(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
        let committed = self.committed_offsets(partitions)?;
        let mut standings = BTreeMap::new();
        for (fetch_index, (partition, found)) in partitions.iter().zip(committed).enumerate() {
            let (offset, metadata) = match found {
                Some(Committed { offset, metadata }) => (offset, OffsetMetadata::decode(&metadata)),
                None => (self.reset_offset(partition)?, OffsetMetadata::none()),
            };
            standings.insert(
                partition.clone(),
                Standing {
                    fetch_index,
                    offset,
                    metadata,
                },
            );
        }
        Ok(standings)
    }

    /// The parked task if it is current, else a new one with empty stores.
    fn make_task(
        &self,
        id: TaskId,
        standings: &BTreeMap<TopicPartition, Standing>,
        parked: Option<ParkedTask>,
    ) -> Result<ActiveTask, Error> {
        let own: BTreeMap<TopicPartition, &Standing> = self
            .settings
            .inputs
            .partitions_of(id)
            .filter_map(|partition| Some((partition.clone(), standings.get(&partition)?)))
            .collect();
        let stamps = own.values().map(|standing| standing.metadata.stamp());
        let last = stamps.max().unwrap_or_default();
        let positions = own
            .iter()
            .map(|(tp, standing)| (tp.clone(), standing.offset))
            .collect();
        let resumed = parked.and_then(|parked| parked.resume(&positions, last));
        let running = resumed.is_some();
        let task = match resumed {
            Some(task) => task,
            None => self.new_task(id, &own)?,
        };
        let lanes = task
            .inputs()
            .iter()
            .enumerate()
            .filter_map(|(input, topic)| {
                let partition = TopicPartition::new(Arc::clone(topic), id.partition);
                let standing = own.get(&partition)?;
                Some(Lane::new(
                    partition,
                    standing.fetch_index,
                    input,
                    standing.offset,
                ))
            });
        let mut lanes: Vec<Lane> = lanes.collect();
        if lanes.len() > 1 && self.settings.config.max_task_idle().is_some() {
            lanes.iter_mut().for_each(|lane| lane.idle = Idle::Fetching);
        }
        let mut active = ActiveTask::new(task, lanes, last, self.settings.incarnation);
        active.running = running;
        if running {
            // Who had the partitions meanwhile may have claimed the positions, too.
            active.open_external()?;
        }
        Ok(active)
    }

    fn new_task(
        &self,
        id: TaskId,
        own: &BTreeMap<TopicPartition, &Standing>,
    ) -> Result<Task, Error> {
        let collector: Rc<dyn Collector> = Rc::clone(&self.transactor) as _;
        let topology = Arc::clone(&self.settings.topology);
        let mut task = Task::new(topology, id, self.task_settings(), collector)?;
        let times = task.inputs().iter().map(|topic| {
            let partition = TopicPartition::new(Arc::clone(topic), id.partition);
            own.get(&partition)
                .map_or(Timestamp::NONE, |s| s.metadata.partition_time)
        });
        let times: Vec<Timestamp> = times.collect();
        task.resume_times(&times);
        // Of one node's times beside several partitions the highest counts.
        let mut node_times: BTreeMap<Arc<str>, Timestamp> = BTreeMap::new();
        for (node, time) in own.values().flat_map(|s| s.metadata.node_times()) {
            let highest = node_times.entry(node).or_insert(time);
            *highest = time.max(*highest);
        }
        task.resume_node_times(node_times.into_iter());
        Ok(task)
    }

    /// The group takes all partitions back: finishes the batch while it still may.
    pub(super) fn revoked(&mut self, lost: bool) -> Result<(), Error> {
        self.report(WorkerState::Rebalancing);
        tracing::info!(lost, "partitions revoked");
        let finished = if lost { Ok(()) } else { self.finish() };
        match finished {
            Ok(()) if !lost => self.park_tasks(),
            Ok(()) => self.drop_tasks(),
            Err(error) => {
                // Whoever gets the partitions replays the batch; here it is only dropped.
                tracing::warn!(%error, "the batch could not be finished before the revoke");
                self.drop_tasks();
            }
        }
        self.consumer
            .unassign()
            .map_err(|error| error.into_error("cannot stop reading"))
    }

    fn park_tasks(&mut self) {
        self.restore = None;
        self.end_search();
        let tasks = std::mem::take(&mut self.tasks);
        self.parked.extend(tasks.into_iter().map(ActiveTask::park));
    }

    /// Drops all tasks without a commit: their partitions are, or may be, somebody else's.
    pub(super) fn drop_tasks(&mut self) {
        if let Err(error) = self.transactor.give_up() {
            tracing::warn!(%error, "abort failed");
            self.transactor.lose_producer();
        }
        self.end_search();
        self.restore = None;
        self.tasks.clear();
        self.parked.clear();
    }

    /// Goes one step on with the restore; answers whether one is under way.
    pub(super) fn restore_step(&mut self) -> Result<bool, Error> {
        let Some(restore) = self.restore.as_mut() else {
            return Ok(false);
        };
        let done = restore.step()?;
        for active in self
            .tasks
            .iter_mut()
            .filter(|active| done.contains(&active.id()))
        {
            start(active)?;
        }
        if restore.is_done() {
            tracing::info!(records = restore.records(), "state restored");
            self.restore = None;
            // Tasks whose changelogs were empty are done with the first look.
            for active in self.tasks.iter_mut().filter(|active| !active.running) {
                start(active)?;
            }
            self.report(WorkerState::Running);
        }
        Ok(true)
    }
}

/// Tasks and internal topics follow the counts that were found at the start: a partition beyond
/// them has no task, and must not stay unread in silence.
fn grown(partition: &TopicPartition, count: i32) -> Error {
    let topic = &partition.topic;
    let message = format!(
        "topic {topic} had {count} partitions when the application started and has more now \
         ({partition}); stop all instances of the application and start them again"
    );
    Error::new(ErrorKind::Topics, message)
}

/// Initialises the processors of a task whose stores are ready.
fn start(active: &mut ActiveTask) -> Result<(), Error> {
    guard(active, |active| active.task.init())?;
    guard(active, ActiveTask::open_external)?;
    active.running = true;
    Ok(())
}

fn restoring_stores(active: &ActiveTask) -> Vec<Restoring> {
    let task = active.id();
    let stores = active.task.durable_stores().into_iter();
    let restoring = stores.map(|durable| {
        let changelog = TopicPartition::new(durable.topic, task.partition);
        let lane = active.lanes.iter().find(|lane| lane.partition == changelog);
        let source = durable.replay.zip(lane);
        Restoring {
            task,
            source: source.map(|(replay, lane)| FromSource {
                end: lane.committed,
                replay,
            }),
            changelog,
            store: durable.store,
        }
    });
    restoring.collect()
}

/// Where to begin a partition for which the group has committed nothing.
pub(super) fn reset_offset<C: Cluster>(
    worker: &mut Worker<C>,
    partition: &TopicPartition,
) -> Result<Offset, Error> {
    // A repartition topic begins with the application: nothing of it may be skipped.
    let reset = if worker.settings.inputs.is_repartition(&partition.topic) {
        OffsetReset::Earliest
    } else {
        let topic = TopicName::external(Arc::clone(&partition.topic));
        let of_source = worker.settings.topology.offset_reset(&topic);
        of_source.unwrap_or(worker.settings.config.auto_offset_reset())
    };
    if reset == OffsetReset::None {
        let message = format!(
            "the group has no offset for {partition} and auto.offset.reset is none; commit an \
             offset for it, or choose earliest or latest"
        );
        return Err(Error::new(ErrorKind::Topics, message));
    }
    let deadline = worker.now() + worker.settings.config.task_timeout();
    loop {
        let found = worker
            .consumer
            .reset_offset(partition, reset, Duration::from_secs(1));
        match found {
            Ok(offset) => return Ok(offset),
            Err(error) if error.is_passing() && worker.now() < deadline => {}
            Err(error) => {
                return Err(error.into_error(format!("cannot find where {partition} begins")));
            }
        }
    }
}
