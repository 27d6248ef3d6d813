//! Settings of an application: typed, checked as a whole, readable under Kafka's own names.
//!
//! ```text
//!   typed setters ─┐
//!   Kafka's names ─┼──> ConfigBuilder ──build(): every problem at once──> Config
//!   .properties  ──┘                                                       ├── getters: the runtime
//!                                                                          └── client properties: librdkafka
//! ```
//!
//! # Invariants
//!
//! - No setting is ignored: what is unknown, Java's only, or contradicts another is an error.
//! - Nothing that a delivery guarantee rests on can be set to anything else.
//! - Secrets are never printed.
//!
//! # Settings
//!
//! | Kafka's name | setter | default |
//! |---|---|---|
//! | `application.id` | [`Config::builder`] | required |
//! | `bootstrap.servers` | [`Config::builder`] | required |
//! | `processing.guarantee` | [`guarantee`](ConfigBuilder::guarantee) | `exactly_once_v2` |
//! | `num.stream.threads` | [`num_stream_threads`](ConfigBuilder::num_stream_threads) | 1 |
//! | `commit.interval.ms` | [`commit_interval`](ConfigBuilder::commit_interval) | 100 |
//! | `commit.linger.ms` * | [`commit_linger`](ConfigBuilder::commit_linger) | 2 |
//! | `batch.bytes.max` * | [`batch_bytes_max`](ConfigBuilder::batch_bytes_max) | 33554432 |
//! | `transaction.timeout.ms` | [`transaction_timeout`](ConfigBuilder::transaction_timeout) | 10000 |
//! | `max.task.idle.ms` | [`max_task_idle`](ConfigBuilder::max_task_idle) | 0; -1: never wait |
//! | `task.timeout.ms` | [`task_timeout`](ConfigBuilder::task_timeout) | 300000 |
//! | `startup.timeout.ms` * | [`startup_timeout`](ConfigBuilder::startup_timeout) | 10000 |
//! | `auto.offset.reset` | [`auto_offset_reset`](ConfigBuilder::auto_offset_reset) | `earliest` |
//! | `deserialization.exception.handler` | [`on_bad_record`](ConfigBuilder::on_bad_record) | `fail` |
//! | `processing.exception.handler` | [`on_failed_record`](ConfigBuilder::on_failed_record) | `fail` |
//! | `processing.exception.scope` * | [`failure_scope`](ConfigBuilder::failure_scope) | `record`; `node`: as Kafka Streams does |
//! | `production.exception.handler` | [`on_refused_output`](ConfigBuilder::on_refused_output) | `fail` |
//! | `record.retry.attempts` * | [`retry`](ConfigBuilder::retry) | 0 |
//! | `record.retry.backoff.ms` * | [`retry`](ConfigBuilder::retry) | 100 |
//! | `record.retry.backoff.max.ms` * | [`retry`](ConfigBuilder::retry) | 10000 |
//! | `errors.dead.letter.queue.topic.name` | [`dead_letter_topic`](ConfigBuilder::dead_letter_topic) | none |
//! | `replication.factor` | [`replication_factor`](ConfigBuilder::replication_factor) | -1: the broker's |
//! | `state.dir` | [`state_dir`](ConfigBuilder::state_dir) | `onceflow` in the directory for temporary files |
//! | `client.id` | [`client_id`](ConfigBuilder::client_id) | none |
//! | `instance.id` * | [`instance_id`](ConfigBuilder::instance_id) | none: kept in the state directory |
//! | `static.membership` * | [`static_membership`](ConfigBuilder::static_membership) | false |
//!
//! Names with * are ours; Kafka Streams has no such setting.
//!
//! `metadata.max.age.ms` of the consumers is also how often topics are looked for that match a source's
//! expression (here 300000 if it is not set).
//!
//! Any setting of librdkafka goes to the clients that know it. `consumer.`, `main.consumer.`,
//! `restore.consumer.`, `producer.` and `admin.` before its name choose a client, and win over
//! the same name without:
//!
//! ```
//! use onceflow_framework::Config;
//!
//! let config = Config::builder("orders", "broker-1:9092,broker-2:9092")
//!     .property("sasl.username", "orders")
//!     .property("sasl.password", "geheim")
//!     .property("consumer.max.poll.interval.ms", "600000")
//!     .property("producer.compression.type", "lz4")
//!     .build()?;
//! assert!(!format!("{config:?}").contains("geheim"));
//! # Ok::<(), onceflow_framework::Error>(())
//! ```

