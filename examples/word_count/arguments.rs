//! What can be asked of the example.

use std::path::PathBuf;

use clap::{Parser, value_parser};
use onceflow_examples::run::Place;

/// Words are counted, exactly once, by an application that is stopped half way and goes on.
///
/// Without arguments it counts a text that it makes up, on a Kafka broker of its own, in memory.
#[derive(Debug, Parser)]
#[command(name = "word_count", after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,

    /// A text to count, instead of one that is made up
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,

    /// How many lines are made up
    #[arg(long, default_value_t = 50_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) lines: u64,

    /// How many partitions each topic has
    #[arg(long, default_value_t = 4, value_parser = value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,

    /// Repeats a run: the same seed gives the same text
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example word_count
  cargo run --release --example word_count -- --file README.md
  cargo run --release --example word_count -- --bootstrap-servers localhost:9092

Exit status: 0 when the audit passed, 1 when it failed or could not be made, 130 when interrupted.";
