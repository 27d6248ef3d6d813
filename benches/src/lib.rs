//! What the benchmarks stand on: workloads, contenders, a broker, and figures of the operating system.
//!
//! ```text
//!   compare ──starts──> Apache Kafka
//!      ├──loads──> input topic, with the fingerprint of each workload's right output
//!      └──in turn──> worker (onceflow) │ handwritten (rdkafka) │ Peer.java (Kafka Streams)
//!                       run WORKLOAD ... ──one line of JSON──> table, JSON, plot
//! ```
//!
//! # Invariants
//!
//! - **One ruler.** All contenders count a record when its commit has succeeded, take the same
//!   marks (first record, half, end), and read time, CPU and memory from the operating system.
//! - **One output.** Outputs are compared with the input before a figure is believed.

pub mod os;
pub mod workload;
pub mod cli;
pub mod marks;
pub mod report;
pub mod topics;
pub mod micro;
pub mod onceflow_worker;
pub mod handwritten;
pub mod compare;

/// Anything that ends a benchmark, with its reason.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
