//! What can be asked of the example.

use clap::{Parser, value_parser};
use onceflow_examples::run::Place;

/// A web service with a topology inside: what it counts is read over HTTP, from its own store.
///
/// Without arguments it visits pages, asks itself how often, and ends, on a Kafka broker of its
/// own, in memory.
#[derive(Debug, Parser)]
#[command(name = "embed_axum", after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,

    /// Goes on serving, until it is told to end by Ctrl-C or SIGTERM
    #[arg(long)]
    pub(crate) serve: bool,

    /// The port to serve on; 0 is any that is free
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,

    /// How many visits are made
    #[arg(long, default_value_t = 50_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) visits: u64,

    /// How many partitions the topic of visits has
    #[arg(long, default_value_t = 4, value_parser = value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,

    /// Repeats a run: the same seed makes the same visits
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example embed_axum
  cargo run --release --example embed_axum -- --serve --port 3000
  cargo run --release --example embed_axum -- --bootstrap-servers localhost:9092

Exit status: 0 when the audit passed, or when it served and was told to end; 1 when the audit failed
or could not be made, 130 when interrupted before.";
