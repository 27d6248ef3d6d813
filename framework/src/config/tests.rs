use std::time::Duration;

use super::{Config, Guarantee};
use crate::error::ErrorKind;
use crate::handler::FailureScope;
use crate::topology::OffsetReset;

/// What one setting does: empty if it is taken, else what the error says of it.
pub(super) fn outcome(name: &str, value: &str) -> String {
    let built = Config::builder("app", "localhost:9092")
        .property(name, value)
        .build();
    let Err(error) = built else {
        return String::new();
    };
    assert_eq!(error.kind(), ErrorKind::Config, "{name}={value}");
    let told = error.to_string();
    let problems = told.strip_prefix("invalid configuration:");
    problems.expect("every error begins so").trim().to_owned()
}

/// Rows of a name, a value and a part of the error; no part: the setting is taken.
pub(super) fn check(rows: &[(&str, &str, &str)]) {
    for (name, value, part) in rows {
        let outcome = outcome(name, value);
        assert_eq!(
            outcome.is_empty(),
            part.is_empty(),
            "{name}={value}: {outcome}"
        );
        assert!(outcome.contains(part), "{name}={value}: {outcome}");
        let prefixes = ["main.", "restore.", "consumer.", "producer."].iter();
        let short = prefixes.fold(*name, |name, prefix| {
            name.strip_prefix(prefix).unwrap_or(name)
        });
        assert!(
            outcome.is_empty() || outcome.contains(short),
            "{outcome} does not name {name}"
        );
    }
}

#[test]
fn settings_are_read_by_their_kafka_names() {
    let config = Config::from_properties_text(
        "application.id=orders\n\
         bootstrap.servers=one:9092, two:9093\n\
         processing.guarantee=at_least_once\n\
         num.stream.threads=3\n\
         commit.interval.ms=250\n\
         commit.linger.ms=0\n\
         batch.bytes.max=1048576\n\
         transaction.timeout.ms=60000\n\
         max.task.idle.ms=40\n\
         task.timeout.ms=1000\n\
         startup.timeout.ms=2000\n\
         auto.offset.reset=latest\n\
         deserialization.exception.handler=\
         org.apache.kafka.streams.errors.LogAndContinueExceptionHandler\n\
         replication.factor=3\n\
         state.dir=/var/lib/orders\n\
         client.id=checkout\n\
         instance.id=pod-7\n\
         static.membership=true\n",
    );
    let config = config.unwrap();
    assert_eq!(config.application_id(), "orders");
    assert_eq!(config.bootstrap_servers(), "one:9092, two:9093");
    assert_eq!(config.guarantee(), Guarantee::AtLeastOnce);
    assert_eq!(config.num_stream_threads(), 3);
    assert_eq!(config.commit_interval(), Duration::from_millis(250));
    assert_eq!(config.commit_linger(), Duration::ZERO);
    assert_eq!(config.batch_bytes_max(), 1 << 20);
    assert_eq!(config.transaction_timeout(), Duration::from_secs(60));
    assert_eq!(config.max_task_idle(), Some(Duration::from_millis(40)));
    assert_eq!(config.task_timeout(), Duration::from_secs(1));
    assert_eq!(config.startup_timeout(), Duration::from_secs(2));
    assert_eq!(config.auto_offset_reset(), OffsetReset::Latest);
    assert_eq!(config.on_bad_record().name(), "continue");
    assert_eq!(config.replication_factor(), 3);
    assert_eq!(config.state_dir().to_str(), Some("/var/lib/orders"));
    assert_eq!(config.client_id(), Some("checkout"));
    assert_eq!(config.instance_id(), Some("pod-7"));
    assert!(config.static_membership());
}

#[test]
fn handlers_of_failures_are_chosen_by_word_or_by_their_java_class() {
    check(&[
        ("processing.exception.handler", "continue", ""),
        (
            "processing.exception.handler",
            "org.apache.kafka.streams.errors.LogAndFailProcessingExceptionHandler",
            "",
        ),
        ("processing.exception.handler", "skip", "fail or continue"),
        (
            "processing.exception.scope",
            "call",
            "expected record or node",
        ),
        ("processing.exception.scope", "record", ""),
        (
            "processing.exception.scope",
            "node",
            "and none does: set processing.exception.handler",
        ),
        (
            "errors.dead.letter.queue.topic.name",
            "dead",
            "no handler gives up any",
        ),
    ]);
}

#[test]
fn what_stays_of_a_failed_record_cannot_be_tried_again() {
    let config = |attempts: &str| {
        Config::builder("app", "localhost:9092")
            .property("processing.exception.handler", "continue")
            .property("processing.exception.scope", "node")
            .property("record.retry.attempts", attempts)
            .build()
    };
    assert_eq!(config("0").unwrap().failure_scope(), FailureScope::Node);
    let told = config("2").unwrap_err().to_string();
    assert!(
        told.contains("processing.exception.scope=node")
            && told.contains("record.retry.attempts=2"),
        "{told}"
    );
}

