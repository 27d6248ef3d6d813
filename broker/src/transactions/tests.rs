//! Epochs, fencing, time-outs and repeated requests, in virtual time.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
};

use super::Producer;
use crate::Options;
use crate::testing::{Batch, Sim, batches, text, topic, transactional_id, visible};

const NONE: Producer = Producer { id: -1, epoch: -1 };

fn sim() -> Sim {
    let mut sim = Sim::new();
    sim.core.create_topic("t", 2, &[]).unwrap();
    sim
}

/// A producer with one record in an open transaction.
fn with_open(sim: &mut Sim, id: &str) -> Producer {
    let producer = sim.producer(id);
    assert_eq!(sim.add(id, producer, "t", 0), 0);
    let response = sim.produce_as(
        (9, Some(id)),
        "t",
        0,
        Batch::transactional(producer, 0, &["v"]).bytes(),
    );
    assert_eq!(response.error_code, 0);
    producer
}

#[test]
fn every_initialisation_takes_the_next_epoch_of_the_same_producer_id() {
    let mut sim = sim();
    let first = sim.init("tx").unwrap();
    let second = sim.init("tx").unwrap();
    assert_eq!((first.epoch, second.epoch, second.id), (0, 1, first.id));
    assert_ne!(sim.init("other").unwrap().id, first.id);
}

#[test]
fn initialising_over_an_open_transaction_aborts_it_between_two_epochs() {
    let mut sim = sim();
    let zombie = with_open(&mut sim, "tx");
    assert_eq!(sim.init("tx"), Err(51), "ask again");
    let owner = sim.init("tx").unwrap();
    assert_eq!(owner.epoch, zombie.epoch + 2);
    let data = sim.fetch("t", 0, 0, true);
    assert!(visible(&data, 0).is_empty());
    let (marker, bytes) = batches(&data)[1].clone();
    assert_eq!(
        marker.producer_epoch,
        zombie.epoch + 1,
        "the marker has the epoch that nobody was given"
    );
    assert!(marker.is_control() && marker.is_transactional());
    assert_eq!((marker.base_sequence, marker.records), (-1, 1));
    assert_eq!(
        bytes[61..],
        [0x20, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0],
        "an abort marker"
    );
}

#[test]
fn a_zombie_is_fenced_from_every_request() {
    let mut sim = sim();
    let zombie = sim.producer("tx");
    sim.producer("tx");
    assert_eq!(sim.add("tx", zombie, "t", 0), 47);
    assert_eq!(sim.end("tx", zombie, true), 47);
    let batch = Batch::transactional(zombie, 0, &["v"]).bytes();
    assert_eq!(
        sim.produce_as((9, Some("tx")), "t", 0, batch).error_code,
        47
    );
    assert_eq!(
        sim.init_with("tx", 1_000, zombie),
        Err(90),
        "of InitProducerId 4 and later it reads PRODUCER_FENCED"
    );
    let stranger = Producer {
        id: zombie.id + 100,
        epoch: 0,
    };
    assert_eq!(sim.add("tx", stranger, "t", 0), 49);
    assert_eq!(sim.add("unknown", zombie, "t", 0), 49);
    assert_eq!(sim.add("", zombie, "t", 0), 42);
}

#[test]
fn a_bump_that_was_asked_for_twice_is_answered_twice() {
    let mut sim = sim();
    let first = sim.init("tx").unwrap();
    let second = sim.init_with("tx", 1_000, first).unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    assert_eq!(
        sim.init_with("tx", 1_000, first),
        Ok(second),
        "the answer was lost"
    );
    assert_eq!(
        sim.init_with("tx", 1_000, second).unwrap().epoch,
        second.epoch + 1
    );
    assert_eq!(sim.init_with("tx", 1_000, first), Err(90));
}

#[test]
fn an_exhausted_epoch_brings_a_new_producer_id() {
    let mut sim = sim();
    let mut producer = sim.init("tx").unwrap();
    let first_id = producer.id;
    while producer.id == first_id {
        assert!(producer.epoch < i16::MAX);
        producer = sim.init_with("tx", 1_000, producer).unwrap();
    }
    assert_eq!(producer.epoch, 0);
}

