//! What a worker reports: one line of JSON.

use serde::{Deserialize, Serialize};

use crate::workload::{Guarantee, Workload};

/// The figures of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Whose they are.
    pub contender: String,
    /// What was done with each record.
    pub workload: Workload,
    /// What a failure may do to the output.
    pub guarantee: Guarantee,
    /// Threads that process.
    pub threads: usize,
    /// Records of input.
    pub records: u64,
    /// Successful commits, of all threads.
    pub commits: u64,
    /// From the start of the process until it runs; its group has been joined.
    pub start_seconds: f64,
    /// From the first record to the last commit.
    pub seconds: f64,
    /// CPU time of the process in these seconds.
    pub cpu_seconds: f64,
    /// The share of the records behind the middle of the run: about a half.
    pub warm_share: f64,
    /// The seconds of that share.
    pub warm_seconds: f64,
    /// The CPU time of that share.
    pub warm_cpu_seconds: f64,
    /// The most resident memory.
    pub peak_rss_bytes: u64,
}

/// What a worker has done so far.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Counts {
    /// Records committed, over all stages.
    pub records: u64,
    /// Successful commits, of all threads.
    pub commits: u64,
}

impl Run {
    /// Over the whole run.
    #[must_use]
    pub fn records_per_second(&self) -> f64 {
        self.count() / self.seconds
    }

    /// Over its second half.
    #[must_use]
    pub fn warm_records_per_second(&self) -> f64 {
        self.count() * self.warm_share / self.warm_seconds
    }

    /// CPU seconds for a million records, over the whole run.
    #[must_use]
    pub fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / self.count() * 1e6
    }

    /// CPU seconds for a million records, over its second half.
    #[must_use]
    pub fn warm_cpu_per_million(&self) -> f64 {
        self.warm_cpu_seconds / (self.count() * self.warm_share) * 1e6
    }

    #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 records")]
    fn count(&self) -> f64 {
        self.records as f64
    }
}
