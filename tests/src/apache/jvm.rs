//! One JVM that serves as a broker, and the shell that outlives us by a moment to end it.
//!
//! ```text
//!   test process ──child──> JVM (broker + controller)
//!        │                   ▲
//!        └──stdin pipe──> watchdog: `read` returns when the pipe closes, then `kill -9`, `rm -rf`
//! ```
//!
//! # Invariants
//!
//! - **No orphan.** However the test process ends, the kernel closes its end of the pipe.
//!   (`PR_SET_PDEATHSIG` would be wrong besides being unsafe: it fires when the *thread* that
//!   started the JVM ends, which is the first test to use a shared broker.)
//! - **Own process groups.** An interrupt of the terminal ends the tests, and the watchdog then
//!   ends the JVM: neither is taken down by the same interrupt half way.

use std::{
    fs::OpenOptions,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::class_path::tail;
use crate::error::HarnessError;

const JAVA_REMEDY: &str = "install a Java runtime, 17 or later (Debian and Ubuntu: apt-get \
                           install openjdk-17-jre-headless), or set JAVA_HOME";

/// Small, quick to start, and nothing written outside the broker's own folder.
const JVM_OPTIONS: [&str; 5] = [
    "-Xmx768m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];

/// Waits for its stdin to close; `$1` is the JVM, `$2` the folder to remove.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; read -r _; kill -9 "$1" 2>/dev/null; rm -rf "$2""#;

/// A running broker process. Dropping it ends the process at once.
#[derive(Debug)]
pub(super) struct Jvm {
    broker: Child,
    watchdog: Child,
}

impl Jvm {
    /// Starts `kafka.Kafka` on a configuration file; its output is appended to `log`.
    pub(super) fn start(
        class_path: &str,
        config: &Path,
        log: &Path,
        home: &Path,
    ) -> Result<Self, HarnessError> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(HarnessError::file(log))?;
        let errors = output.try_clone().map_err(HarnessError::file(log))?;
        let mut broker = java(class_path)
            .arg("kafka.Kafka")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(java_missing)?;
        match watch(&broker, home) {
            Ok(watchdog) => Ok(Self { broker, watchdog }),
            Err(error) => {
                end(&mut broker);
                Err(error)
            }
        }
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.broker
            .try_wait()
            .expect("the JVM is our child and can be waited for")
    }

    /// Stops every thread of the JVM where it stands.
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused JVM go on.
    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.broker), signal)
            .expect("the JVM is our child and was not waited for");
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        // The watchdog first: once the JVM was waited for, its process id may be another's.
        end(&mut self.watchdog);
        end(&mut self.broker);
    }
}

/// Formats the data directory that `config` names, with Kafka's own tool.
pub(super) fn format(
    class_path: &str,
    config: &Path,
    cluster_id: &str,
) -> Result<(), HarnessError> {
    let output = java(class_path)
        .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
        .arg(cluster_id)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .map_err(java_missing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(HarnessError::Format {
        status: output.status,
        output: tail(&[output.stdout, output.stderr].concat()),
    })
}

fn watch(broker: &Child, home: &Path) -> Result<Child, HarnessError> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "onceflow-watchdog"])
        .arg(broker.id().to_string())
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| HarnessError::Program {
            program: "sh".to_owned(),
            remedy: "install a POSIX shell",
            source,
        })
}

fn java(class_path: &str) -> Command {
    let program = std::env::var_os("JAVA_HOME").map_or_else(
        || PathBuf::from("java"),
        |home| Path::new(&home).join("bin/java"),
    );
    let mut command = Command::new(program);
    command.args(JVM_OPTIONS).arg("-cp").arg(class_path);
    command
}

fn java_missing(source: std::io::Error) -> HarnessError {
    HarnessError::Program {
        program: "java".to_owned(),
        remedy: JAVA_REMEDY,
        source,
    }
}

/// Kills and waits: both fail only for a process that has ended already.
fn end(process: &mut Child) {
    if let Err(error) = process.kill() {
        tracing::debug!(%error, "process had ended");
    }
    if let Err(error) = process.wait() {
        tracing::debug!(%error, "process was waited for");
    }
}
