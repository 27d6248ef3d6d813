//! The command line that all workers share, so that each can be driven from outside.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::workload::{Guarantee, Workload};

/// Runs a workload against a broker that is already there.
///
/// `run` ends once so many records are committed and prints one line of JSON: seconds from the
/// first record to the last commit, the same for the second half, CPU and peak memory.
#[derive(Debug, Parser)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Processes `--records` records, prints one line of JSON and ends.
    Run {
        /// What is done with each record.
        workload: Workload,
        /// How many records of input to process.
        #[arg(long)]
        records: u64,
        /// Where and how.
        #[command(flatten)]
        options: Options,
    },
    /// Says `running` when it runs, then goes on until it is killed.
    Idle {
        /// What is done with each record.
        workload: Workload,
        /// Where and how.
        #[command(flatten)]
        options: Options,
    },
}

/// Where and how a worker runs.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What a failure may do to the output.
    #[arg(long, value_enum, default_value_t = Guarantee::ExactlyOnce)]
    pub guarantee: Guarantee,
    /// Threads that process.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// The broker.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub bootstrap_servers: String,
    /// The topic to read.
    #[arg(long)]
    pub input: String,
    /// The topic to write.
    #[arg(long)]
    pub output: String,
    /// How long a transaction stays open at most.
    #[arg(long, default_value_t = 100)]
    pub commit_interval_ms: u64,
    /// The consumer group, and the beginning of internal topics' names; unique if not given.
    #[arg(long)]
    pub application_id: Option<String>,
}

impl Options {
    /// As a duration.
    #[must_use]
    pub fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.commit_interval_ms)
    }

    /// The given id, or one that no other run has.
    #[must_use]
    pub fn application_id(&self, contender: &str) -> String {
        let unique = || {
            let millis = crate::os::wall_clock().as_millis();
            format!("{contender}-{}-{millis}", std::process::id())
        };
        self.application_id.clone().unwrap_or_else(unique)
    }
}
