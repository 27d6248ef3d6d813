//! The contenders: programs with one command line.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::kafka::java;
use crate::Failure;
use crate::os;
use crate::report::{Counts, Run};
use crate::workload::{Guarantee, Workload};

/// How long a run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a worker may think about what it has done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

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

impl Contender {
    /// Whether it has such a guarantee: Kafka Streams has no weaker one than at least once.
    #[must_use]
    pub fn knows(self, guarantee: Guarantee) -> bool {
        match self {
            Contender::Onceflow | Contender::Handwritten => true,
            Contender::KafkaStreamsTuned | Contender::KafkaStreamsDefault => {
                guarantee != Guarantee::AtMostOnce
            }
        }
    }
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

/// Who serves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Broker {
    /// Apache Kafka, or whatever `--bootstrap-servers` names.
    Kafka,
    /// `onceflow-broker`.
    Embedded,
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Broker::Kafka => "kafka",
            Broker::Embedded => "embedded",
        })
    }
}

/// What a contender is asked to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Who.
    pub contender: Contender,
    /// Who serves.
    pub broker: Broker,
    /// What is done with each record.
    pub workload: Workload,
    /// What a failure may do to the output.
    pub guarantee: Guarantee,
    /// Threads that process.
    pub threads: usize,
    /// How long a transaction stays open at most; none: each contender's default, which is 100 ms.
    pub commit_interval_ms: Option<u64>,
    /// Settings by their Kafka names, for onceflow alone.
    pub settings: Vec<String>,
}

impl Task {
    /// The bound of a transaction; 100 ms is the default of all.
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.commit_interval_ms.unwrap_or(100)
    }
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
    /// The topic of the table that `join` looks up.
    pub table: String,
    /// How many rows it has.
    pub table_rows: u64,
}

const QUIET: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";

const DEFAULT_JVM: [&str; 2] = ["-XX:-UsePerfData", QUIET];

/// What *tuned* means to the JVM; `Peer.java` has the rest.
pub const TUNED_JVM: [&str; 5] = [
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
        program.args(["--table", &place.table]);
        program.args(["--table-rows", &place.table_rows.to_string()]);
        if let Some(interval) = self.commit_interval_ms {
            program.args(["--commit-interval-ms", &interval.to_string()]);
        }
        match self.contender {
            Contender::KafkaStreamsTuned => program.args(["--profile", "tuned"]),
            Contender::KafkaStreamsDefault => program.args(["--profile", "default"]),
            Contender::Onceflow => {
                program.args(self.settings.iter().flat_map(|setting| ["--set", setting]))
            }
            Contender::Handwritten => &mut program,
        };
        // What it complains of is said on our own standard error.
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
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
    questions: Option<ChildStdin>,
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
        let questions = process.stdin.take();
        Ok(Worker {
            process,
            questions,
            lines,
        })
    }

    /// The next line that it prints.
    fn line(&mut self, timeout: Duration) -> Result<String, Failure> {
        let line = self.lines.recv_timeout(timeout);
        line.map_err(|_closed| "a worker ended or hung before it reported".into())
    }

    /// What it has done so far. Kafka Streams does not tell.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn counts(&mut self) -> Result<Counts, Failure> {
        let questions = self.questions.as_mut().ok_or("the input is piped")?;
        writeln!(questions, "counts")?;
        Ok(serde_json::from_str(&self.line(ANSWER_TIMEOUT)?)?)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// The workers stand beside this program.
pub(super) fn sibling(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        let path = path.display();
        return Err(format!("{path} is missing: cargo build --release --workspace --bins").into());
    }
    Ok(path)
}
