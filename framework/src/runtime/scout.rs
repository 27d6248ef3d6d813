//! Which topics the sources read that describe them: found at the start, and looked for again.
//!
//! ```text
//!   start ── list topics ──> matches ──> prepared ──> plan 0 ──> workers subscribe
//!                              ^                                    ^
//!   metadata.max.age.ms ── list topics ──> other matches ──> plan n ┘  rebalance, tasks
//! ```
//!
//! Workers subscribe to names, not to an expression: the expression is ours (that of librdkafka is
//! POSIX's), and a worker knows every topic that the group may give it.
//!
//! # Invariants
//!
//! - The internal topics of a plan exist before anybody subscribes by it.
//! - A topic that cannot be read with the others stops the application, as it would keep it from
//!   starting: to pass over its records would lose them silently.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::topics::{Inputs, list_topics, prepare};
use crate::broker::{Cluster, Wake};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::time::Clock;
use crate::topology::{Matches, Topology};

/// A topology whose sources name their topics, and those topics.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topology: Arc<Topology>,
    pub(crate) inputs: Arc<Inputs>,
}

/// Finds the topics of a topology, and prepares them.
pub(crate) struct Scout<C> {
    cluster: Arc<C>,
    topology: Arc<Topology>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    /// What was found last.
    matches: Matches,
}

impl<C: Cluster> Scout<C> {
    pub(crate) fn new(
        cluster: &Arc<C>,
        topology: &Arc<Topology>,
        config: &Arc<Config>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Scout {
            cluster: Arc::clone(cluster),
            topology: Arc::clone(topology),
            config: Arc::clone(config),
            clock: Arc::clone(clock),
            matches: Matches::new(),
        }
    }

    /// The first plan.
    ///
    /// # Errors
    ///
    /// As [`prepare`]; and when two sources would read one topic.
    pub(crate) fn begin(&mut self) -> Result<Plan, Error> {
        if self.has_patterns() {
            self.matches = self.look()?;
        }
        self.plan()
    }

    pub(crate) fn has_patterns(&self) -> bool {
        self.topology.patterns().next().is_some()
    }

    /// Looks until the application closes, and tells its workers what has changed.
    pub(crate) fn watch(mut self, shared: &Shared, bell: &Wake) {
        let interval = self.config.metadata_max_age();
        loop {
            bell.sleep(interval);
            if shared.is_closing() {
                return;
            }
            match self.again() {
                Ok(Some(plan)) => shared.follow(plan),
                Ok(None) => {}
                Err(error) => return shared.fail(error),
            }
        }
    }

    /// A new plan, if other topics match than before.
    fn again(&mut self) -> Result<Option<Plan>, Error> {
        let found = match self.look() {
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                tracing::warn!(%error, "new input topics are looked for later");
                return Ok(None);
            }
            found => found?,
        };
        if found == self.matches {
            return Ok(None);
        }
        tracing::info!(topics = ?found, "other topics match now");
        let before = std::mem::replace(&mut self.matches, found);
        match self.plan() {
            Ok(plan) => Ok(Some(plan)),
            // One of them may be gone again, or nobody answers: the next look tells.
            Err(error) if self.look().ok().as_ref() != Some(&self.matches) => {
                tracing::warn!(%error, "new input topics are looked at later");
                self.matches = before;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn look(&self) -> Result<Matches, Error> {
        let topics = list_topics(&*self.cluster, &self.config, &*self.clock)?;
        let application_id = self.config.application_id();
        self.topology.matches(&topics, application_id)
    }

    fn plan(&self) -> Result<Plan, Error> {
        let topology = match self.has_patterns() {
            true => Arc::new(self.topology.with_matches(&self.matches)),
            false => Arc::clone(&self.topology),
        };
        let inputs = prepare(&*self.cluster, &topology, &self.config, &*self.clock)?;
        let inputs = Arc::new(inputs);
        Ok(Plan { topology, inputs })
    }
}

/// How old what is known of topics may be by default, as in Kafka's clients.
const METADATA_MAX_AGE: Duration = Duration::from_secs(5 * 60);

impl Config {
    /// How often new topics are looked for.
    fn metadata_max_age(&self) -> Duration {
        let consumer = self.consumer_properties();
        let millis = consumer.get("metadata.max.age.ms");
        let millis = millis.and_then(|millis| millis.parse().ok());
        millis.map_or(METADATA_MAX_AGE, Duration::from_millis)
    }
}
