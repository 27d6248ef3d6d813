//! The example's parts on their own, and the whole of it, short.
#![expect(
    dead_code,
    reason = "what only the program calls is run as a program, below"
)]

mod arguments;
mod audit;
mod ledger;
mod model;
mod payments;
mod service;
mod table;
mod worker;

use std::sync::Arc;

use onceflow::prelude::*;
use onceflow_examples::run::WorkerArguments;
use onceflow_examples::testing::{run_example, run_failing_example};
use onceflow_tests::postgres::Postgres;

use arguments::TillArguments;
use ledger::Ledger;
use model::{Answer, ORDERS, Order, RECEIPTS, Receipt};

/// The shop that pays with a service.
fn shop(service: &str) -> Topology {
    let arguments = TillArguments {
        common: WorkerArguments {
            bootstrap_servers: String::new(),
            application_id: String::new(),
            run: String::new(),
        },
        payments: service.to_owned(),
        postgres: None,
    };
    worker::shop(&arguments).expect("the topology is valid")
}

#[test]
fn an_order_that_comes_again_is_not_charged_again() {
    let ledger = Arc::new(Ledger::open(false));
    let service = service::open(Arc::clone(&ledger)).unwrap();
    let driver = TestDriver::new(shop(&service.to_string())).unwrap();
    let orders = driver.input_topic(ORDERS, utf8(), json::<Order>());
    let order = Order {
        id: 7,
        cents: 1_999,
    };
    for _ in 0..2 {
        let again = order.clone();
        orders
            .pipe("order-7", again, Timestamp::from_millis(0))
            .unwrap();
    }
    let receipts = driver.output_topic(RECEIPTS, utf8(), json::<Receipt>());
    let receipts = receipts.read_key_values().unwrap().into_iter();
    let answers: Vec<Answer> = receipts.map(|(_, receipt)| receipt.answer).collect();
    assert_eq!(answers, [Answer::Charged, Answer::Known]);
    assert_eq!(ledger.journal(), [order]);
}

#[test]
fn a_service_that_is_away_stops_the_application() {
    let error = TestDriver::new(shop("127.0.0.1:1")).expect_err("nobody listens there");
    let error = error.to_string();
    assert!(
        error.contains("the payment service does not answer"),
        "{error}"
    );
}

#[test]
fn every_order_is_charged_once_although_the_worker_is_killed() {
    let said = run_example("orders", &["--orders=20000", "--crashes=2"]);
    assert!(said.contains("crash 2/2"), "{said}");
    assert!(
        said.contains("\nPASSED: every order was charged once"),
        "{said}"
    );
}

#[test]
fn without_ids_customers_pay_twice_and_the_audit_says_so() {
    let said = run_failing_example("orders", &["--orders=20000", "--crashes=2", "--naive"]);
    assert!(said.contains("FAIL  no order was charged twice"), "{said}");
    assert!(said.contains("ok    every order was charged "), "{said}");
}

#[test]
fn every_order_is_one_row_although_the_worker_is_killed() {
    let database = Postgres::shared().database("orders");
    let postgres = format!("--postgres={}", database.connection);
    let said = run_example("orders", &["--orders=20000", "--crashes=2", &postgres]);
    assert!(said.contains("crash 2/2"), "{said}");
    assert!(
        said.contains("\nPASSED: every order was charged once"),
        "{said}"
    );
    let left = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'onceflow_orders%'";
    assert_eq!(database.rows(left), [""; 0]);
}
