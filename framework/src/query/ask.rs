//! One question: where it goes, how long it waits, and what no answer means.

use std::sync::Arc;
use std::time::Duration;

use super::error::QueryError;
use crate::error::{Error, ErrorKind};
use crate::processor::partition_of_key;
use crate::record::TaskId;
use crate::runtime::{Inputs, Place, Reply, Shared, State, Unasked, WAITING_MAX};
use crate::serde::{Encoded, Serde, SerdeError, SharedSerde};
use crate::state::{Answer, Question, StoreSpec};
use crate::topology::Topology;

/// How long a question waits by default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A running application, as handles to its stores are made from it.
pub(crate) struct Door {
    pub(crate) topology: Arc<Topology>,
    pub(crate) shared: Arc<Shared>,
    /// None before the start.
    pub(crate) inputs: Option<Arc<Inputs>>,
}

/// Where a store is.
#[derive(Debug, Clone, Copy)]
enum Home {
    /// In every worker.
    Everywhere,
    /// A part in each task.
    Tasks { sub_topology: u32, partitions: i32 },
}

/// What every handle to a store has.
#[derive(Clone)]
pub(super) struct Asker {
    shared: Arc<Shared>,
    pub(super) store: Arc<str>,
    home: Home,
    /// The only one to be asked.
    partition: Option<i32>,
    timeout: Duration,
}

impl Door {
    /// The store of that name, and how it is asked.
    pub(super) fn open(&self, name: &str) -> Result<(&StoreSpec, Asker), QueryError> {
        let mut parts = (0..).zip(self.topology.sub_topologies());
        let part = parts.find(|(_, part)| part.stores.iter().any(|store| **store == *name));
        let Some((sub_topology, part)) = part else {
            return Err(self.unknown(name));
        };
        let Some(inputs) = &self.inputs else {
            let state = self.shared.state();
            return Err(QueryError::NotRunning { state });
        };
        let home = match part.is_global {
            true => Home::Everywhere,
            false => Home::Tasks {
                sub_topology,
                partitions: inputs.tasks(sub_topology),
            },
        };
        let spec = self.topology.store(name);
        let asker = Asker {
            shared: Arc::clone(&self.shared),
            store: Arc::clone(&spec.name),
            home,
            partition: None,
            timeout: TIMEOUT,
        };
        Ok((spec, asker))
    }

    fn unknown(&self, name: &str) -> QueryError {
        let parts = self.topology.sub_topologies().iter();
        let known = parts.flat_map(|part| &part.stores);
        QueryError::UnknownStore {
            store: name.to_owned(),
            known: known.map(|store| (**store).to_owned()).collect(),
        }
    }
}

/// What it was built as, and what it was asked for as.
pub(super) fn wrong_store<K, V>(spec: &StoreSpec, wanted: &str) -> QueryError {
    let (key, value) = (std::any::type_name::<K>(), std::any::type_name::<V>());
    let (built_key, built_value) = spec.types;
    QueryError::WrongStore {
        store: (*spec.name).to_owned(),
        message: format!(
            "was built as {:?} for key {built_key} and value {built_value}; it was asked for as a \
             {wanted} store for key {key} and value {value}",
            spec.kind
        ),
    }
}

impl Asker {
    pub(super) fn with_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub(super) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many partitions the store has; none if each worker has it whole.
    pub(super) fn partitions(&self) -> Option<i32> {
        match self.home {
            Home::Everywhere => None,
            Home::Tasks { partitions, .. } => Some(partitions),
        }
    }

    /// The partitions that are here.
    pub(super) fn here(&self) -> Vec<i32> {
        match self.home {
            Home::Everywhere => Vec::new(),
            Home::Tasks { sub_topology, .. } => self.shared.desk.partitions(sub_topology),
        }
    }

    /// The partition that records of a key go to, by Kafka's default partitioner.
    pub(super) fn partition_of(&self, key: &[u8]) -> Option<i32> {
        let partitions = self.partitions().filter(|count| *count > 0)?;
        Some(partition_of_key(key, partitions))
    }

