//! What can keep a test from having its broker. Every variant says what to do about it:
//! a missing tool is an error, never a skipped test.

use std::{io, path::PathBuf, time::Duration};

/// Why a broker for tests is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The environment names a broker that does not exist.
    #[error("{variable}={value:?} names no broker: set it to `embedded` or `apache`, or unset it")]
    UnknownBroker {
        /// The environment variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// A program that the harness starts is not installed.
    #[error("cannot run `{program}` ({source}): {remedy}")]
    Program {
        /// What was to be run.
        program: String,
        /// What to install.
        remedy: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Maven did not deliver the jars.
    #[error(
        "maven could not resolve Apache Kafka ({status}): check that its repositories are \
         reachable (settings.xml), then run the tests again\n{output}"
    )]
    Maven {
        /// How Maven ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// Kafka's storage tool refused to format the data directory.
    #[error("the storage tool could not format the data directory ({status})\n{output}")]
    Format {
        /// How the tool ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// The JVM ended instead of serving.
    #[error("Apache Kafka ended while starting ({status}); the end of its log:\n{log}")]
    Ended {
        /// How the JVM ended.
        status: std::process::ExitStatus,
        /// The end of the broker's log.
        log: String,
    },
    /// The JVM runs but does not serve.
    #[error("Apache Kafka does not serve after {limit:?}; the end of its log:\n{log}")]
    Silent {
        /// How long it was given.
        limit: Duration,
        /// The end of the broker's log.
        log: String,
    },
    /// No port in the range of the harness could be bound.
    #[error("no free port between {from} and {to}: stop what holds them")]
    NoPort {
        /// First port tried.
        from: u16,
        /// One past the last port tried.
        to: u16,
    },
    /// The client library refused a configuration.
    #[error(transparent)]
    Client(#[from] rdkafka::error::KafkaError),
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// What was to be read or written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The embedded broker did not start.
    #[error(transparent)]
    Embedded(#[from] onceflow_broker::Error),
}

impl HarnessError {
    /// For `map_err`: the error of a file operation on `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
