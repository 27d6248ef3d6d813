//! Before anybody subscribes: every topic is looked up, and the application's own are created.
//!
//! # Invariants
//!
//! - A repartition topic exists before the group is joined: the assignor needs its partitions.
//! - What exists is never changed: a count that does not fit is an error that names the remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{BrokerError, Cluster, NewTopic, Wake};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::record::{TaskId, TopicPartition};
use crate::state::StoreSpec;
use crate::time::Clock;
use crate::topology::{TopicName, Topology};

/// The wait between attempts while brokers do not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a topic may be missing before it is said to be.
const NEW_TOPIC_GRACE: Duration = Duration::from_secs(2);

/// How long one look-up may take before it is made again.
const CALL_SLICE: Duration = Duration::from_secs(2);

/// The inputs of the topology on the broker, and which task each belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// Full name → sub-topology and partition count.
    topics: BTreeMap<Arc<str>, (u32, i32)>,
    /// Full names of repartition topics, whose consumed records are deleted.
    repartition: BTreeSet<Arc<str>>,
    /// Full names of the topics of global stores → partition count.
    global: BTreeMap<Arc<str>, i32>,
}

impl Inputs {
    /// The topics to subscribe to: the same for every worker of the application.
    pub(crate) fn subscription(&self) -> Vec<Arc<str>> {
        self.topics.keys().map(Arc::clone).collect()
    }

    /// The task that a partition belongs to.
    pub(crate) fn task_of(&self, partition: &TopicPartition) -> Option<TaskId> {
        let (sub_topology, _) = self.topics.get(&partition.topic)?;
        Some(TaskId {
            sub_topology: *sub_topology,
            partition: partition.partition,
        })
    }

    /// The partitions that a task reads.
    pub(crate) fn partitions_of(&self, task: TaskId) -> impl Iterator<Item = TopicPartition> + '_ {
        let of_task = self
            .topics
            .iter()
            .filter(move |(_, (sub_topology, count))| {
                *sub_topology == task.sub_topology && task.partition < *count
            });
        of_task.map(move |(topic, _)| TopicPartition::new(Arc::clone(topic), task.partition))
    }

    /// How many partitions a topic had when the application started.
    pub(crate) fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topics.get(topic).map(|(_, count)| *count)
    }

    /// How many tasks a sub-topology has.
    pub(crate) fn tasks(&self, sub_topology: u32) -> i32 {
        let counts = self.topics.values();
        let of_it = counts.filter(|(number, _)| *number == sub_topology);
        of_it.map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// All partitions of the topic of a global store.
    pub(crate) fn global_partitions(
        &self,
        topic: &Arc<str>,
    ) -> impl Iterator<Item = TopicPartition> {
        let count = self.global.get(topic).copied().unwrap_or(0);
        let topic = Arc::clone(topic);
        (0..count).map(move |partition| TopicPartition::new(Arc::clone(&topic), partition))
    }

    pub(crate) fn is_repartition(&self, topic: &str) -> bool {
        self.repartition.contains(topic)
    }
}

/// Looks up and creates what the topology needs.
///
/// # Errors
///
/// [`ErrorKind::Unreachable`] when no broker answers within `startup.timeout.ms`,
/// [`ErrorKind::Topics`] when a topic is missing or has the wrong number of partitions.
pub(crate) fn prepare<C: Cluster>(
    cluster: &C,
    topology: &Topology,
    config: &Config,
    clock: &dyn Clock,
) -> Result<Inputs, Error> {
    let setup = Setup {
        cluster,
        topology,
        config,
        clock,
    };
    let existing = setup.existing_topics()?;
    let counts = topology.partition_counts(|topic| existing.get(topic).copied())?;
    setup.check_stateful(&counts)?;
    setup.create_internal(&counts)?;
    setup.await_outputs();
    let application_id = config.application_id();
    let mut inputs = Inputs {
        topics: BTreeMap::new(),
        repartition: BTreeSet::new(),
        global: BTreeMap::new(),
    };
    for (_, part) in topology.global_parts() {
        for topic in &part.source_topics {
            let name = topic.resolve(application_id);
            if let Some(count) = existing.get(&name) {
                inputs.global.insert(name, *count);
            }
        }
    }
    for (number, part) in topology.task_parts() {
        for topic in &part.source_topics {
            let name = topic.resolve(application_id);
            if topic.is_internal() {
                inputs.repartition.insert(Arc::clone(&name));
            }
            inputs.topics.insert(name, (number, counts[topic]));
        }
    }
    Ok(inputs)
}

