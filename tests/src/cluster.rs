//! The broker under test: the same suite runs on the embedded broker and on Apache Kafka.
//!
//! ```text
//!   ONCEFLOW_TEST_BROKER = embedded (or unset) ──> onceflow_broker::EmbeddedBroker
//!                        = apache              ──> ApacheKafka, one JVM a test process
//! ```
//!
//! # Invariants
//!
//! - **Shared means read-only.** The shared cluster is never killed, paused or reconfigured: a
//!   test that harms its broker starts its own.
//! - **Nothing is skipped.** A broker that cannot start fails the test that asked for it.

use std::{
    env,
    ffi::OsStr,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use onceflow_broker::{Builder, EmbeddedBroker, Memory};
use rdkafka::{admin::AdminClient, client::DefaultClientContext};

use crate::{
    apache::ApacheKafka, clients::Lookups, error::HarnessError, history::IdleReaders,
    produce::SharedProducer,
};

/// The environment variable that chooses the broker under test.
pub const BROKER_VARIABLE: &str = "ONCEFLOW_TEST_BROKER";

/// The longest time that the embedded broker stays paused.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// The brokers that the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// The project's own, in this process.
    Embedded,
    /// Apache Kafka, in a JVM.
    Apache,
}

impl BrokerKind {
    /// The kind that the environment asks for; embedded unless it says otherwise.
    ///
    /// # Errors
    ///
    /// When the variable holds neither `embedded` nor `apache`.
    pub fn from_environment() -> Result<Self, HarnessError> {
        Self::named(env::var_os(BROKER_VARIABLE).as_deref())
    }

    fn named(name: Option<&OsStr>) -> Result<Self, HarnessError> {
        match name.map(OsStr::to_string_lossy).as_deref() {
            None | Some("embedded") => Ok(Self::Embedded),
            Some("apache") => Ok(Self::Apache),
            Some(other) => Err(HarnessError::UnknownBroker {
                variable: BROKER_VARIABLE,
                value: other.to_owned(),
            }),
        }
    }
}

/// A running broker and what tests ask of it: topics, records, histories, offsets, clients.
pub struct Cluster {
    pub(crate) broker: Broker,
    pub(crate) admin: OnceLock<AdminClient<DefaultClientContext>>,
    pub(crate) producer: SharedProducer,
    pub(crate) lookups: Lookups,
    pub(crate) readers: IdleReaders,
}

/// What runs behind a [`Cluster`].
#[derive(Debug)]
pub(crate) enum Broker {
    Embedded(EmbeddedBroker),
    Apache(ApacheKafka),
}

impl Cluster {
    /// The broker that all tests of this process share, started by the first that asks.
    ///
    /// # Panics
    ///
    /// When it cannot start, with the reason and what to do about it.
    pub fn shared() -> &'static Self {
        // A failure is kept as well: a broker that does not start within a minute must cost the
        // first test that minute, not every test.
        static SHARED: OnceLock<Result<Cluster, HarnessError>> = OnceLock::new();
        SHARED
            .get_or_init(Self::try_start)
            .as_ref()
            .unwrap_or_else(|error| panic!("no broker for the tests: {error}"))
    }

    /// A broker of the test's own, to kill or to pause.
    ///
    /// # Panics
    ///
    /// When it cannot start, with the reason and what to do about it.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("no broker for this test: {error}"))
    }

    /// A broker of the test's own whose transaction markers reach their partitions one by one, each
    /// this late: a transaction is decided before all of it can be read. Apache Kafka's take the
    /// time that they take.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_late_markers(delay: Duration) -> Self {
        Self::try_start_with(embedded().marker_delay(delay))
            .unwrap_or_else(|error| panic!("no broker for this test: {error}"))
    }

    fn try_start() -> Result<Self, HarnessError> {
        Self::try_start_with(embedded())
    }

    fn try_start_with(embedded: Builder) -> Result<Self, HarnessError> {
        let broker = match BrokerKind::from_environment()? {
            BrokerKind::Embedded => Broker::Embedded(embedded.start()?),
            BrokerKind::Apache => Broker::Apache(ApacheKafka::start()?),
        };
        Ok(Self {
            broker,
            admin: OnceLock::new(),
            producer: SharedProducer::default(),
            lookups: Lookups::default(),
            readers: IdleReaders::default(),
        })
    }

    /// Which broker this is, for the few claims that differ.
    #[must_use]
    pub fn kind(&self) -> BrokerKind {
        match self.broker {
            Broker::Embedded(_) => BrokerKind::Embedded,
            Broker::Apache(_) => BrokerKind::Apache,
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        match &self.broker {
            Broker::Embedded(broker) => broker.bootstrap_servers(),
            Broker::Apache(kafka) => kafka.bootstrap_servers(),
        }
    }

    /// The embedded broker itself, for faults that only it can inject; `None` on Apache Kafka.
    #[must_use]
    pub fn embedded(&self) -> Option<&EmbeddedBroker> {
        match &self.broker {
            Broker::Embedded(broker) => Some(broker),
            Broker::Apache(_) => None,
        }
    }

    /// Ends the broker at once, as a machine dies: nothing is said to clients.
    pub fn kill(&self) {
        match &self.broker {
            Broker::Embedded(broker) => broker.kill(),
            Broker::Apache(kafka) => kafka.kill(),
        }
    }

    /// Starts the broker where it was, with what it had acknowledged, ending it first if it runs.
    ///
    /// # Panics
    ///
    /// When it does not serve again.
    pub fn restart(&self) {
        match &self.broker {
            Broker::Embedded(broker) => broker.restart(Memory::Kept),
            Broker::Apache(kafka) => kafka
                .restart()
                .unwrap_or_else(|error| panic!("the broker is not back: {error}")),
        }
    }

    /// Stops the broker where it stands: connections stay open, nothing is answered.
    pub fn pause(&self) {
        match &self.broker {
            Broker::Embedded(broker) => broker.faults().hang(PAUSE_MAX),
            Broker::Apache(kafka) => kafka.pause(),
        }
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        match &self.broker {
            Broker::Embedded(broker) => broker.faults().hang(Duration::ZERO),
            Broker::Apache(kafka) => kafka.resume(),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

/// The embedded broker with the settings that differ from Kafka's defaults for Apache Kafka too.
fn embedded() -> Builder {
    EmbeddedBroker::builder()
        .auto_create_topics(false)
        .transaction_sweep_interval(Duration::from_millis(500))
}

/// A name no other test of this process or of one running beside it uses.
#[must_use]
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_broker_is_the_default() {
        assert_eq!(BrokerKind::named(None).unwrap(), BrokerKind::Embedded);
    }

    #[test]
    fn both_brokers_have_a_name() {
        let named = |name: &str| BrokerKind::named(Some(OsStr::new(name))).unwrap();
        assert_eq!(named("embedded"), BrokerKind::Embedded);
        assert_eq!(named("apache"), BrokerKind::Apache);
    }

    #[test]
    fn any_other_name_is_an_error_that_says_what_to_set() {
        let error = BrokerKind::named(Some(OsStr::new("Apache"))).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains(BROKER_VARIABLE) && told.contains("`apache`"),
            "{told}"
        );
    }

    #[test]
    fn unique_names_differ() {
        assert_ne!(unique("name"), unique("name"));
    }
}
