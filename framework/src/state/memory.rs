//! The store in memory: a slot a key, which holds the committed value and the one of the open
//! batch side by side.
//!
//! ```text
//!   index: hash of the key ──> slot        order: sorted keys ──> slot, once somebody has scanned
//!                               │
//!   slots:  key │ committed │ staged       dirty: the slots that the open batch wrote to
//!               │     ^──── commit ────┘
//! ```
//!
//! # Invariants
//!
//! - **Broker first, store second.** Staging leaves the committed value where it is.
//! - A slot is in `dirty` exactly if it has something staged, and holds a committed value or
//!   something staged, or is free.
//! - Hashes find keys and order nothing: scans go by `order`, a commit by `dirty`.
//! - A deletion is logged when it is staged; a value may wait until the batch closes.
//! - A look-up waits for memory twice: for the index, and for the slot, which is a cache line.
//! - Freed slots are taken again, not given back: memory follows the most keys there ever were.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Bound;

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::short_bytes::ShortBytes;
use super::slot_index::{SlotId, SlotIndex};
use super::staged::Direction;
use super::store::{ByteStore, Entry, KeyRange, View};
use super::versions::{Staged, Versions};
use crate::error::Error;

/// From so many on a store is a quarter of a megabyte.
const LARGE_SLOTS_MIN: usize = 4096;

/// A map in memory. As a [`ByteStore`] it shows what is committed.
#[derive(Default)]
pub struct MemoryStore {
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    index: SlotIndex,
    /// Seeded anew for each store: keys come from outside.
    hasher: RandomState,
    dirty: Vec<SlotId>,
    order: OnceCell<BTreeMap<ShortBytes, SlotId>>,
    /// How many slots hold a committed value.
    committed: u64,
    /// The slot found last: a put mostly follows a get of the same key.
    last: Cell<Option<SlotId>>,
}

/// A cache line: whoever finds a key has its values.
#[repr(align(64))]
struct Slot {
    key: ShortBytes,
    versions: Versions,
}

impl Slot {
    fn value(&self, view: View) -> Option<&[u8]> {
        match (view, self.versions.staged()) {
            (View::Task, Staged::Value(value)) => Some(value),
            (View::Task, Staged::Deletion) => None,
            _ => self.versions.committed(),
        }
    }
}

impl MemoryStore {
    /// An empty store.
    ///
    /// ```
    /// use onceflow_framework::state::{ByteStore, MemoryStore};
    ///
    /// assert_eq!(MemoryStore::new().get(b"nut")?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// The value of a key as the open batch sees it.
    pub(super) fn staged_or_committed(&self, key: &[u8]) -> Option<&[u8]> {
        self.slots[self.find(key)? as usize].value(View::Task)
    }

