//! What a comparison runs, chosen on the command line.

use std::path::PathBuf;

use clap::Parser;

use super::contender::{Contender, Task};
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
    /// Who runs.
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [Contender::Onceflow, Contender::Handwritten, Contender::KafkaStreamsTuned,
            Contender::KafkaStreamsDefault])]
    pub contenders: Vec<Contender>,
    /// What is done with each record.
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [Workload::Map, Workload::Count, Workload::Repartition])]
    pub workloads: Vec<Workload>,
    /// What a failure may do to the output.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Guarantee::ExactlyOnce])]
    pub guarantees: Vec<Guarantee>,
    /// Threads that process.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub threads: Vec<usize>,
    /// Rounds; 5, or 2 in the short form.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Records of each run; 5 million, or 2 in the short form.
    #[arg(long)]
    pub records: Option<u64>,
    /// Keys they are spread over.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How long a transaction stays open at most.
    #[arg(long, default_value_t = 100)]
    pub commit_interval_ms: u64,
    /// Records a second when latency is measured; 0: it is not.
    #[arg(long, default_value_t = 5_000)]
    pub latency_rate: u64,
    /// Seconds that latency is measured; 30, or 10 in the short form.
    #[arg(long)]
    pub latency_seconds: Option<u64>,
    /// Seconds that an idle process is watched; 0: it is not.
    #[arg(long, default_value_t = 10)]
    pub idle_seconds: u64,
    /// A broker that is there already.
    #[arg(long)]
    pub bootstrap_servers: Option<String>,
    /// Where `comparison.md`, `.json` and `.svg` go.
    #[arg(long, default_value = "target/comparison")]
    pub out: PathBuf,
}

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
            .unwrap_or(if self.short { 10 } else { 30 })
    }

    /// The runs of one round: the contenders of a case follow each other.
    #[must_use]
    pub fn round(&self, round: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        for &workload in &self.workloads {
            for &guarantee in &self.guarantees {
                for &threads in &self.threads {
                    let task = |&contender: &Contender| Task {
                        contender,
                        workload,
                        guarantee,
                        threads,
                        commit_interval_ms: self.commit_interval_ms,
                    };
                    let wanted = |task: &Task| self.is_wanted(task, round);
                    tasks.extend(self.contenders.iter().map(task).filter(wanted));
                }
            }
        }
        tasks
    }

    /// onceflow knows exactly once only, so far. Kafka Streams as it comes is there to be seen once
    /// in the short form.
    fn is_wanted(&self, task: &Task, round: usize) -> bool {
        match task.contender {
            Contender::Onceflow => task.guarantee == Guarantee::ExactlyOnce,
            Contender::KafkaStreamsDefault => !self.short || (round == 0 && task.threads == 1),
            Contender::Handwritten | Contender::KafkaStreamsTuned => true,
        }
    }
}
