//! Settings of Kafka Streams and of Kafka's Java clients that mean nothing here: what to do
//! instead. People paste whole files; "unknown" would leave them searching.

/// What to do instead of a setting that only Java knows.
pub(super) fn remedy(name: &str) -> Option<&'static str> {
    let exact = EXACT.iter().find(|(names, _)| names.contains(&name));
    let exact = exact.map(|(_, remedy)| *remedy);
    exact.or_else(|| {
        let prefixed = PREFIXED.iter().find(|(prefix, _)| name.starts_with(prefix));
        prefixed.map(|(_, remedy)| *remedy)
    })
}

const SERDES: &str = "remove it; serdes are given where a topic is read or written, as in \
                      Consumed::with(utf8(), i64())";
const STORES: &str = "remove it; a store is chosen and tuned where it is built, with StoreBuilder";
const CACHE: &str = "remove it; a record cache is part of how a topology is built: give \
                     `BuildOptions::with_cache_bytes` to `build_with`";
const STANDBY: &str = "remove it; there are no standby tasks, a task restores where it starts";
const METRICS: &str = "remove it; metrics are read from the application, not reported to JMX";
const BUFFER: &str = "set consumer.queued.min.messages or consumer.queued.max.messages.kbytes: \
                      what the client has fetched is the only buffer";
const TRUSTSTORE: &str = "set ssl.ca.location to the authorities' certificates in PEM";
const TLS: &str = "remove it; OpenSSL makes the connection, tuned with ssl.cipher.suites and \
                   ssl.curves.list";
const JAAS: &str = "set sasl.mechanism, sasl.username and sasl.password, or sasl.oauthbearer.*";

type Remedy = (&'static [&'static str], &'static str);

const EXACT: &[Remedy] = &[
    (
        &[
            "key.serializer",
            "value.serializer",
            "key.deserializer",
            "value.deserializer",
            "windowed.inner.class.serde",
        ],
        SERDES,
    ),
    (
        &["default.timestamp.extractor", "timestamp.extractor"],
        "remove it; timestamps are chosen per source, with Consumed::with_timestamps or \
         Consumed::with_record_time",
    ),
    (
        &["cache.max.bytes.buffering", "statestore.cache.max.bytes"],
        CACHE,
    ),
    (
        &[
            "rocksdb.config.setter",
            "default.dsl.store",
            "dsl.store.suppliers.class",
            "dsl.store.format",
            "enable.transactional.statestores",
        ],
        STORES,
    ),
    (
        &[
            "window.size.ms",
            "windowstore.changelog.additional.retention.ms",
        ],
        "remove it; a window's size and retention are part of its operator",
    ),
    (
        &[
            "num.standby.replicas",
            "acceptable.recovery.lag",
            "max.warmup.replicas",
            "probing.rebalance.interval.ms",
            "task.assignor.class",
        ],
        STANDBY,
    ),
    (
        &[
            "buffered.records.per.partition",
            "input.buffer.max.bytes",
            "max.poll.records",
        ],
        BUFFER,
    ),
    (
        &["poll.ms"],
        "remove it; a worker wakes when records arrive, and at commit.interval.ms",
    ),
    (
        &[
            "topology.optimization",
            "ensure.explicit.internal.resource.naming",
        ],
        "remove it; it concerns how a topology is built: give `BuildOptions` to `build_with`",
    ),
    (
        &["processing.exception.handler.global.enabled"],
        "remove it; processing.exception.handler decides on the records of global stores, too",
    ),
    (
        &["allow.os.group.write.access"],
        "remove it; what is made in state.dir has the permissions that the process's umask leaves",
    ),
    (
        &["state.cleanup.dir.max.age.ms"],
        "remove it; no store leaves a directory behind that could age",
    ),
    (
        &["upgrade.from"],
        "remove it; there is no older protocol to upgrade from",
    ),
    (
        &["application.server"],
        "remove it; instances do not tell each other how their stores are reached",
    ),
    (
        &[
            "repartition.purge.interval.ms",
            "state.cleanup.delay.ms",
            "log.summary.interval.ms",
        ],
        "remove it; this is done without a setting",
    ),
    (
        &[
            "built.in.metrics.version",
            "metric.reporters",
            "auto.include.jmx.reporter",
            "metrics.recording.level",
        ],
        METRICS,
    ),
    (
        &[
            "interceptor.classes",
            "default.client.supplier",
            "processor.wrapper.class",
        ],
        "remove it; classes of Java cannot be loaded",
    ),
    (
        &["fetch.max.wait.ms"],
        "librdkafka calls it fetch.wait.max.ms",
    ),
    (
        &["buffer.memory"],
        "librdkafka calls it queue.buffering.max.kbytes, in KiB",
    ),
    (
        &["max.request.size"],
        "librdkafka calls it message.max.bytes",
    ),
    (
        &["send.buffer.bytes"],
        "librdkafka calls it socket.send.buffer.bytes",
    ),
    (
        &["receive.buffer.bytes"],
        "librdkafka calls it socket.receive.buffer.bytes",
    ),
    (
        &["max.block.ms", "default.api.timeout.ms"],
        "set task.timeout.ms, or startup.timeout.ms for the start",
    ),
    (
        &["partitioner.class"],
        "remove it; partitions are chosen where a topic is written: Produced::with_partitioner",
    ),
    (&["metadata.broker.list"], "set bootstrap.servers"),
    (&["ssl.truststore.certificates"], "set ssl.ca.pem"),
    (&["ssl.keystore.key"], "set ssl.key.pem"),
    (
        &["ssl.keystore.certificate.chain"],
        "set ssl.certificate.pem",
    ),
    (
        &["ssl.keystore.type"],
        "remove it; ssl.keystore.location takes PKCS#12, PEM goes to ssl.key.location and \
         ssl.certificate.location",
    ),
    (
        &[
            "ssl.protocol",
            "ssl.enabled.protocols",
            "ssl.provider",
            "ssl.keymanager.algorithm",
            "ssl.trustmanager.algorithm",
            "ssl.secure.random.implementation",
            "ssl.engine.factory.class",
            "security.providers",
        ],
        TLS,
    ),
    (
        &["sasl.jaas.config", "sasl.client.callback.handler.class"],
        JAAS,
    ),
];

const PREFIXED: &[(&str, &str)] = &[
    ("default.", SERDES),
    ("rack.aware.assignment.", STANDBY),
    ("client.tag.", STANDBY),
    ("metrics.", METRICS),
    ("ssl.truststore.", TRUSTSTORE),
    ("sasl.login.", JAAS),
    (
        "topic.",
        "a changelog is configured where its store is built: StoreBuilder::with_changelog_config",
    ),
    (
        "global.consumer.",
        "remove it; there is no separate consumer for global tables, restore.consumer. configures all that read whole topics",
    ),
];
