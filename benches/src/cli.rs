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
    /// Says `running` when it runs, then goes on until it is killed, and answers each line of its
    /// input with the records and commits so far.
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
    /// The topic of the table that `join` looks up: partitioned as the input, with values of 8 bytes.
    #[arg(long, default_value = "table")]
    pub table: String,
    /// How many rows it has.
    #[arg(long, default_value_t = 0)]
    pub table_rows: u64,
    /// How long a transaction stays open at most; 100 is everybody's default.
    #[arg(long)]
    pub commit_interval_ms: Option<u64>,
    /// The consumer group, and the beginning of internal topics' names; unique if not given.
    #[arg(long)]
    pub application_id: Option<String>,
    /// Any setting by its Kafka name, `commit.linger.ms=0` say; may be repeated (onceflow only).
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// How long a transaction stays open at most, if it was said.
    #[must_use]
    pub fn commit_interval(&self) -> Option<Duration> {
        self.commit_interval_ms.map(Duration::from_millis)
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

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (name, value) = parts.ok_or_else(|| format!("{text}: NAME=VALUE is wanted"))?;
    Ok((name.to_owned(), value.to_owned()))
}
