//! What a comparison runs, chosen on the command line.

use std::path::PathBuf;

use clap::Parser;

use super::contender::{Broker, Contender, Task};
use crate::workload::{Guarantee, Workload};

/// Compares onceflow with a hand-written rdkafka loop and with Kafka Streams, on one broker, in turn.
///
/// Without `--bootstrap-servers` it starts Apache Kafka from its published artifacts (needs Java and
/// Maven). All topics of a broker that is given are removed, but for its own: use an empty one.
#[derive(Debug, Clone, Parser)]
pub struct Plan {
    /// Less of everything: under ten minutes.
    #[arg(long)]
    pub short: bool,
    /// Instead of the comparison: latency and the broker's CPU as the rate goes up, for onceflow.
    #[arg(long)]
    pub curve: bool,
    /// Who runs.
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [Contender::Onceflow, Contender::Handwritten, Contender::KafkaStreamsTuned,
            Contender::KafkaStreamsDefault])]
    pub contenders: Vec<Contender>,
    /// What is done with each record.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    pub workloads: Vec<Workload>,
    /// What a failure may do to the output.
    #[arg(long = "guarantee", value_enum, value_delimiter = ',', default_values_t =
        [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce, Guarantee::AtMostOnce])]
    pub guarantees: Vec<Guarantee>,
    /// Threads that process.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub threads: Vec<usize>,
    /// Whether `map` also runs on the embedded broker.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub embedded: bool,
    /// Rounds; 5, or 2 in the short form; 0: no throughput.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Records of each run; 5 million, or 2 in the short form.
    #[arg(long)]
    pub records: Option<u64>,
    /// Keys they are spread over, and rows of the table that is joined.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How long a transaction stays open at most; each contender's default, 100 ms, if not given.
    #[arg(long)]
    pub commit_interval_ms: Option<u64>,
    /// Records a second when latency is measured; 0: it is not.
    #[arg(long, default_value_t = 5_000)]
    pub latency_rate: u64,
    /// Seconds that latency is measured, at each point of the curve too; 30, or 8 in the short form.
    #[arg(long)]
    pub latency_seconds: Option<u64>,
    /// Seconds that an idle process is watched; 0: it is not; 10, or 5 in the short form.
    #[arg(long)]
    pub idle_seconds: Option<u64>,
    /// Records a second of the curve's points.
    #[arg(long, value_delimiter = ',',
        default_values_t = [100, 1_000, 5_000, 20_000, 100_000, 300_000, 1_000_000])]
    pub rates: Vec<u64>,
    /// A line of the curve: settings by their Kafka names, separated by commas; may be repeated.
    #[arg(long = "setting", value_name = "NAME=VALUE,...", default_values_t = SETTINGS.map(str::to_owned))]
    pub settings: Vec<String>,
    /// A broker that is there already.
    #[arg(long)]
    pub bootstrap_servers: Option<String>,
    /// Where `comparison.md`, `.json` and `.svg` go.
    #[arg(long, default_value = "target/comparison")]
    pub out: PathBuf,
}

/// The lines of the curve: what could be the defaults, and what is left out by them.
const SETTINGS: [&str; 5] = [
    "commit.interval.ms=100,commit.linger.ms=2",
    "commit.interval.ms=100,commit.linger.ms=1",
    "commit.interval.ms=100,commit.linger.ms=0,linger.ms=0",
    "commit.interval.ms=20,commit.linger.ms=2",
    "commit.interval.ms=100,commit.linger.ms=100",
];

impl Plan {
    /// Rounds of the throughput runs.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 2 } else { 5 })
    }

    /// Records of each run.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
            .unwrap_or(if self.short { 2_000_000 } else { 5_000_000 })
    }

    /// Seconds that latency is measured.
    #[must_use]
    pub fn latency_seconds(&self) -> u64 {
        self.latency_seconds
            .unwrap_or(if self.short { 8 } else { 30 })
    }

    /// Seconds that an idle process is watched.
    #[must_use]
    pub fn idle_seconds(&self) -> u64 {
        self.idle_seconds.unwrap_or(if self.short { 5 } else { 10 })
    }

    /// The runs of one round: the contenders of a case follow each other, another first each round.
    #[must_use]
    pub fn round(&self, round: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut contenders = self.contenders.clone();
        contenders.rotate_left(round % self.contenders.len().max(1));
        for &workload in &self.workloads {
            for &guarantee in &self.guarantees {
                for &threads in &self.threads {
                    let task = |&contender: &Contender| Task {
                        workload,
                        guarantee,
                        threads,
                        ..self.task(contender)
                    };
                    let wanted = |task: &Task| self.is_wanted(task, round);
                    tasks.extend(contenders.iter().map(task).filter(wanted));
                }
            }
            if self.embedded && workload == Workload::Map {
                let ours = [Contender::Onceflow, Contender::Handwritten].into_iter();
                let ours = ours.filter(|contender| self.contenders.contains(contender));
                tasks.extend(ours.map(|contender| Task {
                    broker: Broker::Embedded,
                    ..self.task(contender)
                }));
            }
        }
        tasks
    }

    /// `map`, exactly once, on one thread: the workload whose output still tells when a record was
    /// made.
    #[must_use]
    pub fn task(&self, contender: Contender) -> Task {
        Task {
            contender,
            broker: Broker::Kafka,
            workload: Workload::Map,
            guarantee: Guarantee::ExactlyOnce,
            threads: 1,
            commit_interval_ms: self.commit_interval_ms,
            settings: Vec::new(),
        }
    }

    /// The short form leaves out what no target asks for, or asks for once: Kafka Streams as it
    /// comes after the first round, two threads but for the first round of `map` and `count`, and of the
    /// weaker guarantees all but `map` and `count` on one thread by the two that are fast.
    fn is_wanted(&self, task: &Task, round: usize) -> bool {
        let simple = matches!(task.workload, Workload::Map | Workload::Count);
        let fast = matches!(task.contender, Contender::Onceflow | Contender::Handwritten);
        let as_it_comes = task.contender == Contender::KafkaStreamsDefault;
        let single = self.threads.len() == 1 || task.threads == 1;
        let exactly_once = self.guarantees.len() == 1 || task.guarantee == Guarantee::ExactlyOnce;
        let wanted_in_short = match (exactly_once, single) {
            (true, true) => round == 0 || !as_it_comes,
            (true, false) => round == 0 && simple && !as_it_comes,
            (false, true) => simple && fast,
            (false, false) => false,
        };
        // In the long form Kafka Streams as it comes runs exactly once only: it is there to be seen.
        let wanted = !as_it_comes || (exactly_once && single);
        task.contender.knows(task.guarantee) && wanted && (!self.short || wanted_in_short)
    }
}