#[test]
fn time_outs_out_of_bounds_and_half_given_producers_are_refused() {
    let mut sim = sim();
    assert_eq!(sim.init_with("tx", 900_001, NONE), Err(50));
    assert_eq!(sim.init_with("tx", 0, NONE), Err(50));
    assert_eq!(sim.init_with("", 1_000, NONE), Err(42));
    assert_eq!(
        sim.init_with("tx", 1_000, Producer { id: 3, epoch: -1 }),
        Err(42)
    );
}

#[test]
fn ending_is_idempotent_in_one_direction() {
    let mut sim = sim();
    let producer = sim.producer("tx");
    assert_eq!(sim.end("tx", producer, true), 48, "nothing is open");
    for commit in [true, false] {
        assert_eq!(sim.add("tx", producer, "t", 0), 0);
        assert_eq!(sim.end("tx", producer, commit), 0);
        assert_eq!(sim.end("tx", producer, commit), 0, "the answer was lost");
        assert_eq!(sim.end("tx", producer, !commit), 48);
    }
}

#[test]
fn a_marker_goes_to_every_partition_of_the_transaction_written_or_not() {
    let mut sim = sim();
    let producer = with_open(&mut sim, "tx");
    assert_eq!(sim.add("tx", producer, "t", 1), 0);
    assert_eq!(sim.end("tx", producer, true), 0);
    assert_eq!(sim.core.offsets("t", 0), Some((0, 2, 2)));
    assert_eq!(sim.core.offsets("t", 1), Some((0, 1, 1)));
    let (marker, bytes) = batches(&sim.fetch("t", 1, 0, false))[0].clone();
    assert!(marker.is_control());
    assert_eq!(
        bytes[61..],
        [0x20, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 0, 0],
        "a commit marker"
    );
}

#[test]
fn the_stable_offset_waits_for_the_oldest_open_transaction() {
    let mut sim = sim();
    let old = with_open(&mut sim, "old");
    let young = with_open(&mut sim, "young");
    assert_eq!(sim.end("young", young, true), 0);
    assert_eq!(sim.core.offsets("t", 0), Some((0, 0, 3)));
    assert_eq!(sim.list_offset("t", -1, true), (-1, 0));
    assert_eq!(sim.list_offset("t", -1, false), (-1, 3));
    assert!(visible(&sim.fetch("t", 0, 0, true), 0).is_empty());
    assert_eq!(sim.end("old", old, false), 0);
    assert_eq!(sim.core.offsets("t", 0), Some((0, 4, 4)));
    assert_eq!(
        visible(&sim.fetch("t", 0, 0, true), 0),
        [(1, "v".to_owned())]
    );
    assert!(sim.fetch("t", 0, 0, false).aborted_transactions.is_none());
}

#[test]
fn a_late_write_outside_of_its_transaction_is_refused() {
    let mut sim = sim();
    let producer = sim.producer("tx");
    let batch = Batch::transactional(producer, 0, &["v"]).bytes();
    assert_eq!(
        sim.produce_as((9, Some("tx")), "t", 0, batch.clone())
            .error_code,
        48
    );
    assert_eq!(
        sim.produce_as((11, Some("tx")), "t", 0, batch.clone())
            .error_code,
        120
    );
    assert_eq!(
        sim.produce_as((9, None), "t", 0, batch.clone()).error_code,
        53
    );
    assert_eq!(
        sim.produce_as((9, Some("unknown")), "t", 0, batch)
            .error_code,
        49
    );
    with_open(&mut sim, "other");
}

#[test]
fn a_plain_write_inside_of_its_own_transaction_is_refused() {
    let mut sim = sim();
    let producer = with_open(&mut sim, "tx");
    assert_eq!(
        sim.produce("t", 0, &Batch::idempotent(producer, 1, &["v"]))
            .error_code,
        48
    );
}

