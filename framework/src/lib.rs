//! The engine of onceflow: exactly-once stream processing on Kafka.
//!
//! Most programs depend on the `onceflow` crate, which adds the operators and re-exports this one.
//!
//! A topology is built as data ([`TopologyBuilder`]), tried in process without a broker
//! ([`test_driver`]), and run against Kafka inside your program ([`App`]).

pub mod record;
pub mod time;
mod window;
pub mod error;
pub mod serde;
pub mod handler;
pub mod config;
pub mod metrics;
pub mod state;
pub mod processor;
pub mod topology;
mod broker;
mod runtime;
pub mod query;
mod app;
pub mod reset;
pub mod test_driver;

/// Shared bytes: what headers hold, and what the [`bytes`](serde::bytes) serde reads and writes.
pub use bytes::Bytes;

pub use app::App;
pub use config::Config;
pub use error::{Error, ErrorKind, Fault, Recovery};
pub use processor::{Context, Processor};
pub use record::{Header, Headers, Offset, Position, RawRecord, Record, TaskId, TopicPartition};
pub use runtime::{BatchPoint, State};
pub use time::Timestamp;
pub use topology::{Topology, TopologyBuilder};
pub use window::{Window, Windowed};
