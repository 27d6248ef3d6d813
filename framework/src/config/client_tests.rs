use super::Config;
use super::tests::{check, outcome};

#[test]
fn what_the_guarantee_rests_on_cannot_be_set() {
    check(&[
        ("enable.auto.commit", "true", "commit.interval.ms"),
        ("enable.auto.commit", "false", ""),
        ("consumer.enable.auto.commit", "true", "never on a timer"),
        (
            "main.consumer.enable.auto.offset.store",
            "true",
            "once its record is processed",
        ),
        (
            "restore.consumer.isolation.level",
            "read_uncommitted",
            "aborted transactions",
        ),
        ("consumer.isolation.level", "read_committed", ""),
        ("consumer.group.id", "mine", "named by application.id"),
        ("group.instance.id", "mine", "static.membership=true"),
        (
            "consumer.auto.offset.reset",
            "latest",
            "set auto.offset.reset",
        ),
        (
            "partition.assignment.strategy",
            "cooperative-sticky",
            "range assignor",
        ),
        ("group.protocol", "consumer", "classic"),
        ("consumer.enable.partition.eof", "true", "a restore sets it"),
        (
            "producer.transactional.id",
            "mine",
            "made of application.id",
        ),
        (
            "producer.enable.idempotence",
            "false",
            "write a record twice",
        ),
        ("acks", "1", "in-sync replicas"),
        ("acks", "all", ""),
        ("request.required.acks", "0", "in-sync replicas"),
        (
            "max.in.flight.requests.per.connection",
            "6",
            "order of retried requests",
        ),
        ("max.in.flight", "5", ""),
        ("producer.retries", "0", "must be able to retry"),
        (
            "delivery.report.only.error",
            "false",
            "a report of every record",
        ),
        ("partitioner", "random", "Produced::with_partitioner"),
        (
            "producer.bootstrap.servers",
            "other:9092",
            "set bootstrap.servers",
        ),
        ("consumer.client.id", "mine", "set client.id"),
    ]);
}

#[test]
fn a_setting_goes_to_the_clients_that_have_it() {
    check(&[
        ("session.timeout.ms", "30000", ""),
        ("consumer.heartbeat.interval.ms", "1000", ""),
        (
            "consumer.linger.ms",
            "5",
            "only producers have such a setting",
        ),
        (
            "producer.fetch.min.bytes",
            "5",
            "only consumers have such a setting",
        ),
        ("admin.linger.ms", "5", "only producers have such a setting"),
        ("admin.retry.backoff.ms", "50", ""),
        ("linger.ms", "fast", "a whole number from 0 to 900000"),
        (
            "producer.batch.size",
            "0",
            "a whole number from 1 to 2147483647",
        ),
        ("check.crcs", "maybe", "expected true or false"),
    ]);
}

#[test]
fn what_only_java_knows_says_what_to_do_here() {
    check(&[
        ("default.key.serde", "x", "Consumed::with"),
        ("default.windowed.value.serde.inner", "x", "Consumed::with"),
        (
            "default.timestamp.extractor",
            "x",
            "Consumed::with_record_time",
        ),
        ("cache.max.bytes.buffering", "0", "with_cache_bytes"),
        ("statestore.cache.max.bytes", "0", "with_cache_bytes"),
        (
            "processing.exception.handler.global.enabled",
            "true",
            "global stores, too",
        ),
        ("allow.os.group.write.access", "true", "umask"),
        ("state.cleanup.dir.max.age.ms", "1", "no store leaves"),
        ("rocksdb.config.setter", "x", "StoreBuilder"),
        ("num.standby.replicas", "1", "no standby tasks"),
        ("rack.aware.assignment.tags", "zone", "no standby tasks"),
        (
            "consumer.max.poll.records",
            "10",
            "consumer.queued.min.messages",
        ),
        ("consumer.fetch.max.wait.ms", "10", "fetch.wait.max.ms"),
        ("producer.buffer.memory", "10", "queue.buffering.max.kbytes"),
        ("ssl.truststore.location", "x.jks", "ssl.ca.location"),
        ("sasl.jaas.config", "x", "sasl.username"),
        ("topic.retention.ms", "1", "with_changelog_config"),
        ("metadata.broker.list", "a:1", "set bootstrap.servers"),
    ]);
}

