//! The engine of onceflow.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod record;
pub mod time;
pub mod error;
pub mod serde;

pub use error::{Error, ErrorKind, Fault, Recovery};
pub use record::{Header, Headers, Offset, Position, RawRecord, Record, TaskId, TopicPartition};
pub use time::Timestamp;
pub mod metrics;
pub mod state;
pub mod processor;
pub mod topology;

mod broker;
mod runtime;
pub mod test_driver;

pub use processor::{Context, Processor};
pub use topology::{Topology, TopologyBuilder};
