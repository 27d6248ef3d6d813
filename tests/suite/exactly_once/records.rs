//! Records that cannot be read or processed: where the application stops, what is committed by
//! then, and how it goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use onceflow_framework::{Error, ErrorKind, Fault, processor::OnBadRecord};
use onceflow_tests::{
    Cluster, Delivered, Outgoing, Program,
    ledger::{Hook, Ledger, no_hook},
};

use super::{outlast_transaction, program};

/// Puts bytes in that no source of the ledger can read, and tells where they are.
fn poison(ledger: &Ledger<'_>) -> Delivered {
    let poison = Outgoing::value([1, 2, 3]).key("account-00");
    ledger.cluster.produce(&ledger.topics.input, [poison])[0]
}

/// The error names the record that it is about: node, topic, partition and offset.
fn assert_names(error: &Error, node: &str, ledger: &Ledger<'_>, at: Delivered) {
    let input = &ledger.topics.input;
    assert_eq!(error.node(), Some(node), "{error}");
    let position = error
        .position()
        .unwrap_or_else(|| panic!("no position: {error}"));
    let found = (
        &*position.topic_partition.topic,
        position.topic_partition.partition,
    );
    assert_eq!(found, (input.as_str(), at.partition), "{error}");
    assert_eq!(position.offset.get(), at.offset, "{error}");
    let place = format!("{input}-{} at offset {}", at.partition, at.offset);
    assert!(
        error.to_string().contains(&place),
        "'{error}' names no '{place}'"
    );
}

#[test]
fn poison_stops_the_application_at_its_position_with_all_before_it_committed() {
    let ledger = Ledger::new(Cluster::shared(), "poison", 1);
    ledger.feed(100);
    let at = poison(&ledger);
    // A second attempt finds the same: nothing is skipped by starting again.
    for _ in 0..2 {
        let failure = program(&ledger, no_hook()).failure();
        assert_eq!(failure.kind(), ErrorKind::Deserialization, "{failure}");
        assert_names(&failure, "entries", &ledger, at);
        assert_eq!(
            ledger.consumed_to(0),
            at.offset,
            "everything before the poison, and not it"
        );
        ledger.audit_first_half();
    }
    ledger.feed(50);
    let config = ledger
        .config("a")
        .on_bad_record(OnBadRecord::Continue)
        .build()
        .unwrap();
    let skipping = Program::start(ledger.topics.topology(no_hook()).unwrap(), config).unwrap();
    ledger.wait_for_all();
    assert_eq!(skipping.app().metrics().dropped_total(), 1);
    skipping.close().unwrap();
    ledger.audit();
}

#[test]
fn poison_that_is_dropped_is_counted_once_although_its_batch_is_replayed() {
    let ledger = Ledger::new(Cluster::shared(), "poison-replay", 1);
    ledger.feed(10);
    poison(&ledger);
    ledger.feed(10);
    poison(&ledger);
    ledger.feed(10);
    // The batch that holds the poison takes longer than its transaction may, once.
    let replayed = Arc::new(AtomicBool::new(false));
    let slow_once = outlast_transaction(&replayed);
    let config = ledger
        .config("a")
        .on_bad_record(OnBadRecord::Continue)
        .property("batch.bytes.max", "1000000")
        .property("transaction.timeout.ms", "1000")
        .build()
        .unwrap();
    let skipping = Program::start(ledger.topics.topology(slow_once).unwrap(), config).unwrap();
    ledger.wait_for_all();
    assert!(replayed.load(Ordering::Relaxed), "the batch was to be slow");
    assert_eq!(skipping.app().metrics().dropped_total(), 2);
    skipping.close().unwrap();
    ledger.audit();
}

/// A hook that fails at one entry, as `fail` says.
fn failing_at(
    ledger: &Ledger<'_>,
    number: usize,
    fail: fn() -> Result<(), Fault>,
) -> (Hook, Delivered) {
    let (entry, at) = ledger.nth(number);
    let hook: Hook = Arc::new(move |account, number, _amount| {
        if account == entry.account && number == entry.number {
            fail()
        } else {
            Ok(())
        }
    });
    (hook, at)
}

/// Stops at an entry in the middle, leaves nothing of its batch behind, goes on when repaired.
fn stops_and_goes_on(name: &str, fail: fn() -> Result<(), Fault>, says: &str) {
    let ledger = Ledger::new(Cluster::shared(), name, 2);
    ledger.feed(200);
    let (hook, at) = failing_at(&ledger, 120, fail);
    let failure = program(&ledger, hook).failure();
    assert_eq!(failure.kind(), ErrorKind::Processing, "{failure}");
    assert_names(&failure, "balance", &ledger, at);
    assert!(failure.to_string().contains(says), "{failure}");
    // One statement an entry, into the partition of its number: what is visible is what is
    // consumed, and the entry that failed is not among it.
    let visible = ledger.statements();
    for partition in [0, 1] {
        let statements = visible
            .iter()
            .filter(|record| record.partition == partition)
            .count();
        let consumed = ledger.consumed_to(partition);
        assert_eq!(
            i64::try_from(statements).unwrap(),
            consumed,
            "partition {partition}"
        );
    }
    assert!(ledger.consumed_to(at.partition) <= at.offset);
    let repaired = program(&ledger, no_hook());
    ledger.wait_for_all();
    repaired.close().unwrap();
    ledger.audit();
}

#[test]
fn a_processors_error_aborts_its_batch_and_stops_at_its_position() {
    stops_and_goes_on(
        "user-error",
        || Err(Fault::message("no such branch")),
        "no such branch",
    );
}

#[test]
fn a_processors_panic_aborts_its_batch_and_stops_at_its_position() {
    stops_and_goes_on(
        "user-panic",
        || panic!("index out of range"),
        "index out of range",
    );
}
