//! Dead letters: input records that were given up, as they were read, with the reason in headers.
//!
//! The headers are those of Kafka Streams (KIP-1034), all of them text. What Java's class and stack
//! trace are, an error's kind and its causes are here. Unlike there, the record keeps its own
//! headers, before these, and the letter is in the same transaction as the offset after the record
//! under exactly once only.

use bytes::Bytes;

use crate::error::Error;
use crate::record::{Headers, RawRecord};
use crate::time::Timestamp;

const EXCEPTION: &str = "__streams.errors.exception";
const MESSAGE: &str = "__streams.errors.message";
const STACKTRACE: &str = "__streams.errors.stacktrace";
const TOPIC: &str = "__streams.errors.topic";
const PARTITION: &str = "__streams.errors.partition";
const OFFSET: &str = "__streams.errors.offset";

/// A record for any topic that exists, written in the transaction that consumes what failed.
///
/// [`ErrorContext::dead_letter`](super::ErrorContext::dead_letter) makes Kafka Streams' own; its
/// fields can be changed, or filled with anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it goes: a topic that exists.
    pub topic: String,
    /// Its partition; none: by the key, as any other record.
    pub partition: Option<i32>,
    /// The key's bytes, or null.
    pub key: Option<Bytes>,
    /// The value's bytes, or null.
    pub value: Option<Bytes>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: Headers,
}

impl DeadLetter {
    pub(super) fn of(input: &RawRecord<'_>, error: &Error, topic: &str) -> Self {
        let mut headers = input.headers.clone();
        let mut add = |name, text: String| headers.push(name, Some(text.as_bytes()));
        add(EXCEPTION, format!("{:?}", error.kind()));
        add(MESSAGE, error.to_string());
        let causes =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        add(STACKTRACE, causes.join("\n"));
        if let Some(position) = error.position() {
            add(TOPIC, position.topic_partition.topic.to_string());
            add(PARTITION, position.topic_partition.partition.to_string());
            add(OFFSET, position.offset.to_string());
        }
        DeadLetter {
            topic: topic.to_owned(),
            partition: None,
            key: input.key.map(Bytes::copy_from_slice),
            value: input.value.map(Bytes::copy_from_slice),
            timestamp: input.timestamp,
            headers,
        }
    }
}
