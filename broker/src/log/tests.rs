//! Produce, fetch and offsets through the core; and read-committed readers against a naive oracle.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use proptest::prelude::*;

use crate::testing::{Batch, Seen, Sim, batches, visible};
use crate::transactions::Producer;
use crate::{Options, Outcome};

fn sim() -> Sim {
    let mut sim = Sim::new();
    sim.core.create_topic("t", 2, &[]).unwrap();
    sim
}

fn values(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|(_, value)| value.as_str()).collect()
}

#[test]
fn offsets_follow_one_another_and_bytes_come_back_as_they_went_in() {
    let mut sim = sim();
    let first = Batch::plain(&["a", "b"]);
    assert_eq!(sim.produce("t", 0, &first).base_offset, 0);
    assert_eq!(sim.produce("t", 0, &Batch::plain(&["c"])).base_offset, 2);
    let data = sim.fetch("t", 0, 0, false);
    assert_eq!(data.high_watermark, 3);
    assert_eq!(
        visible(&data, 0),
        [
            (0, "a".to_owned()),
            (1, "b".to_owned()),
            (2, "c".to_owned())
        ]
    );
    let stored = &batches(&data)[0].1;
    assert_eq!(
        stored[16..],
        first.bytes()[16..],
        "all that the checksum covers is untouched"
    );
}

#[test]
fn a_fetch_inside_a_batch_gets_the_whole_batch() {
    let mut sim = sim();
    sim.produce("t", 0, &Batch::plain(&["a", "b", "c"]));
    assert_eq!(batches(&sim.fetch("t", 0, 1, false)).len(), 1);
}

#[test]
fn what_cannot_be_appended_says_why() {
    let mut sim = Sim::new();
    sim.core
        .create_topic("t", 1, &[("max.message.bytes", "200")])
        .unwrap();
    sim.core
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    let good = Batch::plain(&["a"]).bytes();
    let changed = |at: usize, byte: u8| {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] = byte;
        bytes.freeze()
    };
    let long = "x".repeat(200);
    let keyless = Batch {
        records: vec![(None, Some("v".to_owned()))],
        ..Batch::plain(&[])
    }
    .bytes();
    let twice = Bytes::from([&good[..], &good[..]].concat());
    let cases: [(&str, Bytes, i16); 9] = [
        ("t", good.clone(), 0),
        ("unknown", good.clone(), 3),
        ("t", Bytes::new(), 87),
        ("t", changed(16, 1), 87),                 // message format 1
        ("t", changed(69, 0xff), 2),               // a flipped byte: the checksum
        ("t", changed(7, 9), 87),                  // a base offset other than 0
        ("t", twice, 87),                          // two batches
        ("t", Batch::plain(&[&long]).bytes(), 10), // above max.message.bytes
        ("compacted", keyless, 87),                // a record without key
    ];
    for (name, bytes, code) in cases {
        assert_eq!(
            sim.produce_as((9, None), name, 0, bytes.clone()).error_code,
            code,
            "{name}: {bytes:?}"
        );
    }
}

#[test]
fn acks_0_is_never_answered_and_an_error_closes() {
    use kafka_protocol::messages::ProduceRequest;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let mut sim = sim();
    for (name, outcome) in [("t", Outcome::Silence), ("unknown", Outcome::Close)] {
        let records = Some(Batch::plain(&["a"]).bytes());
        let partition = PartitionProduceData::default().with_records(records);
        let data = TopicProduceData::default().with_name(crate::testing::topic(name));
        let request = ProduceRequest::default()
            .with_acks(0)
            .with_topic_data(vec![data.with_partition_data(vec![partition])]);
        let connection = sim.send(9, request);
        assert_eq!(sim.outcome(connection), Some(outcome), "{name}");
    }
    assert_eq!(sim.core.offsets("t", 0), Some((0, 1, 1)));
}

#[test]
fn a_repeated_batch_is_answered_as_the_first_time_and_a_gap_is_refused() {
    let mut sim = sim();
    let producer = Producer { id: 7, epoch: 0 };
    let batch = |sequence: i32| Batch::idempotent(producer, sequence, &["a", "b"]);
    for sequence in [0, 2, 4, 6, 8, 10] {
        assert_eq!(
            sim.produce("t", 0, &batch(sequence)).base_offset,
            i64::from(sequence)
        );
    }
    assert_eq!(
        sim.produce("t", 0, &batch(2)).base_offset,
        2,
        "the fifth last"
    );
    assert_eq!(
        sim.produce("t", 0, &batch(0)).error_code,
        45,
        "the sixth last is forgotten"
    );
    assert_eq!(sim.produce("t", 0, &batch(14)).error_code, 45, "a gap");
    assert_eq!(sim.core.offsets("t", 0), Some((0, 12, 12)));
}

