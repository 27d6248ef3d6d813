//! librdkafka's log lines, as tracing events.
//!
//! Its "error" is one broker out of reach for the moment, which it goes on trying: nobody has to
//! act. It repeats such a line at most every 30 seconds.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// Facilities that report what we do on purpose.
const EXPECTED: [&str; 2] = ["TERMINATE", "DRDROP"];

/// A line at a level of syslog.
pub(super) fn line(level: i32, facility: &str, text: &str) {
    match level {
        _ if EXPECTED.contains(&facility) => tracing::debug!(facility, "{text}"),
        ..=2 => tracing::error!(facility, "{text}"),
        3..=4 => tracing::warn!(facility, "{text}"),
        5..=6 => tracing::debug!(facility, "{text}"),
        _ => tracing::trace!(facility, "{text}"),
    }
}

/// The context of the clients that rdkafka drives itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logs;

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        line(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, "{reason}");
    }
}
