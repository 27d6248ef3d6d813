//! The settings that librdkafka knows, as far as users may have a say: names, clients, ranges.
//!
//! From the `CONFIGURATION.md` of librdkafka 2.12.1. Left out are callbacks, what is deprecated,
//! and what is a setting of the application (`bootstrap.servers`, `client.id`,
//! `auto.offset.reset`, `transaction.timeout.ms`).

use Kind::{Flag, Int, Text};

/// Which clients know a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Any,
    Consumer,
    Producer,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Checked when the client is made.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number between these, both included.
    Int(i64, i64),
}

/// A setting of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientProperty {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
    kind: Kind,
}

impl ClientProperty {
    /// Says what the value should have been, if it cannot be right.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Text => Ok(()),
            Flag if matches!(value, "true" | "false") => Ok(()),
            Flag => Err("expected true or false".to_owned()),
            Int(min, max) => match value.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(format!("expected a whole number from {min} to {max}")),
            },
        }
    }
}

/// The setting of that name, or of that second name.
pub(super) fn property(name: &str) -> Option<ClientProperty> {
    let alias = ALIASES.iter().find(|(second, _)| *second == name);
    let name = alias.map_or(name, |(_, kept)| kept);
    tables().find(|property| property.name == name)
}

/// Every name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    tables()
        .map(|property| property.name)
        .chain(ALIASES.iter().map(|(second, _)| *second))
}

fn tables() -> impl Iterator<Item = ClientProperty> {
    let tables = [
        (Scope::Any, ANY),
        (Scope::Consumer, CONSUMER),
        (Scope::Producer, PRODUCER),
    ];
    tables.into_iter().flat_map(|(scope, table)| {
        table.iter().map(move |(name, kind)| ClientProperty {
            name,
            scope,
            kind: *kind,
        })
    })
}

/// Second names, and the one that is kept: two names for one thing would race.
const ALIASES: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
];

/// Every client knows these.
const ANY: &[(&str, Kind)] = &[
    ("allow.auto.create.topics", Flag),
    ("broker.address.family", Text),
    ("broker.address.ttl", Int(0, 86_400_000)),
    ("client.dns.lookup", Text),
    ("client.rack", Text),
    ("connections.max.idle.ms", Int(0, 2_147_483_647)),
    ("debug", Text),
    ("enable.metrics.push", Flag),
    ("enable.random.seed", Flag),
    ("enable.sasl.oauthbearer.unsecure.jwt", Flag),
    ("enable.ssl.certificate.verification", Flag),
    ("https.ca.location", Text),
    ("https.ca.pem", Text),
    ("log.connection.close", Flag),
    ("log.thread.name", Flag),
    ("log_level", Int(0, 7)),
    ("max.in.flight.requests.per.connection", Int(1, 1_000_000)),
    ("message.copy.max.bytes", Int(0, 1_000_000_000)),
    ("message.max.bytes", Int(1_000, 1_000_000_000)),
    ("metadata.max.age.ms", Int(1, 86_400_000)),
    (
        "metadata.recovery.rebootstrap.trigger.ms",
        Int(0, 2_147_483_647),
    ),
    ("metadata.recovery.strategy", Text),
    ("plugin.library.paths", Text),
    ("receive.message.max.bytes", Int(1_000, 2_147_483_647)),
    ("reconnect.backoff.max.ms", Int(0, 3_600_000)),
    ("reconnect.backoff.ms", Int(0, 3_600_000)),
    ("retry.backoff.max.ms", Int(1, 300_000)),
    ("retry.backoff.ms", Int(1, 300_000)),
    ("sasl.kerberos.keytab", Text),
    ("sasl.kerberos.kinit.cmd", Text),
    ("sasl.kerberos.min.time.before.relogin", Int(0, 86_400_000)),
    ("sasl.kerberos.principal", Text),
    ("sasl.kerberos.service.name", Text),
    ("sasl.mechanism", Text),
    ("sasl.oauthbearer.assertion.algorithm", Text),
    ("sasl.oauthbearer.assertion.claim.aud", Text),
    (
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        Int(1, 2_147_483_647),
    ),
    ("sasl.oauthbearer.assertion.claim.iss", Text),
    ("sasl.oauthbearer.assertion.claim.jti.include", Flag),
    (
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        Int(0, 2_147_483_647),
    ),
    ("sasl.oauthbearer.assertion.claim.sub", Text),
    ("sasl.oauthbearer.assertion.file", Text),
    ("sasl.oauthbearer.assertion.jwt.template.file", Text),
    ("sasl.oauthbearer.assertion.private.key.file", Text),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Text),
    ("sasl.oauthbearer.assertion.private.key.pem", Text),
    ("sasl.oauthbearer.client.id", Text),
    ("sasl.oauthbearer.client.secret", Text),
    ("sasl.oauthbearer.config", Text),
    ("sasl.oauthbearer.extensions", Text),
    ("sasl.oauthbearer.grant.type", Text),
    ("sasl.oauthbearer.metadata.authentication.type", Text),
    ("sasl.oauthbearer.method", Text),
    ("sasl.oauthbearer.scope", Text),
    ("sasl.oauthbearer.token.endpoint.url", Text),
    ("sasl.password", Text),
    ("sasl.username", Text),
    ("security.protocol", Text),
    (
        "socket.connection.setup.timeout.ms",
        Int(1_000, 2_147_483_647),
    ),
    ("socket.keepalive.enable", Flag),
    ("socket.max.fails", Int(0, 1_000_000)),
    ("socket.nagle.disable", Flag),
    ("socket.receive.buffer.bytes", Int(0, 100_000_000)),
    ("socket.send.buffer.bytes", Int(0, 100_000_000)),
    ("socket.timeout.ms", Int(10, 300_000)),
    ("ssl.ca.certificate.stores", Text),
    ("ssl.ca.location", Text),
    ("ssl.ca.pem", Text),
    ("ssl.certificate.location", Text),
    ("ssl.certificate.pem", Text),
    ("ssl.cipher.suites", Text),
    ("ssl.crl.location", Text),
    ("ssl.curves.list", Text),
    ("ssl.endpoint.identification.algorithm", Text),
    ("ssl.key.location", Text),
    ("ssl.key.password", Text),
    ("ssl.key.pem", Text),
    ("ssl.keystore.location", Text),
    ("ssl.keystore.password", Text),
    ("ssl.providers", Text),
    ("ssl.sigalgs.list", Text),
    ("statistics.interval.ms", Int(0, 86_400_000)),
    ("topic.blacklist", Text),
    ("topic.metadata.propagation.max.ms", Int(0, 3_600_000)),
    ("topic.metadata.refresh.fast.interval.ms", Int(1, 60_000)),
    ("topic.metadata.refresh.interval.ms", Int(-1, 3_600_000)),
    ("topic.metadata.refresh.sparse", Flag),
];

