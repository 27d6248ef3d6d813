//! Dead letters: input records that were given up, as they were read, with the reason in headers.
//!
//! The headers are those of Kafka Streams (KIP-1034), all of them text. What Java's class and stack
//! trace are, an error's kind and its causes are here. Unlike there, the record keeps its own
//! headers, before these, and the letter is in the same transaction as the offset after the record
//! under exactly once only.

use super::scope::{OutgoingRecord, TaskScope};
use crate::error::Error;
use crate::record::RawRecord;

const EXCEPTION: &str = "__streams.errors.exception";
const MESSAGE: &str = "__streams.errors.message";
const STACKTRACE: &str = "__streams.errors.stacktrace";
const TOPIC: &str = "__streams.errors.topic";
const PARTITION: &str = "__streams.errors.partition";
const OFFSET: &str = "__streams.errors.offset";

impl TaskScope {
    /// Sends a record that was given up to the topic of dead letters, if there is one.
    pub(crate) fn bury(&self, raw: &RawRecord<'_>, error: &Error) -> Result<(), Error> {
        let Some(topic) = self.dead_letters else {
            return Ok(());
        };
        let mut headers = raw.headers.clone();
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
        self.collector.send(&OutgoingRecord {
            topic,
            partition: None,
            key: raw.key,
            value: raw.value,
            timestamp: raw.timestamp,
            headers: &headers,
        })
    }
}
