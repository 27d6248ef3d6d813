//! Which transfers are settled so far, as a `read_committed` reader sees it.
//!
//! This drives the run; whether what it saw was right is for the [audit](crate::audit) to say.

use onceflow::prelude::*;
use onceflow_examples::Result;
use onceflow_examples::reader::Tail;
use rdkafka::Message;
use std::time::Duration;

use crate::model::{Topics, Transfer};

/// How many records are taken in one go.
const RECORDS_MAX: usize = 10_000;

/// Follows the two topics in which a transfer ends.
pub(crate) struct Settled {
    tail: Tail,
    applied_topic: String,
    /// By transfer: whether it has come into sight.
    seen: Vec<bool>,
    pub(crate) count: u64,
    pub(crate) applied: u64,
    pub(crate) refused: u64,
}

impl Settled {
    pub(crate) fn follow(
        cluster: &onceflow_examples::cluster::Cluster,
        topics: &Topics,
        transfers: usize,
    ) -> Result<Self> {
        Ok(Settled {
            tail: Tail::follow(cluster, &[&topics.applied, &topics.refused])?,
            applied_topic: topics.applied.clone(),
            seen: vec![false; transfers],
            count: 0,
            applied: 0,
            refused: 0,
        })
    }

    /// Looks what is new, for `wait` at most; answers whether anything is.
    pub(crate) fn look(&mut self, wait: Duration) -> Result<bool> {
        let json = json::<Transfer>();
        let (seen, count) = (&mut self.seen, &mut self.count);
        let (applied, refused) = (&mut self.applied, &mut self.refused);
        let new = self.tail.read(wait, RECORDS_MAX, |message| {
            let transfer = json.deserialize(message.payload())?;
            let is_applied = message.topic() == self.applied_topic;
            *(if is_applied {
                &mut *applied
            } else {
                &mut *refused
            }) += 1;
            let id = usize::try_from(transfer.id)?;
            // One that was never made is for the audit to find.
            if let Some(seen @ false) = seen.get_mut(id) {
                *seen = true;
                *count += 1;
            }
            Ok(())
        })?;
        Ok(new > 0)
    }

    /// Whether every transfer has come into sight.
    pub(crate) fn is_complete(&self) -> bool {
        self.count == self.seen.len() as u64
    }
}
