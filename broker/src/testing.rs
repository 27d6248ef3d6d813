//! The core under test: virtual time, one connection a request, every answer through its encoding.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, ProduceRequest, ProduceResponse, ProducerId, RequestKind, ResponseHeader,
    TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::log::batch::{BatchHeader, assemble};
use crate::log::records::records;
use crate::transactions::Producer;
use crate::{ConnectionId, Core, Options, Outcome, Request, wire};

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(crate) fn topic(value: &str) -> TopicName {
    TopicName(text(value))
}

pub(crate) fn transactional_id(value: &str) -> TransactionalId {
    TransactionalId(text(value))
}

/// A core in virtual time.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) core: Core,
    pub(crate) now_ms: i64,
    connections: u64,
    outcomes: BTreeMap<ConnectionId, Outcome>,
    versions: BTreeMap<ConnectionId, i16>,
}

/// A batch to be produced; the values are the records, all with one key.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) producer: Producer,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
    pub(crate) timestamp: i64,
    pub(crate) records: Vec<(Option<String>, Option<String>)>,
}

impl Batch {
    pub(crate) fn plain(values: &[&str]) -> Self {
        let records = values
            .iter()
            .map(|value| (Some("k".to_owned()), Some((*value).to_owned())));
        let producer = Producer { id: -1, epoch: -1 };
        Self {
            producer,
            sequence: -1,
            transactional: false,
            timestamp: 1_000,
            records: records.collect(),
        }
    }

    pub(crate) fn idempotent(producer: Producer, sequence: i32, values: &[&str]) -> Self {
        Self {
            producer,
            sequence,
            ..Self::plain(values)
        }
    }

    pub(crate) fn transactional(producer: Producer, sequence: i32, values: &[&str]) -> Self {
        Self {
            transactional: true,
            ..Self::idempotent(producer, sequence, values)
        }
    }

    pub(crate) fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let mut block = BytesMut::new();
        for (delta, (key, value)) in (0_i64..).zip(&self.records) {
            let mut body = BytesMut::new();
            body.put_u8(0);
            varint(&mut body, 0);
            varint(&mut body, delta);
            for part in [key, value] {
                match part {
                    None => varint(&mut body, -1),
                    Some(part) => {
                        varint(&mut body, i64::try_from(part.len()).unwrap());
                        body.put_slice(part.as_bytes());
                    }
                }
            }
            varint(&mut body, 0);
            varint(&mut block, i64::try_from(body.len()).unwrap());
            block.put_slice(&body);
        }
        let count = i32::try_from(self.records.len()).unwrap();
        let header = BatchHeader {
            base_offset: 0,
            attributes: if self.transactional { 0x10 } else { 0 },
            last_offset_delta: count - 1,
            base_timestamp: self.timestamp,
            max_timestamp: self.timestamp,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.sequence,
            records: count,
        };
        assemble(&header, -1, &block)
    }
}

