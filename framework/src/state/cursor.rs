//! A scan in slices: entries copied out of the store some at a time, in one buffer.
//!
//! # Invariants
//!
//! - No borrow of the store is held between steps: writes behind a scan's back are fine, and are
//!   seen further on.
//! - A scan never holds more than a slice: the first is small, for scans that end early.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::TaskStore;
use crate::error::Error;

/// How many entries the first slice of a scan has.
pub(super) const FIRST_SLICE_ENTRIES: usize = 8;

/// How many times more entries each next slice has, until there are enough.
pub(super) const SLICE_GROWTH: usize = 4;

/// How many entries a slice has at most.
pub(super) const SLICE_ENTRIES_MAX: usize = 256;

/// A scan of a store.
pub(super) struct Cursor {
    store: Rc<RefCell<TaskStore>>,
    /// What is still to be fetched; none once a slice came back short.
    rest: Option<KeyRange>,
    direction: Direction,
    slice: Slice,
    /// The entry of the slice that is next.
    next: usize,
    /// How many entries the next slice has.
    fetch: usize,
}

/// A key with its value, where they lie.
pub(super) type EntryRef<'s> = (&'s [u8], &'s [u8]);

/// Entries one after the other.
#[derive(Default)]
pub(super) struct Slice {
    bytes: Vec<u8>,
    /// Where the key and the value of each entry end.
    ends: Vec<(usize, usize)>,
}

impl Slice {
    /// Replaces what it holds by what `scan` shows.
    pub(super) fn fill(
        &mut self,
        scan: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.bytes.clear();
        self.ends.clear();
        scan(&mut |key, value| self.push(key, value))
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
    }

    pub(super) fn get(&self, entry: usize) -> Option<EntryRef<'_>> {
        let (key_end, end) = *self.ends.get(entry)?;
        let before = entry.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some((&self.bytes[before..key_end], &self.bytes[key_end..end]))
    }
}

impl Cursor {
    pub(super) fn new(
        store: Rc<RefCell<TaskStore>>,
        range: KeyRange,
        direction: Direction,
    ) -> Self {
        Cursor {
            store,
            rest: Some(range),
            direction,
            slice: Slice::default(),
            next: 0,
            fetch: FIRST_SLICE_ENTRIES,
        }
    }

    /// The next entry: key and value.
    pub(super) fn next(&mut self) -> Option<Result<EntryRef<'_>, Error>> {
        if self.next == self.slice.len() {
            let rest = self.rest.take()?;
            if let Err(error) = self.fetch(rest) {
                return Some(Err(error));
            }
        }
        self.next += 1;
        self.slice.get(self.next - 1).map(Ok)
    }

    fn fetch(&mut self, range: KeyRange) -> Result<(), Error> {
        self.next = 0;
        let (store, wanted) = (self.store.borrow(), self.fetch);
        let slice = &mut self.slice;
        slice.fill(|each| store.scan(&range, self.direction, wanted, each))?;
        if slice.len() == wanted {
            let (last, _) = slice.get(wanted - 1).expect("a slice has entries");
            let seen = Bytes::copy_from_slice(last);
            self.rest = Some(range.behind(seen, self.direction));
        }
        self.fetch = (wanted * SLICE_GROWTH).min(SLICE_ENTRIES_MAX);
        Ok(())
    }
}
