//! An application in the test's own process: for faults that are injected into user code, and for
//! observers that the test controls.

use std::{fmt, time::Duration};

use onceflow_framework::{App, BatchPoint, Config, Error, State, Topology};

use tracing_subscriber::EnvFilter;

use crate::wait::{PATIENCE, eventually};

/// How long an application may take to close.
const CLOSE_TIMEOUT: Duration = PATIENCE;

/// A started application and the runtime that serves its handle.
pub struct Program {
    app: App,
    runtime: tokio::runtime::Runtime,
}

impl Program {
    /// Starts a topology.
    ///
    /// # Errors
    ///
    /// Whatever the application refuses to start for.
    ///
    /// # Panics
    ///
    /// When there is no runtime to be had.
    pub fn start(topology: Topology, config: Config) -> Result<Self, Error> {
        Self::start_app(App::new(topology, config)?)
    }

    /// Starts a topology, and has `observer` called at each point of each batch.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// When there is no runtime to be had.
    pub fn observed(
        topology: Topology,
        config: Config,
        observer: impl Fn(BatchPoint) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::start_app(App::new(topology, config)?.with_batch_observer(observer))
    }

    /// Starts an application.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// When there is no runtime to be had.
    pub fn start_app(app: App) -> Result<Self, Error> {
        log_if_asked();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(app.start())?;
        Ok(Self { app, runtime })
    }

    /// The application's handle.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Waits for what the application is asked.
    pub fn answer<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    /// Starts it once more, which it refuses.
    ///
    /// # Errors
    ///
    /// That it was started before.
    pub fn start_again(&self) -> Result<(), Error> {
        self.runtime.block_on(self.app.start())
    }

    /// Waits until it runs.
    ///
    /// # Panics
    ///
    /// When it fails instead, or takes too long.
    pub fn wait_until_running(&self) {
        eventually("the application runs", || {
            let state = self.app.state();
            assert!(!state.is_final(), "the application ended: {:?}", self.end());
            (state == State::Running).then_some(())
        });
    }

    /// Waits until it has ended, and answers how.
    ///
    /// # Errors
    ///
    /// What stopped it.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn end(&self) -> Result<(), Error> {
        eventually("the application ends", || {
            self.app.state().is_final().then_some(())
        });
        self.runtime.block_on(self.app.wait())
    }

    /// Waits until it has failed, and answers why.
    ///
    /// # Panics
    ///
    /// When it ends without an error, or not at all.
    #[must_use]
    pub fn failure(&self) -> Error {
        self.end().expect_err("the application fails")
    }

    /// Finishes the open batches, leaves the group and waits for the end.
    ///
    /// # Errors
    ///
    /// What stopped it before, or that it did not end in time.
    pub fn close(self) -> Result<(), Error> {
        self.runtime.block_on(self.app.close(CLOSE_TIMEOUT))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// Logs to stderr what `RUST_LOG` asks for; silent without it, for tests of one process run side by
/// side and their lines mix.
fn log_if_asked() {
    if let Ok(filter) = EnvFilter::try_from_default_env() {
        let logging = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        // Another test of this process was first.
        drop(logging.try_init());
    }
}
