//! What the cluster is: Metadata, DescribeCluster, FindCoordinator, ApiVersions.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerId, DescribeClusterRequest,
    DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{BROKER_ID, text, topic_name};
use crate::ErrorCode;
use crate::core::Core;
use crate::faults::Coordinator;
use crate::log::LEADER_EPOCH;
use crate::request::{Context, Handled};
use crate::topics::configs::TopicConfigs;
use crate::topics::{Topic, check_name};
use crate::wire;

/// Everything that may be done with a topic: read, write, create, delete, alter, describe, and its configs.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// Everything that may be done with the cluster.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The first version that can ask for topics by their ids.
const ID_REQUEST_VERSION: i16 = 12;
/// The partition count of a topic that asks for the default.
const DEFAULT_COUNT: i32 = -1;

impl Core {
    pub(super) fn metadata(&mut self, context: &Context, request: &MetadataRequest) -> Handled {
        let version = context.version();
        let operations = request.include_topic_authorized_operations && version >= 8;
        let everything = match &request.topics {
            None => true,
            Some(topics) => topics.is_empty() && version == 0,
        };
        let topics: Vec<_> = if everything {
            self.topics
                .iter()
                .map(|(name, topic)| described(name, topic, version))
                .collect()
        } else {
            let may_create = version < 4 || request.allow_auto_topic_creation;
            let wanted = request.topics.iter().flatten();
            wanted
                .map(|topic| self.metadata_of(topic, version, may_create))
                .collect()
        };
        let topics = topics
            .into_iter()
            .map(|topic| match operations && topic.error_code == 0 {
                true => topic.with_topic_authorized_operations(TOPIC_OPERATIONS),
                false => topic,
            });
        let mut response = MetadataResponse::default()
            .with_brokers(vec![self.metadata_broker()])
            .with_controller_id(BrokerId(BROKER_ID))
            .with_cluster_id(Some(text(&self.options.cluster_id)))
            .with_topics(topics.collect());
        if request.include_cluster_authorized_operations && (8..=10).contains(&version) {
            response = response.with_cluster_authorized_operations(CLUSTER_OPERATIONS);
        }
        Handled::answer(response)
    }

    fn metadata_of(
        &mut self,
        wanted: &MetadataRequestTopic,
        version: i16,
        may_create: bool,
    ) -> MetadataResponseTopic {
        let Some(name) = wanted
            .name
            .as_ref()
            .map(|name| name.as_str())
            .filter(|name| !name.is_empty())
        else {
            return self.metadata_by_id(wanted.topic_id, wanted.name.clone(), version);
        };
        if self.topics.get(name).is_none() {
            let created = if may_create && self.options.auto_create_topics {
                self.create_topic_with(name, DEFAULT_COUNT, TopicConfigs::default())
            } else {
                check_name(name)
            };
            if let Err(refusal) = created {
                return unknown(Some(topic_name(name)), refusal.code);
            }
        }
        match self.topics.get(name) {
            Some(topic) => described(name, topic, version),
            None => unknown(Some(topic_name(name)), ErrorCode::UnknownTopicOrPartition),
        }
    }

    fn metadata_by_id(
        &self,
        id: Uuid,
        name: Option<TopicName>,
        version: i16,
    ) -> MetadataResponseTopic {
        if id.is_nil() {
            return unknown(
                Some(name.unwrap_or_default()),
                ErrorCode::InvalidTopicException,
            );
        }
        if version < ID_REQUEST_VERSION {
            // They know ids in answers only.
            return unknown(Some(TopicName::default()), ErrorCode::InvalidRequest)
                .with_topic_id(id);
        }
        let found = self
            .topics
            .name_of(id)
            .and_then(|name| Some((name, self.topics.get(name)?)));
        match found {
            Some((name, topic)) => described(name, topic, version),
            None => unknown(None, ErrorCode::UnknownTopicId).with_topic_id(id),
        }
    }

