//! Logs: to standard error, as `RUST_LOG` says.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Logs changes of state and what needs attention, unless `RUST_LOG` asks for more or less.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
}
