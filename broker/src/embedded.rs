//! The handle on a running broker: start it, ask it, break it, stop it by dropping it.
//!
//! # Invariants
//!
//! - **A handle is a running broker.** Dropping it ends every thread and closes every socket.
//! - **The port stays** through restarts: while the broker is down, connections are closed as soon as made.

use std::io;
use std::time::Duration;

use crate::ErrorCode;
use crate::admin::AdminError;
use crate::core::Core;
use crate::faults::{Coordinator, FaultId, FaultRule};
use crate::options::Options;
use crate::server::{Power, Server, Shared};
use crate::{ApiKey, server};

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or cannot be resolved: choose another port, or 0 for any.
    #[error("cannot listen on {host}:{port}: {source}")]
    Listen {
        /// The host to listen on.
        host: String,
        /// The port to listen on.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// An administrative call was refused.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What a restarted broker remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Everything, as after a restart on the same disk.
    Kept,
    /// Nothing, as after a restart on an empty disk.
    Lost,
}

/// A broker in this process, on a port of its own.
///
/// ```
/// use onceflow_broker::{ApiKey, EmbeddedBroker};
///
/// let broker = EmbeddedBroker::start()?;
/// broker.create_topic("payments", 1)?;
/// broker.faults().on(ApiKey::EndTxn).times(1).lose_answer();
/// assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));
/// # Ok::<(), onceflow_broker::Error>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedBroker {
    server: Server,
    options: Options,
    topics: Vec<(String, i32)>,
    bootstrap_servers: String,
}

/// Options of a broker to be started.
///
/// ```
/// use onceflow_broker::EmbeddedBroker;
///
/// let broker = EmbeddedBroker::builder()
///     .default_partitions(3)
///     .auto_create_topics(false)
///     .topic("orders", 6)
///     .start()?;
/// assert_eq!(broker.partition_count("orders"), Some(6));
/// # Ok::<(), onceflow_broker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    host: String,
    port: u16,
    options: Options,
    topics: Vec<(String, i32)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            options: Options::default(),
            topics: Vec::new(),
        }
    }
}

impl Builder {
    /// The host to listen on and to tell clients; `127.0.0.1` by default.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The port to listen on; 0, the default, takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Partitions of topics created without a count; 1 by default.
    #[must_use]
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.options.partitions = partitions.max(1);
        self
    }

    /// Whether an unknown topic is created when a client asks for it; on by default.
    #[must_use]
    pub fn auto_create_topics(mut self, on: bool) -> Self {
        self.options.auto_create_topics = on;
        self
    }

    /// The shortest session time-out that members may ask for; 6 s by default, as on Apache Kafka.
    #[must_use]
    pub fn min_session_timeout(mut self, timeout: Duration) -> Self {
        self.options.session_timeout_min_ms = millis(timeout);
        self
    }

    /// The longest session time-out that members may ask for; 30 min by default.
    #[must_use]
    pub fn max_session_timeout(mut self, timeout: Duration) -> Self {
        self.options.session_timeout_max_ms = millis(timeout);
        self
    }

    /// How long an empty group waits for more members; not at all by default.
    #[must_use]
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.options.initial_rebalance_delay_ms = millis(delay);
        self
    }

    /// How often expired transactions are aborted; every second by default.
    #[must_use]
    pub fn transaction_sweep_interval(mut self, interval: Duration) -> Self {
        self.options.transaction_sweep_interval_ms = millis(interval);
        self
    }

    /// How long each control marker takes to reach its partition; no time by default.
    #[must_use]
    pub fn marker_delay(mut self, delay: Duration) -> Self {
        self.options.marker_delay_ms = millis(delay);
        self
    }

    /// Creates a topic as soon as the broker starts, and after a restart that lost its memory.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Changes any other setting.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Starts the broker.
    ///
    /// # Errors
    ///
    /// The port is taken or the host unknown; a topic cannot be created.
    pub fn start(self) -> Result<EmbeddedBroker, Error> {
        let Self {
            host,
            port,
            mut options,
            topics,
        } = self;
        let listen = |source| Error::Listen {
            host: host.clone(),
            port,
            source,
        };
        options.host.clone_from(&host);
        let make = |port, now_ms| {
            let seed = server::clock::seed(now_ms, port);
            Core::new(Options {
                port,
                seed,
                ..options.clone()
            })
        };
        let server = Server::start(&host, port, make).map_err(listen)?;
        options.port = server.address().port();
        let bootstrap_servers = format!("{host}:{}", server.address().port());
        let broker = EmbeddedBroker {
            server,
            options,
            topics,
            bootstrap_servers,
        };
        broker
            .shared()
            .step(|core| broker.create_initial_topics(core))?;
        Ok(broker)
    }
}

