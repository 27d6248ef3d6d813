//! Running a topology: workers, their tasks and batches.
//!
//! # Invariants
//!
//! - One worker is one thread with one consumer and one producer; nothing of a task leaves it.
//! - One batch is one transaction; state changes only after the broker has committed it.
//! - The two weaker guarantees run the same loop without a transaction: `transaction::plain` says
//!   what a commit is then, `reserve` what goes before.

mod supervise;
mod worker;
mod pace;
mod settle;
mod reserve;
mod assignment;
mod restore;
mod idle;
mod active_task;
mod task;
mod attempt;
mod calls;
mod left_over;
#[cfg(test)]
mod left_over_tests;
mod external;
mod catch_up;
#[cfg(test)]
mod external_tests;
mod careful;
mod bisect;
mod globals;
mod global_reader;
#[cfg(test)]
mod global_reader_tests;
mod queries;
mod transaction;
mod metadata;
mod probe;
mod scout;
mod topics;
mod shared;
mod instance;

pub use probe::BatchPoint;
pub use shared::State;

pub(crate) use active_task::{ActiveTask, Lane, OpenCalls, Progress};
pub(crate) use attempt::Attempt;
pub(crate) use globals::Globals;
pub(crate) use instance::{INSTANCE_PREFIX, Instance, claim_instance, incarnation};
pub(crate) use metadata::Stamp;
pub(crate) use probe::Probe;
pub(crate) use queries::{Place, Reply, Unasked, WAITING_MAX};
pub(crate) use scout::{Plan, Scout};
pub(crate) use shared::Shared;
pub(crate) use supervise::supervise;
pub(crate) use task::{DurableStore, Task, TaskSettings};
pub(crate) use topics::Inputs;
pub(crate) use worker::WorkerSettings;
