//! The embedded broker as a process of its own, so that its CPU can be told from that of a worker.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::contender::sibling;
use crate::Failure;

/// A broker in memory. Dropping it ends it.
#[derive(Debug)]
pub struct Embedded {
    process: Child,
    bootstrap_servers: String,
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Embedded {
    /// Starts a broker and waits until it serves.
    ///
    /// # Errors
    ///
    /// When its program is not there, or does not say where it listens.
    pub fn start() -> Result<Self, Failure> {
        let mut process = Command::new(sibling("onceflow-broker")?)
            .args(["--port", "0", "--auto-create", "false"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the output is piped")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let address = line
            .trim()
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let embedded = Embedded {
            process,
            bootstrap_servers: address,
        };
        match read {
            Ok(length) if length > 0 => Ok(embedded),
            _ => Err("the embedded broker ended before it served".into()),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}
