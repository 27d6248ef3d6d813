//! The settings of the application by their Kafka names, and what any other name is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clients::Layer;
use super::java;
use super::librdkafka::{self, ClientProperty, Scope};
use super::nearest::nearest;
use super::{Config, Guarantee};
use crate::handler::{
    ExceptionHandler, FailureScope, OnBadRecord, OnFailedRecord, OnRefusedOutput,
};
use crate::topology::OffsetReset;

/// A setting of the application.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// Reads the value, or says what it should have been.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

/// What a name is.
pub(super) enum Named {
    Ours(&'static Setting),
    Client(Layer, ClientProperty),
    /// Nothing that can be set: this says why.
    Problem(String),
}

macro_rules! settings {
    ($($name:literal => $($field:ident).+ = $parse:expr,)*) => {
        &[$(Setting {
            name: $name,
            set: |config, value| {
                config.$($field).+ = $parse(value)?;
                Ok(())
            },
        },)*]
    };
}

const SETTINGS: &[Setting] = settings! {
    "application.id" => application_id = text,
    "bootstrap.servers" => bootstrap_servers = text,
    "processing.guarantee" => guarantee = guarantee,
    "num.stream.threads" => num_stream_threads = number,
    "commit.interval.ms" => commit_interval = millis,
    "commit.linger.ms" => commit_linger = millis,
    "batch.bytes.max" => batch_bytes_max = number,
    "transaction.timeout.ms" => transaction_timeout = millis,
    // Kafka Streams takes it only with the prefix.
    "producer.transaction.timeout.ms" => transaction_timeout = millis,
    "max.task.idle.ms" => max_task_idle = idle_millis,
    "task.timeout.ms" => task_timeout = millis,
    "startup.timeout.ms" => startup_timeout = millis,
    "auto.offset.reset" => auto_offset_reset = offset_reset,
    "deserialization.exception.handler" => handlers.deserialization = bad_record_handler,
    // Its name before Kafka 4.
    "default.deserialization.exception.handler" => handlers.deserialization = bad_record_handler,
    "processing.exception.handler" => handlers.processing = failed_record_handler,
    "processing.exception.scope" => handlers.scope = failure_scope,
    "production.exception.handler" => handlers.production = refused_output_handler,
    "default.production.exception.handler" => handlers.production = refused_output_handler,
    "record.retry.attempts" => handlers.retry.times = number,
    "record.retry.backoff.ms" => handlers.retry.first = millis,
    "record.retry.backoff.max.ms" => handlers.retry.max = millis,
    "errors.dead.letter.queue.topic.name" => handlers.dead_letters = optional_name,
    "replication.factor" => replication_factor = number,
    "state.dir" => state_dir = directory,
    "client.id" => client_id = optional_text,
    "instance.id" => instance_id = optional_text,
    "static.membership" => static_membership = boolean,
};

/// What may stand before the name of a client's setting, longest first.
const PREFIXES: &[(&str, Layer)] = &[
    ("main.consumer.", Layer::MainConsumer),
    ("restore.consumer.", Layer::RestoreConsumer),
    ("consumer.", Layer::Consumer),
    ("producer.", Layer::Producer),
    ("admin.", Layer::Admin),
];

/// Finds out what a name is.
pub(super) fn named(name: &str) -> Named {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
        return Named::Ours(setting);
    }
    if let Some((prefix, layer)) = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return prefixed(prefix, *layer, &name[prefix.len()..]);
    }
    if let Some(property) = librdkafka::property(name) {
        return Named::Client(Layer::Plain, property);
    }
    if let Some(remedy) = java::remedy(name) {
        return Named::Problem(format!(
            "{name} is a setting of Kafka's Java clients: {remedy}"
        ));
    }
    let ours = SETTINGS.iter().map(|setting| setting.name);
    unknown(name, "", ours.chain(librdkafka::names()))
}

fn prefixed(prefix: &str, layer: Layer, name: &str) -> Named {
    let Some(property) = librdkafka::property(name) else {
        if let Some(remedy) = java::remedy(name) {
            let problem = format!("{prefix}{name} is a setting of Kafka's Java clients: {remedy}");
            return Named::Problem(problem);
        }
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
            let name = setting.name;
            let problem = format!("{prefix}{name} is set for all clients: set {name}");
            return Named::Problem(problem);
        }
        return unknown(name, prefix, librdkafka::names());
    };
    let fits = match layer {
        Layer::Plain => true,
        Layer::Consumer | Layer::MainConsumer | Layer::RestoreConsumer => {
            property.scope != Scope::Producer
        }
        Layer::Producer => property.scope != Scope::Consumer,
        Layer::Admin => property.scope == Scope::Any,
    };
    if fits {
        return Named::Client(layer, property);
    }
    let owner = match property.scope {
        Scope::Consumer => "consumers",
        Scope::Producer => "producers",
        Scope::Any => unreachable!("what every client knows fits any of them"),
    };
    Named::Problem(format!("{prefix}{name}: only {owner} have such a setting"))
}

