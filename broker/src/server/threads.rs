//! The one place that starts threads, and joins them.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Threads of one owner.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(
        &mut self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.running
            .push(Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Lets go of the threads that have ended.
    pub(crate) fn reap(&mut self) {
        self.running.retain(|thread| !thread.is_finished());
    }

    pub(crate) fn join(&mut self) {
        for thread in self.running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the broker panicked");
            }
        }
    }
}

/// Waits without anything to wait for.
#[expect(
    clippy::disallowed_methods,
    reason = "the acceptor has nothing to wait on when accepting fails"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