impl EmbeddedBroker {
    /// Starts a broker on a free port of 127.0.0.1, with the default options.
    ///
    /// # Errors
    ///
    /// There is no free port, or no thread to be had.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Options first.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What clients set as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The port that the broker listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// The name is taken or illegal, or the count is not positive.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), AdminError> {
        self.create_topic_with(name, partitions, &[])
    }

    /// Creates a topic with settings.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedBroker::create_topic`], or a setting is unknown or cannot have its value.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        self.shared()
            .step(|core| core.create_topic(name, partitions, configs))
    }

    /// Deletes a topic.
    ///
    /// # Errors
    ///
    /// There is no such topic.
    pub fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        self.shared().step(|core| core.delete_topic(name))
    }

    /// The names of all topics, in their order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.shared().lock().core.topic_names()
    }

    /// The number of a topic's partitions.
    #[must_use]
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.shared().lock().core.partition_count(topic)
    }

    /// Compacts a topic now.
    ///
    /// # Errors
    ///
    /// There is no such topic, or its `cleanup.policy` does not say `compact`.
    pub fn compact(&self, topic: &str) -> Result<(), AdminError> {
        self.shared().step(|core| core.compact(topic))
    }

    /// The first offset of a partition, its last stable offset, and its end.
    #[must_use]
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64, i64)> {
        self.shared().lock().core.offsets(topic, partition)
    }

    /// What a group has committed for a partition: the offset and its metadata.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        self.shared().lock().core.committed(group, topic, partition)
    }

    /// How many requests of an API have arrived since the broker started.
    #[must_use]
    pub fn requests_received(&self, api: ApiKey) -> u64 {
        self.shared().lock().core.requests_received(api)
    }

    /// What goes wrong on purpose.
    #[must_use]
    pub fn faults(&self) -> FaultControl<'_> {
        FaultControl {
            shared: self.shared(),
        }
    }

    /// Takes the broker down: all connections are cut, and new ones closed at once, until [`revive`](Self::revive).
    pub fn kill(&self) {
        self.shared().cut_off(Power::Down);
    }

    /// Brings a killed broker back on the same port.
    pub fn revive(&self, memory: Memory) {
        let shared = self.shared();
        let now_ms = shared.now_ms();
        let mut state = shared.lock();
        match memory {
            Memory::Kept => state.core.restarted(now_ms),
            Memory::Lost => {
                let seed = server::clock::seed(now_ms, self.port());
                let faults = std::mem::take(state.core.faults());
                state.core = Core::new(Options {
                    seed,
                    ..self.options.clone()
                });
                *state.core.faults() = faults;
                if let Err(error) = self.create_initial_topics(&mut state.core) {
                    tracing::error!(%error, "the topics of the start cannot be made again");
                }
            }
        }
        state.power = Power::On;
        drop(state);
        shared.step(|_| ());
    }

    /// Kills the broker and brings it back at once. Faults that were asked for stay in force.
    pub fn restart(&self, memory: Memory) {
        self.kill();
        self.revive(memory);
    }

    fn create_initial_topics(&self, core: &mut Core) -> Result<(), AdminError> {
        self.topics
            .iter()
            .try_for_each(|(name, partitions)| core.create_topic(name, *partitions, &[]))
    }

    fn shared(&self) -> &Shared {
        self.server.shared()
    }
}

/// Faults of a running broker. Those that are made here last until they are used up, removed or cleared.
#[derive(Debug)]
pub struct FaultControl<'a> {
    shared: &'a Shared,
}

impl<'a> FaultControl<'a> {
    /// A fault that strikes requests of this API.
    pub fn on(&self, api: ApiKey) -> FaultRule<'a> {
        let shared = self.shared;
        FaultRule::new(Some(api), move |rule| {
            shared.lock().core.faults().install(rule)
        })
    }

    /// A fault that strikes requests of any API.
    pub fn on_any(&self) -> FaultRule<'a> {
        let shared = self.shared;
        FaultRule::new(None, move |rule| shared.lock().core.faults().install(rule))
    }

    /// How often a fault has struck.
    #[must_use]
    pub fn hits(&self, fault: FaultId) -> u64 {
        self.shared.lock().core.faults().hits(fault)
    }

    /// Waits until a fault has struck this often; `false` when the time is over first.
    #[must_use]
    pub fn wait_for_hits(&self, fault: FaultId, hits: u64, timeout: Duration) -> bool {
        self.shared
            .wait_until(timeout, |core| core.faults().hits(fault) >= hits)
    }

    /// Takes a fault back.
    pub fn remove(&self, fault: FaultId) {
        self.shared.lock().core.faults().remove(fault);
    }

    /// Takes all faults back, and ends hanging and absence.
    pub fn clear(&self) {
        self.shared.step(|core| core.faults().clear());
    }

    /// Cuts all connections; clients may come back at once.
    pub fn close_connections(&self) {
        self.shared.close_connections();
    }

    /// The broker takes connections and requests in, but answers nothing for this long.
    pub fn hang(&self, time: Duration) {
        let until_ms = self.shared.now_ms() + i64::from(millis(time));
        self.shared.step(|core| core.faults().hang_until(until_ms));
    }

    /// A coordinator has moved away: its requests are answered NOT_COORDINATOR for this long.
    pub fn move_coordinator(&self, which: Coordinator, time: Duration) {
        self.coordinator_answers(which, ErrorCode::NotCoordinator, time);
    }

    /// A coordinator is loading: its requests are answered COORDINATOR_LOAD_IN_PROGRESS for this long.
    pub fn load_coordinator(&self, which: Coordinator, time: Duration) {
        self.coordinator_answers(which, ErrorCode::CoordinatorLoadInProgress, time);
    }

    /// Fences the producer of a transactional id, as a second one with the same id would, and aborts what
    /// it has open. `false`: there is no such id.
    pub fn fence_producer(&self, transactional_id: &str) -> bool {
        self.shared
            .step(|core| core.fence_producer(transactional_id))
    }

    /// Lets an open transaction expire now. `false`: none is open under this id.
    pub fn expire_transaction(&self, transactional_id: &str) -> bool {
        self.shared
            .step(|core| core.expire_transaction(transactional_id))
    }

    fn coordinator_answers(&self, which: Coordinator, code: ErrorCode, time: Duration) {
        let until_ms = self.shared.now_ms() + i64::from(millis(time));
        self.shared
            .step(|core| core.faults().coordinator_away_until(which, code, until_ms));
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
