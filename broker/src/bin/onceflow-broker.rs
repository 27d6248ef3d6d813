//! The embedded broker as a program: for trying things out, and for clients in other languages.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use onceflow_broker::{Builder, EmbeddedBroker, Error};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A single-node Kafka broker in memory, for development and tests.
///
/// It speaks the real wire protocol; any Kafka client connects to it. Nothing is written to disk:
/// when it ends, its topics are gone. It ends on SIGTERM and Ctrl-C.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Host to listen on, and to tell clients
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Partitions of topics created without a count
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Whether asking for an unknown topic creates it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    auto_create: bool,
    /// A topic to create at the start, with its partitions; may be repeated
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]", value_parser = parse_topic)]
    topics: Vec<(String, Option<i32>)>,
    /// Shortest session time-out that group members may ask for
    #[arg(long, default_value_t = 6_000, value_name = "MS")]
    min_session_timeout_ms: u64,
    /// Longest session time-out that group members may ask for
    #[arg(long, default_value_t = 1_800_000, value_name = "MS")]
    max_session_timeout_ms: u64,
    /// How long an empty group waits for more members before its first rebalance
    #[arg(long, default_value_t = 0, value_name = "MS")]
    initial_rebalance_delay_ms: u64,
    /// How often expired transactions are looked for
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    transaction_sweep_interval_ms: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "onceflow-broker: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // Before the broker starts: a signal must not find the default handler in between.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let broker = start(arguments)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "onceflow-broker ready on {}",
        broker.bootstrap_servers()
    )?;
    out.flush()?;
    signals.forever().next();
    drop(broker);
    Ok(())
}

fn start(arguments: Arguments) -> Result<EmbeddedBroker, Error> {
    let millis = Duration::from_millis;
    let partitions = arguments.partitions;
    let builder = EmbeddedBroker::builder()
        .host(arguments.host)
        .port(arguments.port)
        .default_partitions(partitions)
        .auto_create_topics(arguments.auto_create)
        .min_session_timeout(millis(arguments.min_session_timeout_ms))
        .max_session_timeout(millis(arguments.max_session_timeout_ms))
        .initial_rebalance_delay(millis(arguments.initial_rebalance_delay_ms))
        .transaction_sweep_interval(millis(arguments.transaction_sweep_interval_ms));
    let with_topic = |builder: Builder, (name, count): (String, Option<i32>)| {
        builder.topic(name, count.unwrap_or(partitions))
    };
    arguments
        .topics
        .into_iter()
        .fold(builder, with_topic)
        .start()
}

fn parse_topic(text: &str) -> Result<(String, Option<i32>), String> {
    match text.split_once(':') {
        None => Ok((text.to_owned(), None)),
        Some((name, count)) => match count.parse() {
            Ok(count) if count > 0 => Ok((name.to_owned(), Some(count))),
            _ => Err(format!("'{count}' is not a number of partitions")),
        },
    }
}