mod builder;
mod settings;
mod clients;
mod librdkafka;
mod bound;
mod build;
mod java;
mod nearest;
mod properties_text;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod client_tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use builder::ConfigBuilder;
pub(crate) use clients::ClientProperties;

use clients::ClientOverrides;

use crate::error::Error;
use crate::handler::{ExceptionHandler, FailureScope, Handlers, Retry};
use crate::topology::OffsetReset;

/// How often an input record takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Guarantee {
    /// Exactly once, in state and output, across crashes and rebalances.
    #[default]
    ExactlyOnceV2,
    /// At least once: after a failure, outputs may repeat and stores may count a record twice, but
    /// none is lost. Offsets are committed once all that led to them is acknowledged.
    AtLeastOnce,
    /// At most once: after a failure, records may be lost, but none takes effect twice. Offsets are
    /// committed before their records are processed. Kafka Streams has no such guarantee.
    AtMostOnce,
}

impl Guarantee {
    const ALL: [Guarantee; 3] = [
        Guarantee::ExactlyOnceV2,
        Guarantee::AtLeastOnce,
        Guarantee::AtMostOnce,
    ];
}

/// As Kafka writes it in `processing.guarantee`.
impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::ExactlyOnceV2 => "exactly_once_v2",
            Guarantee::AtLeastOnce => "at_least_once",
            Guarantee::AtMostOnce => "at_most_once",
        })
    }
}

/// The checked settings of an application; see the [module](self) for all of them.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow_framework::Config;
///
/// let config = Config::builder("word-count", "localhost:9092")
///     .num_stream_threads(4)
///     .commit_interval(Duration::from_millis(50))
///     .build()?;
/// assert_eq!(config.application_id(), "word-count");
///
/// let same = Config::from_properties_text(
///     "application.id = word-count\n\
///      bootstrap.servers = localhost:9092\n\
///      num.stream.threads = 4\n\
///      commit.interval.ms = 50\n",
/// )?;
/// assert_eq!(same.num_stream_threads(), config.num_stream_threads());
/// # Ok::<(), onceflow_framework::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    application_id: String,
    bootstrap_servers: String,
    guarantee: Guarantee,
    num_stream_threads: usize,
    commit_interval: Duration,
    commit_linger: Duration,
    batch_bytes_max: usize,
    transaction_timeout: Duration,
    max_task_idle: Option<Duration>,
    task_timeout: Duration,
    startup_timeout: Duration,
    auto_offset_reset: OffsetReset,
    handlers: Handlers,
    replication_factor: i32,
    state_dir: PathBuf,
    client_id: Option<String>,
    instance_id: Option<String>,
    static_membership: bool,
    clients: ClientOverrides,
}

impl Config {
    /// The defaults, for an application of this id on a cluster at these servers.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::build`].
    pub fn new(
        application_id: impl Into<String>,
        bootstrap_servers: impl Into<String>,
    ) -> Result<Self, Error> {
        Config::builder(application_id, bootstrap_servers).build()
    }

    /// Starts from the defaults.
    ///
    /// The application id names the consumer group and begins the names of internal topics and
    /// transactional ids; all processes of an application share it. The servers are a list of
    /// `host:port`, separated by commas.
    pub fn builder(
        application_id: impl Into<String>,
        bootstrap_servers: impl Into<String>,
    ) -> ConfigBuilder {
        ConfigBuilder::new(application_id.into(), bootstrap_servers.into())
    }

    /// Reads settings by their Kafka names; of a name that is given twice the last one counts.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::build`].
    pub fn from_properties<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error> {
        Config::builder("", "").properties(properties).build()
    }

