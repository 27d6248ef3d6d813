//! Applications: run until a worker process is told to end, or as long as an example likes.

use std::process::ExitCode;
use std::time::Duration;

use onceflow::{App, Config, Error, Topology};
use tokio::runtime::Handle;

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

/// An application in this process, running.
#[derive(Debug)]
pub struct Running {
    app: App,
    tokio: Handle,
}

impl Running {
    /// Starts an application; it runs once its workers have joined their group.
    ///
    /// # Errors
    ///
    /// When a topic is missing, or the broker does not answer.
    pub fn start(tokio: &Handle, topology: Topology, config: Config) -> crate::Result<Self> {
        let app = App::new(topology, config)?;
        tokio.block_on(app.start())?;
        let tokio = tokio.clone();
        Ok(Running { app, tokio })
    }

    /// Looks whether it runs still.
    ///
    /// # Errors
    ///
    /// The error that stopped it.
    pub fn check(&self) -> crate::Result<()> {
        if self.app.state().is_final() {
            self.tokio.block_on(self.app.wait())?;
        }
        Ok(())
    }

    /// Finishes its batches and leaves its group.
    ///
    /// # Errors
    ///
    /// The error that stopped it, or that it took too long.
    pub fn close(self) -> crate::Result<()> {
        Ok(self.tokio.block_on(self.app.close(CLOSE_TIMEOUT))?)
    }
}