#[test]
fn a_task_waits_for_its_inputs_unless_told_never_to() {
    let default = Config::new("app", "localhost:9092").unwrap();
    assert_eq!(default.max_task_idle(), Some(Duration::ZERO));
    let idle = |value: &str| {
        let config = Config::builder("app", "localhost:9092").property("max.task.idle.ms", value);
        config.build().unwrap().max_task_idle()
    };
    assert_eq!(idle("-1"), None);
    assert_eq!(idle("7"), Some(Duration::from_millis(7)));
    check(&[("max.task.idle.ms", "-2", "expected -1 (never wait), or")]);
}

#[test]
fn values_are_checked_and_the_error_says_what_was_expected() {
    check(&[
        ("application.id", "", "application.id is required"),
        ("application.id", "a b", "expected at most 200 of a-z"),
        ("bootstrap.servers", "", "bootstrap.servers is required"),
        ("bootstrap.servers", "localhost", ""),
        ("bootstrap.servers", "[::1]:9092,SASL_SSL://b:9093", ""),
        (
            "bootstrap.servers",
            "localhost:port",
            "expected host:port, not 'localhost:port'",
        ),
        (
            "bootstrap.servers",
            "a:1,,b:2",
            "expected host:port, not ''",
        ),
        ("bootstrap.servers", ":9092", "expected host:port"),
        ("processing.guarantee", "exactly_once_v2", ""),
        ("processing.guarantee", "at_most_once", ""),
        (
            "processing.guarantee",
            "exactly_once",
            "expected exactly_once_v2, which replaced",
        ),
        (
            "processing.guarantee",
            "always",
            "exactly_once_v2, at_least_once, at_most_once",
        ),
        ("num.stream.threads", "0", "expected 1 to 1024"),
        ("num.stream.threads", "-1", "expected a whole number"),
        (
            "commit.interval.ms",
            "100ms",
            "milliseconds, as a whole number without a unit",
        ),
        ("commit.interval.ms", "0", "expected 1 to 2147483647"),
        ("commit.interval.ms", " 40 ", ""),
        ("commit.linger.ms", "0", ""),
        ("batch.bytes.max", "0", "at least one byte"),
        ("batch.bytes.max", "32MB", "expected a whole number"),
        ("replication.factor", "-1", ""),
        (
            "replication.factor",
            "0",
            "expected -1 (the broker's default), or 1 to 32767",
        ),
        ("auto.offset.reset", "Earliest", ""),
        (
            "auto.offset.reset",
            "by_duration:PT1H",
            "earliest, latest or none",
        ),
        ("deserialization.exception.handler", "fail", ""),
        ("default.deserialization.exception.handler", "continue", ""),
        (
            "deserialization.exception.handler",
            "com.example.Mine",
            "expected fail or continue",
        ),
        (
            "security.protocol",
            "sasl_plaintext",
            "needs sasl.mechanism",
        ),
        ("static.membership", "yes", "expected true or false"),
        ("instance.id", "pod 7", "expected a name of"),
        ("state.dir", "", "expected a directory"),
    ]);
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    check(&[
        ("transaction.timeout.ms", "100", "expected 1000 to"),
        (
            "commit.interval.ms",
            "10000",
            "must exceed commit.interval.ms=10000",
        ),
        ("producer.transaction.timeout.ms", "20000", ""),
        (
            "transaction.timeout.ms",
            "400000",
            "too long for max.poll.interval.ms",
        ),
        (
            "session.timeout.ms",
            "500",
            "heartbeat.interval.ms (500 ms) is too long for session",
        ),
        (
            "consumer.max.poll.interval.ms",
            "30000",
            "session.timeout.ms (45000 ms) is too long",
        ),
        ("producer.delivery.timeout.ms", "10000", ""),
        (
            "producer.delivery.timeout.ms",
            "10001",
            "a record cannot outlive its transaction",
        ),
        ("message.timeout.ms", "0", "0 is for ever"),
        ("socket.timeout.ms", "10100", ""),
        (
            "socket.timeout.ms",
            "10101",
            "a request cannot outlive its transaction",
        ),
    ]);
}

#[test]
fn an_unknown_setting_is_an_error_that_names_the_nearest() {
    check(&[
        (
            "commit.intervall.ms",
            "100",
            "did you mean commit.interval.ms?",
        ),
        ("num.stream.thread", "2", "did you mean num.stream.threads?"),
        (
            "processing.guarantees",
            "at_least_once",
            "did you mean processing.guarantee?",
        ),
        (
            "consumer.fetch.max.byte",
            "1",
            "did you mean consumer.fetch.max.bytes?",
        ),
        (
            "producer.compresion.type",
            "lz4",
            "did you mean producer.compression.type?",
        ),
        ("sasl.pasword", "x", "did you mean sasl.password?"),
        ("wibble", "1", "wibble is unknown"),
    ]);
    assert!(!outcome("wibble", "1").contains("did you mean"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "application.id=app\nnum.stream.threads=many\nacks=0\nwibble=1\n\\uzzzz=1";
    let told = Config::from_properties_text(text).unwrap_err().to_string();
    for part in [
        "num.stream.threads",
        "acks",
        "wibble",
        "line 5",
        "bootstrap.servers is required",
    ] {
        assert!(told.contains(part), "{part} is missing in: {told}");
    }
}