fn unknown(name: &str, prefix: &str, known: impl Iterator<Item = &'static str>) -> Named {
    Named::Problem(match nearest(name, known) {
        Some(nearest) => {
            format!("{prefix}{name} is unknown; did you mean {prefix}{nearest}?")
        }
        None => format!("{prefix}{name} is unknown"),
    })
}

type Parsed<T> = Result<T, String>;

fn text(value: &str) -> Parsed<String> {
    Ok(value.to_owned())
}

fn optional_text(value: &str) -> Parsed<Option<String>> {
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

fn directory(value: &str) -> Parsed<PathBuf> {
    if value.is_empty() {
        return Err("a directory".to_owned());
    }
    Ok(PathBuf::from(value))
}

fn number<N: std::str::FromStr>(value: &str) -> Parsed<N> {
    value.parse().or(Err("a whole number in range".to_owned()))
}

fn millis(value: &str) -> Parsed<Duration> {
    let millis = value.parse().or(Err(
        "milliseconds, as a whole number without a unit".to_owned()
    ));
    millis.map(Duration::from_millis)
}

/// Kafka's -1 means not to wait.
fn idle_millis(value: &str) -> Parsed<Option<Duration>> {
    match value {
        "-1" => Ok(None),
        _ => millis(value)
            .map(Some)
            .map_err(|expected| format!("-1 (never wait), or {expected}")),
    }
}

fn boolean(value: &str) -> Parsed<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

fn guarantee(value: &str) -> Parsed<Guarantee> {
    let known = Guarantee::ALL.into_iter().find(|g| g.to_string() == value);
    known.ok_or_else(|| {
        let names = Guarantee::ALL.map(|guarantee| guarantee.to_string());
        match value {
            "exactly_once" | "exactly_once_beta" => {
                format!("exactly_once_v2, which replaced {value} in Kafka too")
            }
            _ => names.join(", "),
        }
    })
}

fn offset_reset(value: &str) -> Parsed<OffsetReset> {
    match value.to_ascii_lowercase().as_str() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        "none" => Ok(OffsetReset::None),
        _ => Err("earliest, latest or none".to_owned()),
    }
}

/// Takes the classes that Kafka Streams ships, too: their names end in what they do.
fn bad_record_handler(value: &str) -> Parsed<Arc<dyn ExceptionHandler>> {
    match value.rsplit('.').next() {
        Some("fail" | "LogAndFailExceptionHandler") => Ok(Arc::new(OnBadRecord::Fail)),
        Some("continue" | "LogAndContinueExceptionHandler") => Ok(Arc::new(OnBadRecord::Continue)),
        _ => Err("fail or continue".to_owned()),
    }
}

/// As [`bad_record_handler`], of KIP-1033.
fn failed_record_handler(value: &str) -> Parsed<Arc<dyn ExceptionHandler>> {
    match value.rsplit('.').next() {
        Some("fail" | "LogAndFailProcessingExceptionHandler") => Ok(Arc::new(OnFailedRecord::Fail)),
        Some("continue" | "LogAndContinueProcessingExceptionHandler") => {
            Ok(Arc::new(OnFailedRecord::Continue))
        }
        _ => Err("fail or continue".to_owned()),
    }
}

/// Kafka Streams ships no class that goes on.
fn refused_output_handler(value: &str) -> Parsed<Arc<dyn ExceptionHandler>> {
    match value.rsplit('.').next() {
        Some("fail" | "DefaultProductionExceptionHandler") => Ok(Arc::new(OnRefusedOutput::Fail)),
        Some("continue") => Ok(Arc::new(OnRefusedOutput::Continue)),
        _ => Err("fail or continue".to_owned()),
    }
}

fn failure_scope(value: &str) -> Parsed<FailureScope> {
    let known = FailureScope::ALL
        .into_iter()
        .find(|scope| scope.to_string() == value);
    known.ok_or_else(|| "record or node".to_owned())
}

fn optional_name(value: &str) -> Parsed<Option<Arc<str>>> {
    Ok((!value.is_empty()).then(|| Arc::from(value)))
}
