//! All figures of a comparison, as they are written to JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::contender::{Broker, Contender};
use crate::report::Run;
use crate::workload::{Guarantee, Workload};

/// A comparison.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where it ran, on what.
    pub machine: Machine,
    /// Records of input of each run.
    pub records: u64,
    /// Keys they are spread over.
    pub keys: u64,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Every run, in the order they ran.
    pub runs: Vec<Measured>,
    /// What failed, or whose output was wrong.
    pub failures: Vec<String>,
    /// End to end.
    pub latencies: Vec<Latency>,
    /// With nothing to do.
    pub idle: Vec<Idle>,
}

/// What the figures depend on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub cpu: String,
    /// Processors.
    pub processors: usize,
    /// All of its memory.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
    /// `rustc`, librdkafka, Apache Kafka, Java.
    pub versions: Vec<String>,
    /// How busy the machine was before.
    pub load_average: String,
}

/// A run and what it cost elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Who ran.
    pub who: Contender,
    /// Who served.
    pub broker: Broker,
    /// From zero.
    pub round: usize,
    /// What it reported.
    pub run: Run,
    /// CPU time of its whole process, start and end included.
    pub process_cpu_seconds: f64,
    /// CPU time of the broker during the whole process, if it is ours.
    pub broker_cpu_seconds: Option<f64>,
    /// Whether its output was compared with the input, and right.
    pub verified: bool,
    /// Of `join`, when it was compared: records that were processed before the row of their key.
    pub unmatched: u64,
}

/// From the production of a record to its sight in the committed output.
#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Who ran.
    pub who: Contender,
    /// What was done with each record.
    pub workload: Workload,
    /// What a failure may do to the output.
    pub guarantee: Guarantee,
    /// The bound of a transaction.
    pub commit_interval_ms: u64,
    /// The rest of what was set, for onceflow.
    pub settings: Vec<String>,
    /// The fixed rate.
    pub records_per_second: u64,
    /// What came out in a second, once warm.
    pub served_per_second: f64,
    /// Records that were measured.
    pub records: u64,
    /// In milliseconds; null in JSON, as the next two, if no record came out in time.
    pub p50_ms: f64,
    /// In milliseconds.
    pub p99_ms: f64,
    /// In milliseconds.
    pub p999_ms: f64,
    /// CPU time of the process for each second: processors.
    pub processors: f64,
    /// CPU time of the broker for each second, if it is ours.
    pub broker_processors: Option<f64>,
    /// Transactions a second, where the contender tells.
    pub commits_per_second: Option<f64>,
}

impl Latency {
    /// CPU time of the broker for one transaction, whatever else it serves meanwhile, in
    /// milliseconds.
    #[must_use]
    pub fn broker_ms_per_commit(&self) -> Option<f64> {
        Some(self.broker_processors? / self.commits_per_second? * 1e3)
    }
}

/// A process with nothing to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Idle {
    /// Who ran.
    pub who: Contender,
    /// From the start of its process until it said that it runs.
    pub start_seconds: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// CPU time for each second: processors.
    pub processors: f64,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, gib) = (&self.cpu, self.memory_bytes >> 30);
        let (kernel, load) = (&self.kernel, &self.load_average);
        let versions = self.versions.join(", ");
        write!(
            f,
            "{} processors ({cpu}), {gib} GiB, Linux {kernel}; {versions}. Load before: {load}.",
            self.processors
        )
    }
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let model = model
            .and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let kib = memory
            .lines()
            .next()
            .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        let versions = vec![
            first_line("rustc", "--version"),
            format!("librdkafka {librdkafka}"),
            format!("Apache Kafka {}", super::kafka::VERSION),
            first_line("java", "--version"),
        ];
        Machine {
            cpu: model.to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            versions,
            load_average: read("/proc/loadavg").trim().to_owned(),
        }
    }
}

fn first_line(program: &str, argument: &str) -> String {
    let output = std::process::Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
