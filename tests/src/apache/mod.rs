//! Apache Kafka for tests: one KRaft node, broker and controller in one JVM, started from the
//! published jars, its data below a temporary folder.
//!
//! ```text
//!   class_path  mvn, once a machine ──> jars
//!   jvm         format the data folder, start, watch
//!   ports       four, kept over restarts: clients, controller, a second listener for clients
//!               and the proxy before that
//! ```
//!
//! # Invariants
//!
//! - **Kafka's own semantics.** Settings shorten waits (rebalance delay, transaction sweep) or
//!   shrink internal topics; none loosens a rule that a client can observe.
//! - **Nothing stays.** The JVM ends and the folder goes when the value is dropped, or when the
//!   test process ends, however it ends.

mod class_path;
mod jvm;
mod ports;

use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tempfile::TempDir;

use crate::{
    error::HarnessError,
    proxy::Proxy,
    wait::{Deadline, within},
};
use jvm::Jvm;

/// The time a broker is given from its start until it lists itself.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Another process may bind the port between our look and the broker's.
const START_ATTEMPTS_MAX: u32 = 3;

/// Base64 of `onceflow-tests-1`, sixteen bytes: brokers of tests share an id but nothing else.
const CLUSTER_ID: &str = "b25jZWZsb3ctdGVzdHMtMQ";

/// A single-node Apache Kafka. Dropping it ends the broker and removes its data.
///
/// ```no_run
/// use onceflow_tests::ApacheKafka;
///
/// let kafka = ApacheKafka::start()?;
/// println!("serving at {}", kafka.bootstrap_servers());
/// # Ok::<(), onceflow_tests::HarnessError>(())
/// ```
#[derive(Debug)]
pub struct ApacheKafka {
    // Field order: the JVM ends before its folder goes.
    jvm: Mutex<Option<Jvm>>,
    class_path: String,
    bootstrap_servers: String,
    /// Listens where the broker's second listener is said to be, and forwards to it.
    proxy: Proxy,
    home: TempDir,
}

impl ApacheKafka {
    /// Starts a broker and waits until it serves, about four seconds. The first call on a
    /// machine also resolves the jars.
    ///
    /// # Errors
    ///
    /// Java or Maven missing, jars that cannot be resolved, a broker that does not serve within
    /// a minute: each with what to do, or with the end of the broker's log.
    pub fn start() -> Result<Self, HarnessError> {
        Self::start_with(&[])
    }

    /// Starts a broker with settings of `server.properties` on top of those for tests.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, HarnessError> {
        let class_path = class_path::resolve()?;
        let mut attempt = 1;
        loop {
            match Self::start_on_free_ports(&class_path, settings) {
                Err(HarnessError::Ended { log, .. })
                    if log.contains("BindException") && attempt < START_ATTEMPTS_MAX =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn start_on_free_ports(
        class_path: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self, HarnessError> {
        let home = tempfile::Builder::new()
            .prefix("onceflow-apache-kafka-")
            .tempdir()
            .map_err(HarnessError::file(std::env::temp_dir()))?;
        let (clients, controller, proxied) = (ports::free()?, ports::free()?, ports::free()?);
        let kafka = Self {
            jvm: Mutex::new(None),
            class_path: class_path.to_owned(),
            bootstrap_servers: format!("127.0.0.1:{clients}"),
            proxy: Proxy::start(ports::free()?, (Ipv4Addr::LOCALHOST, proxied).into())?,
            home,
        };
        let config = kafka.config_path();
        fs::write(&config, kafka.properties(controller, proxied, settings))
            .map_err(HarnessError::file(&config))?;
        jvm::format(class_path, &config, CLUSTER_ID)?;
        kafka.restart()?;
        Ok(kafka)
    }

    /// Where clients connect; the same over restarts.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The way to the broker on which things get lost.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Ends the broker with SIGKILL: nothing is flushed, nothing said to clients.
    pub fn kill(&self) {
        drop(self.jvm().take());
    }

    /// Starts the broker on the data and the port that it had, ending it first if it runs, and
    /// waits until it serves.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), HarnessError> {
        let mut slot = self.jvm();
        drop(slot.take());
        let started = Jvm::start(
            &self.class_path,
            &self.config_path(),
            &self.log_path(),
            self.home.path(),
        )?;
        self.await_service(slot.insert(started))
    }

    /// Stops every thread of the broker (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        if let Some(jvm) = self.jvm().as_ref() {
            jvm.pause();
        }
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        if let Some(jvm) = self.jvm().as_ref() {
            jvm.resume();
        }
    }

    /// The end of the broker's log, for the message of a failed test.
    #[must_use]
    pub fn log_tail(&self) -> String {
        fs::read(self.log_path())
            .map_or_else(|error| error.to_string(), |log| class_path::tail(&log))
    }

    /// A broker serves when it lists itself: a node that is still fenced does not.
    fn await_service(&self, jvm: &mut Jvm) -> Result<(), HarnessError> {
        let probe: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap_servers())
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "100")
            .set("log_level", "0")
            .create()?;
        let deadline = Deadline::after(START_LIMIT);
        let served = within(START_LIMIT, || {
            if let Some(status) = jvm.ended() {
                let log = self.log_tail();
                return Some(Err(HarnessError::Ended { status, log }));
            }
            let patience = deadline.remaining().min(Duration::from_millis(200));
            let metadata = probe.fetch_metadata(None, patience).ok()?;
            (!metadata.brokers().is_empty()).then_some(Ok(()))
        });
        served.unwrap_or_else(|| {
            Err(HarnessError::Silent {
                limit: START_LIMIT,
                log: self.log_tail(),
            })
        })
    }

    fn properties(&self, controller: u16, proxied: u16, settings: &[(&str, &str)]) -> String {
        let clients = &self.bootstrap_servers;
        let proxy = self.proxy.address();
        let controller = format!("127.0.0.1:{controller}");
        let both = format!("PLAINTEXT://{clients},CONTROLLER://{controller}");
        let listeners = format!("{both},PROXIED://127.0.0.1:{proxied}");
        let data = self.home.path().join("data");
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("controller.quorum.bootstrap.servers={controller}"),
            format!("listeners={listeners}"),
            format!("advertised.listeners={both},PROXIED://{proxy}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
                .to_owned(),
            format!("log.dirs={}", data.display()),
        ];
        lines.extend(TEST_SETTINGS.iter().map(|line| (*line).to_owned()));
        // Later lines win in a properties file.
        lines.extend(
            settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        lines.join("\n")
    }

    fn config_path(&self) -> PathBuf {
        self.home.path().join("server.properties")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("broker.log")
    }

    fn jvm(&self) -> MutexGuard<'_, Option<Jvm>> {
        self.jvm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What differs from Kafka's defaults, beyond addresses.
const TEST_SETTINGS: [&str; 14] = [
    // One node: internal topics have one replica, and few partitions to create and load.
    "offsets.topic.replication.factor=1",
    "offsets.topic.num.partitions=4",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "transaction.state.log.num.partitions=4",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
    // The first member need not wait three seconds for others.
    "group.initial.rebalance.delay.ms=0",
    // Expired transactions are looked for twice a second, not every ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    // A killed broker's registration expires soon, so that a restart is not refused for long.
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "auto.create.topics.enable=false",
    // Many tests, many small topics: do not preallocate indexes of ten megabytes each.
    "log.index.size.max.bytes=65536",
    "delete.topic.enable=true",
];
