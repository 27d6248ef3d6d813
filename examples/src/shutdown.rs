//! How programs are told to end: by a signal, and workers by the end of their parent.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Result;

/// The user has seen enough.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Notices Ctrl-C, SIGTERM and SIGHUP, for a program that looks now and then.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to notice; a second signal ends the program at once.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn notice() -> Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let (twice, once) = (Arc::clone(&requested), Arc::clone(&requested));
            signal_hook::flag::register_conditional_shutdown(number, 128 + number, twice)?;
            signal_hook::flag::register(number, once)?;
        }
        Ok(Interrupt(requested))
    }

    /// Looks whether a signal has come.
    ///
    /// # Errors
    ///
    /// When one has: `?` then ends what is under way.
    pub fn check(&self) -> std::result::Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Interrupted);
        }
        Ok(())
    }
}

/// Returns when a worker shall end: on Ctrl-C or SIGTERM, or when its parent has gone.
///
/// # Panics
///
/// When the operating system refuses to tell of signals, or a thread.
pub async fn requested() {
    tokio::select! {
        () = signalled() => {}
        () = parent_gone() => {}
    }
}

/// Returns when a service shall end: on Ctrl-C or SIGTERM.
///
/// # Panics
///
/// When the operating system refuses to tell of signals.
pub async fn signalled() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// The parent holds the other end of standard input and writes nothing to it.
async fn parent_gone() {
    let (gone, told) = oneshot::channel();
    let watch = move || {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        // Nobody listens any more when the worker is ending for another reason.
        drop((ended, gone.send(())));
    };
    let watcher = std::thread::Builder::new().name("parent-watcher".to_owned());
    watcher.spawn(watch).expect("a worker can start a thread");
    drop(told.await);
}