#[test]
fn a_setting_for_one_client_wins_over_one_for_several_in_any_order() {
    let config = Config::builder("app", "b:1")
        .property("restore.consumer.fetch.min.bytes", "3")
        .property("consumer.fetch.min.bytes", "2")
        .property("fetch.min.bytes", "1")
        .property("producer.retry.backoff.ms", "7")
        .property("retry.backoff.ms", "8")
        .property("queue.buffering.max.ms", "9")
        .property("client.id", "me")
        .build()
        .unwrap();
    let clients = config.client_properties();
    assert_eq!(clients.consumer["fetch.min.bytes"], "2");
    assert_eq!(clients.restore_consumer["fetch.min.bytes"], "3");
    assert_eq!(clients.producer.get("fetch.min.bytes"), None);
    assert_eq!(clients.producer["retry.backoff.ms"], "7");
    assert_eq!(clients.consumer["retry.backoff.ms"], "8");
    // The second name of linger.ms: kept once, under the name that a default may have.
    assert_eq!(clients.producer["linger.ms"], "9");
    assert_eq!(clients.producer.get("queue.buffering.max.ms"), None);
    assert_eq!(clients.producer["transaction.timeout.ms"], "10000");
    assert_eq!(clients.consumer["group.id"], "app");
    let all = [
        &clients.consumer,
        &clients.producer,
        &clients.restore_consumer,
        &clients.admin,
    ];
    assert!(
        all.iter()
            .all(|client| client["bootstrap.servers"] == "b:1")
    );
    assert!(all.iter().all(|client| client["client.id"] == "me"));
}

#[test]
fn secrets_are_never_printed() {
    let secret = "geheim";
    let names = [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "consumer.sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
    ];
    let builder = Config::builder("app", "b:1").properties(names.map(|name| (name, secret)));
    assert!(!format!("{builder:?}").contains(secret));
    // Whether a build takes it depends on the build; neither answer may tell.
    for name in names {
        let built = Config::builder("app", "b:1").property(name, secret).build();
        let printed = format!("{built:?}");
        assert!(
            !printed.contains(secret) && printed.contains(name),
            "{printed}"
        );
    }
    for misspelt in ["sasl.pasword", "sasl.jaas.config", "producer.sasl.passwort"] {
        assert!(!outcome(misspelt, secret).contains(secret));
    }
}

/// Those of Kafka Streams 4.3, in the order of the alphabet.
const OF_KAFKA_STREAMS: [&str; 66] = [
    "acceptable.recovery.lag",
    "allow.os.group.write.access",
    "application.id",
    "application.server",
    "bootstrap.servers",
    "buffered.records.per.partition",
    "built.in.metrics.version",
    "cache.max.bytes.buffering",
    "client.id",
    "commit.interval.ms",
    "connections.max.idle.ms",
    "default.client.supplier",
    "default.deserialization.exception.handler",
    "default.dsl.store",
    "default.key.serde",
    "default.production.exception.handler",
    "default.timestamp.extractor",
    "default.value.serde",
    "deserialization.exception.handler",
    "dsl.store.format",
    "dsl.store.suppliers.class",
    "enable.metrics.push",
    "ensure.explicit.internal.resource.naming",
    "errors.dead.letter.queue.topic.name",
    "group.protocol",
    "log.summary.interval.ms",
    "max.task.idle.ms",
    "max.warmup.replicas",
    "metadata.max.age.ms",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "num.standby.replicas",
    "num.stream.threads",
    "poll.ms",
    "probing.rebalance.interval.ms",
    "processing.exception.handler",
    "processing.exception.handler.global.enabled",
    "processing.guarantee",
    "processor.wrapper.class",
    "production.exception.handler",
    "rack.aware.assignment.non_overlap_cost",
    "rack.aware.assignment.strategy",
    "rack.aware.assignment.tags",
    "rack.aware.assignment.traffic_cost",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "repartition.purge.interval.ms",
    "replication.factor",
    "request.timeout.ms",
    "retry.backoff.ms",
    "rocksdb.config.setter",
    "security.protocol",
    "send.buffer.bytes",
    "state.cleanup.delay.ms",
    "state.cleanup.dir.max.age.ms",
    "state.dir",
    "statestore.cache.max.bytes",
    "task.assignor.class",
    "task.timeout.ms",
    "topology.optimization",
    "upgrade.from",
    "window.size.ms",
    "windowstore.changelog.additional.retention.ms",
];

/// Whoever moves an application pastes its settings: each is taken, or it is told what to do instead.
#[test]
fn no_setting_of_kafka_streams_is_unknown() {
    for name in OF_KAFKA_STREAMS {
        let told = outcome(name, "x");
        assert!(!told.contains("is unknown"), "{told}");
    }
}
