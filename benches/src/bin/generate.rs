//! Fills topics with the records of the comparison, on a broker that is there: for a worker that is run by itself.

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::topics::{load, load_table};

/// Fills a topic with records of 8 + 100 bytes, and another with the rows that `join` looks up.
#[derive(Debug, Parser)]
struct Options {
    /// The broker.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap_servers: String,
    /// The topic to fill; it must exist.
    #[arg(long)]
    input: String,
    /// How many records.
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// Keys they are spread over, and rows of the table.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// The topic of the table, if it is wanted; it must exist.
    #[arg(long)]
    table: Option<String>,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(table) = &options.table {
        load_table(&options.bootstrap_servers, table, options.keys)?;
    }
    load(
        &options.bootstrap_servers,
        &options.input,
        options.records,
        options.keys,
    )?;
    Ok(())
}
