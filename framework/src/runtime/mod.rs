//! Running a topology: workers, their tasks and batches.
//!
//! # Invariants
//!
//! - One worker is one thread with one consumer and one producer; nothing of a task leaves it.
//! - One batch is one transaction; state changes only after the broker has committed it.

mod task;

pub(crate) use task::{Task, TaskSettings};
