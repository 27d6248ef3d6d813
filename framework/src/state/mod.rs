//! State of a task: byte stores below, typed views above, staged writes between.
//!
//! ```text
//!   typed view  KeyValueStore<K, V>, WindowStore<K, V>, SessionStore<K, V>, timestamped ones
//!       │ bytes
//!   TaskStore   reads: staged, then committed      put ──> changelog record
//!       ├── StagedWrites   the open batch: this task sees it, nobody else
//!       └── ByteStore      what the broker has committed
//! ```
//!
//! # Invariants
//!
//! - **Broker first, store second.** A [`ByteStore`] changes only in `TaskStore::apply` and in
//!   a restore; the first is called after the broker has committed, never before.
//! - The changelog holds absolute values: replaying some of it twice converges.
//! - Nothing here knows of brokers: changelog records leave through the task's collector.

mod store;
mod changelog;
mod staged;
mod memory;
mod segments;
mod task_store;
mod key_value;
mod timestamped;
mod windowed;
mod window_store;
mod session_store;
mod builder;

pub use builder::{StoreBuilder, StoreKind};
pub use key_value::KeyValueStore;
pub use memory::MemoryStore;
pub use session_store::SessionStore;
pub use store::{ByteStore, Entry, KeyRange};
pub use timestamped::{TimestampedKeyValueStore, ValueAndTimestamp};
pub use window_store::{TimestampedWindowStore, WindowStore};

pub(crate) use builder::{StoreSerdes, StoreSpec, WindowedStoreSpec};
pub(crate) use changelog::Changelog;
pub(crate) use task_store::TaskStore;
