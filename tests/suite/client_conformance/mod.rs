//! What the real client may rely on, one claim a test: true of Apache Kafka 4.3.1, where each
//! was run first, and of the embedded broker.

mod produce;
mod fetch;
mod transactions;
mod fencing;
mod groups;
mod offsets;
mod admin;
mod outages;
mod model;
