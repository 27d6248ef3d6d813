//! Where asynchronous calls run: never on a worker's thread.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::error::{Error, ErrorKind};

/// A tokio runtime, the program's or one of our own.
#[derive(Debug, Clone)]
pub(crate) enum Executor {
    /// The program's.
    Given(Handle),
    /// Made when the first node asks for it.
    Own(Arc<OwnRuntime>),
}

impl Default for Executor {
    fn default() -> Self {
        Executor::Own(Arc::default())
    }
}

impl Executor {
    /// The runtime that this is called in, if it runs by itself. One without threads runs only
    /// while somebody waits in it, which nobody need do while an application runs.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub(crate) fn current() -> Self {
        let handle = Handle::current();
        match handle.runtime_flavor() {
            RuntimeFlavor::MultiThread => Executor::Given(handle),
            _ => Executor::default(),
        }
    }

    /// A handle to spawn with.
    ///
    /// # Errors
    ///
    /// When threads cannot be started.
    pub(crate) fn handle(&self) -> Result<Handle, Error> {
        match self {
            Executor::Given(handle) => Ok(handle.clone()),
            Executor::Own(runtime) => runtime.handle(),
        }
    }
}

/// A runtime that ends with its last owner, wherever that is dropped.
#[derive(Debug, Default)]
pub(crate) struct OwnRuntime(Mutex<Option<Runtime>>);

impl OwnRuntime {
    fn handle(&self) -> Result<Handle, Error> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("onceflow-calls").enable_all();
        let made = builder.build().map_err(|error| {
            let message = "cannot start the threads of asynchronous calls";
            Error::new(ErrorKind::Config, message).because(error)
        })?;
        Ok(runtime.insert(made).handle().clone())
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            // Waiting for it is forbidden inside another runtime, and a call may block for ever.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_without_threads_is_not_relied_on() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let executor = runtime.block_on(async { Executor::current() });
        assert!(matches!(executor, Executor::Own(_)));
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let executor = runtime.block_on(async { Executor::current() });
        assert!(matches!(executor, Executor::Given(_)));
    }

    #[test]
    fn its_own_runtime_is_one_and_may_be_dropped_within_another() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let executor = Executor::current();
            let ids = [(); 2].map(|()| executor.clone().handle().unwrap().id());
            assert_eq!(ids[0], ids[1]);
            drop(executor);
        });
    }
}
