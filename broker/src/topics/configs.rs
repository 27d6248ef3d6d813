//! The settings of a topic: which exist, their defaults, and what they accept.
//!
//! # Invariants
//!
//! - **Kept and returned, all of them; obeyed, the few that matter in memory:** `max.message.bytes`,
//!   `message.timestamp.*`, `cleanup.policy` and `delete.retention.ms`. Nothing expires by time or size.
//! - **A value is checked before it is stored**, so reading a setting back cannot fail.

use std::collections::BTreeMap;

use crate::log::AppendRules;

/// What a setting's value looks like; the numbers are those of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Int {
        min: i64,
    },
    Long {
        min: i64,
    },
    Double,
    List,
    /// One or several (a list) of the named values.
    OneOf(&'static [&'static str]),
    SomeOf(&'static [&'static str]),
}

/// A topic setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
    /// The broker's setting that the default comes from; empty where it has none of this kind.
    pub(crate) of_broker: &'static str,
}

/// The settings made on a topic; everything else has its default.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicConfigs {
    overrides: BTreeMap<String, String>,
}

/// How one setting is altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alteration {
    Set,
    Delete,
    Append,
    Subtract,
}

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const DELETE_RETENTION_MS: &str = "delete.retention.ms";

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

const fn define(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    of_broker: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        of_broker,
    }
}

/// Every topic setting of Apache Kafka 4, in alphabetical order.
#[rustfmt::skip]
pub(crate) const DEFINITIONS: &[Definition] = &[
    define("cleanup.policy", "delete", Kind::SomeOf(&["compact", "delete"]), "log.cleanup.policy"),
    define("compression.gzip.level", "-1", Kind::Int { min: -1 }, "compression.gzip.level"),
    define("compression.lz4.level", "9", Kind::Int { min: 1 }, "compression.lz4.level"),
    define("compression.type", "producer", Kind::OneOf(CODECS), "compression.type"),
    define("compression.zstd.level", "3", Kind::Int { min: -131_072 }, "compression.zstd.level"),
    define(DELETE_RETENTION_MS, "86400000", Kind::Long { min: 0 }, "log.cleaner.delete.retention.ms"),
    define("file.delete.delay.ms", "60000", Kind::Long { min: 0 }, "log.segment.delete.delay.ms"),
    define("flush.messages", "9223372036854775807", Kind::Long { min: 1 }, "log.flush.interval.messages"),
    define("flush.ms", "9223372036854775807", Kind::Long { min: 0 }, ""),
    define("follower.replication.throttled.replicas", "", Kind::List, ""),
    define("index.interval.bytes", "4096", Kind::Int { min: 0 }, "log.index.interval.bytes"),
    define("leader.replication.throttled.replicas", "", Kind::List, ""),
    define("local.retention.bytes", "-2", Kind::Long { min: -2 }, "log.local.retention.bytes"),
    define("local.retention.ms", "-2", Kind::Long { min: -2 }, "log.local.retention.ms"),
    define("max.compaction.lag.ms", "9223372036854775807", Kind::Long { min: 1 }, "log.cleaner.max.compaction.lag.ms"),
    define(MAX_MESSAGE_BYTES, "1048588", Kind::Int { min: 0 }, "message.max.bytes"),
    define("message.timestamp.after.max.ms", "3600000", Kind::Long { min: 0 }, "log.message.timestamp.after.max.ms"),
    define("message.timestamp.before.max.ms", "9223372036854775807", Kind::Long { min: 0 }, "log.message.timestamp.before.max.ms"),
    define("message.timestamp.type", "CreateTime", Kind::OneOf(&["CreateTime", "LogAppendTime"]), "log.message.timestamp.type"),
    define("min.cleanable.dirty.ratio", "0.5", Kind::Double, "log.cleaner.min.cleanable.ratio"),
    define("min.compaction.lag.ms", "0", Kind::Long { min: 0 }, "log.cleaner.min.compaction.lag.ms"),
    define("min.insync.replicas", "1", Kind::Int { min: 1 }, "min.insync.replicas"),
    define("preallocate", "false", Kind::Boolean, "log.preallocate"),
    define("remote.log.copy.disable", "false", Kind::Boolean, ""),
    define("remote.log.delete.on.disable", "false", Kind::Boolean, ""),
    define("remote.storage.enable", "false", Kind::Boolean, ""),
    define("retention.bytes", "-1", Kind::Long { min: -1 }, "log.retention.bytes"),
    define("retention.ms", "604800000", Kind::Long { min: -1 }, ""),
    define("segment.bytes", "1073741824", Kind::Int { min: 14 }, "log.segment.bytes"),
    define("segment.index.bytes", "10485760", Kind::Int { min: 4 }, "log.index.size.max.bytes"),
    define("segment.jitter.ms", "0", Kind::Long { min: 0 }, ""),
    define("segment.ms", "604800000", Kind::Long { min: 1 }, ""),
    define("unclean.leader.election.enable", "false", Kind::Boolean, "unclean.leader.election.enable"),
];