#[test]
fn a_new_epoch_starts_at_sequence_0_and_fences_the_old_one() {
    let mut sim = sim();
    let old = Producer { id: 7, epoch: 3 };
    let new = Producer { epoch: 4, ..old };
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(old, 5, &["a"]))
            .error_code,
        0,
        "unknown producers may start anywhere"
    );
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(new, 6, &["b"]))
            .error_code,
        45
    );
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(new, 0, &["b"]))
            .error_code,
        0
    );
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(old, 6, &["c"]))
            .error_code,
        47
    );
}

#[test]
fn sequences_wrap_around() {
    let mut sim = sim();
    let producer = Producer { id: 7, epoch: 0 };
    assert_eq!(
        sim.produce(
            "t",
            0,
            &Batch::idempotent(producer, i32::MAX - 1, &["a", "b"])
        )
        .error_code,
        0
    );
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(producer, 0, &["c"]))
            .error_code,
        0
    );
}

#[test]
fn a_fetch_waits_for_min_bytes_or_its_time() {
    let mut sim = sim();
    let size = i32::try_from(Batch::plain(&["a"]).bytes().len()).unwrap();
    let request = Sim::fetch_request("t", 0, 0, false)
        .with_max_wait_ms(500)
        .with_min_bytes(size * 2);
    let waiting = sim.send(12, request.clone());
    sim.produce("t", 0, &Batch::plain(&["a"]));
    assert!(
        sim.answer::<FetchResponse>(waiting).is_none(),
        "one batch is not enough"
    );
    sim.produce("t", 0, &Batch::plain(&["b"]));
    let response: FetchResponse = sim.answer(waiting).unwrap();
    assert_eq!(
        values(&visible(&response.responses[0].partitions[0], 0)),
        ["a", "b"]
    );

    let waiting = sim.send(
        12,
        request.with_topics(Sim::fetch_request("t", 1, 0, false).topics),
    );
    sim.pass(499);
    assert!(sim.outcome(waiting).is_none());
    sim.pass(1);
    assert!(sim.outcome(waiting).is_some());
}

#[test]
fn a_fetch_out_of_range_is_told_at_once_and_a_deleted_topic_ends_the_wait() {
    let mut sim = sim();
    assert_eq!(sim.fetch("t", 0, 1, false).error_code, 1);
    let waiting = sim.send(
        12,
        Sim::fetch_request("t", 0, 0, false).with_max_wait_ms(500),
    );
    sim.core.delete_topic("t").unwrap();
    sim.pass(0);
    let response: FetchResponse = sim.answer(waiting).unwrap();
    assert_eq!(response.responses[0].partitions[0].error_code, 3);
}

#[test]
fn max_bytes_is_kept_but_never_starves() {
    let mut sim = sim();
    for value in ["a", "b", "c"] {
        sim.produce("t", 0, &Batch::plain(&[value]));
    }
    let size = i32::try_from(Batch::plain(&["a"]).bytes().len()).unwrap();
    for (max_bytes, expected) in [
        (1, 1),
        (size, 1),
        (size * 2, 2),
        (size * 2 + 1, 2),
        (size * 3, 3),
    ] {
        let request = Sim::fetch_request("t", 0, 0, false).with_max_bytes(max_bytes);
        let response: FetchResponse = sim.call(12, request);
        assert_eq!(
            batches(&response.responses[0].partitions[0]).len(),
            expected,
            "{max_bytes}"
        );
    }
}

#[test]
fn timestamps_are_looked_up_inside_batches() {
    let mut sim = sim();
    sim.produce("t", 0, &Batch::plain(&["a", "b"]).at(100));
    sim.produce("t", 0, &Batch::plain(&["c"]).at(300));
    sim.produce("t", 0, &Batch::plain(&["d"]).at(200));
    let cases = [
        (0, (100, 0)),
        (101, (300, 2)),
        (300, (300, 2)),
        (301, (-1, -1)),
        (-1, (-1, 4)),
        (-2, (-1, 0)),
    ];
    for (timestamp, found) in cases {
        assert_eq!(sim.list_offset("t", timestamp, false), found, "{timestamp}");
    }
    assert_eq!(
        sim.list_offset("t", -3, false),
        (300, 2),
        "the highest timestamp"
    );
    sim.core.delete_records_of("t", 0, 3).unwrap();
    assert_eq!(sim.list_offset("t", 0, false), (200, 3));
    assert_eq!(sim.list_offset("t", -2, false), (-1, 3));
    assert_eq!(sim.fetch("t", 0, 2, false).error_code, 1);
}

