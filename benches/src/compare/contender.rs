//! The contenders: programs with one command line.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::kafka::java;
use crate::Failure;
use crate::os;
use crate::report::Run;
use crate::workload::{Guarantee, Workload};

/// How long a run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// Who runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// The subject.
    Onceflow,
    /// The hand-written rdkafka loop.
    Handwritten,
    /// Kafka Streams, with a large heap, large batches and large fetches.
    KafkaStreamsTuned,
    /// Kafka Streams as it comes.
    KafkaStreamsDefault,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Contender::Onceflow => "onceflow",
            Contender::Handwritten => "handwritten",
            Contender::KafkaStreamsTuned => "kafka-streams-tuned",
            Contender::KafkaStreamsDefault => "kafka-streams-default",
        })
    }
}

/// What a contender is asked to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Who.
    pub contender: Contender,
    /// What is done with each record.
    pub workload: Workload,
    /// What a failure may do to the output.
    pub guarantee: Guarantee,
    /// Threads that process.
    pub threads: usize,
    /// How long a transaction stays open at most.
    pub commit_interval_ms: u64,
}

/// Where it is done.
#[derive(Debug, Clone)]
pub struct Place {
    /// The class path of the peer.
    pub class_path: String,
    /// The broker.
    pub bootstrap_servers: String,
    /// The topic to read.
    pub input: String,
    /// The topic to write.
    pub output: String,
}

const QUIET: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";

const DEFAULT_JVM: [&str; 2] = ["-XX:-UsePerfData", QUIET];

const TUNED_JVM: [&str; 5] = [
    "-Xms2g",
    "-Xmx2g",
    "-XX:+UseParallelGC",
    "-XX:-UsePerfData",
    QUIET,
];

impl Task {
    fn program(&self, place: &Place, command: &str) -> Result<Command, Failure> {
        let mut program = match self.contender {
            Contender::Onceflow => Command::new(sibling("worker")?),
            Contender::Handwritten => Command::new(sibling("handwritten")?),
            Contender::KafkaStreamsTuned => java(&place.class_path, &TUNED_JVM, "onceflow.Peer"),
            Contender::KafkaStreamsDefault => {
                java(&place.class_path, &DEFAULT_JVM, "onceflow.Peer")
            }
        };
        program.arg(command).arg(self.workload.to_string());
        program.args(["--guarantee", &self.guarantee.to_string()]);
        program.args(["--threads", &self.threads.to_string()]);
        program.args(["--bootstrap-servers", &place.bootstrap_servers]);
        program.args(["--input", &place.input, "--output", &place.output]);
        program.args(["--commit-interval-ms", &self.commit_interval_ms.to_string()]);
        match self.contender {
            Contender::KafkaStreamsTuned => program.args(["--profile", "tuned"]),
            Contender::KafkaStreamsDefault => program.args(["--profile", "default"]),
            Contender::Onceflow | Contender::Handwritten => &mut program,
        };
        // What it complains of is said on our own standard error.
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(program)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// When it fails or takes too long.
    pub fn run(&self, place: &Place, records: u64) -> Result<Run, Failure> {
        let mut program = self.program(place, "run")?;
        let mut worker = Worker::start(program.args(["--records", &records.to_string()]))?;
        let line = worker.line(RUN_TIMEOUT)?;
        let run: Run = serde_json::from_str(&line)?;
        let status = worker.process.wait()?;
        if !status.success() {
            return Err(format!("{} ended with {status}", self.contender).into());
        }
        Ok(run)
    }

    /// Starts it and waits until it runs; answers how long that took.
    ///
    /// # Errors
    ///
    /// When it fails or takes too long.
    pub fn idle(&self, place: &Place) -> Result<(Worker, Duration), Failure> {
        let started = os::now();
        let mut worker = Worker::start(&mut self.program(place, "idle")?)?;
        worker.line(RUN_TIMEOUT)?;
        Ok((worker, os::now() - started))
    }
}

/// A contender's process. Dropping it ends it.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Worker {
    fn start(program: &mut Command) -> Result<Self, Failure> {
        let mut process = program.spawn()?;
        let output = process.stdout.take().ok_or("the output is piped")?;
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("worker-output".to_owned())
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Worker { process, lines })
    }

    /// The next line that it prints.
    fn line(&mut self, timeout: Duration) -> Result<String, Failure> {
        let line = self.lines.recv_timeout(timeout);
        line.map_err(|_closed| "a worker ended or hung before it reported".into())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// The workers stand beside this program.
fn sibling(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        let path = path.display();
        return Err(
            format!("{path} is missing: cargo build --release -p onceflow-benches --bins").into(),
        );
    }
    Ok(path)
}
