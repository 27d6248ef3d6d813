//! A stopped application begins anew: offsets set, internal topics and local state deleted.
//!
//! ```text
//!   Reset ── plan ──> ResetPlan: what there is, and what would become of it      nothing is changed
//!                        └── execute ──> 1 no members?  2 offsets deleted  3 internal topics deleted
//!                                        4 local state deleted  5 new offsets committed
//! ```
//!
//! The means of Kafka's `kafka-streams-application-reset`, with local state besides.
//!
//! # Invariants
//!
//! - A plan changes nothing.
//! - The offsets go first: a broker refuses that while the group has a member, and so a reset has
//!   destroyed nothing when it finds out that somebody has started the application meanwhile.
//! - A reset that was interrupted is made whole by another; until then the application must not run.

mod start;
mod internal;
mod local;
mod plan;

use std::path::PathBuf;
use std::time::Duration;

use crate::broker::BrokerError;
use crate::broker::kafka::GroupAdmin;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::record::TopicPartition;
use crate::time::{Clock, SystemClock};

pub use plan::{PartitionReset, ResetPlan};
pub use start::ResetTo;

/// What shall become of a stopped application.
///
/// Its calls block: within tokio make them in `spawn_blocking`.
///
/// ```
/// use onceflow_framework::Config;
/// use onceflow_framework::reset::{Reset, ResetTo};
///
/// # let broker = onceflow_broker::EmbeddedBroker::start().unwrap();
/// # broker.create_topic("lines", 2).unwrap();
/// # let servers = broker.bootstrap_servers();
/// let config = Config::new("word-count", servers)?;
/// let plan = Reset::of(config).input_topics(["lines"]).to(ResetTo::Earliest).plan()?;
/// println!("{plan}"); // nothing is changed so far
/// plan.execute()?;
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a reset does nothing before it is planned and executed"]
pub struct Reset {
    config: Config,
    inputs: Vec<String>,
    to: ResetTo,
    internal: Option<Vec<String>>,
    patience: Duration,
}

impl Reset {
    /// Resets the application of these settings: its id, brokers, security, state directory.
    pub fn of(config: Config) -> Self {
        Reset {
            config,
            inputs: Vec::new(),
            to: ResetTo::Earliest,
            internal: None,
            patience: Duration::ZERO,
        }
    }

    /// The topics that the application reads from outside; those that it makes for itself are
    /// found by their names.
    ///
    /// Offsets of other topics are forgotten: there `auto.offset.reset` decides.
    pub fn input_topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.inputs = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Where the application begins to read its input topics (default: [`ResetTo::Earliest`]).
    pub fn to(mut self, start: ResetTo) -> Self {
        self.to = start;
        self
    }

    /// Deletes only these of the internal topics: where the names of two applications leave it
    /// open whose a topic is.
    pub fn internal_topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.internal = Some(topics.into_iter().map(Into::into).collect());
        self
    }

    /// Waits so long for members to go, instead of refusing at once.
    ///
    /// A process that was killed is a member until its session has timed out. One that lives is
    /// refused still: a broker takes offsets for a group from nobody but its members, and
    /// librdkafka cannot send them away, as Java's `--force` does (KIP-571).
    pub fn wait_for_members(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Looks what there is, and says what would become of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topics`] when an input topic does not exist, or a topic that is to be deleted
    /// is none of the application's own; [`ErrorKind::Unreachable`] when no broker answers, or a
    /// transaction of the application is still open.
    pub fn plan(self) -> Result<ResetPlan, Error> {
        let group = GroupAdmin::new(&self.config)?;
        let topics = group.topics().map_err(failed)?;
        let partitions = partitions_of(&self.inputs, |topic| topics.get(topic).copied())?;
        let partitions = self.start_of(&group, partitions).map_err(failed)?;
        let groups = group.groups().map_err(failed)?;
        let found = internal::find(self.config.application_id(), topics.keys(), &groups);
        let found = found.only(self.internal.as_deref())?;
        let directory = PathBuf::from(self.config.state_dir()).join(self.config.application_id());
        let members = group.members().map_err(failed)?;
        Ok(ResetPlan {
            application_id: self.config.application_id().to_owned(),
            group,
            members,
            patience: self.patience,
            partitions,
            topics: found.own,
            spared: found.spared,
            paths: local::find(&directory)?,
            directory,
        })
    }

    fn start_of(
        &self,
        group: &GroupAdmin,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<PartitionReset>, BrokerError> {
        let committed = group.committed(&partitions)?;
        let ends = group.ends(&partitions)?;
        let time = self.to.time(SystemClock::new().now());
        let at_time = match time {
            Some(time) => group.at_time(&partitions, time)?,
            None => vec![None; partitions.len()],
        };
        let found = partitions.into_iter().zip(committed).zip(ends).zip(at_time);
        let resets = found.map(|(((partition, committed), kept), at_time)| PartitionReset {
            start: self.to.start((kept.start, kept.end), committed, at_time),
            partition,
            committed,
            kept,
        });
        Ok(resets.collect())
    }
}

/// Each partition of the input topics.
fn partitions_of(
    inputs: &[String],
    count: impl Fn(&str) -> Option<i32>,
) -> Result<Vec<TopicPartition>, Error> {
    let mut partitions = Vec::new();
    let mut missing = Vec::new();
    for topic in inputs {
        match count(topic) {
            Some(count) => {
                let of_topic = |number| TopicPartition::new(topic.as_str(), number);
                partitions.extend((0..count).map(of_topic));
            }
            None => missing.push(format!("{topic} does not exist")),
        }
    }
    if missing.is_empty() {
        return Ok(partitions);
    }
    Err(Error::listing(ErrorKind::Topics, "input topics", &missing))
}

fn failed(error: BrokerError) -> Error {
    error.into_error("cannot reset")
}
