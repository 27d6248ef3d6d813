//! Collecting settings, then checking them as a whole.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clients::{ClientOverrides, shown};
use super::properties_text;
use super::settings::{self, Named};
use super::{Config, Guarantee};
use crate::error::{Error, ErrorKind};
use crate::handler::{ExceptionHandler, FailureScope, Handlers, Retry};
use crate::topology::OffsetReset;

/// More workers than any machine has use for: beyond it, it is a mistake.
const WORKERS_MAX: usize = 1_024;

/// Kafka's limit on the names of topics, which internal topics begin with the application id.
const APPLICATION_ID_CHARS_MAX: usize = 200;

/// The spans that Kafka takes: its numbers are signed 32-bit milliseconds.
const SPAN_MAX: Duration = Duration::from_millis(2_147_483_647);

/// The least transaction timeout that librdkafka takes.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Builds a [`Config`]; made by [`Config::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct ConfigBuilder {
    pub(super) config: Config,
    /// What is wrong so far: told all at once by `build`.
    pub(super) problems: Vec<String>,
}

impl ConfigBuilder {
    pub(super) fn new(application_id: String, bootstrap_servers: String) -> Self {
        let config = Config {
            application_id,
            bootstrap_servers,
            guarantee: Guarantee::default(),
            num_stream_threads: 1,
            commit_interval: Duration::from_millis(100),
            commit_linger: Duration::from_millis(2),
            batch_bytes_max: 32 << 20,
            transaction_timeout: Duration::from_secs(10),
            max_task_idle: Some(Duration::ZERO),
            task_timeout: Duration::from_secs(300),
            startup_timeout: Duration::from_secs(10),
            auto_offset_reset: OffsetReset::Earliest,
            handlers: Handlers::default(),
            replication_factor: -1,
            state_dir: std::env::temp_dir().join("onceflow"),
            client_id: None,
            instance_id: None,
            static_membership: false,
            clients: ClientOverrides::default(),
        };
        ConfigBuilder {
            config,
            problems: Vec::new(),
        }
    }

