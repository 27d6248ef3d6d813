//! A worker process's other half: runs an application until the process is told to end.

use std::process::ExitCode;
use std::time::Duration;

use onceflow::{App, Config, Error, Topology};

use crate::{logging, shutdown};

/// How long the application may take to finish its batches and leave its group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a topology until the process is told to end (see [`shutdown`]), or it fails.
#[must_use]
pub fn serve(topology: Result<Topology, Error>, config: Result<Config, Error>) -> ExitCode {
    logging::start();
    let Err(error) = run(topology, config) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!(%error, "the worker failed");
    ExitCode::FAILURE
}

#[tokio::main]
async fn run(
    topology: Result<Topology, Error>,
    config: Result<Config, Error>,
) -> Result<(), Error> {
    let app = App::new(topology?, config?)?;
    app.start().await?;
    tokio::select! {
        failed = app.wait() => failed,
        () = shutdown::requested() => app.close(CLOSE_TIMEOUT).await,
    }
}
