//! Aggregations of a grouped stream: one row a key, updated by each record.
//!
//! # Invariants
//!
//! - A record with a null key or a null value is dropped and counted.
//! - The row's time is the later of the record's and the row's: it never goes back.
//! - A null result deletes the row; the next record of the key begins anew.

mod count;
mod reduce;
mod fold;
mod update;

pub(crate) use update::StreamAggregate;
