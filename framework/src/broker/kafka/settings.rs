//! Settings of the clients: our defaults, over them the user's, over them what exactly-once binds.
//!
//! The defaults that are not Kafka's own were measured against Apache Kafka; the reason is beside
//! each.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::config::{ClientProperties, Guarantee};

type Settings = &'static [(&'static str, &'static str)];

/// A broker that restarts is found again within a second, not ten.
const ANY: Settings = &[("reconnect.backoff.max.ms", "1000")];

const READER: Settings = &[
    // At its default of a second a full prefetch stalls the partition: a seventh of the rate.
    ("fetch.queue.backoff.ms", "10"),
    // One fetch a broker is on its way, for those partitions of which too little lies here. Where
    // these have come to their end (a table, a short partition), the broker keeps it so long, and
    // with it all others: at 100 ms a join ran at half its rate.
    ("fetch.wait.max.ms", "20"),
    // Same rate as with the defaults, half the memory.
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "16384"),
];

const READER_BOUND: Settings = &[
    // Also asks for stable offsets, without which a restart may read offsets that a transaction
    // is about to replace.
    ("isolation.level", "read_committed"),
    // Offsets travel in transactions.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Every start is explicit; falling back would skip or repeat records in silence.
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
];

const MEMBER: Settings = &[
    // A member learns of a rebalance by its heartbeat: at the default of 3 s, everybody waits so
    // long for the slowest whenever a worker comes or goes.
    ("heartbeat.interval.ms", "500"),
    // What is fetched ahead lies in memory, with some 350 bytes for a message, and an answer as a
    // whole until its last message is taken. Enough for 20 ms at a million records a second.
    ("max.partition.fetch.bytes", "131072"),
    ("queued.min.messages", "7500"),
];

const MEMBER_BOUND: Settings = &[
    ("group.protocol", "classic"),
    // The only assignor that puts co-partitions of equal number into one hand.
    ("partition.assignment.strategy", "range"),
];

const PRODUCER: Settings = &[
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    // A transaction that follows another at once is refused until the markers of that are
    // written, and tried again after this.
    ("retry.backoff.ms", "5"),
    // A broker that lags behind slows the worker down, not only its memory. Same rate as with more,
    // and less processor time: what is written is still in a cache when it is sent.
    ("queue.buffering.max.messages", "25000"),
    ("queue.buffering.max.kbytes", "16384"),
];

const PRODUCER_BOUND: Settings = &[
    // Only failures are reported: commit waits on a counter, not on a report for each record.
    ("delivery.report.only.error", "true"),
    // Java's partitioner, so that co-partitioning holds with topics that Java writes.
    ("partitioner", "murmur2_random"),
];

/// At least once: what the broker acknowledged is written, once for each time it was sent.
const IDEMPOTENT: Settings = &[("enable.idempotence", "true")];

/// At most once: nothing is waited for, and nothing sent twice.
const UNACKNOWLEDGED: Settings = &[
    ("enable.idempotence", "false"),
    ("acks", "0"),
    // What a connection lost may have arrived.
    ("retries", "0"),
];

impl ClientProperties {
    /// Of the member of the group that a worker is.
    pub(super) fn member(&self, member: &str) -> ClientConfig {
        let mut config = layers(
            &self.consumer,
            &[ANY, READER, MEMBER],
            &[READER_BOUND, MEMBER_BOUND],
        );
        if self.static_membership {
            config.set("group.instance.id", member);
        }
        if self.tells_ends {
            config.set("enable.partition.eof", "true");
        }
        named(&mut config, member, "consumer");
        config
    }

    /// Of a worker's producer, which is known by this name.
    pub(super) fn producer(&self, name: &str) -> ClientConfig {
        let bound = match self.guarantee {
            Guarantee::ExactlyOnceV2 => &[],
            Guarantee::AtLeastOnce => IDEMPOTENT,
            Guarantee::AtMostOnce => UNACKNOWLEDGED,
        };
        let mut config = layers(&self.producer, &[ANY, PRODUCER], &[PRODUCER_BOUND, bound]);
        if self.guarantee == Guarantee::ExactlyOnceV2 {
            config.set("transactional.id", name);
        } else if config.get("delivery.timeout.ms").is_none() {
            // In a transaction librdkafka does the same: nothing is tried for longer than a batch.
            let timeout_ms = config.get("transaction.timeout.ms").map(str::to_owned);
            config.set(
                "delivery.timeout.ms",
                timeout_ms.as_deref().unwrap_or("60000"),
            );
        }
        if config.get("socket.timeout.ms").is_none() {
            let transaction = config.get("transaction.timeout.ms").map(str::parse);
            let timeout_ms = socket_timeout_ms(transaction.and_then(Result::ok));
            config.set("socket.timeout.ms", timeout_ms.to_string());
        }
        named(&mut config, name, "producer");
        config
    }

