//! What a task does about a record, or an output, that failed: asks the handler, and writes what it
//! leaves behind.
//!
//! # Invariants
//!
//! - A handler sees the input as it was read, so its bytes are kept while it is processed: by tasks
//!   that may have to show them only.
//! - Dead letters take the road of every output, into the transaction that consumes the record.

use std::sync::Arc;

use super::scope::{OutgoingRecord, TaskScope, TopicId};
use crate::error::{Error, ErrorKind, Recovery};
use crate::handler::{Answer, DeadLetter, Failed, RefusedOutput, Stage};
use crate::metrics::DropReason;
use crate::record::{Headers, Offset, RawRecord};
use crate::time::Timestamp;

/// The input in process, as it was read; its buffer is reused.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputCopy {
    at: Option<(Offset, Timestamp)>,
    key: Option<usize>,
    value: bool,
    /// The key, then the value.
    bytes: Vec<u8>,
    headers: Headers,
}

impl InputCopy {
    pub(crate) fn note(&mut self, raw: &RawRecord<'_>) {
        self.at = Some((raw.offset, raw.timestamp));
        self.bytes.clear();
        self.bytes.extend_from_slice(raw.key.unwrap_or_default());
        self.bytes.extend_from_slice(raw.value.unwrap_or_default());
        self.key = raw.key.map(<[u8]>::len);
        self.value = raw.value.is_some();
        self.headers.clone_from(raw.headers);
    }

    /// There is nothing to show.
    pub(crate) fn forget(&mut self) {
        self.at = None;
    }

    pub(crate) fn raw(&self) -> Option<RawRecord<'_>> {
        let (offset, timestamp) = self.at?;
        let (key, value) = self.bytes.split_at(self.key.unwrap_or_default());
        Some(RawRecord {
            offset,
            timestamp,
            key: self.key.map(|_| key),
            value: self.value.then_some(value),
            headers: &self.headers,
        })
    }
}

/// A sink as far as a refused output has to name it.
#[derive(Debug, Clone)]
pub(crate) struct SinkTopic {
    pub(crate) node: Arc<str>,
    pub(crate) topic: Arc<str>,
}

impl TaskScope {
    /// Asks what becomes of the record in process, or of one of its outputs.
    pub(crate) fn decide(
        &self,
        stage: Stage,
        output: Option<&RefusedOutput<'_>>,
        error: Error,
    ) -> Answer {
        let (input, blamed) = (self.input.borrow(), self.blamed.borrow());
        let (input, error) = match &*blamed {
            Some(blamed) => (blamed.input.raw(), error.of(blamed.position.clone())),
            None => (self.at.get().and_then(|_| input.raw()), error),
        };
        let failed = Failed {
            stage,
            task: self.task,
            input,
            output,
            attempt: self.attempt.get(),
            retries: self.retries.get(),
        };
        self.handlers.decide(&failed, error)
    }

    /// A node has failed, and nothing else: asks whether the node before it goes on.
    pub(crate) fn give_up_call(&self, error: Error) -> Result<(), Error> {
        if !is_of_the_record(&error) {
            return Err(error);
        }
        match self.decide(Stage::Processing, None, error) {
            Answer::Resume(letters, error) => self.go_on(Stage::Processing, &letters, &error),
            Answer::Retry(error) | Answer::Fail(error) => Err(error.settled()),
        }
    }

    /// Nobody but the record in process is to blame.
    pub(crate) fn forget_blamed(&self) {
        if self.blamed.borrow().is_some() {
            self.blamed.take();
            self.obstacle.take();
        }
    }

    /// Goes on without what failed.
    pub(crate) fn go_on(
        &self,
        stage: Stage,
        letters: &[DeadLetter],
        error: &Error,
    ) -> Result<(), Error> {
        self.bury(letters)?;
        let reason = match stage {
            Stage::Deserialization => DropReason::Deserialization,
            Stage::Processing => DropReason::Processing,
            Stage::Production => DropReason::Production,
        };
        self.given_up(error.node().unwrap_or_default(), reason, error);
        Ok(())
    }

    /// Writes what a handler leaves of a record.
    pub(crate) fn bury(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        letters.iter().try_for_each(|letter| {
            self.send_letter(letter).map_err(|error| {
                let topic = &letter.topic;
                let error = error
                    .told_with(&format!(
                        "a dead letter for topic {topic} cannot be written"
                    ))
                    .settled();
                match self.position() {
                    Some(position) => error.at(position),
                    None => error,
                }
            })
        })
    }

    fn send_letter(&self, letter: &DeadLetter) -> Result<(), Error> {
        if !self.collector.takes_letters() {
            tracing::warn!(topic = letter.topic, "no dead letters from a global store");
            return Ok(());
        }
        let topic = self.collector.topic(&letter.topic)?;
        // A topic that is missing is told here, not by a transaction that cannot commit.
        self.collector.partitions(topic)?;
        self.collector.send(&OutgoingRecord {
            topic,
            partition: letter.partition,
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            timestamp: letter.timestamp,
            headers: &letter.headers,
        })
    }

    /// An output cannot be sent: answers the error unless a handler goes on without it.
    pub(crate) fn refused(
        &self,
        node: &str,
        output: &RefusedOutput<'_>,
        error: Error,
    ) -> Result<(), Error> {
        if !is_of_the_output(&error) || self.handlers.production.only_fails() {
            return Err(error);
        }
        match self.decide(Stage::Production, Some(output), error) {
            Answer::Resume(letters, error) => {
                self.bury(&letters)?;
                self.given_up(node, DropReason::Production, &error);
                Ok(())
            }
            // The record's affair from here on: it is taken back and processed again.
            Answer::Retry(error) => Err(error.transient()),
            Answer::Fail(error) => Err(error),
        }
    }

    /// Asks what becomes of an output once its record is done, and cannot be taken back any more.
    pub(crate) fn decide_late(&self, record: &OutgoingRecord<'_>, error: Error) -> Answer {
        let sink = self.sink(record.topic);
        let sink = sink.filter(|_| is_of_the_output(&error));
        let Some(sink) = sink else {
            return Answer::Fail(error);
        };
        let error = error.at_node(&sink.node);
        let error = match self.position() {
            Some(position) => error.at(position),
            None => error,
        };
        if self.handlers.production.only_fails() {
            return Answer::Fail(error);
        }
        let output = RefusedOutput {
            topic: Some(&sink.topic),
            partition: record.partition,
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            headers: record.headers,
        };
        self.decide(Stage::Production, Some(&output), error)
    }

    /// The sink that writes a topic; none if it is a changelog.
    pub(crate) fn sink(&self, topic: TopicId) -> Option<SinkTopic> {
        self.sinks.borrow().get(&topic).cloned()
    }
}

/// Whether it is one record's failure, whatever becomes of others. An output is refused here for what
/// is known before it is sent, such as its size.
pub(crate) fn is_of_the_record(error: &Error) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::Processing | ErrorKind::Serialization | ErrorKind::Production
    );
    (kind || error.is_transient()) && error.recovery() == Recovery::Stop
}

/// Whether it is about one output, and for good.
fn is_of_the_output(error: &Error) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::Production | ErrorKind::Serialization
    );
    kind && error.recovery() == Recovery::Stop && !error.is_settled()
}
