//! The points of a batch at which a test crashes the worker, and a monitor may look.

use std::fmt;
use std::sync::Arc;

/// A point in the life of a batch.
///
/// What may be half-done there, and what a restart makes of it, is told in `ARCHITECTURE.md`. The
/// points are named for exactly once, where each is reached in this order. At least once there is
/// no [`AfterSendOffsets`](BatchPoint::AfterSendOffsets): offsets go last, by themselves. At most
/// once they go first: a batch begins with
/// [`BeforeSendOffsets`](BatchPoint::BeforeSendOffsets) and
/// [`AfterSendOffsets`](BatchPoint::AfterSendOffsets), when none of its records was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchPoint {
    /// Records are there, the transaction is not open yet.
    BeforeBegin,
    /// A record was processed; more may follow in this batch.
    RecordProcessed,
    /// Every record is processed; rows for external systems are not sent yet. Without rows this and
    /// the next point are not reached.
    BeforeExternalCommit,
    /// External systems hold the rows of the batch; Kafka's offsets are those of the last.
    AfterExternalCommit,
    /// Every record is processed; the offsets are not in the transaction yet.
    BeforeSendOffsets,
    /// The offsets are in the transaction; outputs may still be on their way.
    AfterSendOffsets,
    /// Everything is delivered (at most once: processed); the commit is not sent yet.
    BeforeCommit,
    /// The broker has committed; the stores do not hold the batch yet.
    AfterCommit,
    /// The stores hold the batch.
    AfterApply,
    /// The transaction was aborted; its records are about to be processed again.
    AfterAbort,
}

/// Called at each point, on the worker's thread.
#[derive(Clone, Default)]
pub(crate) struct Probe(Option<Arc<dyn Fn(BatchPoint) + Send + Sync>>);

impl Probe {
    pub(crate) fn new(observer: Arc<dyn Fn(BatchPoint) + Send + Sync>) -> Self {
        Probe(Some(observer))
    }

    pub(crate) fn reach(&self, point: BatchPoint) {
        if let Some(observer) = &self.0 {
            observer(point);
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Probe({})",
            if self.0.is_some() { "set" } else { "none" }
        )
    }
}