    /// Where a key is.
    pub(super) fn task_of(&self, key: &[u8]) -> Option<TaskId> {
        self.task(self.partition.or_else(|| self.partition_of(key))?)
    }

    fn task(&self, partition: i32) -> Option<TaskId> {
        match self.home {
            Home::Everywhere => None,
            Home::Tasks { sub_topology, .. } => Some(TaskId {
                sub_topology,
                partition,
            }),
        }
    }

    /// Everything that is here: while partitions are being given nobody knows what that is.
    pub(super) fn places(&self) -> Result<Vec<Option<TaskId>>, QueryError> {
        self.check_running()?;
        if let (Home::Everywhere, _) | (_, Some(_)) = (self.home, self.partition) {
            return Ok(vec![self.partition.and_then(|only| self.task(only))]);
        }
        let is_running = || self.shared.state() == State::Running;
        let before = is_running();
        let here = self.here();
        if here.is_empty() || !before || !is_running() {
            return Err(self.not_here(None));
        }
        Ok(here.into_iter().map(|p| self.task(p)).collect())
    }

    /// Asks the worker that has the store.
    pub(super) async fn ask(
        &self,
        task: Option<TaskId>,
        question: Question,
    ) -> Result<Answer, QueryError> {
        self.check_running()?;
        let place = Place {
            store: Arc::clone(&self.store),
            task,
        };
        let answered = match self.shared.desk.ask(place, question) {
            Ok(answered) => answered,
            Err(Unasked::NotHere) => return Err(self.not_here(task)),
            Err(Unasked::Full) => {
                let waiting = WAITING_MAX;
                return Err(QueryError::Busy { waiting });
            }
        };
        let (store, after) = (self.store_name(), self.timeout);
        match tokio::time::timeout(after, answered).await {
            Err(_elapsed) => Err(QueryError::TimedOut { store, after }),
            // The worker has ended.
            Ok(Err(_dropped)) => Err(QueryError::NotRunning {
                state: self.shared.state(),
            }),
            Ok(Ok(Reply::Answered(answer))) => Ok(answer),
            Ok(Ok(Reply::Gone)) => Err(QueryError::Rebalancing { store }),
            Ok(Ok(Reply::Failed(error))) => Err(QueryError::Failed(error)),
        }
    }

    fn check_running(&self) -> Result<(), QueryError> {
        match self.shared.state() {
            State::Running | State::Rebalancing => Ok(()),
            state => Err(QueryError::NotRunning { state }),
        }
    }

    fn not_here(&self, task: Option<TaskId>) -> QueryError {
        let store = self.store_name();
        match (self.shared.state(), self.home) {
            (State::Running, Home::Tasks { .. }) => QueryError::PartitionElsewhere {
                store,
                partition: task.map(|task| task.partition),
                here: self.here(),
            },
            _ => QueryError::Rebalancing { store },
        }
    }

    fn store_name(&self) -> String {
        (*self.store).to_owned()
    }

    /// The bytes of a key.
    pub(super) fn key_bytes<K: 'static>(
        &self,
        serde: &SharedSerde<K>,
        key: &K,
    ) -> Result<Vec<u8>, QueryError> {
        let mut bytes = Vec::new();
        let refused = |error: Error| QueryError::Failed(error);
        match serde.serialize(key, &mut bytes) {
            Ok(Encoded::Bytes) => Ok(bytes),
            Ok(Encoded::Null) => Err(refused(self.error("has no entry for a null key"))),
            Err(error) => Err(refused(
                self.error("was asked for a key without bytes")
                    .because(error),
            )),
        }
    }

    /// What the store's bytes are.
    pub(super) fn read<T>(&self, read: Result<T, SerdeError>) -> Result<T, QueryError> {
        read.map_err(|error| {
            let remedy = "holds bytes that cannot be read; was its serde changed?";
            QueryError::Failed(self.error(remedy).because(error))
        })
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Store, format!("store {} {what}", self.store))
    }
}
