//! What can be asked of the example.

use clap::{Parser, value_parser};
use onceflow_examples::run::Place;

/// Several applications read one topic, each with several workers that come and go.
///
/// Every application gets every event; within one, every partition has one owner. Workers are
/// added and taken away while events keep coming, and each new spread of the partitions is shown.
///
/// Without arguments it brings its own Kafka broker, in memory, and needs nothing else.
#[derive(Debug, Parser)]
#[command(name = "consumer_groups", after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How many applications there are
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=9))]
    pub(crate) applications: u16,

    /// How many workers each of them has at most
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(2..=9))]
    pub(crate) workers: u16,

    /// How many partitions the topic has
    #[arg(long, default_value_t = 6, value_parser = value_parser!(i32).range(1..=64))]
    pub(crate) partitions: i32,

    /// How many events there are at least: some more are written while partitions move
    #[arg(long, default_value_t = 60_000, value_parser = value_parser!(u64).range(30..=10_000_000))]
    pub(crate) events: u64,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example consumer_groups
  cargo run --release --example consumer_groups -- --applications 2 --workers 5 --partitions 12
  cargo run --release --example consumer_groups -- --bootstrap-servers localhost:9092

Exit status: 0 when the audit passed, 1 when it failed or could not be made, 130 when interrupted.";
