//! What can be asked of the example.

use clap::{Parser, Subcommand, value_parser};
use onceflow_examples::run::{Place, WorkerArguments};

/// A monitor counts its samples at most once: a crash costs some, and none is ever counted twice.
///
/// A worker process averages CPU samples by host and minute with onceflow. This process takes the
/// samples, kills the worker with `kill -9` at random moments, and starts it again. An audit then
/// holds every average against the samples that it says it is of.
///
/// Without arguments it brings its own Kafka broker, in memory, and needs nothing else.
#[derive(Debug, Parser)]
#[command(name = "monitoring", after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How many samples are taken
    #[arg(long, default_value_t = 300_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) samples: u64,

    /// How many hosts are monitored
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..=10_000))]
    pub(crate) hosts: u64,

    /// How often the worker is killed
    #[arg(long, default_value_t = 5)]
    pub(crate) crashes: usize,

    /// How many partitions each topic has
    #[arg(long, default_value_t = 4, value_parser = value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,

    /// Repeats a run: the same seed gives the same samples
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example monitoring
  cargo run --release --example monitoring -- --crashes 20 --samples 1000000
  cargo run --release --example monitoring -- --bootstrap-servers localhost:9092

Exit status: 0 when the audit passed, 1 when it failed or could not be made, 130 when interrupted.";

/// What this process is, if it is not the one that was started by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The worker: started, killed and started again by its parent.
    #[command(hide = true)]
    Worker(WorkerArguments),
}
