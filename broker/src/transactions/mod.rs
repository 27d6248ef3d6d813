//! The transaction coordinator: who may write under a transactional id, and what is open there.
//!
//! ```text
//!            add                 end(commit)              last marker
//!   Empty ───────> Ongoing ──┬────────────> PrepareCommit ───────────> CompleteCommit ──┐
//!     ^               ^      │ end(abort), fence, time-out                              │
//!     │ init          │      └────────────> PrepareAbort ────────────> CompleteAbort ───┤
//!     └───────────────┴──────────────────────────────── add, init <─────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - **An epoch never goes back**, and only the newest one may add, commit offsets or end.
//! - **Fence before abort:** a transaction that its owner did not end is aborted under a higher epoch,
//!   so the owner learns of it and cannot write behind the marker.
//! - **Nobody meets a half-marked transaction:** until its last marker it answers CONCURRENT_TRANSACTIONS.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ErrorCode;

#[cfg(test)]
mod tests;

/// Idle transactional ids beyond this number are forgotten, longest idle first.
const TRANSACTIONAL_IDS_MAX: usize = 100_000;

/// A producer id with the epoch of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    next_producer_id: i64,
    timeout_max_ms: i32,
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) producer: Producer,
    pub(crate) timeout_ms: i32,
    pub(crate) state: State,
    pub(crate) started_ms: i64,
    pub(crate) partitions: BTreeSet<(String, i32)>,
    groups: BTreeSet<String>,
    /// The epoch before the last bump that its owner asked for: a repeated request is recognised by it.
    epoch_before: Option<i16>,
    markers_due: VecDeque<Target>,
    touched_ms: i64,
}

/// Where a transaction is; the names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

/// What a transaction can cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The offsets of a group.
    Group(String),
    Partition(String, i32),
}

/// A control marker to be written.
#[derive(Debug)]
pub(crate) struct Marker {
    pub(crate) target: Target,
    pub(crate) producer: Producer,
    pub(crate) commit: bool,
}