    fn metadata_broker(&self) -> MetadataResponseBroker {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(BROKER_ID))
            .with_host(text(&self.options.host))
            .with_port(i32::from(self.options.port))
    }

    pub(super) fn describe_cluster(
        &mut self,
        context: &Context,
        request: &DescribeClusterRequest,
    ) -> Handled {
        let mut response =
            DescribeClusterResponse::default().with_cluster_id(text(&self.options.cluster_id));
        if context.version() >= 1 && request.endpoint_type != 1 {
            let message = "this endpoint is a broker's".to_owned();
            response = response
                .with_error_code(ErrorCode::MismatchedEndpointType.code())
                .with_error_message(Some(StrBytes::from_string(message)));
            return Handled::answer(response);
        }
        if request.include_cluster_authorized_operations {
            response = response.with_cluster_authorized_operations(CLUSTER_OPERATIONS);
        }
        let broker = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(BROKER_ID))
            .with_host(text(&self.options.host))
            .with_port(i32::from(self.options.port));
        Handled::answer(
            response
                .with_controller_id(BrokerId(BROKER_ID))
                .with_brokers(vec![broker]),
        )
    }

    pub(super) fn find_coordinator(
        &mut self,
        context: &Context,
        request: &FindCoordinatorRequest,
    ) -> Handled {
        let version = context.version();
        let found = self.coordinator_of(if version >= 1 { request.key_type } else { 0 });
        let host = text(&self.options.host);
        let port = i32::from(self.options.port);
        if version >= 4 {
            let coordinators = request.coordinator_keys.iter().map(|key| {
                let answer = Found::default().with_key(key.clone());
                match found {
                    Ok(()) => answer
                        .with_node_id(BrokerId(BROKER_ID))
                        .with_host(host.clone())
                        .with_port(port),
                    Err(code) => answer
                        .with_error_code(code.code())
                        .with_node_id(BrokerId(-1))
                        .with_port(-1),
                }
            });
            return Handled::answer(
                FindCoordinatorResponse::default().with_coordinators(coordinators.collect()),
            );
        }
        let answer = FindCoordinatorResponse::default();
        Handled::answer(match found {
            Ok(()) => answer
                .with_node_id(BrokerId(BROKER_ID))
                .with_host(host)
                .with_port(port),
            Err(code) => answer
                .with_error_code(code.code())
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        })
    }

    fn coordinator_of(&self, key_type: i8) -> Result<(), ErrorCode> {
        let which = match key_type {
            0 => Coordinator::Group,
            1 => Coordinator::Transaction,
            _ => return Err(ErrorCode::InvalidRequest),
        };
        match self.coordinator_error(which) {
            Some(_) => Err(ErrorCode::CoordinatorNotAvailable),
            None => Ok(()),
        }
    }

    pub(super) fn api_versions(context: &Context, request: &ApiVersionsRequest) -> Handled {
        let named = |name: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = name.as_bytes();
            ends(bytes.first()) && ends(bytes.last()) && name.bytes().all(inner)
        };
        let (software, software_version) = (
            &request.client_software_name,
            &request.client_software_version,
        );
        if context.version() >= 3 && !(named(software) && named(software_version)) {
            let code = ErrorCode::InvalidRequest.code();
            return Handled::answer(ApiVersionsResponse::default().with_error_code(code));
        }
        Handled::answer(ApiVersionsResponse::default().with_api_keys(spoken_versions()))
    }
}

/// Every API with its versions, as ApiVersions answers them.
pub(crate) fn spoken_versions() -> Vec<ApiVersion> {
    let of = |spoken: &wire::Spoken| {
        let api: ApiKey = spoken.api;
        ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(spoken.min)
            .with_max_version(spoken.max)
    };
    wire::SPOKEN.iter().map(of).collect()
}

fn described(name: &str, topic: &Topic, version: i16) -> MetadataResponseTopic {
    let count = i32::try_from(topic.partitions.len()).expect("partitions are counted in an i32");
    let partitions = (0..count).map(|index| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(BROKER_ID))
            .with_replica_nodes(vec![BrokerId(BROKER_ID)])
            .with_isr_nodes(vec![BrokerId(BROKER_ID)]);
        if version >= 7 {
            partition.with_leader_epoch(LEADER_EPOCH)
        } else {
            partition
        }
    });
    let described = MetadataResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_partitions(partitions.collect());
    if version >= 10 {
        described.with_topic_id(topic.id)
    } else {
        described
    }
}

fn unknown(name: Option<TopicName>, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(name)
        .with_error_code(code.code())
}
