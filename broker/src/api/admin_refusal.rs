//! The same for the APIs of administrators: one error as the whole answer.

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{
    CreatePartitionsResponse, CreateTopicsResponse, DeleteGroupsResponse, DeleteTopicsResponse,
    DescribeClusterResponse, DescribeGroupsResponse, ListTransactionsResponse, RequestKind,
    ResponseKind,
};

/// The answer that says nothing but `code`, where an API has one.
pub(super) fn response(request: &RequestKind, code: i16) -> Option<ResponseKind> {
    Some(match request {
        RequestKind::CreateTopics(request) => {
            let topics = request.topics.iter().map(|topic| {
                CreatableTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(code)
            });
            CreateTopicsResponse::default()
                .with_topics(topics.collect())
                .into()
        }
        RequestKind::DeleteTopics(request) => {
            let states = request
                .topics
                .iter()
                .map(|topic| (topic.name.clone(), topic.topic_id));
            let names = request
                .topic_names
                .iter()
                .map(|name| (Some(name.clone()), Default::default()));
            let responses = states.chain(names).map(|(name, id)| {
                DeletableTopicResult::default()
                    .with_name(name)
                    .with_topic_id(id)
                    .with_error_code(code)
            });
            DeleteTopicsResponse::default()
                .with_responses(responses.collect())
                .into()
        }
        RequestKind::CreatePartitions(request) => {
            let results = request.topics.iter().map(|topic| {
                CreatePartitionsTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(code)
            });
            CreatePartitionsResponse::default()
                .with_results(results.collect())
                .into()
        }
        RequestKind::DescribeGroups(request) => {
            let groups = request.groups.iter().map(|group| {
                DescribedGroup::default()
                    .with_group_id(group.clone())
                    .with_error_code(code)
            });
            DescribeGroupsResponse::default()
                .with_groups(groups.collect())
                .into()
        }
        RequestKind::DeleteGroups(request) => {
            let results = request.groups_names.iter().map(|group| {
                DeletableGroupResult::default()
                    .with_group_id(group.clone())
                    .with_error_code(code)
            });
            DeleteGroupsResponse::default()
                .with_results(results.collect())
                .into()
        }
        RequestKind::DescribeCluster(_) => DescribeClusterResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::ListTransactions(_) => ListTransactionsResponse::default()
            .with_error_code(code)
            .into(),
        _ => return None,
    })
}