/// What came of an InitProducerId.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Init {
    Ready(Producer),
    /// A transaction was open: it is being aborted, ask again.
    Aborting,
    Refused(ErrorCode),
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    fn is_preparing(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

impl Transactions {
    pub(crate) fn new(timeout_max_ms: i32) -> Self {
        Self {
            by_id: BTreeMap::new(),
            next_producer_id: 0,
            timeout_max_ms,
        }
    }

    /// A producer id for an idempotent producer without transactions.
    pub(crate) fn idempotent(&mut self) -> Producer {
        Producer {
            id: self.take_producer_id(),
            epoch: 0,
        }
    }

    /// Starts a new incarnation of a transactional producer, fencing the one before.
    pub(crate) fn init(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<Producer>,
        now_ms: i64,
    ) -> Init {
        if id.is_empty() {
            return Init::Refused(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.timeout_max_ms {
            return Init::Refused(ErrorCode::InvalidTransactionTimeout);
        }
        let Some(transaction) = self.by_id.get_mut(id) else {
            return Init::Ready(self.register(id, timeout_ms, now_ms));
        };
        if expected.is_some_and(|expected| expected.id != transaction.producer.id) {
            return Init::Refused(ErrorCode::ProducerFenced);
        }
        transaction.touched_ms = now_ms;
        match transaction.state {
            State::PrepareCommit | State::PrepareAbort => {
                Init::Refused(ErrorCode::ConcurrentTransactions)
            }
            // As Kafka, whichever epoch was expected: the second request of a zombie is refused.
            State::Ongoing => {
                transaction.fence();
                Init::Aborting
            }
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                self.bump(id, timeout_ms, expected)
            }
        }
    }

    /// Takes partitions and groups into the transaction, opening it if need be.
    ///
    /// # Errors
    ///
    /// As [`Transactions::owned`], and `CONCURRENT_TRANSACTIONS` while markers are being written.
    pub(crate) fn add(
        &mut self,
        id: &str,
        producer: Producer,
        targets: Vec<Target>,
        now_ms: i64,
    ) -> Result<(), ErrorCode> {
        let transaction = self.owned(id, producer)?;
        if transaction.state.is_preparing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if transaction.state != State::Ongoing {
            transaction.state = State::Ongoing;
            transaction.started_ms = now_ms;
        }
        transaction.touched_ms = now_ms;
        for target in targets {
            match target {
                Target::Group(group) => transaction.groups.insert(group),
                Target::Partition(topic, index) => transaction.partitions.insert((topic, index)),
            };
        }
        Ok(())
    }

    /// Ends the transaction at its owner's wish. `Ok(true)`: its markers are due now.
    ///
    /// # Errors
    ///
    /// As [`Transactions::owned`]; `INVALID_TXN_STATE` when nothing is open or it ended the other way.
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: Producer,
        commit: bool,
    ) -> Result<bool, ErrorCode> {
        let transaction = self.owned(id, producer)?;
        match (transaction.state, commit) {
            (State::Ongoing, _) => {
                transaction.prepare(commit);
                Ok(true)
            }
            // The answer was lost and the client asks again: it has happened, say so.
            (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(false),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Whether the producer may write to `target` now.
    ///
    /// # Errors
    ///
    /// As [`Transactions::owned`]; `TRANSACTION_ABORTABLE` outside the transaction.
    pub(crate) fn verify(
        &mut self,
        id: &str,
        producer: Producer,
        target: &Target,
    ) -> Result<(), ErrorCode> {
        let transaction = self.owned(id, producer)?;
        if transaction.state.is_preparing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if transaction.state != State::Ongoing || !transaction.covers(target) {
            return Err(ErrorCode::TransactionAbortable);
        }
        Ok(())
    }

    /// Fences whoever owns `id` and starts aborting what it has open; `None` if `id` is unknown
    /// or being marked already.
    pub(crate) fn fence(&mut self, id: &str) -> Option<Producer> {
        let transaction = self
            .by_id
            .get_mut(id)
            .filter(|known| !known.state.is_preparing())?;
        match transaction.state {
            State::Ongoing => transaction.fence(),
            _ => {
                transaction.producer.epoch = transaction.producer.epoch.saturating_add(1);
                transaction.epoch_before = None;
            }
        }
        Some(transaction.producer)
    }

    /// The ids whose transactions are older than their time-outs.
    pub(crate) fn expired(&self, now_ms: i64) -> Vec<String> {
        self.by_id
            .iter()
            .filter(|(_, transaction)| transaction.state == State::Ongoing)
            .filter(|(_, open)| open.started_ms + i64::from(open.timeout_ms) <= now_ms)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Whether a transaction is open that could expire.
    pub(crate) fn any_open(&self) -> bool {
        self.by_id
            .values()
            .any(|transaction| transaction.state == State::Ongoing)
    }

    /// Whether `id` has a transaction open.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.by_id
            .get(id)
            .is_some_and(|transaction| transaction.state == State::Ongoing)
    }

    /// Takes the next marker that is due for `id`; taking the last one completes the transaction.
    pub(crate) fn next_marker(&mut self, id: &str) -> Option<Marker> {
        let transaction = self.by_id.get_mut(id)?;
        let commit = match transaction.state {
            State::PrepareCommit => true,
            State::PrepareAbort => false,
            _ => return None,
        };
        let due = transaction.markers_due.pop_front();
        if transaction.markers_due.is_empty() {
            transaction.state = if commit {
                State::CompleteCommit
            } else {
                State::CompleteAbort
            };
        }
        due.map(|target| Marker {
            target,
            producer: transaction.producer,
            commit,
        })
    }

    /// Lets go of a deleted topic: no marker can be written there.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for transaction in self.by_id.values_mut() {
            transaction.partitions.retain(|(name, _)| name != topic);
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// All transactional ids, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id
            .iter()
            .map(|(id, transaction)| (id.as_str(), transaction))
    }

    /// The transaction under `id`, if `producer` is its present owner.
    ///
    /// # Errors
    ///
    /// `INVALID_REQUEST` without an id, `INVALID_PRODUCER_ID_MAPPING` for an unknown id or another
    /// producer's, `PRODUCER_FENCED` for any epoch but the newest.
    fn owned(&mut self, id: &str, producer: Producer) -> Result<&mut Transaction, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = self
            .by_id
            .get_mut(id)
            .ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.producer.id != producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer.epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(transaction)
    }

    fn register(&mut self, id: &str, timeout_ms: i32, now_ms: i64) -> Producer {
        self.make_room();
        let producer = self.idempotent();
        let transaction = Transaction {
            producer,
            timeout_ms,
            state: State::Empty,
            started_ms: -1,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            epoch_before: None,
            markers_due: VecDeque::new(),
            touched_ms: now_ms,
        };
        self.by_id.insert(id.to_owned(), transaction);
        producer
    }

    fn bump(&mut self, id: &str, timeout_ms: i32, expected: Option<Producer>) -> Init {
        let fresh_id = self.next_producer_id;
        let transaction = self.by_id.get_mut(id).expect("its state was just read");
        let current = transaction.producer;
        if let Some(expected) = expected
            && expected.epoch != current.epoch
        {
            // The bump happened and its answer was lost: give the same answer again.
            return if transaction.epoch_before == Some(expected.epoch) {
                Init::Ready(current)
            } else {
                Init::Refused(ErrorCode::ProducerFenced)
            };
        }
        transaction.epoch_before = expected.map(|expected| expected.epoch);
        transaction.timeout_ms = timeout_ms;
        transaction.state = State::Empty;
        if current.epoch >= i16::MAX - 1 {
            transaction.producer = Producer {
                id: fresh_id,
                epoch: 0,
            };
            self.next_producer_id += 1;
            return Init::Ready(Producer {
                id: fresh_id,
                epoch: 0,
            });
        }
        transaction.producer.epoch += 1;
        Init::Ready(transaction.producer)
    }

    fn take_producer_id(&mut self) -> i64 {
        self.next_producer_id += 1;
        self.next_producer_id - 1
    }

    fn make_room(&mut self) {
        if self.by_id.len() < TRANSACTIONAL_IDS_MAX {
            return;
        }
        let idle = self
            .by_id
            .iter()
            .filter(|(_, known)| known.state != State::Ongoing && !known.state.is_preparing())
            .min_by_key(|(_, known)| known.touched_ms)
            .map(|(id, _)| id.clone());
        if let Some(id) = idle {
            self.by_id.remove(&id);
        }
    }
}

impl Transaction {
    fn covers(&self, target: &Target) -> bool {
        match target {
            Target::Group(group) => self.groups.contains(group),
            Target::Partition(topic, index) => self.partitions.contains(&(topic.clone(), *index)),
        }
    }

    /// Aborts under a higher epoch.
    fn fence(&mut self) {
        // Remembered: an owner whose transaction timed out recovers by naming its old epoch (KIP-588).
        self.epoch_before = Some(self.producer.epoch);
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.prepare(false);
    }

    fn prepare(&mut self, commit: bool) {
        assert!(
            self.state == State::Ongoing,
            "only an open transaction ends"
        );
        self.state = if commit {
            State::PrepareCommit
        } else {
            State::PrepareAbort
        };
        let groups = std::mem::take(&mut self.groups)
            .into_iter()
            .map(Target::Group);
        let partitions = std::mem::take(&mut self.partitions).into_iter();
        let partitions = partitions.map(|(topic, index)| Target::Partition(topic, index));
        self.markers_due = groups.chain(partitions).collect();
    }
}
