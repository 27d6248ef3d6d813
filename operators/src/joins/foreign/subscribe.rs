//! Left's changes become subscriptions to right's rows.

use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::{Error, ErrorKind, Fault, Headers, Record, Timestamp};

use super::formats::{Hash, Instruction, Subscription};
use super::murmur3::hash128;
use crate::Data;
use crate::change::Change;

/// The right row that a left row names, if it names one.
pub(super) type ForeignKey<K, V, KO> = Arc<dyn Fn(&K, &V) -> Option<KO> + Send + Sync>;

/// Subscribes each row to the one it names, and ends what it named before.
pub(super) struct Subscribe<K, V, KO> {
    pub(super) value: SharedSerde<V>,
    pub(super) foreign_key: SharedSerde<KO>,
    pub(super) extract: ForeignKey<K, V, KO>,
    pub(super) is_left: bool,
}

/// The hash of a value as it is written.
pub(super) fn hash_of<V: 'static>(serde: &SharedSerde<V>, value: &V) -> Result<Hash, Error> {
    let bytes = serde.to_vec(value).map_err(|error| {
        let message = "cannot serialize the value that is joined by a foreign key";
        Error::new(ErrorKind::Serialization, message).because(error)
    })?;
    Ok(bytes.map(|bytes| hash128(&bytes)))
}

/// What an operator sends for one change.
struct Sends<K> {
    key: K,
    hash: Hash,
    timestamp: Timestamp,
    headers: Headers,
}

type Out<K, KO> = Context<Option<KO>, Subscription<K>>;

impl<K: Data, V: Data, KO: Data> Subscribe<K, V, KO> {
    fn foreign(&self, key: &K, value: Option<&V>) -> Option<KO> {
        let foreign = (self.extract)(key, value?);
        foreign.filter(|foreign| !self.foreign_key.is_null(foreign))
    }

    fn send(
        &self,
        sends: &Sends<K>,
        foreign: Option<KO>,
        instruction: Instruction,
        ctx: &mut Out<K, KO>,
    ) -> Result<(), Fault> {
        let subscription = Subscription {
            hash: sends.hash,
            instruction,
            key: sends.key.clone(),
            partition: ctx.task_id().partition,
        };
        ctx.forward(Record {
            key: foreign,
            value: subscription,
            timestamp: sends.timestamp,
            headers: sends.headers.clone(),
        })
    }

    /// Keys are the same if their bytes are.
    fn is_changed(&self, old: &KO, new: Option<&KO>) -> Result<bool, Error> {
        let bytes = |key: &KO| {
            self.foreign_key.to_vec(key).map_err(|error| {
                let message = "cannot serialize the foreign key";
                Error::new(ErrorKind::Serialization, message).because(error)
            })
        };
        Ok(match new {
            Some(new) => bytes(old)? != bytes(new)?,
            None => true,
        })
    }

    /// A left join has an answer for every change.
    fn left(
        &self,
        sends: &Sends<K>,
        (old, new): (Option<KO>, Option<KO>),
        ctx: &mut Out<K, KO>,
    ) -> Result<(), Fault> {
        if let Some(old) = old
            && self.is_changed(&old, new.as_ref())?
        {
            self.send(sends, Some(old), Instruction::Delete, ctx)?;
        }
        self.send(sends, new, Instruction::PropagateNullIfNone, ctx)
    }

    /// An inner join has an answer where there may have been, or is, a result.
    fn inner(
        &self,
        sends: &Sends<K>,
        (old, new): (Option<KO>, Option<KO>),
        ctx: &mut Out<K, KO>,
    ) -> Result<(), Fault> {
        let (old, new) = match (old, new) {
            (None, None) => return Ok(()),
            (Some(old), None) => {
                return self.send(sends, Some(old), Instruction::DeleteAndPropagate, ctx);
            }
            (old, Some(new)) => (old, new),
        };
        let mut instruction = Instruction::PropagateIfPresent;
        if let Some(old) = old
            && self.is_changed(&old, Some(&new))?
        {
            self.send(sends, Some(old), Instruction::Delete, ctx)?;
            // The old row may have made a result that the new one does not replace.
            instruction = Instruction::PropagateNullIfNone;
        }
        self.send(sends, Some(new), instruction, ctx)
    }
}

impl<K: Data, V: Data, KO: Data> Processor for Subscribe<K, V, KO> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = Option<KO>;
    type ValueOut = Subscription<K>;

    fn process(&mut self, record: Record<K, Change<V>>, ctx: &mut Out<K, KO>) -> Result<(), Fault> {
        let Change { old, new, .. } = &record.value;
        if !record.value.is_latest() {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let old = self.foreign(&record.key, old.as_ref());
        let foreign = self.foreign(&record.key, new.as_ref());
        let hash = match new {
            Some(value) => hash_of(&self.value, value)?,
            None => None,
        };
        if !self.is_left && new.is_some() && foreign.is_none() {
            ctx.dropped(DropReason::NullKey);
        }
        let sends = Sends {
            key: record.key,
            hash,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        match self.is_left {
            true => self.left(&sends, (old, foreign), ctx),
            false => self.inner(&sends, (old, foreign), ctx),
        }
    }
}
