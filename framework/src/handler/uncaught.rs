//! What becomes of an application when a worker cannot go on (KIP-671).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, panic_text};

/// What becomes of the application when one of its workers has stopped by an error.
///
/// Kafka Streams' `StreamThreadExceptionResponse`, without `SHUTDOWN_APPLICATION`: the group protocol of
/// librdkafka has no way to tell the other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UncaughtResponse {
    /// The worker's batch is aborted and a new worker takes its place, after a pause that doubles from
    /// 100 ms to 10 s while replacements keep failing. An error that comes again, at the same record
    /// say, stops the new worker too.
    ReplaceThread,
    /// All workers of this process end, and the application with the error.
    #[default]
    ShutdownClient,
    /// The process ends at once with exit code 1, and no batch is finished: the broker aborts them.
    ExitProcess,
}

type Decide = dyn Fn(&Error) -> UncaughtResponse + Send + Sync;

/// Decides on errors that stop a worker.
#[derive(Clone, Default)]
pub(crate) struct UncaughtHandler(Option<Arc<Decide>>);

impl UncaughtHandler {
    pub(crate) fn new(
        handler: impl Fn(&Error) -> UncaughtResponse + Send + Sync + 'static,
    ) -> Self {
        UncaughtHandler(Some(Arc::new(handler)))
    }

    /// Asks; one that panics has the application stop, with both causes.
    pub(crate) fn ask(&self, error: Error) -> (UncaughtResponse, Error) {
        let Some(handler) = &self.0 else {
            return (UncaughtResponse::default(), error);
        };
        match catch_unwind(AssertUnwindSafe(|| handler(&error))) {
            Ok(response) => (response, error),
            Err(panic) => {
                let panic = panic_text(&*panic);
                let message = format!("the handler of uncaught errors panicked: {panic}");
                let worse = error.told_with(&message);
                (UncaughtResponse::default(), worse)
            }
        }
    }
}

impl fmt::Debug for UncaughtHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = if self.0.is_some() { "set" } else { "none" };
        write!(f, "UncaughtHandler({set})")
    }
}
