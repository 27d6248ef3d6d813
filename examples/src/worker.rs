//! A program's worker half: this executable again, as a child process that can be killed.
//!
//! # Invariants
//!
//! - **No orphan.** The worker's standard input is a pipe that only its parent holds: however the
//!   parent ends, the pipe closes, and the worker with it (see [`shutdown`](crate::shutdown)).
//! - **An own process group,** so that Ctrl-C reaches the parent only, which then ends the worker
//!   in order.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::Result;
use crate::clock::wait_until;

/// How many lines of its log are told when a worker has failed.
const LOG_LINES_TOLD: usize = 12;

/// Where workers write their logs.
#[derive(Debug, Clone)]
pub enum Log {
    /// To the terminal: the user has set `RUST_LOG`.
    Terminal,
    /// To a file, one for all workers of a run.
    File(PathBuf),
}

impl Log {
    /// The terminal if `RUST_LOG` is set, else a file of this name among the temporary files.
    #[must_use]
    pub fn choose(name: &str) -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            return Log::Terminal;
        }
        Log::File(std::env::temp_dir().join(name))
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Log::Terminal => None,
            Log::File(path) => Some(path),
        }
    }

    /// What was written last.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let text = self
            .file()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_TOLD)..].join("\n")
    }

    fn open(&self) -> Result<Stdio> {
        let Log::File(path) = self else {
            return Ok(Stdio::inherit());
        };
        let file: File = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(file.into())
    }
}

/// A running worker. Dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    child: Child,
}

impl Worker {
    /// Starts this executable with other arguments.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a process, or the log cannot be written.
    pub fn start(arguments: impl IntoIterator<Item = OsString>, log: &Log) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.open()?)
            .process_group(0)
            .spawn()?;
        Ok(Worker { child })
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it as `kill -9` does: it learns nothing of it and finishes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Tells it to close, and waits until it has; kills it when that takes longer than `limit`.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or ended with an error.
    pub fn close(mut self, limit: Duration) -> Result<()> {
        drop(self.child.stdin.take());
        if !wait_until(limit, || Ok(self.child.try_wait()?.is_some()))? {
            self.kill()?;
            let message = format!("the worker did not close within {} s", limit.as_secs());
            return Err(message.into());
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the worker did not close cleanly ({status})").into());
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
