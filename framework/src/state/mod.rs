//! State of a task: byte stores below, typed views above, staged writes between.
//!
//! ```text
//!   typed view  KeyValueStore<K, V>, WindowStore<K, V>, SessionStore<K, V>, timestamped, versioned
//!       │ bytes
//!   TaskStore   reads: staged, then committed      put ──> changelog record
//!       ├── MemoryStore    a slot a key: its committed value, and that of the open batch
//!       ├── LruStore       the same, but for the entries that were longest not used
//!       ├── SegmentedStore the same for each segment of a windowed store
//!       └── any ByteStore  what the broker has committed
//!             └── under StagedWrites: the open batch, which this task sees and nobody else
//! ```
//!
//! # Invariants
//!
//! - **Broker first, store second.** What a [`ByteStore`] shows changes only in
//!   `TaskStore::apply` and in a restore; the first is called after the broker has committed,
//!   never before.
//! - The changelog holds absolute values: replaying some of it twice converges.
//! - Nothing here knows of brokers: changelog records leave through the task's collector.

mod store;
mod changelog;
mod staged;
mod short_bytes;
mod versions;
mod slot_index;
mod memory;
mod lru;
mod segments;
mod history;
mod headed;
mod task_store;
mod cursor;
mod raw_store;
mod key_value;
mod timestamped;
mod versioned;
mod windowed;
mod window_store;
mod session_store;
mod buffer_store;
mod question;
mod builder;
#[cfg(test)]
mod close_tests;
#[cfg(test)]
mod lru_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod versioned_tests;

pub use buffer_store::BufferStore;
pub use builder::{StoreBuilder, StoreKind};
pub use key_value::KeyValueStore;
pub use memory::MemoryStore;
pub use session_store::SessionStore;
pub use store::{ByteStore, Entry, KeyRange};
pub use timestamped::{Row, TimestampedKeyValueStore, ValueAndTimestamp};
pub use versioned::{VersionPut, VersionedKeyValueStore, VersionedRecord, VersionedRow};
pub use window_store::{TimestampedWindowStore, WindowStore};

pub(crate) use builder::{StoreSerdes, StoreSpec, WindowedStoreSpec};
pub(crate) use changelog::{Changelog, NO_HEADERS};
pub(crate) use question::{ANSWER_ENTRIES_MAX, Answer, Question};
pub(crate) use session_store::split_key as split_session_key;
pub(crate) use task_store::TaskStore;
pub(crate) use window_store::split_key as split_window_key;
