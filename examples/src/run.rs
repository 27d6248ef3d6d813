//! A run of an example: its cluster, names that keep it apart from others, and how it ends.
//!
//! # Invariants
//!
//! - A run leaves no topics behind, unless it is asked to, or they are evidence.
//! - The exit status tells a failed audit from a passed one: 0 passed, 1 failed or broken off,
//!   130 interrupted.
#![expect(clippy::print_stderr, reason = "how a run was broken off is told here")]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::Result;
use crate::cluster::Cluster;
use crate::random::unpredictable;
use crate::shutdown::{Interrupt, Interrupted};
use crate::text::{Style, styled};
use crate::worker::Log;

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Where an example runs: on the embedded broker, unless it is told of others.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Kafka brokers to run on instead of the embedded one. Topics get names of their own and are
    /// deleted at the end
    #[arg(long, value_name = "HOST:PORT,...")]
    pub bootstrap_servers: Option<String>,

    /// Leaves the topics on the brokers of --bootstrap-servers, to look at them
    #[arg(long, requires = "bootstrap_servers")]
    pub keep_topics: bool,
}

/// A run, connected.
#[derive(Debug)]
pub struct Run {
    /// The broker.
    pub cluster: Cluster,
    /// What its worker processes say.
    pub log: Log,
    example: &'static str,
    /// What names end in: nothing on the embedded broker, where nobody else is.
    suffix: String,
    keep_topics: bool,
}

impl Run {
    /// Connects an example to its broker.
    ///
    /// # Errors
    ///
    /// When the embedded broker cannot start, or nothing answers at the servers.
    pub fn connect(example: &'static str, place: &Place) -> Result<Self> {
        let cluster = Cluster::connect(place.bootstrap_servers.as_deref())?;
        let id = format!("{:06x}", unpredictable() & 0xff_ffff);
        let suffix = match cluster.is_embedded() {
            true => String::new(),
            false => format!("-{id}"),
        };
        Ok(Run {
            cluster,
            log: Log::choose(&format!("onceflow-{example}-{id}.log")),
            example,
            suffix,
            keep_topics: place.keep_topics,
        })
    }

    /// A name that no other run has: a topic's, say.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// What a worker process of this run is told.
    #[must_use]
    pub fn worker(&self) -> WorkerArguments {
        WorkerArguments {
            bootstrap_servers: self.cluster.bootstrap_servers().to_owned(),
            application_id: self.named(self.example),
            run: self.suffix.clone(),
        }
    }

    /// The broker, in words.
    #[must_use]
    pub fn broker(&self) -> String {
        let place = match self.cluster.is_embedded() {
            true => "embedded in this process",
            false => "Kafka",
        };
        format!("{place}, at {}", self.cluster.bootstrap_servers())
    }

    /// Removes what the run made, after an audit that passed; what failed stays, to be looked at.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub fn clear(&self, passed: bool, topics: &[&str]) -> Result<()> {
        if let (false, Some(log)) = (passed, self.log.file().filter(|log| log.exists())) {
            eprintln!("  The workers' log is in {}.", log.display());
        }
        if let (true, Some(log)) = (passed, self.log.file()) {
            // It does not exist if no worker had anything to say.
            drop(std::fs::remove_file(log));
        }
        if self.cluster.is_embedded() {
            return Ok(());
        }
        if self.keep_topics || !passed {
            eprintln!("  The topics are kept: {}.", topics.join(", "));
            return Ok(());
        }
        self.cluster.delete_topics(topics)
    }
}

/// What every worker process is told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WorkerArguments {
    /// Where its broker is.
    #[arg(long)]
    pub bootstrap_servers: String,
    /// Which application it is of.
    #[arg(long)]
    pub application_id: String,
    /// What the names of this run's topics end in.
    #[arg(long)]
    pub run: String,
}

impl WorkerArguments {
    /// As the command line that is read back into the same, behind the subcommand `worker`.
    #[must_use]
    pub fn to_command_line(&self) -> Vec<OsString> {
        let words = [
            "worker".to_owned(),
            format!("--bootstrap-servers={}", self.bootstrap_servers),
            format!("--application-id={}", self.application_id),
            format!("--run={}", self.run),
        ];
        words.map(OsString::from).to_vec()
    }
}

/// Runs an example to its end; it answers whether its audit passed.
pub fn conclude(example: impl FnOnce(&Interrupt) -> Result<bool>) -> ExitCode {
    match Interrupt::notice().and_then(|interrupt| example(&interrupt)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted: nothing was audited");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("{}: {error}", styled("FAILED", Style::Red));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(subcommand)]
        role: Role,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Role {
        Worker(WorkerArguments),
    }

    #[test]
    fn a_worker_reads_what_its_parent_wrote() {
        let told = WorkerArguments {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            application_id: "shop".to_owned(),
            run: String::new(),
        };
        let words = std::iter::once(OsString::from("example")).chain(told.to_command_line());
        let Role::Worker(read) = Arguments::try_parse_from(words).unwrap().role;
        assert_eq!(read, told);
    }
}