    /// Of a reader of changelogs. It needs a group to read by, joins none, and is given the
    /// application's because that is the one it is sure to have access to.
    pub(super) fn restore(&self) -> ClientConfig {
        let bound: Settings = &[("enable.partition.eof", "true")];
        let mut config = layers(
            &self.restore_consumer,
            &[ANY, READER],
            &[READER_BOUND, bound],
        );
        let group = self.consumer.get("group.id");
        if config.get("group.id").is_none() {
            config.set("group.id", group.map_or("onceflow-restore", String::as_str));
        }
        named(&mut config, "restore", "consumer");
        config
    }

    /// Of the client that asks for metadata and high watermarks: a read_committed one would be
    /// told the last stable offset, behind which a committed transaction may still end.
    pub(super) fn lookup(&self) -> ClientConfig {
        let bound: Settings = &[
            ("isolation.level", "read_uncommitted"),
            ("allow.auto.create.topics", "false"),
        ];
        let mut config = layers(&self.admin, &[ANY], &[bound]);
        named(&mut config, "lookup", "consumer");
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = layers(&self.admin, &[ANY], &[]);
        named(&mut config, "admin", "client");
        config
    }
}

/// How long a producer may sit in one request to a broker that hangs: a good part of the default of
/// a minute is lost for the group. librdkafka wants less than the transaction may last.
fn socket_timeout_ms(transaction_timeout_ms: Option<u64>) -> u64 {
    let transaction_timeout_ms = transaction_timeout_ms.unwrap_or(60_000);
    transaction_timeout_ms
        .saturating_sub(100)
        .clamp(900, 10_000)
}

/// How long a client waits for an answer of a broker.
pub(super) fn request_timeout(config: &ClientConfig) -> Duration {
    let timeout_ms = config.get("socket.timeout.ms").map(str::parse);
    Duration::from_millis(timeout_ms.and_then(Result::ok).unwrap_or(60_000))
}

/// The largest record that these settings let a producer take.
pub(super) fn message_bytes_max(config: &ClientConfig) -> usize {
    let bytes = config.get("message.max.bytes").map(str::parse);
    bytes.and_then(Result::ok).unwrap_or(1_000_000)
}

/// Later layers win.
fn layers(user: &BTreeMap<String, String>, below: &[Settings], above: &[Settings]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in below.iter().copied().flatten() {
        config.set(*name, *value);
    }
    for (name, value) in user {
        config.set(name, value);
    }
    for (name, value) in above.iter().copied().flatten() {
        config.set(*name, *value);
    }
    config
}

/// Tells the clients of a process apart in the broker's logs and metrics.
fn named(config: &mut ClientConfig, who: &str, what: &str) {
    let name = match config.get("client.id") {
        Some(base) => format!("{base}-{who}-{what}"),
        None => format!("{who}-{what}"),
    };
    config.set("client.id", name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_tune_but_cannot_loosen_what_exactly_once_binds() {
        let user = [
            ("fetch.wait.max.ms", "7"),
            ("isolation.level", "read_uncommitted"),
        ];
        let consumer = user.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let properties = ClientProperties {
            consumer: consumer.into(),
            static_membership: true,
            ..ClientProperties::default()
        };
        let config = properties.member("app-1");
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("group.instance.id"), Some("app-1"));
        assert_eq!(config.get("client.id"), Some("app-1-consumer"));
    }

    #[test]
    fn a_producer_waits_for_what_the_guarantee_asks_and_retries_no_more_than_it_allows() {
        use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnceV2};
        let rows = [
            (ExactlyOnceV2, Some("app-0"), None, None, None),
            (AtLeastOnce, None, Some("true"), None, None),
            (AtMostOnce, None, Some("false"), Some("0"), Some("0")),
        ];
        for (guarantee, id, idempotence, acks, retries) in rows {
            let timeout = ("transaction.timeout.ms".to_owned(), "7000".to_owned());
            let properties = ClientProperties {
                guarantee,
                producer: [timeout].into(),
                ..ClientProperties::default()
            };
            let config = properties.producer("app-0");
            let delivery = id.map_or(Some("7000"), |_id| None);
            let expected = [
                ("transactional.id", id),
                ("enable.idempotence", idempotence),
                ("acks", acks),
                ("retries", retries),
                ("delivery.timeout.ms", delivery),
            ];
            for (name, value) in expected {
                assert_eq!(config.get(name), value, "{name} of {guarantee}");
            }
        }
    }
}
