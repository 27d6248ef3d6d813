//! The whole history of a run, read back from the broker.

use onceflow::prelude::*;
use onceflow_examples::Result;
use onceflow_examples::reader::{Isolation, Reader};
use rdkafka::Message;

use crate::model::Transfer;
use crate::setup::Setup;

/// Every committed result, in the order of each partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) applied: Vec<Transfer>,
    pub(crate) refused: Vec<Transfer>,
    /// Every balance that an account ever had after a change.
    pub(crate) balances: Vec<(String, i64)>,
}

/// Records of a topic that were aborted: written, and seen by no `read_committed` reader.
#[derive(Debug)]
pub(crate) struct Hidden {
    pub(crate) topic: String,
    pub(crate) written: u64,
    pub(crate) visible: u64,
}

impl Hidden {
    pub(crate) fn count(&self) -> u64 {
        self.written.saturating_sub(self.visible)
    }
}

/// Reads what is committed.
pub(crate) fn read(setup: &Setup, reader: &Reader<'_>) -> Result<History> {
    let mut balances = Vec::new();
    let (account, balance) = (utf8(), i64());
    reader.read_all(&setup.changelog(), Isolation::ReadCommitted, |message| {
        let account = account.deserialize(message.key())?;
        balances.push((account, balance.deserialize(message.payload())?));
        Ok(())
    })?;
    Ok(History {
        applied: read_transfers(reader, &setup.topics.applied)?,
        refused: read_transfers(reader, &setup.topics.refused)?,
        balances,
    })
}

fn read_transfers(reader: &Reader<'_>, topic: &str) -> Result<Vec<Transfer>> {
    let (mut found, json) = (Vec::new(), json::<Transfer>());
    reader.read_all(topic, Isolation::ReadCommitted, |message| {
        found.push(json.deserialize(message.payload())?);
        Ok(())
    })?;
    Ok(found)
}

/// Counts what was aborted, topic by topic.
pub(crate) fn count_hidden(setup: &Setup, reader: &Reader<'_>) -> Result<Vec<Hidden>> {
    let count = |topic: String| {
        let records = |isolation| reader.read_all(&topic, isolation, |_| Ok(()));
        let visible = records(Isolation::ReadCommitted)?;
        let written = records(Isolation::ReadUncommitted)?;
        Ok(Hidden {
            topic,
            written,
            visible,
        })
    };
    setup.written_topics().into_iter().map(count).collect()
}
