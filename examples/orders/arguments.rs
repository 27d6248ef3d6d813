//! What can be asked of the example, and what the worker is told.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, value_parser};
use onceflow_examples::run::{Place, WorkerArguments};

/// Orders are charged at least once, and every customer pays once: the order's id sees to it.
///
/// A worker process charges orders with a payment service and writes receipts, with onceflow. This
/// process writes the orders, kills the worker with `kill -9` at random moments, and starts it
/// again. An audit then reads what was paid, and proves that no order was lost and none paid twice.
///
/// Without arguments it brings its own Kafka broker, in memory, and needs nothing else.
#[derive(Debug, Parser)]
#[command(name = "orders", after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How many orders there are
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) orders: u64,

    /// How often the worker is killed
    #[arg(long, default_value_t = 5)]
    pub(crate) crashes: usize,

    /// Has the service charge whatever it is asked to, without looking at the order's id: then
    /// customers pay twice, and the audit fails
    #[arg(long)]
    pub(crate) naive: bool,

    /// Has orders paid in a PostgreSQL database instead: a row for each, by its id, in a table of the
    /// run's own. As postgresql://user:password@host/database, or host=... user=... dbname=...
    #[arg(long, value_name = "URL", conflicts_with = "naive")]
    pub(crate) postgres: Option<String>,

    /// How many partitions each topic has
    #[arg(long, default_value_t = 4, value_parser = value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,

    /// Repeats a run: the same seed gives the same orders
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

const AFTER_HELP: &str = "\
Examples:
  cargo run --release --example orders
  cargo run --release --example orders -- --naive      what would happen without the ids
  cargo run --release --example orders -- --postgres postgresql://me@localhost/shop
  cargo run --release --example orders -- --crashes 20 --orders 500000
  cargo run --release --example orders -- --bootstrap-servers localhost:9092

Exit status: 0 when the audit passed, 1 when it failed or could not be made, 130 when interrupted.";

/// What this process is, if it is not the one that was started by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The worker: started, killed and started again by its parent.
    #[command(hide = true)]
    Worker(TillArguments),
}

/// What the worker is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct TillArguments {
    #[command(flatten)]
    pub(crate) common: WorkerArguments,
    /// Where orders are paid: the address of the service, or the name of a table.
    #[arg(long)]
    pub(crate) payments: String,
    /// The database of the table.
    #[arg(long)]
    pub(crate) postgres: Option<String>,
}

impl TillArguments {
    /// As the command line that is read back into the same.
    pub(crate) fn to_command_line(&self) -> Vec<OsString> {
        let mut words = self.common.to_command_line();
        words.push(format!("--payments={}", self.payments).into());
        let postgres = self.postgres.iter();
        words.extend(postgres.map(|url| format!("--postgres={url}").into()));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_deduplicates_whether_it_is_wanted_or_not() {
        let words = ["orders", "--naive", "--postgres", "host=db"];
        assert!(Arguments::try_parse_from(words).is_err());
    }

    #[test]
    fn the_worker_reads_what_its_parent_wrote() {
        let told = TillArguments {
            common: WorkerArguments {
                bootstrap_servers: "127.0.0.1:9092".to_owned(),
                application_id: "orders".to_owned(),
                run: String::new(),
            },
            payments: "payments".to_owned(),
            postgres: Some("host=/tmp user=me".to_owned()),
        };
        let words = std::iter::once(OsString::from("orders")).chain(told.to_command_line());
        let Some(Role::Worker(read)) = Arguments::try_parse_from(words).unwrap().role else {
            panic!("not a worker");
        };
        assert_eq!(
            (&read.common, &read.payments),
            (&told.common, &told.payments)
        );
        assert_eq!(read.postgres, told.postgres);
    }
}
