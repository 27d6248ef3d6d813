//! What a store engine must do: ordered bytes, scans in slices, atomic application of a batch.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::staged::Direction;
use crate::error::Error;

/// A key with its value, as bytes.
pub type Entry = (Bytes, Bytes);

/// Whose eyes a reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The task's: the open batch over what is committed.
    Task,
    /// Anybody else's.
    Committed,
}

/// A range of keys in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Where the range begins.
    pub from: Bound<Bytes>,
    /// Where the range ends.
    pub to: Bound<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: KeyRange = KeyRange {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
    };

    /// Keys from `from` to `to`, both included.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use onceflow_framework::state::KeyRange;
    ///
    /// let range = KeyRange::inclusive(Bytes::from_static(b"a"), Bytes::from_static(b"b"));
    /// assert!(!range.is_empty());
    /// ```
    #[must_use]
    pub fn inclusive(from: Bytes, to: Bytes) -> Self {
        KeyRange {
            from: Bound::Included(from),
            to: Bound::Included(to),
        }
    }

    /// Keys that begin with `prefix`.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use onceflow_framework::state::{ByteStore, KeyRange, MemoryStore};
    ///
    /// let mut store = MemoryStore::new();
    /// let entry = |key: &'static [u8]| (Bytes::from_static(key), Some(Bytes::from_static(b"1")));
    /// store.apply(&mut [entry(b"nut-m3"), entry(b"screw-m3")].into_iter())?;
    /// let range = KeyRange::prefix(Bytes::from_static(b"nut-"));
    /// assert_eq!(store.scan(&range, 10)?.len(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn prefix(prefix: Bytes) -> Self {
        let to = successor_of_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        KeyRange {
            from: Bound::Included(prefix),
            to,
        }
    }

    /// What is left of it behind `seen`, in the direction of a scan.
    pub(super) fn behind(self, seen: Bytes, direction: Direction) -> Self {
        let seen = Bound::Excluded(seen);
        match direction {
            Direction::Forward => KeyRange {
                from: seen,
                to: self.to,
            },
            Direction::Reverse => KeyRange {
                from: self.from,
                to: seen,
            },
        }
    }

    /// Whether no key can be in it; scanning such a range is not an error.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use onceflow_framework::state::KeyRange;
    ///
    /// let reversed = KeyRange::inclusive(Bytes::from_static(b"b"), Bytes::from_static(b"a"));
    /// assert!(reversed.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let (Bound::Included(from) | Bound::Excluded(from)) = &self.from else {
            return false;
        };
        match &self.to {
            Bound::Unbounded => false,
            Bound::Included(to) => {
                from > to || (from == to && matches!(self.from, Bound::Excluded(_)))
            }
            Bound::Excluded(to) => from >= to,
        }
    }
}

/// The least key greater than every key with this prefix; none if the prefix is all `0xff`.
fn successor_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(Bytes::from(successor))
}

/// An ordered map of bytes that holds what the broker has committed.
pub trait ByteStore: fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the engine cannot read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The first `entries_max` entries of a range, in key order.
    ///
    /// # Errors
    ///
    /// When the engine cannot read.
    fn scan(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error>;

    /// The last `entries_max` entries of a range, in reverse key order.
    ///
    /// # Errors
    ///
    /// When the engine cannot read.
    fn scan_reverse(&self, range: &KeyRange, entries_max: usize) -> Result<Vec<Entry>, Error>;

    /// Writes a batch, all of it or nothing: `None` deletes.
    ///
    /// # Errors
    ///
    /// When the engine cannot write; the store is then as it was before.
    fn apply(
        &mut self,
        writes: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
    ) -> Result<(), Error>;

    /// How many entries there are; an estimate is allowed.
    fn approximate_entries(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_ends_before_the_next_prefix() {
        let range = KeyRange::prefix(Bytes::from_static(b"a\xff"));
        assert_eq!(range.to, Bound::Excluded(Bytes::from_static(b"b")));
        let all_ff = KeyRange::prefix(Bytes::from_static(b"\xff\xff"));
        assert_eq!(all_ff.to, Bound::Unbounded);
    }

    #[test]
    fn an_inverted_range_is_empty_not_an_error() {
        let range = KeyRange::inclusive(Bytes::from_static(b"b"), Bytes::from_static(b"a"));
        assert!(range.is_empty());
        assert!(!KeyRange::ALL.is_empty());
    }
}
