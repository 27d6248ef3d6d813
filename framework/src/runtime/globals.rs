//! Global stores: every worker fills its own from all partitions of their topics.
//!
//! ```text
//!   topic ──all partitions──> Globals::update ──> source, processor ──> store
//!                                                                         ^ read by any task
//! ```
//!
//! # Invariants
//!
//! - A store is a pure function of its topic: each worker makes the same one, nothing is written
//!   for it to the broker, and a new one is made by reading the topic again.
//! - It belongs to one thread, like the tasks that read it: between two records of a task it may
//!   change, while a record is processed it does not.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::task::{Task, TaskSettings};
use crate::error::{Error, ErrorKind};
use crate::metrics::Drops;
use crate::processor::{
    Collector, GlobalStores, OutgoingRecord, Prepared, PunctuationKind, StoreSlot, TopicId,
};
use crate::record::{RawRecord, TaskId};
use crate::topology::Topology;

/// The global stores of one worker, each with the task that fills it.
#[derive(Default)]
pub(crate) struct Globals {
    tasks: Vec<Task>,
    stores: Rc<GlobalStores>,
}

impl Globals {
    /// Makes the stores, empty, and initialises the processors that fill them.
    ///
    /// # Errors
    ///
    /// Whatever a processor's `init` fails with, and when it schedules punctuations.
    pub(crate) fn new(topology: &Arc<Topology>, settings: &TaskSettings) -> Result<Self, Error> {
        let mut globals = Globals::default();
        let mut stores = GlobalStores::default();
        for (sub_topology, _) in topology.global_parts() {
            // There is no transaction that a dead letter could be part of.
            let settings = TaskSettings {
                handlers: settings.handlers.of_global_stores(),
                global_stores: Rc::default(),
                ..settings.clone()
            };
            let id = TaskId {
                sub_topology,
                partition: 0,
            };
            let mut task = Task::new(Arc::clone(topology), id, settings, Rc::new(Nowhere))?;
            task.init()?;
            check_schedules(&task)?;
            for (name, slot) in &task.scope().stores {
                let slot = StoreSlot {
                    spec: slot.spec.clone(),
                    store: Rc::clone(&slot.store),
                    changelog: None,
                };
                stores.0.insert(Arc::clone(name), slot);
            }
            globals.tasks.push(task);
        }
        globals.stores = Rc::new(stores);
        Ok(globals)
    }

    /// The stores, for the tasks that read them.
    pub(crate) fn stores(&self) -> Rc<GlobalStores> {
        Rc::clone(&self.stores)
    }

    /// The topics, one a store: a store is known by its index here.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tasks.iter().flat_map(Task::inputs)
    }

    /// What fills the stores.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter()
    }

    /// Takes over a record of a store's topic; answers what was dropped.
    ///
    /// # Errors
    ///
    /// When it cannot be read or processed, and no handler says to go on: with its position. The
    /// store is as before it.
    pub(crate) fn update(
        &mut self,
        store: usize,
        partition: i32,
        raw: &RawRecord<'_>,
    ) -> Result<Drops, Error> {
        let task = &mut self.tasks[store];
        task.scope().partition.set(partition);
        let processed = match task.prepare(0, raw) {
            Ok(Prepared::At(timestamp)) => {
                task.note(raw);
                task.process(0, raw.offset, timestamp).map(drop)
            }
            Ok(Prepared::Dropped | Prepared::Again) => Ok(()),
            Err(error) => Err(error),
        };
        match processed {
            Ok(()) => task.committed(),
            Err(error) => {
                task.rolled_back()?;
                Err(error)
            }
        }
    }

    /// Names the node and the record at which user code panicked.
    pub(crate) fn blame_panic(&self, store: usize, error: Error) -> Error {
        self.tasks[store].blame_panic(error)
    }

    /// Closes the processors.
    pub(crate) fn close(self) {
        self.tasks.into_iter().for_each(Task::close);
    }
}

impl fmt::Debug for Globals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Globals({:?})", self.stores)
    }
}

/// A punctuation would depend on more than the topic, and nothing that it forwards has a way out.
fn check_schedules(task: &Task) -> Result<(), Error> {
    let schedules = task.scope().schedules.borrow();
    let kinds = [PunctuationKind::StreamTime, PunctuationKind::WallClock];
    if kinds.iter().all(|kind| schedules.next_due(*kind).is_none()) {
        return Ok(());
    }
    let stores: Vec<&str> = task.scope().stores.keys().map(|name| &**name).collect();
    let message = format!(
        "the processor that fills global store {} schedules a punctuation; there are none for \
         global stores",
        stores.join(", ")
    );
    Err(Error::new(ErrorKind::Topology, message))
}

/// The way out of a part that has no sinks and no changelogs.
#[derive(Debug)]
struct Nowhere;

impl Nowhere {
    fn error(what: impl fmt::Display) -> Error {
        let message = format!("what fills a global store writes no topic, so not {what}");
        Error::new(ErrorKind::Topology, message)
    }
}

impl Collector for Nowhere {
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        Err(Nowhere::error(name))
    }

    fn partitions(&self, topic: TopicId) -> Result<i32, Error> {
        Err(Nowhere::error(format_args!("{topic:?}")))
    }

    fn takes_letters(&self) -> bool {
        false
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        Err(Nowhere::error(format_args!("{:?}", record.topic)))
    }
}
