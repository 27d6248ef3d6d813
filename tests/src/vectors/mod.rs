//! What Kafka Streams answers, case by case: names, outputs, stores, internal topics, drops.
//!
//! A case is a line of JSON: a topology, records, and the answers of the Java original. The runner
//! builds the topology with the operators of the library, plays the steps on the test driver and
//! compares everything.
//!
//! ```text
//!   file ──line──> case ─┬─ topology ──families──> Topology ──> TestDriver ─┐
//!                        ├─ steps ──────────────────────────────────────────┴─> answers ─┐
//!                        └─ expect, expect_fixed ──────────────────────────────────compare ─> Verdict
//! ```
//!
//! # Invariants
//!
//! - What the runner does not know fails the case, with the reason: nothing is passed over. The one
//!   exception is a case that is marked as a bug of Java's and has no right answer to compare with.
//! - A family of operators is a file: it applies its own ops, and brings the types that it makes.

mod val;
mod functions;
mod fields;
mod unplayable;
mod handles;
mod build;
mod sources;
mod stateless;
mod tables;
mod aggregates;
mod windows;
mod cogroups;
mod joins;
mod processor;
mod low_level;
mod play;
mod compare;
mod file;
mod report;

pub use file::{FileError, read};
pub use report::{Report, Verdict, play_file};