/// Only consumers know these.
const CONSUMER: &[(&str, Kind)] = &[
    ("auto.commit.interval.ms", Int(0, 86_400_000)),
    ("check.crcs", Flag),
    ("coordinator.query.interval.ms", Int(1, 3_600_000)),
    ("enable.auto.commit", Flag),
    ("enable.auto.offset.store", Flag),
    ("enable.partition.eof", Flag),
    ("fetch.error.backoff.ms", Int(0, 300_000)),
    ("fetch.max.bytes", Int(0, 2_147_483_135)),
    ("fetch.min.bytes", Int(1, 100_000_000)),
    ("fetch.queue.backoff.ms", Int(0, 300_000)),
    ("fetch.wait.max.ms", Int(0, 300_000)),
    ("group.id", Text),
    ("group.instance.id", Text),
    ("group.protocol", Text),
    ("group.protocol.type", Text),
    ("group.remote.assignor", Text),
    ("heartbeat.interval.ms", Int(1, 3_600_000)),
    ("isolation.level", Text),
    ("max.partition.fetch.bytes", Int(1, 1_000_000_000)),
    ("max.poll.interval.ms", Int(1, 86_400_000)),
    ("partition.assignment.strategy", Text),
    ("queued.max.messages.kbytes", Int(1, 2_097_151)),
    ("queued.min.messages", Int(1, 10_000_000)),
    ("session.timeout.ms", Int(1, 3_600_000)),
];

/// Only producers know these.
const PRODUCER: &[(&str, Kind)] = &[
    ("acks", Text),
    ("batch.num.messages", Int(1, 1_000_000)),
    ("batch.size", Int(1, 2_147_483_647)),
    ("compression.level", Int(-1, 12)),
    ("compression.type", Text),
    ("delivery.report.only.error", Flag),
    ("delivery.timeout.ms", Int(0, 2_147_483_647)),
    ("enable.gapless.guarantee", Flag),
    ("enable.idempotence", Flag),
    ("linger.ms", Int(0, 900_000)),
    ("partitioner", Text),
    ("queue.buffering.backpressure.threshold", Int(1, 1_000_000)),
    ("queue.buffering.max.kbytes", Int(1, 2_147_483_647)),
    ("queue.buffering.max.messages", Int(0, 2_147_483_647)),
    ("request.timeout.ms", Int(1, 900_000)),
    ("retries", Int(0, 2_147_483_647)),
    ("sticky.partitioning.linger.ms", Int(0, 900_000)),
    ("transactional.id", Text),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut seen = BTreeSet::new();
        assert_eq!(names().find(|name| !seen.insert(*name)), None);
    }

    #[test]
    fn a_second_name_leads_to_one_that_is_known() {
        for (second, kept) in ALIASES {
            assert_eq!(property(second).map(|property| property.name), Some(*kept));
        }
    }
}
