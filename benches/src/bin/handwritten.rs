//! The hand-written rdkafka loop under a workload: `run` until so many records are committed, or `idle`.

use std::io::{Write, stdout};
use std::sync::Arc;

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::cli::{Cli, Command};
use onceflow_benches::handwritten::{NAME, run};
use onceflow_benches::marks::Marks;

fn main() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run {
            workload,
            records,
            options,
        } => {
            let marks = Arc::new(Marks::new(workload, records, options.table_rows));
            run(workload, &options, &marks)?;
            let report = serde_json::to_string(&marks.report(NAME, &options))?;
            writeln!(stdout(), "{report}")?;
        }
        Command::Idle { workload, options } => {
            let marks = Arc::new(Marks::endless(workload));
            let announced = Arc::clone(&marks);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    announced.wait_until_running();
                    announced.answer_lines()
                });
                run(workload, &options, &marks)
            })?;
        }
    }
    Ok(())
}
