//! Joins: what one stream or table knows of a key, put beside what another knows of it.
//!
//! | of | with | triggered by | result's time |
//! |---|---|---|---|
//! | stream | table | the stream | the stream record's |
//! | table | table | both | the later row's |
//!
//! # Invariants
//!
//! - Both sides are in the same task: their topics have the same number of partitions, or the
//!   application does not start, and a side whose key was changed is repartitioned first.
//! - Joiners take values: a side is cloned only where a record meets several of the other side.

mod joined;
mod partitioned;
mod lookup;
mod stream_table;
mod table_table;
mod table_meeting;
mod table_sides;

pub use joined::Joined;