/// The names of all topics.
///
/// # Errors
///
/// [`ErrorKind::Unreachable`] when no broker answers within `startup.timeout.ms`.
pub(super) fn list_topics<C: Cluster>(
    cluster: &C,
    config: &Config,
    clock: &dyn Clock,
) -> Result<Vec<Arc<str>>, Error> {
    insist((config, clock), "list the topics", || {
        cluster.topics(CALL_SLICE)
    })
}

struct Setup<'a, C> {
    cluster: &'a C,
    topology: &'a Topology,
    config: &'a Config,
    clock: &'a dyn Clock,
}

impl<C: Cluster> Setup<'_, C> {
    /// The users' topics, all of which must exist.
    fn existing_topics(&self) -> Result<BTreeMap<Arc<str>, i32>, Error> {
        let sources = self
            .topology
            .sub_topologies()
            .iter()
            .flat_map(|part| &part.source_topics);
        let names = self.external(sources.chain(self.topology.sink_topics()));
        // Brokers hear of a topic that was just created one by one.
        let deadline = self.clock.elapsed() + NEW_TOPIC_GRACE.min(self.config.startup_timeout());
        let missing = loop {
            let found = self.look_up(&names)?;
            let missing = names.iter().filter(|name| !found.contains_key(*name));
            let missing: Vec<&str> = missing.map(|name| &**name).collect();
            if missing.is_empty() {
                return Ok(found);
            }
            if self.clock.elapsed() >= deadline {
                break missing;
            }
            Wake::default().sleep(RETRY_PAUSE);
        };
        let missing = missing.join(", ");
        let message = format!(
            "topics do not exist: {missing}; create them before the application starts \
             (kafka-topics.sh --create --topic <name> --partitions <count>)"
        );
        Err(Error::new(ErrorKind::Topics, message))
    }

    fn look_up(&self, names: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, i32>, Error> {
        self.insist("look up topics", || {
            self.cluster.partition_counts(names, CALL_SLICE)
        })
    }

    /// Calls again while brokers do not answer, up to the start-up limit.
    fn insist<R>(
        &self,
        what: &str,
        call: impl FnMut() -> Result<R, BrokerError>,
    ) -> Result<R, Error> {
        insist((self.config, self.clock), what, call)
    }

    /// The users' output topics may be as new as the internal ones. One that is not led after a while
    /// was there before, and is the producer's affair.
    fn await_outputs(&self) {
        let names = self.external(self.topology.sink_topics());
        let deadline = self.clock.elapsed() + NEW_TOPIC_GRACE.min(self.config.startup_timeout());
        loop {
            let led = self.cluster.are_led(&names, CALL_SLICE);
            if matches!(led, Ok(true)) {
                return;
            }
            if self.clock.elapsed() >= deadline {
                let error = led.err().map(|error| error.to_string());
                tracing::warn!(error, "an output topic has partitions without a leader");
                return;
            }
            Wake::default().sleep(RETRY_PAUSE);
        }
    }

    /// The full names of those that are the users', and of the topic of dead letters.
    fn external<'t>(&self, topics: impl Iterator<Item = &'t TopicName>) -> Vec<Arc<str>> {
        let named: BTreeSet<&TopicName> = topics.collect();
        let external = named.into_iter().filter(|topic| !topic.is_internal());
        let names = external.map(|topic| topic.resolve(self.config.application_id()));
        let dead_letters = self.config.dead_letter_topic().map(Arc::from);
        names.chain(dead_letters).collect()
    }

    /// Tasks with state need all their inputs in one place, which equal counts guarantee.
    fn check_stateful(&self, counts: &BTreeMap<TopicName, i32>) -> Result<(), Error> {
        let parts = self.topology.task_parts().map(|(_, part)| part);
        for part in parts.filter(|part| !part.stores.is_empty()) {
            let mut topics = part.source_topics.iter();
            let Some(first) = topics.next() else { continue };
            if let Some(other) = topics.find(|topic| counts[*topic] != counts[first]) {
                let message = format!(
                    "topics {first} ({} partitions) and {other} ({}) feed the same stores and \
                     must have equally many partitions; repartition one of them",
                    counts[first], counts[other]
                );
                return Err(Error::new(ErrorKind::Topics, message));
            }
        }
        Ok(())
    }

    /// Creates the repartition and changelog topics that are missing, checks those that are not.
    fn create_internal(&self, counts: &BTreeMap<TopicName, i32>) -> Result<(), Error> {
        let wanted: Vec<NewTopic> = self
            .repartition_topics(counts)
            .chain(self.changelogs(counts))
            .collect();
        let names: Vec<Arc<str>> = wanted.iter().map(|topic| Arc::clone(&topic.name)).collect();
        let existing = if names.is_empty() {
            BTreeMap::new()
        } else {
            self.look_up(&names)?
        };
        for topic in &wanted {
            match existing.get(&topic.name) {
                Some(have) if *have != topic.partitions => {
                    return Err(wrong_count(&topic.name, *have, topic.partitions));
                }
                _ => {}
            }
        }
        let missing: Vec<NewTopic> = wanted
            .into_iter()
            .filter(|topic| !existing.contains_key(&topic.name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for topic in &missing {
            tracing::info!(topic = %topic.name, partitions = topic.partitions, "creating topic");
        }
        self.insist("create the internal topics", || {
            self.cluster
                .create_topics(&missing, self.config.startup_timeout())
        })
    }

    fn repartition_topics(
        &self,
        counts: &BTreeMap<TopicName, i32>,
    ) -> impl Iterator<Item = NewTopic> {
        let internal = counts.iter().filter(|(topic, _)| topic.is_internal());
        internal.map(|(topic, count)| {
            let config = [
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("segment.bytes", "52428800"),
                ("message.timestamp.type", "CreateTime"),
            ];
            self.new_topic(
                topic.resolve(self.config.application_id()),
                *count,
                config.into_iter(),
            )
        })
    }

    fn changelogs(&self, counts: &BTreeMap<TopicName, i32>) -> impl Iterator<Item = NewTopic> {
        let parts = self.topology.task_parts();
        parts.flat_map(move |(_, part)| {
            let tasks = part
                .source_topics
                .iter()
                .map(|topic| counts[topic])
                .max()
                .unwrap_or(0);
            let stores = part.stores.iter().map(|name| self.topology.store(name));
            // Without tasks there is nothing to log: no topic matches yet.
            let stores = stores.filter(move |_| tasks > 0);
            stores.filter_map(move |store| self.changelog(store, tasks))
        })
    }

    fn changelog(&self, store: &StoreSpec, tasks: i32) -> Option<NewTopic> {
        let name = store.changelog_topic(self.config.application_id())?;
        let defaults = [
            ("cleanup.policy", "compact"),
            ("message.timestamp.type", "CreateTime"),
        ];
        let own = store
            .changelog_config
            .iter()
            .map(|(name, value)| (&**name, &**value));
        Some(self.new_topic(name, tasks, defaults.into_iter().chain(own)))
    }

    fn new_topic<'c>(
        &self,
        name: Arc<str>,
        partitions: i32,
        config: impl Iterator<Item = (&'c str, &'c str)>,
    ) -> NewTopic {
        let config = config
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        NewTopic {
            name,
            partitions,
            replication_factor: self.config.replication_factor(),
            config,
        }
    }
}

/// Makes a call until it succeeds, fails for good, or the time to start is over.
fn insist<R>(
    (config, clock): (&Config, &dyn Clock),
    what: &str,
    mut call: impl FnMut() -> Result<R, BrokerError>,
) -> Result<R, Error> {
    let limit = config.startup_timeout();
    let deadline = clock.elapsed() + limit;
    loop {
        let error = match call() {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if !error.is_passing() {
            return Err(error.into_error(format!("cannot {what}")));
        }
        if clock.elapsed() >= deadline {
            let servers = config.bootstrap_servers();
            let message = format!(
                "cannot {what}: no broker answered at {servers} within {} s; check \
                 bootstrap.servers and that the broker is up: {error}",
                limit.as_secs_f32()
            );
            return Err(Error::new(ErrorKind::Unreachable, message));
        }
        Wake::default().sleep(RETRY_PAUSE);
    }
}

fn wrong_count(topic: &str, have: i32, want: i32) -> Error {
    let message = format!(
        "internal topic {topic} has {have} partitions, the topology needs {want}; did an input \
         topic grow? Stop the application, delete the topic and start again (its state is rebuilt \
         from the input only if the group's offsets are reset too)"
    );
    Error::new(ErrorKind::Topics, message)
}
