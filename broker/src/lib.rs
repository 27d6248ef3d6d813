//! An embedded single-node Kafka broker, in memory, for development and tests.
//!
//! It speaks the real wire protocol: librdkafka, the Java clients and Kafka's own tools connect to it as to
//! any broker. Transactions, isolation levels, idempotence, fencing, consumer groups and transactional
//! offsets behave as on Apache Kafka. Nothing is written to disk.
//!
//! ```
//! use onceflow_broker::EmbeddedBroker;
//!
//! let broker = EmbeddedBroker::start()?;
//! broker.create_topic("orders", 4)?;
//! println!("bootstrap.servers={}", broker.bootstrap_servers());
//! # Ok::<(), onceflow_broker::Error>(())
//! ```
//!
//! # Layers
//!
//! | module | role |
//! |---|---|
//! | `log` `topics` `transactions` `groups` | the state, and what is allowed |
//! | `api` | requests to the state and back |
//! | `core` | the state machine, stepped with requests and a clock: no socket, no thread, no time |
//! | `faults` | what goes wrong on purpose |
//! | `wire` | frames |
//! | `server` `embedded` | sockets, threads and the clock; the handle that owns them |
//!
//! A deterministic simulation uses [`Core`] directly; everybody else starts an [`EmbeddedBroker`].

mod options;
mod request;
mod ids;
mod timers;
mod log;
mod topics;
mod transactions;
mod groups;
mod fetches;
mod faults;
mod api;
mod core;
mod admin;
mod wire;
mod server;
mod embedded;
#[cfg(test)]
mod testing;

pub use kafka_protocol as protocol;
pub use kafka_protocol::error::ResponseError as ErrorCode;
pub use kafka_protocol::messages::ApiKey;

pub use crate::admin::AdminError;
pub use crate::core::Core;
pub use crate::embedded::{Builder, EmbeddedBroker, Error, FaultControl, Memory};
pub use crate::faults::{Coordinator, FaultId, FaultRule, Faults, RULES_MAX};
pub use crate::options::Options;
pub use crate::request::{ConnectionId, Outcome, Reply, Request};