    /// Stages a put, or a deletion.
    pub(super) fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        let id = match (self.find(key), value) {
            (Some(id), _) => id,
            (None, Some(_)) => self.insert(key),
            // There is nothing to delete.
            (None, None) => return,
        };
        let versions = &mut self.slots[id as usize].versions;
        if versions.staged() == Staged::Nothing {
            self.dirty.push(id);
        }
        versions.stage(value);
        versions.set_unlogged(false);
    }

    /// Stages a value that the changelog gets later, by [`log_staged`](Self::log_staged).
    pub(super) fn stage_unlogged(&mut self, key: &[u8], value: &[u8]) {
        self.stage(key, Some(value));
        let id = self.last.get().expect("staging has found it");
        self.slots[id as usize].versions.set_unlogged(true);
    }

    /// Shows the values of the open batch that the changelog does not have yet to `log`.
    pub(super) fn log_staged(
        &self,
        mut log: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.dirty.iter().try_for_each(|id| {
            let slot = &self.slots[*id as usize];
            let value = slot.versions.unlogged();
            value.map_or(Ok(()), |value| log(slot.key.as_slice(), value))
        })
    }

    /// Makes what is staged the committed state.
    pub(super) fn commit_staged(&mut self) {
        self.settle_dirty(Versions::commit);
    }

    /// Forgets what is staged.
    pub(super) fn discard_staged(&mut self) {
        self.settle_dirty(Versions::discard);
    }

    /// Leaves nothing staged, and no slot that holds nothing.
    fn settle_dirty(&mut self, settle: impl Fn(&mut Versions)) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.change(id, &settle);
        }
        self.dirty = dirty;
    }

    /// Whether the open batch has written nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Writes past the open batch: what a changelog holds is committed already.
    pub(super) fn write_committed(&mut self, key: &[u8], value: Option<&[u8]>) {
        let id = match (self.find(key), value) {
            (Some(id), _) => id,
            (None, Some(_)) => self.insert(key),
            (None, None) => return,
        };
        self.change(id, |versions| versions.set_committed(value));
    }

    /// Changes what a slot holds; one that holds nothing any more is free.
    fn change(&mut self, id: SlotId, change: impl FnOnce(&mut Versions)) {
        let versions = &mut self.slots[id as usize].versions;
        self.committed -= u64::from(versions.committed().is_some());
        change(versions);
        self.committed += u64::from(versions.committed().is_some());
        if versions.is_empty() {
            self.release(id);
        }
    }

    /// The value of a key without the open batch.
    pub(super) fn committed(&self, key: &[u8]) -> Option<&[u8]> {
        self.slots[self.find(key)? as usize].value(View::Committed)
    }

    /// Shows the first `entries_max` entries in a direction.
    pub(super) fn scan_as(
        &self,
        (view, range): (View, &KeyRange),
        direction: Direction,
        entries_max: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let entries = self.entries(range, direction, view);
        entries
            .take(entries_max)
            .for_each(|(key, value)| each(key, value));
    }

    fn entries<'a>(
        &'a self,
        range: &'a KeyRange,
        direction: Direction,
        view: View,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        // An inverted range would panic in the map; scanning it finds nothing.
        let order = (!range.is_empty()).then(|| self.order());
        let bounds = (slice_of(&range.from), slice_of(&range.to));
        let mut found = order.map(|order| order.range::<[u8], _>(bounds));
        std::iter::from_fn(move || match direction {
            Direction::Forward => found.as_mut()?.next(),
            Direction::Reverse => found.as_mut()?.next_back(),
        })
        .filter_map(move |(key, id)| Some((key.as_slice(), self.slots[*id as usize].value(view)?)))
    }

    /// The sorted keys: sorted when they are first asked for, kept up from then on.
    fn order(&self) -> &BTreeMap<ShortBytes, SlotId> {
        self.order.get_or_init(|| {
            let slots = (0..).zip(&self.slots);
            let taken = slots.filter(|(_, slot)| !slot.versions.is_empty());
            taken.map(|(id, slot)| (slot.key.clone(), id)).collect()
        })
    }

    /// Whether it is too large for a processor's cache, mostly.
    pub(super) fn is_large(&self) -> bool {
        self.slots.len() >= LARGE_SLOTS_MIN
    }

    /// Looks up keys that will be asked for soon, so that they are in the cache by then. Here one
    /// does not wait for the memory of the other. Answers how many keys there are.
    pub(super) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> usize {
        let is_there = |key: &&[u8]| {
            let is_key = |id: SlotId| self.slots[id as usize].key.is(key);
            self.index.find(self.hash(key), is_key).is_some()
        };
        keys.filter(is_there).count()
    }

    fn find(&self, key: &[u8]) -> Option<SlotId> {
        let is_key = |id: SlotId| self.slots[id as usize].key.is(key);
        if let Some(last) = self.last.get().filter(|last| is_key(*last)) {
            return Some(last);
        }
        let found = self.index.find(self.hash(key), is_key);
        self.last.set(found);
        found
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
        let half = hash as u32;
        half
    }

    /// Gives a key that has none a slot; the caller fills it.
    fn insert(&mut self, key: &[u8]) -> SlotId {
        let slot = Slot {
            key: key.into(),
            versions: Versions::NONE,
        };
        let id = if let Some(id) = self.free.pop() {
            self.slots[id as usize] = slot;
            id
        } else {
            let id = SlotId::try_from(self.slots.len());
            self.slots.push(slot);
            id.expect("2^32 slots take more memory than a task can have")
        };
        self.index.insert(self.hash(key), id);
        if let Some(order) = self.order.get_mut() {
            order.insert(key.into(), id);
        }
        self.last.set(Some(id));
        id
    }

    /// Takes a slot that holds nothing any more out of everything.
    fn release(&mut self, id: SlotId) {
        let key = std::mem::replace(&mut self.slots[id as usize].key, ShortBytes::EMPTY);
        self.index.remove(self.hash(key.as_slice()), id);
        if let Some(order) = self.order.get_mut() {
            order.remove(&key);
        }
        self.free.push(id);
        self.last.set(None);
    }
}

impl ByteStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.committed(key).map(Bytes::copy_from_slice))
    }

    fn scan(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        let entries = self.entries(range, Direction::Forward, View::Committed);
        Ok(entries.take(entries_max).map(owned).collect())
    }

    fn scan_reverse(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error> {
        let entries = self.entries(range, Direction::Reverse, View::Committed);
        Ok(entries.take(entries_max).map(owned).collect())
    }

    fn apply(
        &mut self,
        writes: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
    ) -> Result<(), Error> {
        for (key, value) in writes {
            self.write_committed(&key, value.as_deref());
        }
        Ok(())
    }

    fn approximate_entries(&self) -> u64 {
        self.committed
    }
}

fn owned((key, value): (&[u8], &[u8])) -> Entry {
    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}

fn slice_of(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|bytes| &bytes[..])
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (committed, dirty) = (self.committed, self.dirty.len());
        write!(f, "MemoryStore({committed} committed, {dirty} staged)")
    }
}
