//! Which samples have been averaged so far: each average names the one that came last.
//!
//! This drives the run; whether the averages are right is for the [audit](crate::audit) to say.

use std::collections::BTreeSet;
use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::cluster::Cluster;
use onceflow_examples::drill::Sight;
use onceflow_examples::reader::Tail;
use onceflow_examples::text::count;
use rdkafka::Message;

use crate::model::Average;

/// How many records are taken in one go.
const RECORDS_MAX: usize = 10_000;

/// Follows the topic of averages.
pub(crate) struct Averaged {
    tail: Tail,
    /// By host and second.
    seen: BTreeSet<(String, u64)>,
    taken: usize,
}

impl Averaged {
    pub(crate) fn follow(cluster: &Cluster, topic: &str, taken: usize) -> Result<Self> {
        Ok(Averaged {
            tail: Tail::follow(cluster, &[topic])?,
            seen: BTreeSet::new(),
            taken,
        })
    }
}

impl Sight for Averaged {
    fn look(&mut self, wait: Duration) -> Result<bool> {
        let seen = &mut self.seen;
        let new = self.tail.read(wait, RECORDS_MAX, |message| {
            let average: Average = serde_json::from_slice(message.payload().unwrap_or_default())?;
            seen.insert((average.host, average.latest));
            Ok(())
        })?;
        Ok(new > 0)
    }

    fn seen(&self) -> usize {
        self.seen.len()
    }

    fn words(&self) -> String {
        format!(
            "{} of {} averaged",
            count(self.seen.len()),
            count(self.taken)
        )
    }
}