#[test]
fn log_append_time_overwrites_the_producers() {
    let mut sim = Sim::new();
    sim.core
        .create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .unwrap();
    let response = sim.produce("t", 0, &Batch::plain(&["a"]).at(5));
    assert_eq!(response.log_append_time_ms, 1_000);
    assert_eq!(sim.list_offset("t", 6, false), (1_000, 0));
    assert!(crate::log::batch::checksum_holds(
        &batches(&sim.fetch("t", 0, 0, false))[0].1
    ));
}

#[test]
fn compaction_keeps_the_last_of_each_key_below_the_stable_offset() {
    let mut sim = Sim::new();
    sim.core
        .create_topic("t", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    let keyed = |records: &[(&str, &str)]| Batch {
        records: records
            .iter()
            .map(|(key, value)| (Some((*key).to_owned()), Some((*value).to_owned())))
            .collect(),
        ..Batch::plain(&[])
    };
    sim.produce("t", 0, &keyed(&[("a", "1"), ("b", "1"), ("a", "2")]));
    sim.produce("t", 0, &keyed(&[("b", "2")]));
    let producer = sim.producer("tx");
    assert_eq!(sim.add("tx", producer, "t", 0), 0);
    let open = Batch {
        transactional: true,
        producer,
        sequence: 0,
        ..keyed(&[("a", "open")])
    };
    assert_eq!(sim.produce("t", 0, &open).error_code, 0);
    sim.core.compact("t").unwrap();
    let data = sim.fetch("t", 0, 0, false);
    assert_eq!(
        visible(&data, 0),
        [
            (2, "2".to_owned()),
            (3, "2".to_owned()),
            (4, "open".to_owned())
        ]
    );
    assert_eq!(sim.end("tx", producer, false), 0);
    sim.core.compact("t").unwrap();
    assert_eq!(
        values(&visible(&sim.fetch("t", 0, 0, true), 0)),
        ["2", "2"],
        "an aborted record shadows nothing"
    );
}

/// One step of the random histories.
#[derive(Debug, Clone)]
enum Op {
    Plain {
        partition: i32,
    },
    Write {
        who: usize,
        partition: i32,
        records: usize,
    },
    Commit {
        who: usize,
    },
    Abort {
        who: usize,
    },
    Restart {
        who: usize,
    },
    Expire {
        who: usize,
    },
    Pass,
}

/// What the oracle knows of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    Open(usize),
}

#[derive(Debug, Default)]
struct Writer {
    producer: Option<Producer>,
    open: bool,
    sequences: BTreeMap<i32, i32>,
}

const WRITERS: usize = 3;

/// The naive oracle: every record with its fate, and nothing else.
struct History {
    sim: Sim,
    writers: Vec<Writer>,
    records: Vec<BTreeMap<i64, (String, Fate)>>,
    written: usize,
}

impl History {
    fn new(marker_delay_ms: i32) -> Self {
        let mut sim = Sim::with(Options {
            marker_delay_ms,
            ..Options::default()
        });
        sim.core.create_topic("t", 2, &[]).unwrap();
        let writers = (0..WRITERS).map(|_| Writer::default()).collect();
        Self {
            sim,
            writers,
            records: vec![BTreeMap::new(), BTreeMap::new()],
            written: 0,
        }
    }

    fn note(&mut self, partition: i32, base: i64, values: &[String], fate: Fate) {
        for (offset, value) in (base..).zip(values) {
            self.records[usize::try_from(partition).unwrap()].insert(offset, (value.clone(), fate));
        }
    }

    fn fresh(&mut self, count: usize) -> Vec<String> {
        self.written += count;
        (self.written - count..self.written)
            .map(|number| format!("v{number}"))
            .collect()
    }

    fn settle(&mut self, who: usize, fate: Fate) {
        for record in self.records.iter_mut().flat_map(BTreeMap::values_mut) {
            if record.1 == Fate::Open(who) {
                record.1 = fate;
            }
        }
        self.writers[who].open = false;
    }

    fn id(who: usize) -> String {
        format!("tx{who}")
    }

    fn restart(&mut self, who: usize) -> Producer {
        self.settle(who, Fate::Aborted);
        let producer = loop {
            match self.sim.init(&Self::id(who)) {
                Ok(producer) => break producer,
                Err(code) => assert_eq!(code, 51),
            }
            self.sim.pass(10);
        };
        self.writers[who] = Writer {
            producer: Some(producer),
            ..Writer::default()
        };
        producer
    }

    fn write(&mut self, who: usize, partition: i32, count: usize) {
        let producer = match self.writers[who].producer {
            Some(producer) => producer,
            None => self.restart(who),
        };
        let id = Self::id(who);
        while self.sim.add(&id, producer, "t", partition) == 51 {
            self.sim.pass(10);
        }
        let sequence = *self.writers[who].sequences.entry(partition).or_default();
        let values = self.fresh(count);
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let batch = Batch::transactional(producer, sequence, &texts);
        let response = self
            .sim
            .produce_as((9, Some(&id)), "t", partition, batch.bytes());
        assert_eq!(response.error_code, 0);
        self.writers[who].open = true;
        *self.writers[who].sequences.entry(partition).or_default() += i32::try_from(count).unwrap();
        self.note(partition, response.base_offset, &values, Fate::Open(who));
    }

