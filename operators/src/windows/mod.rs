//! Windowed aggregations: a row for each key and window.
//!
//! ```text
//!   KGroupedStream ──windowed_by──> TimeWindowedKStream ─────count, reduce, aggregate──> KTable<Windowed<K>, _>
//!                               └─> SessionWindowedKStream ──┘
//! ```
//!
//! # Invariants
//!
//! - **Stream time is each operator's own:** the highest timestamp of the records that reached it
//!   with a key. It is committed with the offsets, so a restart closes no window early and reopens
//!   none.
//! - A window closes at its end and its grace; a record for a closed window is dropped and counted
//!   as late, once for each such window.
//! - A row's time is the highest of the records in it, a session's its end.

mod time_windows;
mod unlimited_windows;
mod sliding_windows;
mod session_windows;
mod emit;
mod shared_store;
mod windowed_by;
mod time_windowed;
mod time_rows;
mod window_table;
mod time_aggregate;
mod sliding_aggregate;
mod session_windowed;
mod session_aggregate;
mod cogrouped;

pub(crate) use cogrouped::CogroupedWindows;
pub use cogrouped::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
pub use emit::EmitStrategy;
pub(crate) use emit::OperatorTime;
pub use session_windowed::SessionWindowedKStream;
pub use session_windows::SessionWindows;
pub(crate) use shared_store::SharedStore;
pub use sliding_windows::SlidingWindows;
pub use time_windowed::TimeWindowedKStream;
pub use time_windows::TimeWindows;
pub use unlimited_windows::UnlimitedWindows;
pub use windowed_by::Windows;
