//! The example's parts on their own, and the whole of it, short.
#![expect(
    dead_code,
    reason = "what only the program calls is run as a program, below"
)]

mod arguments;
mod audit;
mod group;
mod ownership;
mod show;
mod topology;

use onceflow::prelude::*;
use onceflow_examples::testing::run_example;

use topology::{EVENTS, Stamped, stamping};

#[test]
fn an_event_names_its_worker_and_where_it_came_from() {
    let driver = TestDriver::new(stamping(EVENTS, "out", "worker-2").unwrap()).unwrap();
    let events = driver.input_topic(EVENTS, utf8(), utf8());
    for event in ["7", "9"] {
        events
            .pipe(event, event, Timestamp::from_millis(0))
            .unwrap();
    }
    let stamped = driver.output_topic("out", utf8(), json::<Stamped>());
    let stamped = stamped.read_key_values().unwrap();
    let expected = Stamped {
        event: 9,
        worker: "worker-2".to_owned(),
        partition: 0,
        offset: 1,
    };
    assert_eq!(stamped[1], ("9".to_owned(), expected));
}

#[test]
fn every_application_gets_every_event_while_workers_come_and_go() {
    let said = run_example("consumer_groups", &["--events=3000", "--applications=2"]);
    assert!(said.contains("worker-1 has left"), "{said}");
    assert!(
        said.contains("\nPASSED: every application got every event once"),
        "{said}"
    );
}