    /// Reads the text of a Java `.properties` file.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::build`], and when the text is malformed.
    pub fn from_properties_text(text: &str) -> Result<Self, Error> {
        Config::builder("", "").properties_text(text).build()
    }

    /// The application's id: its consumer group, and the beginning of its topics' names.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// Where the cluster is found: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// How often a record takes effect.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// How many workers this process has.
    #[must_use]
    pub fn num_stream_threads(&self) -> usize {
        self.num_stream_threads
    }

    /// How long a batch stays open at most.
    #[must_use]
    pub fn commit_interval(&self) -> Duration {
        self.commit_interval
    }

    /// How long after the commit of all there was the next batch stays open at least.
    #[must_use]
    pub fn commit_linger(&self) -> Duration {
        self.commit_linger
    }

    /// How many bytes of input a batch holds for its replay before it is closed.
    #[must_use]
    pub fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    /// After how long the broker aborts a transaction that was left open; without transactions, how
    /// long a batch may take to be delivered.
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// How long a task waits for an input that is empty; none: it does not wait at all.
    #[must_use]
    pub fn max_task_idle(&self) -> Option<Duration> {
        self.max_task_idle
    }

    /// How long brokers may be unreachable before the application fails.
    #[must_use]
    pub fn task_timeout(&self) -> Duration {
        self.task_timeout
    }

    /// Within how long brokers must answer at the start.
    #[must_use]
    pub fn startup_timeout(&self) -> Duration {
        self.startup_timeout
    }

    /// Where a source begins whose group has no offset, unless the source says otherwise.
    #[must_use]
    pub fn auto_offset_reset(&self) -> OffsetReset {
        self.auto_offset_reset
    }

    /// What becomes of bytes that a source cannot read.
    #[must_use]
    pub fn on_bad_record(&self) -> &dyn ExceptionHandler {
        &*self.handlers.deserialization
    }

    /// What becomes of a record at which a processor fails.
    #[must_use]
    pub fn on_failed_record(&self) -> &dyn ExceptionHandler {
        &*self.handlers.processing
    }

    /// What becomes of an output that cannot be written as bytes, or is refused for good.
    #[must_use]
    pub fn on_refused_output(&self) -> &dyn ExceptionHandler {
        &*self.handlers.production
    }

    /// How a record is tried again that failed for a transient reason.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.handlers.retry
    }

    /// How much is given up when a processor fails and its handler goes on.
    #[must_use]
    pub fn failure_scope(&self) -> FailureScope {
        self.handlers.scope
    }

    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        Arc::new(self.handlers.clone())
    }

    /// Where records go that a handler has given up.
    #[must_use]
    pub fn dead_letter_topic(&self) -> Option<&str> {
        self.handlers.dead_letters.as_deref()
    }

    /// Replicas of internal topics; -1 is the broker's default.
    #[must_use]
    pub fn replication_factor(&self) -> i32 {
        self.replication_factor
    }

    /// Where this process keeps files.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// What the names of clients begin with, in the broker's logs and metrics.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The stable name of this process among those of the application.
    #[must_use]
    pub fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// Whether workers keep their partitions across a restart of the process.
    #[must_use]
    pub fn static_membership(&self) -> bool {
        self.static_membership
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("application_id", &self.application_id)
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("guarantee", &self.guarantee)
            .field("num_stream_threads", &self.num_stream_threads)
            .field("commit_interval", &self.commit_interval)
            .field("commit_linger", &self.commit_linger)
            .field("batch_bytes_max", &self.batch_bytes_max)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("max_task_idle", &self.max_task_idle)
            .field("task_timeout", &self.task_timeout)
            .field("startup_timeout", &self.startup_timeout)
            .field("auto_offset_reset", &self.auto_offset_reset)
            .field("handlers", &self.handlers)
            .field("replication_factor", &self.replication_factor)
            .field("state_dir", &self.state_dir)
            .field("client_id", &self.client_id)
            .field("instance_id", &self.instance_id)
            .field("static_membership", &self.static_membership)
            .field("clients", &self.clients)
            .finish()
    }
}