    /// How often a record takes effect (default: exactly once).
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.config.guarantee = guarantee;
        self
    }

    /// How many workers this process has, each with a thread, a consumer and a producer
    /// (default: 1). More than the inputs have partitions stay idle.
    pub fn num_stream_threads(mut self, workers: usize) -> Self {
        self.config.num_stream_threads = workers;
        self
    }

    /// How long a batch, which is a transaction, stays open at most (default: 100 ms). Shorter
    /// is sooner visible; longer costs less per record.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.config.commit_interval = interval;
        self
    }

    /// How long after the commit of all there was the next batch stays open at least (default: 2 ms).
    ///
    /// Shorter is sooner visible under light load, longer makes fewer transactions. A record that
    /// comes later is committed at once; under heavy load batches are open until they are old.
    pub fn commit_linger(mut self, linger: Duration) -> Self {
        self.config.commit_linger = linger;
        self
    }

    /// How many bytes of input a batch holds before it is committed (default: 32 MiB, for each
    /// worker). It holds them to process them again after an abort.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.config.batch_bytes_max = bytes;
        self
    }

    /// After how long the broker aborts a transaction that was left open (default: 10 s). A
    /// crashed worker delays those who read its outputs by up to this; a batch that takes longer
    /// is aborted and processed again. Must exceed the commit interval.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.config.transaction_timeout = timeout;
        self
    }

    /// How long a task that reads several partitions waits for one that is empty while another has
    /// records (default: zero), as in Kafka Streams since KIP-695.
    ///
    /// Zero: for what is known to be on the broker, however long that takes to arrive, so that
    /// records are processed in the order of their timestamps as far as they have been written.
    /// Longer: also that long for records that nobody has written yet. `None`, Kafka's -1: the
    /// task takes the lowest timestamp of the records at hand.
    ///
    /// What is in an open transaction is not waited for: nobody can know when it ends. With
    /// [`Guarantee::AtMostOnce`] a task waits before a batch and not within one, whose records are
    /// committed already.
    pub fn max_task_idle(mut self, idle: Option<Duration>) -> Self {
        self.config.max_task_idle = idle;
        self
    }

    /// How long brokers may be unreachable before the application fails (default: 5 minutes).
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        self.config.task_timeout = timeout;
        self
    }

    /// Within how long brokers must answer at the start (default: 10 s): a mistyped address
    /// should not look like a long outage.
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.config.startup_timeout = timeout;
        self
    }

    /// Where a source begins whose group has no offset, unless the source says otherwise
    /// (default: at the oldest record, as in Kafka Streams).
    pub fn auto_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.config.auto_offset_reset = reset;
        self
    }

    /// What becomes of bytes that a source cannot read (default: the application stops). An
    /// [`OnBadRecord`](crate::handler::OnBadRecord), or a [handler](crate::handler) of yours.
    pub fn on_bad_record(mut self, handler: impl ExceptionHandler) -> Self {
        self.config.handlers.deserialization = Arc::new(handler);
        self
    }

    /// What becomes of a record, or a punctuation, at which a processor fails or panics (default: the
    /// application stops). An [`OnFailedRecord`](crate::handler::OnFailedRecord), or a
    /// [handler](crate::handler) of yours.
    pub fn on_failed_record(mut self, handler: impl ExceptionHandler) -> Self {
        self.config.handlers.processing = Arc::new(handler);
        self
    }

    /// How much is given up when a processor fails and its handler goes on (default: the record, of
    /// which nothing stays). [`FailureScope::Node`] keeps what was written and forwarded before, as
    /// Kafka Streams does, and costs a record that does not fail far less: see there for what either
    /// means, and costs.
    pub fn failure_scope(mut self, scope: FailureScope) -> Self {
        self.config.handlers.scope = scope;
        self
    }

    /// What becomes of an output that cannot be written as bytes, or is refused for good (default:
    /// the application stops). An [`OnRefusedOutput`](crate::handler::OnRefusedOutput), or a
    /// [handler](crate::handler) of yours.
    pub fn on_refused_output(mut self, handler: impl ExceptionHandler) -> Self {
        self.config.handlers.production = Arc::new(handler);
        self
    }

    /// How a record is tried again that failed for a transient reason, before its handler is asked
    /// (default: it is not). It costs what
    /// [`OnFailedRecord::Continue`](crate::handler::OnFailedRecord::Continue) does.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.config.handlers.retry = retry;
        self
    }

    /// Where records go that the handlers of the framework have given up: their bytes, with the
    /// reason in headers, in the transaction that consumes them (default: nowhere). A handler of
    /// yours is told of it and decides itself.
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.config.handlers.dead_letters = Some(Arc::from(topic.into()));
        self
    }

    /// Replicas of the internal topics that are created (default: -1, the broker's default).
    pub fn replication_factor(mut self, replicas: i32) -> Self {
        self.config.replication_factor = replicas;
        self
    }

    /// Where this process keeps files (default: `onceflow` in the directory for temporary files;
    /// choose one that outlives a restart of the machine).
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.state_dir = directory.into();
        self
    }

    /// What the names of clients begin with, in the broker's logs and metrics (default: nothing
    /// before the names of the workers).
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.config.client_id = Some(id.into());
        self
    }

    /// The stable name of this process, unique among the running processes of the application
    /// (default: a name kept in the state directory).
    ///
    /// Transactional ids are `{application id}-{instance id}-{worker}`: a process that starts
    /// again under its name ends at once what its predecessor left open. Two processes that run
    /// under one name fence each other until both stop and say so; of those that share a state
    /// directory and have no name set, each takes one of its own.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.config.instance_id = Some(id.into());
        self
    }

    /// Whether workers keep their partitions across a restart of the process that is shorter
    /// than the session timeout (default: no): their `group.instance.id` is then the instance's
    /// name and the worker's number.
    ///
    /// It also shortens the pause after a crash. Without it, a process that starts again after
    /// `kill -9` gets its partitions once the group has given up its predecessor: after
    /// `consumer.session.timeout.ms`, 45 s unless set. With it, it gets them at once.
    pub fn static_membership(mut self, keep: bool) -> Self {
        self.config.static_membership = keep;
        self
    }

    /// Sets anything by Kafka's name: of Kafka Streams, of ours, or of librdkafka's clients; see
    /// the [module](super). What is wrong with it is told by [`build`](Self::build).
    pub fn property(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.set(name.as_ref(), value.as_ref());
        self
    }

    /// Sets many by their names, in order.
    pub fn properties<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in properties {
            self.set(name.as_ref(), value.as_ref());
        }
        self
    }

    /// Sets what the text of a Java `.properties` file says. What it says of the id and the
    /// brokers replaces the arguments of [`Config::builder`], which may then be empty.
    ///
    /// ```
    /// use onceflow_framework::Config;
    ///
    /// let text = "application.id = shop\nbootstrap.servers = localhost:9092\nlinger.mss = 5\n";
    /// let error = Config::builder("", "").properties_text(text).build().unwrap_err();
    /// assert!(error.to_string().contains("linger.mss is unknown"));
    /// ```
    pub fn properties_text(mut self, text: &str) -> Self {
        for line in properties_text::parse(text) {
            match line {
                Ok((name, value)) => self.set(&name, &value),
                Err(problem) => self.problems.push(problem),
            }
        }
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (name.trim(), value.trim());
        let set = match settings::named(name) {
            Named::Ours(setting) => (setting.set)(&mut self.config, value)
                .map_err(|expected| format!("expected {expected}")),
            Named::Client(layer, property) => self.config.clients.set(layer, property, value),
            Named::Problem(problem) => return self.problems.push(problem),
        };
        if let Err(problem) = set {
            let value = shown(name, value);
            self.problems.push(format!("{name}={value}: {problem}"));
        }
    }

    /// Checks all settings, one by one and against each other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with everything that is wrong: settings that are unknown (and the
    /// nearest that is known), malformed, out of range, Java's only, contradict each other, or
    /// would break the guarantee.
    pub fn build(mut self) -> Result<Config, Error> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(self.name_problems());
        problems.extend(self.number_problems());
        problems.extend(self.config.client_problems());
        let handlers = &self.config.handlers;
        if handlers.only_fail() && handlers.dead_letters.is_some() {
            problems.push(
                "errors.dead.letter.queue.topic.name is for records that are given up, and no \
                 handler gives up any: set deserialization.exception.handler, \
                 processing.exception.handler or production.exception.handler to continue"
                    .to_owned(),
            );
        }
        problems.extend(handlers.problem());
        problems.extend(unused_scope(handlers));
        if problems.is_empty() {
            return Ok(self.config);
        }
        Err(Error::listing(
            ErrorKind::Config,
            "invalid configuration",
            &problems,
        ))
    }

    fn name_problems(&self) -> Vec<String> {
        let config = &self.config;
        let mut problems = Vec::new();
        if config.application_id.is_empty() {
            problems
                .push("application.id is required: it names the group and its topics".to_owned());
        } else if !is_topic_name(&config.application_id) {
            problems.push(format!(
                "application.id={}: expected at most {APPLICATION_ID_CHARS_MAX} of a-z, A-Z, \
                 0-9, '.', '_' and '-', for topics are named after it",
                config.application_id
            ));
        }
        if config.bootstrap_servers.is_empty() {
            problems
                .push("bootstrap.servers is required: host:port, separated by commas".to_owned());
        } else if let Some(wrong) = config.bootstrap_servers.split(',').find(|s| !is_server(s)) {
            problems.push(format!(
                "bootstrap.servers: expected host:port, not '{wrong}'"
            ));
        }
        for (name, id) in [
            ("instance.id", &config.instance_id),
            ("client.id", &config.client_id),
        ] {
            if id.as_deref().is_some_and(|id| !is_topic_name(id)) {
                problems.push(format!(
                    "{name}: expected a name of a-z, A-Z, 0-9, '.', '_' and '-'"
                ));
            }
        }
        problems
    }

    fn number_problems(&self) -> Vec<String> {
        let config = &self.config;
        let millis = Duration::from_millis;
        let spans = [
            ("commit.interval.ms", config.commit_interval, millis(1)),
            ("commit.linger.ms", config.commit_linger, Duration::ZERO),
            (
                "max.task.idle.ms",
                config.max_task_idle.unwrap_or_default(),
                Duration::ZERO,
            ),
            ("task.timeout.ms", config.task_timeout, Duration::ZERO),
            ("startup.timeout.ms", config.startup_timeout, millis(1)),
            (
                "record.retry.backoff.ms",
                config.handlers.retry.first,
                Duration::ZERO,
            ),
            (
                "record.retry.backoff.max.ms",
                config.handlers.retry.max,
                Duration::ZERO,
            ),
            (
                "transaction.timeout.ms",
                config.transaction_timeout,
                TRANSACTION_TIMEOUT_MIN,
            ),
        ];
        let spans = spans
            .into_iter()
            .filter(|(_, span, min)| span < min || *span > SPAN_MAX);
        let mut problems: Vec<String> = spans
            .map(|(name, span, min)| {
                let (span, min, max) = (span.as_millis(), min.as_millis(), SPAN_MAX.as_millis());
                format!("{name}={span}: expected {min} to {max}")
            })
            .collect();
        if !(1..=WORKERS_MAX).contains(&config.num_stream_threads) {
            let workers = config.num_stream_threads;
            problems.push(format!(
                "num.stream.threads={workers}: expected 1 to {WORKERS_MAX}"
            ));
        }
        if config.batch_bytes_max == 0 {
            problems.push("batch.bytes.max=0: expected at least one byte".to_owned());
        }
        if config.replication_factor != -1 && !(1..=32_767).contains(&config.replication_factor) {
            let replicas = config.replication_factor;
            problems.push(format!(
                "replication.factor={replicas}: expected -1 (the broker's default), or 1 to 32767"
            ));
        }
        if config.transaction_timeout <= config.commit_interval {
            problems.push(format!(
                "transaction.timeout.ms={} must exceed commit.interval.ms={}, or the broker aborts \
                 batches before they are committed",
                config.transaction_timeout.as_millis(),
                config.commit_interval.as_millis()
            ));
        }
        problems
    }
}

fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= APPLICATION_ID_CHARS_MAX && name.chars().all(legal)
}

/// `host`, `host:port` or `protocol://host:port`; librdkafka's port is 9092 where none is named.
fn is_server(server: &str) -> bool {
    let server = server.trim();
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    let ipv6_end = server.rfind(']').map_or(0, |end| end + 1);
    let port = server[ipv6_end..].rsplit_once(':').map(|(_, port)| port);
    let host = server.len() - port.map_or(0, |port| port.len() + 1);
    let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    host > 0 && port_is_one && !server.contains(char::is_whitespace)
}

/// No setting is ignored.
fn unused_scope(handlers: &Handlers) -> Option<String> {
    let scope = handlers.scope;
    let is_used = !handlers.processing.only_fails() || !handlers.production.only_fails();
    (scope != FailureScope::default() && !is_used).then(|| {
        format!(
            "processing.exception.scope={scope} says what stays when a handler goes on, and none does: \
             set processing.exception.handler or production.exception.handler to continue"
        )
    })
}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder")
            .field("config", &self.config)
            .field("problems", &self.problems)
            .finish()
    }
}