impl TopicConfigs {
    /// Settings from name–value pairs.
    ///
    /// # Errors
    ///
    /// Says which setting is unknown or cannot have its value.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut configs = Self::default();
        for (name, value) in pairs {
            configs.alter(Alteration::Set, &name, Some(&value))?;
        }
        Ok(configs)
    }

    /// Changes one setting.
    ///
    /// # Errors
    ///
    /// Says which setting is unknown or cannot have its value.
    pub(crate) fn alter(
        &mut self,
        how: Alteration,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), String> {
        if how == Alteration::Delete {
            self.overrides.remove(name);
            return Ok(());
        }
        let definition =
            definition(name).ok_or_else(|| format!("unknown topic config name: {name}"))?;
        let value = value.ok_or_else(|| format!("null value not supported for: {name}"))?;
        let value = match how {
            Alteration::Set | Alteration::Delete => value.to_owned(),
            Alteration::Append | Alteration::Subtract => {
                self.edited_list(definition, how, value)?
            }
        };
        if !definition.kind.accepts(&value) {
            return Err(format!("invalid value {value} for configuration {name}"));
        }
        self.overrides.insert(name.to_owned(), value);
        Ok(())
    }

    /// The value set on the topic, if there is one.
    pub(crate) fn overridden(&self, name: &str) -> Option<&str> {
        self.overrides.get(name).map(String::as_str)
    }

    /// What the partition logs need, with the broker's limit where the topic has none of its own.
    pub(crate) fn append_rules(&self, message_bytes_max: i32) -> AppendRules {
        let bytes = match self.overridden(MAX_MESSAGE_BYTES) {
            Some(_) => self.number(MAX_MESSAGE_BYTES),
            None => i64::from(message_bytes_max),
        };
        AppendRules {
            message_bytes_max: usize::try_from(bytes).unwrap_or(0),
            log_append_time: self.value("message.timestamp.type") == "LogAppendTime",
            compacted: self.is_compacted(),
            timestamp_after_max_ms: self.number("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: self.number("message.timestamp.before.max.ms"),
        }
    }

    pub(crate) fn is_compacted(&self) -> bool {
        self.policies().any(|policy| policy == "compact")
    }

    /// Whether DeleteRecords is allowed: not on a topic that is only compacted.
    pub(crate) fn deletes(&self) -> bool {
        self.policies().any(|policy| policy == "delete")
    }

    pub(crate) fn delete_retention_ms(&self) -> i64 {
        self.number(DELETE_RETENTION_MS)
    }

    fn policies(&self) -> impl Iterator<Item = &str> {
        self.value("cleanup.policy").split(',').map(str::trim)
    }

    fn value(&self, name: &'static str) -> &str {
        let default = || {
            definition(name)
                .expect("asked for by a defined name")
                .default
        };
        self.overridden(name).unwrap_or_else(default)
    }

    fn number(&self, name: &'static str) -> i64 {
        self.value(name)
            .parse()
            .expect("stored values were checked, defaults are numbers")
    }

    fn edited_list(
        &self,
        definition: &Definition,
        how: Alteration,
        value: &str,
    ) -> Result<String, String> {
        if !matches!(definition.kind, Kind::List | Kind::SomeOf(_)) {
            return Err(format!(
                "config value append is not allowed for config key: {}",
                definition.name
            ));
        }
        let current = self
            .overridden(definition.name)
            .unwrap_or(definition.default);
        let mut items: Vec<&str> = current.split(',').filter(|item| !item.is_empty()).collect();
        for item in value.split(',') {
            items.retain(|kept| *kept != item);
            if how == Alteration::Append {
                items.push(item);
            }
        }
        Ok(items.join(","))
    }
}

impl Kind {
    /// The type number of DescribeConfigs.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::OneOf(_) => 2,
            Self::Int { .. } => 3,
            Self::Long { .. } => 5,
            Self::Double => 6,
            Self::List | Self::SomeOf(_) => 7,
        }
    }

    fn accepts(self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::List => true,
            Self::Int { min } => value
                .parse::<i32>()
                .is_ok_and(|number| i64::from(number) >= min),
            Self::Long { min } => value.parse::<i64>().is_ok_and(|number| number >= min),
            Self::Double => value
                .parse::<f64>()
                .is_ok_and(|number| (0.0..=1.0).contains(&number)),
            Self::OneOf(values) => values.contains(&value),
            Self::SomeOf(values) => {
                let mut items = value.split(',').map(str::trim);
                value.is_empty() || items.all(|item| values.contains(&item))
            }
        }
    }
}

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS
        .iter()
        .find(|definition| definition.name == name)
}
