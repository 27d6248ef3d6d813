//! Joins: what one stream or table knows of a key, put beside what another knows of it.
//!
//! | of | with | triggered by | result's time |
//! |---|---|---|---|
//! | stream | table, as it is, or was if it is versioned | the stream | the stream record's |
//! | stream | global table, by any key | the stream | the stream record's |
//! | stream | stream | both | the later record's |
//! | table | table | both | the later row's |
//! | table | table, by a foreign key | both | left: the later row's; right: its own |
//!
//! # Invariants
//!
//! - Both sides are in the same task, but for a global table, which is in all: their topics have the same number of partitions, or the
//!   application does not start, and a side whose key was changed is repartitioned first.
//! - Joiners take values: a side is cloned only where a record meets several of the other side.

mod joined;
mod stream_joined;
mod windows;
mod partitioned;
mod lookup;
mod waiting;
mod stream_table;
mod stream_global;
mod stream_stream;
mod stream_meeting;
mod stream_sides;
mod stream_meet;
mod stream_self;
mod unmatched;
mod table_table;
mod table_meeting;
mod table_sides;
mod foreign;

pub use foreign::{ForeignKeyJoin, TableJoined};
pub use joined::Joined;
pub use stream_joined::StreamJoined;
pub use windows::JoinWindows;
