//! Samples of CPUs, and their averages by minute.

use onceflow_examples::Result;
use onceflow_examples::random::Random;
use serde::{Deserialize, Serialize};

/// The topic of samples, by host.
pub(crate) const SAMPLES: &str = "cpu-samples";

/// The topic of averages, by host.
pub(crate) const AVERAGES: &str = "cpu-averages";

/// Seconds of a minute, each with one sample of a host.
pub(crate) const SECONDS: u64 = 60;

/// How busy a host's CPU was in one second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) host: String,
    /// Seconds since the first sample.
    pub(crate) second: u64,
    /// In tenths of a percent.
    pub(crate) busy: u64,
}

impl Sample {
    pub(crate) fn minute(&self) -> u64 {
        self.second / SECONDS
    }

    /// Key and value of its record.
    pub(crate) fn record(&self) -> Result<(String, Vec<u8>)> {
        Ok((self.host.clone(), serde_json::to_vec(self)?))
    }
}

/// How busy a host was in a minute, as far as its samples have arrived.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Average {
    pub(crate) host: String,
    pub(crate) minute: u64,
    /// In percent.
    pub(crate) percent: f64,
    /// How many samples it is of.
    pub(crate) samples: u64,
    /// Their sum, in tenths of a percent.
    pub(crate) sum: u64,
    /// Which they are: a bit for each second of the minute.
    pub(crate) seconds: u64,
    /// The second whose sample came last.
    pub(crate) latest: u64,
}

impl Average {
    /// The average with one more sample.
    pub(crate) fn with(self, sample: &Sample) -> Self {
        let (samples, sum) = (self.samples + 1, self.sum + sample.busy);
        Average {
            host: sample.host.clone(),
            minute: sample.minute(),
            percent: percent(sum, samples),
            samples,
            sum,
            seconds: self.seconds | 1 << (sample.second % SECONDS),
            latest: sample.second,
        }
    }
}

/// The mean of so many tenths of a percent.
#[expect(
    clippy::cast_precision_loss,
    reason = "a minute's sum is far below 2^53"
)]
pub(crate) fn percent(sum: u64, samples: u64) -> f64 {
    sum as f64 / samples as f64 / 10.0
}

/// The samples of all hosts, second by second.
pub(crate) fn samples(random: &mut Random, hosts: u64, count: u64) -> Vec<Sample> {
    let mut sample = |number| Sample {
        host: format!("host-{:04}", number % hosts),
        second: number / hosts,
        busy: random.below(1_001),
    };
    (0..count).map(&mut sample).collect()
}
