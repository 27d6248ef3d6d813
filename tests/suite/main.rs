//! The suite that runs on every broker: embedded by default, Apache Kafka with
//! `ONCEFLOW_TEST_BROKER=apache`.

mod client_conformance;
