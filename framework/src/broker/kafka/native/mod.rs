//! The unsafe ground: librdkafka's handles as owned values, and the calls made on them.
//!
//! ```text
//!   Client ──┬── Queue       events of the client, or records of one partition; rings the Wake
//!            ├── Topic       resolved once; records are produced to it
//!            └── Membership  a snapshot that outlives the client
//! ```
//!
//! rdkafka's own wrappers fetch one record a call, answer rebalances inside callbacks, flush in
//! steps of 100 ms and hide the generation of a group: what is called here is what they leave out.
//!
//! # Invariants
//!
//! - A queue or a topic keeps its client: librdkafka wants them destroyed first.
//! - What librdkafka hands out is destroyed before the function returns, on panics too; borrowed
//!   bytes are seen by the closure that they are given to and by nobody else.
//! - A callback's pointer is to something that the queue owns, and is withdrawn before that goes.
#![expect(
    unsafe_code,
    reason = "librdkafka is a C library, and rdkafka wraps only part of it"
)]

mod client;
mod message;
mod queue;
mod topic;
mod values;

pub(crate) use client::{Client, Membership, Role};
pub(crate) use message::Taken;
pub(crate) use queue::{Event, Queue};
pub(crate) use topic::Topic;
pub(crate) use values::{entries, name};
