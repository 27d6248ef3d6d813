//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs, of topics; the broker's own are read-only.

use std::collections::BTreeSet;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlterResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{BROKER_ID, text};
use crate::ErrorCode;
use crate::core::Core;
use crate::request::{Context, Handled};
use crate::topics::configs::{Alteration, DEFINITIONS, TopicConfigs};
use crate::topics::{Refusal, check_name};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET_ON_TOPIC: i8 = 1;
const SET_ON_BROKER: i8 = 4;
const DEFAULT: i8 = 5;

/// One setting as it is described.
pub(super) struct DescribedConfig {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
    default: String,
    of_broker: &'static str,
    kind: i8,
}

/// All settings of a topic, set or not.
pub(super) fn described_configs(
    configs: &TopicConfigs,
    message_bytes_max: i32,
) -> impl Iterator<Item = DescribedConfig> {
    DEFINITIONS.iter().map(move |definition| {
        let default = match definition.name {
            "max.message.bytes" => message_bytes_max.to_string(),
            _ => definition.default.to_owned(),
        };
        let set = configs.overridden(definition.name);
        DescribedConfig {
            name: definition.name,
            value: set.map_or_else(|| default.clone(), str::to_owned),
            source: if set.is_some() { SET_ON_TOPIC } else { DEFAULT },
            default,
            of_broker: definition.of_broker,
            kind: definition.kind.code(),
        }
    })
}

