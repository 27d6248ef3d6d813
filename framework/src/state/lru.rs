//! A store in memory of so many entries at most: where one more is put, the one that was longest
//! neither read nor written is forgotten.
//!
//! ```text
//!   get, put ──> entries   committed and staged, as in any store in memory
//!        └─────> uses      the key's number becomes the highest; the lowest is forgotten first
//!                  └── journal: what became of each number ── discard, undo ──> backwards
//! ```
//!
//! # Invariants
//!
//! - A key has a number exactly if the open batch sees a value of it.
//! - Going back takes numbers with it: a batch that is processed again forgets the same entries.
//! - A restore replays writes in the order of the changelog, which knows nothing of reads.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;

use foldhash::quality::RandomState;

use super::memory::MemoryStore;

/// Entries, and when they were used.
pub(super) struct LruStore {
    entries: MemoryStore,
    entries_max: NonZeroUsize,
    uses: RefCell<Uses>,
}

/// A key, shared between the ways to find it.
type Key = Rc<[u8]>;

/// In which order keys were used.
#[derive(Default)]
struct Uses {
    numbers: HashMap<Key, u64, RandomState>,
    keys: BTreeMap<u64, Key>,
    last: u64,
    /// The number that a key had before, change by change.
    journal: Vec<(Key, Option<u64>)>,
}

impl LruStore {
    pub(super) fn new(entries_max: NonZeroUsize) -> Self {
        LruStore {
            entries: MemoryStore::new(),
            entries_max,
            uses: RefCell::default(),
        }
    }

    /// The entries, to be looked at without using them.
    pub(super) fn entries(&self) -> &MemoryStore {
        &self.entries
    }

    /// The value of a key as the open batch sees it: a use of it.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = self.entries.staged_or_committed(key);
        if value.is_some() {
            self.uses.borrow_mut().note(key);
        }
        value
    }

    /// The key that is forgotten when this one is put.
    pub(super) fn forgotten_for(&self, key: &[u8]) -> Option<Key> {
        let uses = self.uses.borrow();
        let is_full = uses.numbers.len() >= self.entries_max.get();
        let forgets = is_full && !uses.numbers.contains_key(key);
        uses.keys.values().next().filter(|_| forgets).cloned()
    }

    /// Stages a put, and the deletion of what it has no room for; or a deletion.
    pub(super) fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        if value.is_none() {
            self.entries.stage(key, None);
            return self.uses.get_mut().forget(key);
        }
        if let Some(forgotten) = self.forgotten_for(key) {
            self.entries.stage(&forgotten, None);
            self.uses.get_mut().forget(&forgotten);
        }
        self.entries.stage(key, value);
        self.uses.get_mut().note(key);
    }

    /// Stages the value that a key had, which says nothing of its use.
    pub(super) fn stage_before(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.entries.stage(key, value);
    }

    /// Writes past the open batch, as [`stage`](Self::stage) does within it.
    pub(super) fn write_committed(&mut self, key: &[u8], value: Option<&[u8]>) {
        let forgotten = self.forgotten_for(key).filter(|_| value.is_some());
        let uses = self.uses.get_mut();
        if let Some(forgotten) = forgotten {
            self.entries.write_committed(&forgotten, None);
            uses.forget(&forgotten);
        }
        self.entries.write_committed(key, value);
        match value {
            Some(_) => uses.note(key),
            None => uses.forget(key),
        }
        uses.journal.clear();
    }

    /// Makes what is staged the committed state.
    pub(super) fn commit_staged(&mut self) {
        self.entries.commit_staged();
        self.uses.get_mut().journal.clear();
    }

    /// Forgets what is staged, and the uses of the open batch.
    pub(super) fn discard_staged(&mut self) {
        self.entries.discard_staged();
        self.revert_uses(0);
    }

    /// How many uses the open batch has noted.
    pub(super) fn uses_noted(&self) -> usize {
        self.uses.borrow().journal.len()
    }

    /// Takes back what was noted behind the first so many.
    pub(super) fn revert_uses(&mut self, noted: usize) {
        self.uses.get_mut().revert(noted);
    }
}

impl Uses {
    /// Makes a key the one that was used last.
    fn note(&mut self, key: &[u8]) {
        let found = self.numbers.get_key_value(key);
        if found.is_some_and(|(_, number)| *number == self.last) {
            return;
        }
        let key = found.map_or_else(|| Rc::from(key), |(key, _)| Rc::clone(key));
        self.last += 1;
        let before = self.renumber(&key, Some(self.last));
        self.journal.push((key, before));
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some((key, number)) = self.numbers.remove_entry(key) {
            self.keys.remove(&number);
            self.journal.push((key, Some(number)));
        }
    }

    fn revert(&mut self, noted: usize) {
        while self.journal.len() > noted {
            let (key, before) = self.journal.pop().expect("it is longer");
            self.renumber(&key, before);
        }
    }

    /// Gives a key a number, or none; answers the one that it had.
    fn renumber(&mut self, key: &Key, number: Option<u64>) -> Option<u64> {
        let before = match number {
            Some(number) => self.numbers.insert(Rc::clone(key), number),
            None => self.numbers.remove(key),
        };
        if let Some(before) = before {
            self.keys.remove(&before);
        }
        if let Some(number) = number {
            self.keys.insert(number, Rc::clone(key));
        }
        before
    }
}

impl fmt::Debug for LruStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LruStore({:?} of {})", self.entries, self.entries_max)
    }
}
