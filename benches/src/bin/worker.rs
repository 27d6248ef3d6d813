//! onceflow under a workload: `run` until so many records are committed, or `idle`.

use std::io::{Write, stdout};
use std::sync::Arc;

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::cli::{Cli, Command};
use onceflow_benches::marks::Marks;
use onceflow_benches::onceflow_worker::{NAME, run, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    log.with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    match Cli::parse().command {
        Command::Run {
            workload,
            records,
            options,
        } => {
            let marks = Arc::new(Marks::new(workload, records, options.table_rows));
            run(workload, &options, Arc::clone(&marks)).await?;
            let report = serde_json::to_string(&marks.report(NAME, &options))?;
            writeln!(stdout(), "{report}")?;
        }
        Command::Idle { workload, options } => {
            let marks = Arc::new(Marks::endless(workload));
            let app = start(workload, &options, &marks).await?;
            std::thread::Builder::new()
                .name("answers".to_owned())
                .spawn(move || marks.answer_lines())?;
            app.wait().await?;
        }
    }
    Ok(())
}