impl Core {
    pub(super) fn describe_configs(
        &mut self,
        context: &Context,
        request: &DescribeConfigsRequest,
    ) -> Handled {
        let synonyms = request.include_synonyms;
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.configs_of(resource) {
                Ok(configs) => {
                    let wanted = |config: &DescribedConfig| match &resource.configuration_keys {
                        Some(keys) => keys.iter().any(|key| key.as_str() == config.name),
                        None => true,
                    };
                    let configs = configs.into_iter().filter(wanted);
                    let configs =
                        configs.map(|config| described(context.version(), config, synonyms));
                    result
                        .with_error_message(None)
                        .with_configs(configs.collect())
                }
                Err(refusal) => result
                    .with_error_code(refusal.code.code())
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        Handled::answer(DescribeConfigsResponse::default().with_results(results.collect()))
    }

    fn configs_of(
        &self,
        resource: &DescribeConfigsResource,
    ) -> Result<Vec<DescribedConfig>, Refusal> {
        match resource.resource_type {
            TOPIC => {
                check_name(&resource.resource_name)?;
                let topic = self
                    .topics
                    .get(&resource.resource_name)
                    .ok_or_else(unknown_topic)?;
                Ok(described_configs(&topic.configs, self.options.message_bytes_max).collect())
            }
            BROKER if resource.resource_name.as_str() == BROKER_ID.to_string() => {
                Ok(self.broker_configs())
            }
            BROKER if resource.resource_name.is_empty() => Ok(Vec::new()),
            BROKER => {
                let message = format!("unexpected broker id, expected {BROKER_ID} or empty string");
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
            BROKER_LOGGER | CLIENT_METRICS | GROUP => Ok(Vec::new()),
            other => {
                let message = format!("unsupported resource type: {other}");
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    fn broker_configs(&self) -> Vec<DescribedConfig> {
        let options = &self.options;
        let config = |name, value: String, kind| DescribedConfig {
            name,
            default: value.clone(),
            value,
            source: SET_ON_BROKER,
            of_broker: "",
            kind,
        };
        vec![
            config(
                "auto.create.topics.enable",
                options.auto_create_topics.to_string(),
                1,
            ),
            config("broker.id", BROKER_ID.to_string(), 3),
            config("default.replication.factor", "1".to_owned(), 3),
            config("delete.topic.enable", options.delete_topics.to_string(), 1),
            config(
                "group.initial.rebalance.delay.ms",
                options.initial_rebalance_delay_ms.to_string(),
                3,
            ),
            config(
                "group.max.session.timeout.ms",
                options.session_timeout_max_ms.to_string(),
                3,
            ),
            config(
                "group.min.session.timeout.ms",
                options.session_timeout_min_ms.to_string(),
                3,
            ),
            config(
                "message.max.bytes",
                options.message_bytes_max.to_string(),
                3,
            ),
            config("node.id", BROKER_ID.to_string(), 3),
            config("num.partitions", options.partitions.to_string(), 3),
            config(
                "offset.metadata.max.bytes",
                options.offset_metadata_max.to_string(),
                3,
            ),
            config(
                "transaction.max.timeout.ms",
                options.transaction_timeout_max_ms.to_string(),
                3,
            ),
        ]
    }

    pub(super) fn alter_configs(&mut self, request: AlterConfigsRequest) -> Handled {
        let responses = request.resources.into_iter().map(|resource| {
            let replace = |_current: &TopicConfigs| {
                let pairs = resource.configs.iter().map(|config| {
                    let value = config.value.as_ref().map(|value| value.as_str().to_owned());
                    (config.name.as_str().to_owned(), value.unwrap_or_default())
                });
                TopicConfigs::new(pairs).map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))
            };
            let name = resource.resource_name.as_str();
            let altered = self.alter(resource.resource_type, name, request.validate_only, replace);
            let (code, message) = refusal_fields(altered);
            AlterResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(code)
                .with_error_message(message)
        });
        let responses = responses.collect();
        Handled::answer(AlterConfigsResponse::default().with_responses(responses))
    }

    pub(super) fn incremental_alter_configs(
        &mut self,
        request: IncrementalAlterConfigsRequest,
    ) -> Handled {
        let responses = request.resources.into_iter().map(|resource| {
            let edit = |current: &TopicConfigs| edited(current, &resource.configs);
            let name = resource.resource_name.as_str();
            let altered = self.alter(resource.resource_type, name, request.validate_only, edit);
            let (code, message) = refusal_fields(altered);
            IncrementalResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(code)
                .with_error_message(message)
        });
        let responses = responses.collect();
        Handled::answer(IncrementalAlterConfigsResponse::default().with_responses(responses))
    }

    fn alter(
        &mut self,
        resource_type: i8,
        name: &str,
        validate_only: bool,
        change: impl Fn(&TopicConfigs) -> Result<TopicConfigs, Refusal>,
    ) -> Result<(), Refusal> {
        if resource_type != TOPIC {
            let message = "only the settings of topics can be altered on this broker";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        check_name(name)?;
        let topic = self.topics.get_mut(name).ok_or_else(unknown_topic)?;
        let configs = change(&topic.configs)?;
        if !validate_only {
            topic.configs = configs;
        }
        Ok(())
    }
}

fn edited(current: &TopicConfigs, changes: &[AlterableConfig]) -> Result<TopicConfigs, Refusal> {
    let mut configs = current.clone();
    let mut named = BTreeSet::new();
    for change in changes {
        if !named.insert(change.name.as_str()) {
            let message = format!("{} is changed twice", change.name);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let how = match change.config_operation {
            0 => Alteration::Set,
            1 => Alteration::Delete,
            2 => Alteration::Append,
            3 => Alteration::Subtract,
            other => {
                let message = format!("unknown operation {other}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        };
        if how != Alteration::Delete && change.value.is_none() {
            let message = format!("null value not supported for: {}", change.name);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let altered = configs.alter(how, &change.name, change.value.as_deref());
        altered.map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
    }
    Ok(configs)
}

fn described(
    version: i16,
    config: DescribedConfig,
    synonyms: bool,
) -> DescribeConfigsResourceResult {
    let synonym = |name: &'static str, value: &str, source| {
        DescribeConfigsSynonym::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_source(source)
    };
    let mut also = Vec::new();
    if synonyms {
        if config.source != DEFAULT {
            also.push(synonym(config.name, &config.value, config.source));
        }
        if !config.of_broker.is_empty() {
            also.push(synonym(config.of_broker, &config.default, DEFAULT));
        }
    }
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(config.name))
        .with_value(Some(text(&config.value)))
        .with_read_only(config.source == SET_ON_BROKER)
        .with_config_source(config.source)
        .with_synonyms(also);
    if version >= 3 {
        result
            .with_config_type(config.kind)
            .with_documentation(None)
    } else {
        result
    }
}

fn unknown_topic() -> Refusal {
    Refusal::new(
        ErrorCode::UnknownTopicOrPartition,
        "this server does not host this topic-partition",
    )
}

fn refusal_fields(
    altered: Result<(), Refusal>,
) -> (i16, Option<kafka_protocol::protocol::StrBytes>) {
    match altered {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.code.code(), Some(text(&refusal.message))),
    }
}
