//! Holds changes of a table back until a commit: several updates of a row are told as one.
//!
//! ```text
//!   put ──> store (staged, seen at once)          flush, before the commit, or when there are too many
//!     └───> held: the row's old value ─────────────────> changelog, then downstream: old ─> new
//! ```
//!
//! # Invariants
//!
//! - The store is always current: only the changelog record and the change are held back.
//! - Nothing is held across a commit: what a batch changed is logged and forwarded within it.
//! - Rows are told in the order of their last updates; a row that was not there and is not there
//!   is not told at all. Both as Kafka Streams' record cache does.
//! - There is one of a store: where several processors write to it, the streams of a cogroup, what
//!   one holds is told by the first that flushes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use onceflow_framework::processor::ConnectedStores;
use onceflow_framework::state::Row;
use onceflow_framework::{Error, Headers, Timestamp};

use crate::Data;
use crate::change::Change;

/// What a held row costs beside the bytes of its key and value.
const OVERHEAD_BYTES: usize = 128;

/// A change of a row on its way downstream.
pub(crate) struct Update<K, V> {
    pub(crate) key: K,
    pub(crate) change: Change<V>,
    /// The time of the row.
    pub(crate) timestamp: Timestamp,
    /// The time of the record that changed it.
    pub(crate) at: Timestamp,
    pub(crate) headers: Headers,
}

/// A row that was changed since the last flush.
pub(crate) struct Held<K, V> {
    pub(crate) key: K,
    /// The value before the first of the changes.
    pub(crate) old: Option<V>,
    /// When the last change was, and its headers.
    pub(crate) at: Timestamp,
    pub(crate) headers: Headers,
    bytes: usize,
}

/// A held row and its key's bytes.
type Keyed<K, V> = (Box<[u8]>, Held<K, V>);

/// The rows of one table of one task that were changed since the last flush.
pub(crate) struct WriteBack<K, V> {
    bytes_max: usize,
    bytes: usize,
    updates: u64,
    /// By the number of the last update.
    held: BTreeMap<u64, Keyed<K, V>>,
    /// By key: the number of its last update.
    numbers: HashMap<Box<[u8]>, u64>,
}

/// What is held back of a store, in one task.
pub(crate) type SharedWriteBack<K, V> = Rc<RefCell<WriteBack<K, V>>>;

impl<K: Data, V: Data> WriteBack<K, V> {
    /// What all hold back who write to that store: as much as fits in `bytes_max`.
    pub(crate) fn of_store(
        store: &str,
        bytes_max: usize,
        stores: &ConnectedStores,
    ) -> SharedWriteBack<K, V> {
        // No name of a store has a colon.
        let name = format!("{store}:held");
        stores.shared(&name, || RefCell::new(WriteBack::new(bytes_max)))
    }

    fn new(bytes_max: usize) -> Self {
        WriteBack {
            bytes_max,
            bytes: 0,
            updates: 0,
            held: BTreeMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// Writes a row and holds its change back.
    pub(crate) fn hold(&mut self, row: &Row<'_, K, V>, update: Update<K, V>) -> Result<(), Error> {
        let key: Box<[u8]> = Box::from(row.key_bytes());
        let old = match self.take(&key) {
            Some(held) => held.old,
            None => row.get()?.map(|row| row.value),
        };
        let stored = row.stage(update.change.new.as_ref(), update.timestamp)?;
        self.keep(key, old, update, stored);
        Ok(())
    }

    /// Holds back the change of a row that is written already; `stored` bytes of it.
    pub(crate) fn hold_written(&mut self, key: Box<[u8]>, mut update: Update<K, V>, stored: usize) {
        let old = match self.take(&key) {
            Some(held) => held.old,
            None => update.change.old.take(),
        };
        self.keep(key, old, update, stored);
    }

    /// No longer holds a row, if it did.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<Held<K, V>> {
        let number = self.numbers.remove(key)?;
        let (_, held) = self.held.remove(&number)?;
        self.bytes -= held.bytes;
        Some(held)
    }

    fn keep(&mut self, key: Box<[u8]>, old: Option<V>, update: Update<K, V>, stored: usize) {
        let held = Held {
            key: update.key,
            old,
            at: update.at,
            headers: update.headers,
            bytes: key.len() + stored + OVERHEAD_BYTES,
        };
        self.bytes += held.bytes;
        self.updates += 1;
        self.numbers.insert(key.clone(), self.updates);
        self.held.insert(self.updates, (key, held));
    }

    /// The row that was not updated for the longest, if there is one.
    pub(crate) fn release(&mut self) -> Option<Held<K, V>> {
        let (_, (key, held)) = self.held.pop_first()?;
        self.numbers.remove(&key);
        self.bytes -= held.bytes;
        Some(held)
    }

    /// As [`release`](Self::release), while more is held than fits.
    pub(crate) fn release_excess(&mut self) -> Option<Held<K, V>> {
        let is_full = self.bytes > self.bytes_max;
        is_full.then(|| self.release()).flatten()
    }
}