    fn end(&mut self, who: usize, commit: bool) {
        let Some(producer) = self.writers[who]
            .producer
            .filter(|_| self.writers[who].open)
        else {
            return;
        };
        assert_eq!(self.sim.end(&Self::id(who), producer, commit), 0);
        self.settle(
            who,
            if commit {
                Fate::Committed
            } else {
                Fate::Aborted
            },
        );
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Plain { partition } => {
                let values = self.fresh(1);
                let response = self
                    .sim
                    .produce("t", partition, &Batch::plain(&[&values[0]]));
                self.note(partition, response.base_offset, &values, Fate::Committed);
            }
            Op::Write {
                who,
                partition,
                records,
            } => self.write(who, partition, records),
            Op::Commit { who } => self.end(who, true),
            Op::Abort { who } => self.end(who, false),
            Op::Restart { who } => drop(self.restart(who)),
            Op::Expire { who } => {
                if self.writers[who].open {
                    assert!(self.sim.core.expire_transaction(&Self::id(who)));
                    self.settle(who, Fate::Aborted);
                    // The fenced owner finds out and starts again.
                    let producer = self.writers[who].producer.unwrap();
                    assert_eq!(self.sim.end(&Self::id(who), producer, true), 47);
                    self.writers[who].producer = None;
                }
            }
            Op::Pass => self.sim.pass(7),
        }
    }

    /// Reads a partition as a client does, from `from`, a few bytes at a time.
    fn read(&mut self, partition: i32, from: i64, max_bytes: i32) -> (Vec<Seen>, i64) {
        let (mut at, mut seen) = (from, Vec::new());
        loop {
            let request = Sim::fetch_request("t", partition, at, true).with_max_bytes(max_bytes);
            let response: FetchResponse = self.sim.call(12, request);
            let data = &response.responses[0].partitions[0];
            assert_eq!(data.error_code, 0);
            let Some((last, _)) = batches(data).last().cloned() else {
                return (seen, at);
            };
            seen.extend(visible(data, at));
            at = last.last_offset() + 1;
        }
    }

    fn check(&mut self, from: i64, max_bytes: i32) {
        for partition in 0..2 {
            let index = usize::try_from(partition).unwrap();
            let (start, stable, end) = self.sim.core.offsets("t", partition).unwrap();
            let first_open = self.records[index]
                .iter()
                .find(|(_, (_, fate))| matches!(fate, Fate::Open(_)))
                .map(|(at, _)| *at);
            // With slow markers the log may trail the oracle, but never lead it.
            assert!(stable <= first_open.unwrap_or(end), "partition {partition}");
            let from = from.clamp(start, stable);
            let expected: Vec<Seen> = self.records[index]
                .range(from..stable)
                .filter(|(_, (_, fate))| *fate == Fate::Committed)
                .map(|(offset, (value, _))| (*offset, value.clone()))
                .collect();
            let (seen, at) = self.read(partition, from, max_bytes);
            assert_eq!(seen, expected, "partition {partition} from {from}");
            assert_eq!(at, stable.max(from), "a reader ends at the stable offset");
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..WRITERS;
    prop_oneof![
        2 => (0..2_i32).prop_map(|partition| Op::Plain { partition }),
        8 => (who.clone(), 0..2_i32, 1..4_usize)
            .prop_map(|(who, partition, records)| Op::Write { who, partition, records }),
        3 => who.clone().prop_map(|who| Op::Commit { who }),
        2 => who.clone().prop_map(|who| Op::Abort { who }),
        1 => who.clone().prop_map(|who| Op::Restart { who }),
        1 => who.prop_map(|who| Op::Expire { who }),
        2 => Just(Op::Pass),
    ]
}

proptest! {
    #[test]
    fn a_read_committed_reader_sees_exactly_the_committed_records(
        ops in proptest::collection::vec(op(), 1..60),
        from in 0..40_i64,
        max_bytes in 1..2_000,
        slow_markers in any::<bool>(),
    ) {
        let mut history = History::new(if slow_markers { 3 } else { 0 });
        for op in &ops {
            history.step(op);
            history.check(from, max_bytes);
        }
        history.sim.pass(1_000);
        for who in 0..WRITERS {
            history.end(who, true);
        }
        history.sim.pass(1_000);
        for partition in 0..2 {
            let (_, stable, end) = history.sim.core.offsets("t", partition).unwrap();
            prop_assert_eq!(stable, end, "nothing is left open");
        }
        history.check(0, max_bytes);
    }
}
