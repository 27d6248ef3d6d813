//! Operators of tables: what goes in and out is changes of rows.
//!
//! A table that is made row by row from another keeps no store unless it is given a name for one.

mod source;
mod global;
mod derived;
mod filter;
mod map_values;
mod transform_values;
mod to_table;
mod to_stream;
mod group_by;
mod grouped;
mod grouped_update;
mod grouped_count;
mod grouped_reduce;
mod grouped_aggregate;

pub use global::GlobalKTable;
pub(crate) use global::{add_global_store, add_global_table};
pub use grouped::KGroupedTable;
pub(crate) use source::add_source_table;
