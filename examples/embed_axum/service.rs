//! The service: an application of onceflow behind an axum server.
//!
//! # Invariants
//!
//! - It listens before the application runs, and says that it is not ready.
//! - Told to end, it first answers what was asked, then finishes the open batch and leaves the group;
//!   if the application fails, so does the service.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use onceflow::prelude::*;

use crate::routes::routes;

/// How long the application may take to finish its batches and leave its group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the application and serves its store, until `stop` or until it fails.
pub(crate) async fn run(
    listener: TcpListener,
    topology: Topology,
    config: Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> onceflow_examples::Result<()> {
    let app = Arc::new(App::new(topology, config)?);
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = axum::serve(listener, routes(&app)).with_graceful_shutdown(stop);
    let running = async {
        app.start().await?;
        app.wait().await
    };
    tokio::select! {
        served = async { server.await } => served?,
        failed = running => failed?,
    }
    Ok(app.close(CLOSE_TIMEOUT).await?)
}
