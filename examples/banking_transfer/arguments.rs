//! What can be asked of the example, and what the worker is told.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, value_parser};

use crate::promise::Asked;

/// Money moves between accounts, exactly once, while the program that moves it is being killed.
///
/// A worker process debits and credits accounts with onceflow. This process writes random
/// transfers, kills the worker with `kill -9` at random moments, and starts it again. When all
/// transfers are settled, an audit reads the whole history back and proves that each was applied
/// once or refused once, that no balance was ever negative, and that no money was made or lost.
///
/// Without arguments it brings its own Kafka broker, in memory, and needs nothing else.
#[derive(Debug, Parser)]
#[command(name = "banking_transfer", after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Kafka brokers to run on instead of the embedded one. Topics get names of their own and are
    /// deleted at the end
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_servers: Option<String>,

    /// How many accounts there are
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(2..=10_000))]
    pub(crate) accounts: u64,

    /// How many transfers are made
    #[arg(long, default_value_t = 500_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) transfers: u64,

    /// How often the worker is killed
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(0..=1_000))]
    pub(crate) crashes: u64,

    /// What the worker promises: under the two weaker ones money gets lost, or made
    #[arg(long, value_enum, default_value_t = Asked::ExactlyOnce)]
    pub(crate) guarantee: Asked,

    /// Repeats a run: the same seed gives the same transfers, and crashes at the same points
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// How many partitions each topic has
    #[arg(long, default_value_t = 4, value_parser = value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,

    /// How many threads the worker has
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,

    /// Leaves the topics on the brokers of --bootstrap-servers, to look at them
    #[arg(long, requires = "bootstrap_servers")]
    pub(crate) keep_topics: bool,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example banking_transfer
  cargo run --release --example banking_transfer -- --crashes 30 --transfers 500000
  cargo run --release --example banking_transfer -- --guarantee all   all three, side by side
  cargo run --release --example banking_transfer -- --seed 4711
  cargo run --release --example banking_transfer -- --bootstrap-servers localhost:9092 --keep-topics
  RUST_LOG=info cargo run --release --example banking_transfer     the worker's log, as it happens

Exit status: 0 when the audit passed, 1 when it failed or could not be made, 130 when interrupted.";

/// What this process is, if it is not the one that was started by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The worker: started, killed and started again by its parent.
    #[command(hide = true)]
    Worker(WorkerArguments),
}

/// What the worker is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerArguments {
    #[arg(long)]
    pub(crate) bootstrap_servers: String,
    #[arg(long)]
    pub(crate) application_id: String,
    /// What the names of this run's topics end in.
    #[arg(long)]
    pub(crate) run: String,
    #[arg(long)]
    pub(crate) threads: usize,
    /// Kafka's name of the guarantee.
    #[arg(long)]
    pub(crate) guarantee: String,
}

impl WorkerArguments {
    /// As the command line that is read back into the same.
    pub(crate) fn to_command_line(&self) -> Vec<OsString> {
        let words = [
            "worker".to_owned(),
            format!("--bootstrap-servers={}", self.bootstrap_servers),
            format!("--application-id={}", self.application_id),
            format!("--run={}", self.run),
            format!("--threads={}", self.threads),
            format!("--guarantee={}", self.guarantee),
        ];
        words.map(OsString::from).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["banking_transfer"], words].concat())
    }

    #[test]
    fn no_argument_is_needed() {
        assert_eq!(parse(&[]).unwrap().bootstrap_servers, None);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for words in [
            &["--accounts", "1"][..],
            &["--transfers", "0"],
            &["--partitions", "0"],
            &["--threads", "0"],
            &["--keep-topics"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_worker_reads_what_its_parent_wrote() {
        let told = WorkerArguments {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            application_id: "bank".to_owned(),
            run: String::new(),
            threads: 3,
            guarantee: "at_least_once".to_owned(),
        };
        let line = told.to_command_line();
        let words = std::iter::once(OsString::from("banking_transfer")).chain(line);
        let Some(Role::Worker(read)) = Arguments::try_parse_from(words).unwrap().role else {
            panic!("not a worker");
        };
        assert_eq!((read.run.as_str(), read.threads), ("", 3));
        assert_eq!(read.guarantee, told.guarantee);
        assert_eq!(read.bootstrap_servers, told.bootstrap_servers);
        assert_eq!(read.application_id, told.application_id);
    }
}