#[test]
fn partitions_are_added_all_or_none() {
    let mut sim = sim();
    let producer = sim.producer("tx");
    let partitions = AddPartitionsToTxnTopic::default()
        .with_name(topic("t"))
        .with_partitions(vec![0, 9]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id("tx"))
        .with_v3_and_below_producer_id(ProducerId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(vec![partitions]);
    let response: AddPartitionsToTxnResponse = sim.call(3, request);
    let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
    let codes: Vec<_> = results
        .iter()
        .map(|result| (result.partition_index, result.partition_error_code))
        .collect();
    assert_eq!(codes, [(0, 55), (9, 3)]);
    assert_eq!(sim.end("tx", producer, true), 48, "nothing was opened");
}

#[test]
fn an_expired_transaction_is_aborted_and_its_owner_fenced() {
    let mut sim = sim();
    let producer = sim.init_with("tx", 5_000, NONE).unwrap();
    assert_eq!(sim.add("tx", producer, "t", 0), 0);
    let batch = Batch::transactional(producer, 0, &["v"]).bytes();
    assert_eq!(sim.produce_as((9, Some("tx")), "t", 0, batch).error_code, 0);
    sim.pass(4_999);
    assert_eq!(sim.core.offsets("t", 0), Some((0, 0, 1)));
    sim.pass(1_001);
    assert_eq!(
        sim.core.offsets("t", 0),
        Some((0, 2, 2)),
        "swept within the interval"
    );
    assert_eq!(sim.end("tx", producer, true), 47);
    assert_eq!(sim.end("tx", producer, false), 47);
    assert_eq!(sim.producer("tx").epoch, producer.epoch + 2);
    assert_eq!(
        sim.core.next_deadline_ms(),
        None,
        "nobody sweeps when nothing is open"
    );
}

#[test]
fn slow_markers_keep_the_transaction_busy_and_come_one_by_one() {
    let mut sim = Sim::with(Options {
        marker_delay_ms: 10,
        ..Options::default()
    });
    sim.core.create_topic("t", 2, &[]).unwrap();
    let producer = with_open(&mut sim, "tx");
    assert_eq!(sim.add("tx", producer, "t", 1), 0);
    assert_eq!(sim.end("tx", producer, true), 0);
    assert_eq!(sim.add("tx", producer, "t", 0), 51);
    assert_eq!(sim.end("tx", producer, true), 51);
    assert_eq!(sim.end("tx", producer, false), 48);
    assert_eq!(sim.init("tx"), Err(51));
    sim.pass(10);
    assert_eq!(
        (sim.core.offsets("t", 0), sim.core.offsets("t", 1)),
        (Some((0, 2, 2)), Some((0, 0, 0)))
    );
    sim.pass(10);
    assert_eq!(sim.core.offsets("t", 1), Some((0, 1, 1)));
    assert_eq!(sim.add("tx", producer, "t", 0), 0);
}

#[test]
fn a_deleted_topic_does_not_hold_up_its_transaction() {
    let mut sim = sim();
    sim.core.create_topic("other", 1, &[]).unwrap();
    let producer = with_open(&mut sim, "tx");
    assert_eq!(sim.add("tx", producer, "other", 0), 0);
    sim.core.delete_topic("t").unwrap();
    assert_eq!(sim.end("tx", producer, true), 0);
    assert_eq!(sim.core.offsets("other", 0), Some((0, 1, 1)));
}

#[test]
fn transactions_are_listed_and_described() {
    let mut sim = sim();
    let producer = with_open(&mut sim, "open");
    sim.producer("idle");
    let ongoing =
        ListTransactionsRequest::default().with_state_filters(vec![text("Ongoing"), text("Odd")]);
    let listed: ListTransactionsResponse = sim.call(1, ongoing.with_duration_filter(-1));
    let ids: Vec<_> = listed
        .transaction_states
        .iter()
        .map(|one| one.transactional_id.0.as_str())
        .collect();
    assert_eq!(
        (ids, listed.unknown_state_filters),
        (vec!["open"], vec![text("Odd")])
    );
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![transactional_id("open"), transactional_id("unknown")]);
    let described: DescribeTransactionsResponse = sim.call(0, request);
    let [open, unknown] = described.transaction_states.as_slice() else {
        panic!("two were asked for")
    };
    assert_eq!(
        (open.producer_id.0, open.transaction_state.as_str()),
        (producer.id, "Ongoing")
    );
    assert_eq!(open.topics[0].partitions, [0]);
    assert_eq!(unknown.error_code, 105);
}
