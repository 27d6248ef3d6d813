//! Every API in every version, there and back; and bytes that are no request.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiKey, FetchRequest, GroupId, JoinGroupRequest, MetadataRequest,
    ProduceRequest, RequestHeader, RequestKind, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

use super::{Body, SPOKEN, WireError, api_key, decode, encode, schema};
use crate::api::refusal;
use crate::{ConnectionId, Core, ErrorCode, Options, Outcome, Request};

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn name(value: &str) -> TopicName {
    TopicName(text(value))
}

macro_rules! empty_requests {
    ($wanted:expr; $($api:ident)*) => {
        match $wanted {
            $(ApiKey::$api => RequestKind::$api(Default::default()),)*
            other => panic!("{other:?} is spoken but not tried here"),
        }
    };
}

/// A request of an API with everything at its default.
fn empty(api: ApiKey) -> RequestKind {
    empty_requests!(api; Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup
        Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics
        DeleteRecords InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn
        TxnOffsetCommit DescribeConfigs AlterConfigs DescribeLogDirs CreatePartitions DeleteGroups
        IncrementalAlterConfigs ListPartitionReassignments OffsetDelete DescribeCluster DescribeProducers
        DescribeTransactions ListTransactions)
}

fn frame(request: &RequestKind, api: ApiKey, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(text("test")))
        .encode(&mut bytes, api.request_header_version(version))
        .unwrap();
    request.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

fn ask(core: &mut Core, body: RequestKind, version: i16) -> Vec<crate::Reply> {
    let request = Request {
        connection: ConnectionId(1),
        version,
        client_id: "test".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        body,
    };
    let mut replies = core.handle(1, request);
    if replies.is_empty() {
        replies = core.tick(1_000_000);
    }
    replies
}

#[test]
fn every_api_in_every_version_is_answered_in_bytes_that_its_client_reads() {
    for spoken in SPOKEN {
        for version in spoken.min..=spoken.max {
            let request = match spoken.api {
                ApiKey::Produce => RequestKind::Produce(ProduceRequest::default().with_acks(1)),
                ApiKey::Metadata => {
                    RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![])))
                }
                api => empty(api),
            };
            assert_eq!(api_key(&request), spoken.api as i16);
            let mut core = Core::new(Options::default());
            let replies = ask(&mut core, request.clone(), version);
            let [reply] = replies.as_slice() else {
                panic!("{:?} {version}: {replies:?}", spoken.api)
            };
            let Outcome::Answer(answer) = &reply.outcome else {
                panic!("{:?} {version}", spoken.api)
            };
            let bytes = encode(answer, 7, version)
                .unwrap_or_else(|error| panic!("{:?}: {error}", spoken.api));
            read_back(spoken.api, version, bytes.freeze().slice(4..));
            if let Some(refused) = refusal::response(&request, version, ErrorCode::NotCoordinator) {
                let bytes = encode(&refused, 7, version)
                    .unwrap_or_else(|error| panic!("{:?}: {error}", spoken.api));
                read_back(spoken.api, version, bytes.freeze().slice(4..));
            }
        }
    }
}

fn read_back(api: ApiKey, version: i16, mut bytes: Bytes) {
    use kafka_protocol::messages::{ResponseHeader, ResponseKind};
    let header = ResponseHeader::decode(&mut bytes, api.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 7);
    ResponseKind::decode(api, &mut bytes, version)
        .unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
    assert!(
        bytes.is_empty(),
        "{api:?} {version}: {} bytes left over",
        bytes.len()
    );
}

#[test]
fn every_api_in_every_version_has_the_shape_that_the_schema_says() {
    for spoken in SPOKEN {
        for version in spoken.min..=spoken.max {
            let mut body = BytesMut::new();
            empty(spoken.api).encode(&mut body, version).unwrap();
            let checked = schema::check(spoken.api, version, &body.clone().freeze());
            assert_eq!(checked, Ok(()), "{:?} {version}", spoken.api);
            if !body.is_empty() {
                let short = body.freeze();
                let short = short.slice(..short.len() - 1);
                assert!(
                    schema::check(spoken.api, version, &short).is_err(),
                    "{:?} {version} cut short",
                    spoken.api
                );
            }
        }
    }
}

