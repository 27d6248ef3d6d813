//! The suite that runs on every broker: embedded by default, Apache Kafka with
//! `ONCEFLOW_TEST_BROKER=apache`.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

mod client_conformance;
mod exactly_once;
mod guarantees;
mod global_stores;
mod patterns;
mod queries;
mod reset;
