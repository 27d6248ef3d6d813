//! What a handler is told: what failed, where, and at which record.

use super::letter::DeadLetter;
use crate::error::Error;
use crate::record::{Headers, Offset, RawRecord, TaskId};
use crate::time::Timestamp;

/// Where on its way a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The bytes of an input record could not be read.
    Deserialization,
    /// A processor failed or panicked, at a record or a punctuation.
    Processing,
    /// An output record could not be written as bytes, or was refused.
    Production,
}

/// A failure, as a handler sees it; Kafka Streams' `ErrorHandlerContext`.
///
/// The [example](super::ExceptionHandler) shows one in use.
#[derive(Debug)]
pub struct ErrorContext<'a> {
    pub(super) stage: Stage,
    pub(super) task: TaskId,
    pub(super) error: &'a Error,
    pub(super) input: Option<RawRecord<'a>>,
    pub(super) output: Option<&'a RefusedOutput<'a>>,
    pub(super) attempt: u32,
    pub(super) can_retry: bool,
    pub(super) dead_letter_topic: Option<&'a str>,
}

/// An output record that could not be sent.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RefusedOutput<'a> {
    /// The topic that it was for, if that was known by then.
    pub topic: Option<&'a str>,
    /// The partition that it was for, if one was chosen.
    pub partition: Option<i32>,
    /// The key's bytes; none if it is null, or could not be written.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; none if it is null, or could not be written.
    pub value: Option<&'a [u8]>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: &'a Headers,
}

impl<'a> ErrorContext<'a> {
    /// Where on its way the record failed.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What went wrong, with all its causes.
    #[must_use]
    pub fn error(&self) -> &'a Error {
        self.error
    }

    /// The task that the record belongs to.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.task
    }

    /// The node at which it failed, if it is known.
    #[must_use]
    pub fn node(&self) -> Option<&'a str> {
        self.error.node()
    }

    /// The topic that the input record was read from; none in a punctuation.
    #[must_use]
    pub fn topic(&self) -> Option<&'a str> {
        let position = self.error.position()?;
        Some(&position.topic_partition.topic)
    }

    /// The partition that the input record was read from.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        let position = self.error.position()?;
        Some(position.topic_partition.partition)
    }

    /// The offset of the input record.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.error.position().map(|position| position.offset)
    }

    /// The input record as it was read: key, value and headers; none in a punctuation.
    #[must_use]
    pub fn input(&self) -> Option<&RawRecord<'a>> {
        self.input.as_ref()
    }

    /// The output record that could not be sent, at [`Stage::Production`].
    #[must_use]
    pub fn output(&self) -> Option<&'a RefusedOutput<'a>> {
        self.output
    }

    /// Which attempt at the record this was, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether [`Response::Retry`](super::Response::Retry) would be followed.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.can_retry
    }

    /// What `errors.dead.letter.queue.topic.name` is set to.
    #[must_use]
    pub fn dead_letter_topic(&self) -> Option<&'a str> {
        self.dead_letter_topic
    }

    /// The input record's bytes for a topic, with the reason in KIP-1034's headers; none in a
    /// punctuation, which has no record.
    #[must_use]
    pub fn dead_letter(&self, topic: &str) -> Option<DeadLetter> {
        let input = self.input.as_ref()?;
        Some(DeadLetter::of(input, self.error, topic))
    }
}
