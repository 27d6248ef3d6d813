//! Joins of tables by a foreign key: a row of the left table names a row of the right one.
//!
//! ```text
//!   left's task                                          right's task
//!   change ──> subscribe ──subscription topic──> keep ──> look the right row up ──┐
//!                          (by foreign key)       │                               │
//!                                           subscriptions <── right's change ─────┤
//!                                                                                 │
//!   table <── output <── resolve <──────response topic (by left's partition)──────┘
//! ```
//!
//! # Invariants
//!
//! - A response is taken only if the left row still has the value whose hash it carries: what was
//!   overtaken by a change of the row is dropped without a word.
//! - Topics and stores have Kafka Streams' names and bytes.

mod murmur3;
mod formats;
mod table_joined;
mod subscribe;
mod keep;
mod answer;
mod resolve;
mod join;

pub use join::ForeignKeyJoin;
pub use table_joined::TableJoined;