#[test]
fn filled_requests_come_through_in_every_version() {
    for version in 3..=13 {
        let partition = PartitionProduceData::default()
            .with_index(3)
            .with_records(Some(Bytes::from_static(b"raw")));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let topic = if version >= 13 {
            topic.with_topic_id(uuid::Uuid::max())
        } else {
            topic.with_name(name("t"))
        };
        round_trip(
            RequestKind::Produce(ProduceRequest::default().with_topic_data(vec![topic])),
            version,
        );
    }
    for version in 4..=17 {
        let partition = FetchPartition::default()
            .with_partition(3)
            .with_fetch_offset(5);
        let topic = FetchTopic::default().with_partitions(vec![partition.clone(), partition]);
        let topic = if version >= 13 {
            topic.with_topic_id(uuid::Uuid::max())
        } else {
            topic.with_topic(name("t"))
        };
        round_trip(
            RequestKind::Fetch(FetchRequest::default().with_topics(vec![topic])),
            version,
        );
    }
    for version in 0..=13 {
        let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
        let request = MetadataRequest::default().with_topics(Some(vec![topic.clone(), topic]));
        round_trip(RequestKind::Metadata(request), version);
    }
    for version in 0..=9 {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"m"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_protocols(vec![protocol]);
        round_trip(RequestKind::JoinGroup(request), version);
    }
    for version in 0..=3 {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![1, 2, 3]);
        let request = AddPartitionsToTxnRequest::default().with_v3_and_below_topics(vec![topic]);
        round_trip(RequestKind::AddPartitionsToTxn(request), version);
    }
}

fn round_trip(request: RequestKind, version: i16) {
    let api = SPOKEN
        .iter()
        .find(|spoken| spoken.api as i16 == api_key(&request))
        .unwrap()
        .api;
    let decoded = decode(frame(&request, api, version)).unwrap();
    assert_eq!(
        (
            decoded.version,
            decoded.correlation_id,
            decoded.client_id.as_str()
        ),
        (version, 7, "test")
    );
    let Body::Request(body) = decoded.body else {
        panic!("a request was sent")
    };
    assert_eq!(*body, request);
}

#[test]
fn an_array_that_claims_more_than_there_is_costs_nothing() {
    // Metadata 0: an array of two thousand million topics, and no byte of them.
    let mut bytes = BytesMut::from(&frame(&empty(ApiKey::Metadata), ApiKey::Metadata, 0)[..]);
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(
        decode(bytes.freeze()),
        Err(WireError::Malformed { .. })
    ));
}

#[test]
fn unknown_apis_and_versions_are_told_apart() {
    assert!(matches!(
        decode(Bytes::from_static(&[0, 0])),
        Err(WireError::Truncated)
    ));
    assert!(matches!(
        decode(Bytes::from_static(&[3, 0, 0, 0, 0, 0, 0, 1])),
        Err(WireError::UnknownApi(768))
    ));
    let produce_2 = Bytes::from_static(&[0, 0, 0, 2, 0, 0, 0, 1]);
    assert!(matches!(
        decode(produce_2),
        Err(WireError::UnknownVersion { api: 0, version: 2 })
    ));
    let api_versions_99 = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 1]);
    assert!(matches!(
        decode(api_versions_99).unwrap().body,
        Body::UnknownApiVersions
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(api in 0_usize..35, version in 0_i16..14, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&(SPOKEN[api % SPOKEN.len()].api as i16).to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
        bytes.extend_from_slice(&body);
        if let Ok(frame) = decode(bytes.freeze())
            && let Body::Request(request) = frame.body
        {
            let mut core = Core::new(Options::default());
            for reply in ask(&mut core, *request, frame.version) {
                if let Outcome::Answer(answer) = reply.outcome {
                    prop_assert!(encode(&answer, 1, frame.version).is_ok());
                }
            }
        }
    }
}