fn varint(into: &mut BytesMut, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        into.put_u8(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    into.put_u8(u8::try_from(left).unwrap());
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let (connections, outcomes) = (0, BTreeMap::new());
        Self {
            core: Core::new(options),
            now_ms: 1_000,
            connections,
            outcomes,
            versions: BTreeMap::new(),
        }
    }

    /// Sends a request on a new connection; the outcome may come later.
    pub(crate) fn send(&mut self, version: i16, body: impl Into<RequestKind>) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.versions.insert(connection, version);
        let request = Request {
            connection,
            version,
            client_id: "test".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            body: body.into(),
        };
        let replies = self.core.handle(self.now_ms, request);
        self.note(replies);
        connection
    }

    /// What became of a request, if anything has.
    pub(crate) fn outcome(&mut self, connection: ConnectionId) -> Option<Outcome> {
        self.outcomes.remove(&connection)
    }

    /// The answer to a request, if there is one by now, as its client reads it.
    pub(crate) fn answer<R: Decodable>(&mut self, connection: ConnectionId) -> Option<R> {
        let version = self.versions[&connection];
        match self.outcome(connection)? {
            Outcome::Answer(answer) => {
                let mut bytes = wire::encode(&answer, 1, version)
                    .expect("every answer can be encoded")
                    .freeze();
                bytes.advance(4);
                ResponseHeader::decode(&mut bytes, answer.header_version(version))
                    .expect("a header");
                Some(R::decode(&mut bytes, version).expect("the answer that was asked for"))
            }
            other => panic!("{other:?} instead of an answer"),
        }
    }

    /// Sends a request that is answered at once.
    pub(crate) fn call<R: Decodable>(&mut self, version: i16, body: impl Into<RequestKind>) -> R {
        let connection = self.send(version, body);
        self.answer(connection).expect("answered at once")
    }

    /// Lets time pass, stopping at every deadline.
    pub(crate) fn pass(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while let Some(next_ms) = self
            .core
            .next_deadline_ms()
            .filter(|next_ms| *next_ms <= until_ms)
        {
            self.now_ms = self.now_ms.max(next_ms);
            let replies = self.core.tick(self.now_ms);
            self.note(replies);
        }
        self.now_ms = until_ms;
        let replies = self.core.tick(until_ms);
        self.note(replies);
    }

    fn note(&mut self, replies: Vec<crate::Reply>) {
        for reply in replies {
            let before = self.outcomes.insert(reply.connection, reply.outcome);
            assert!(before.is_none(), "a request is answered once");
        }
    }

    pub(crate) fn produce(
        &mut self,
        name: &str,
        index: i32,
        batch: &Batch,
    ) -> PartitionProduceResponse {
        self.produce_as((9, Some("tx")), name, index, batch.bytes())
    }

    /// Produces in a version of the API and under a transactional id.
    pub(crate) fn produce_as(
        &mut self,
        (version, id): (i16, Option<&str>),
        name: &str,
        index: i32,
        bytes: Bytes,
    ) -> PartitionProduceResponse {
        let partition = PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(bytes));
        let data = TopicProduceData::default()
            .with_name(topic(name))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_transactional_id(id.map(transactional_id))
            .with_topic_data(vec![data]);
        let response: ProduceResponse = self.call(version, request);
        response.responses[0].partition_responses[0].clone()
    }

    pub(crate) fn init(&mut self, id: &str) -> Result<Producer, i16> {
        self.init_with(id, 60_000, Producer { id: -1, epoch: -1 })
    }

    pub(crate) fn init_with(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Producer,
    ) -> Result<Producer, i16> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(id)))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(expected.id))
            .with_producer_epoch(expected.epoch);
        let response: InitProducerIdResponse = self.call(4, request);
        match response.error_code {
            0 => Ok(Producer {
                id: response.producer_id.0,
                epoch: response.producer_epoch,
            }),
            code => Err(code),
        }
    }

    /// An owner of `id`, whatever was open before.
    pub(crate) fn producer(&mut self, id: &str) -> Producer {
        match self.init(id) {
            Ok(producer) => producer,
            Err(51) => self
                .init(id)
                .expect("the open transaction is aborted by now"),
            Err(code) => panic!("init failed with {code}"),
        }
    }

    pub(crate) fn add(&mut self, id: &str, producer: Producer, name: &str, index: i32) -> i16 {
        let partitions = AddPartitionsToTxnTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![index]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(id))
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![partitions]);
        let response: AddPartitionsToTxnResponse = self.call(0, request);
        response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    pub(crate) fn end(&mut self, id: &str, producer: Producer, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id(id))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(commit);
        self.call::<EndTxnResponse>(1, request).error_code
    }

    pub(crate) fn fetch_request(
        name: &str,
        index: i32,
        from: i64,
        committed: bool,
    ) -> FetchRequest {
        let partition = FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(from)
            .with_partition_max_bytes(1 << 20);
        let partitions = FetchTopic::default()
            .with_topic(topic(name))
            .with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_wait_ms(0)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_isolation_level(i8::from(committed))
            .with_topics(vec![partitions])
    }

    pub(crate) fn fetch(
        &mut self,
        name: &str,
        index: i32,
        from: i64,
        committed: bool,
    ) -> PartitionData {
        let response: FetchResponse =
            self.call(12, Self::fetch_request(name, index, from, committed));
        response.responses[0].partitions[0].clone()
    }

    pub(crate) fn list_offset(
        &mut self,
        name: &str,
        timestamp: i64,
        committed: bool,
    ) -> (i64, i64) {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let partitions = ListOffsetsTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_isolation_level(i8::from(committed))
            .with_topics(vec![partitions]);
        let response: ListOffsetsResponse = self.call(7, request);
        let found = &response.topics[0].partitions[0];
        assert_eq!(found.error_code, 0);
        (found.timestamp, found.offset)
    }
}

/// A record as a reader gets it.
pub(crate) type Seen = (i64, String);

/// The batches of a fetch, whole, with their headers.
pub(crate) fn batches(data: &PartitionData) -> Vec<(BatchHeader, Bytes)> {
    let mut rest = data.records.clone().unwrap_or_default();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[8..12].try_into().unwrap());
        let batch = rest.split_to(12 + usize::try_from(length).unwrap());
        batches.push((BatchHeader::parse(&batch).unwrap(), batch));
    }
    batches
}

/// What a client makes of a fetch: without control records, and without the aborted ones it is told of.
pub(crate) fn visible(data: &PartitionData, from: i64) -> Vec<Seen> {
    let mut told: Vec<(i64, i64)> = data
        .aborted_transactions
        .iter()
        .flatten()
        .map(|a| (a.first_offset, a.producer_id.0))
        .collect();
    told.sort_unstable();
    let mut aborting = std::collections::BTreeSet::new();
    let mut seen = Vec::new();
    for (header, bytes) in batches(data) {
        while told
            .first()
            .is_some_and(|(first, _)| *first <= header.last_offset())
        {
            aborting.insert(told.remove(0).1);
        }
        let skipped = header.is_transactional() && aborting.contains(&header.producer_id);
        if header.is_control() {
            aborting.remove(&header.producer_id);
        } else if !skipped {
            for record in records(&header, &bytes)
                .unwrap()
                .into_iter()
                .filter(|record| record.offset >= from)
            {
                let raw = record.value.unwrap_or_default();
                seen.push((record.offset, String::from_utf8(raw.to_vec()).unwrap()));
            }
        }
    }
    seen
}
