//! Finds slots by the hashes of their keys.
//!
//! ```text
//!   places   | hash, slot | hash, slot | vacant | hash, slot | ...     open addressing, linear probing
//!                  └ at hash mod length, or in the first vacant place behind it
//! ```
//!
//! One array of 8 bytes a place: a look-up waits for memory once, and once more for its slot.
//!
//! # Invariants
//!
//! - Between the place that a hash asks for and the one that it has, none is vacant.
//! - Hashes are seeded by the caller; at most 13 of 16 places are taken.

/// The number of a slot.
pub(super) type SlotId = u32;

/// A place that is not taken.
const VACANT: Place = Place {
    hash: 0,
    slot: SlotId::MAX,
};

/// How many places the first slot brings.
const PLACES_MIN: usize = 16;

/// Slots by the hashes of their keys.
#[derive(Default)]
pub(super) struct SlotIndex {
    /// A power of two, or none.
    places: Vec<Place>,
    taken: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    hash: u32,
    slot: SlotId,
}

impl SlotIndex {
    /// The slot with that hash that `is_it` knows.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(SlotId) -> bool) -> Option<SlotId> {
        let mut at = self.home(hash);
        loop {
            let place = *self.places.get(at)?;
            if place == VACANT {
                return None;
            }
            if place.hash == hash && is_it(place.slot) {
                return Some(place.slot);
            }
            at = self.behind(at);
        }
    }

    /// Adds a slot that is not in it.
    ///
    /// # Panics
    ///
    /// When there are 2^32 - 1 slots.
    pub(super) fn insert(&mut self, hash: u32, slot: SlotId) {
        assert_ne!(slot, SlotId::MAX, "more slots than a task has memory for");
        if (self.taken + 1) * 16 > self.places.len() * 13 {
            let length = (self.places.len() * 2).max(PLACES_MIN);
            let before = std::mem::replace(&mut self.places, vec![VACANT; length]);
            let taken = before.into_iter().filter(|place| *place != VACANT);
            taken.for_each(|place| self.settle(place));
        }
        self.settle(Place { hash, slot });
        self.taken += 1;
    }

    /// Removes a slot that is in it.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub(super) fn remove(&mut self, hash: u32, slot: SlotId) {
        let mut hole = self.home(hash);
        while self.places[hole].slot != slot {
            assert!(self.places[hole] != VACANT, "the slot is in the index");
            hole = self.behind(hole);
        }
        // Whoever would not be found past a vacant place moves into it.
        let mut next = self.behind(hole);
        while self.places[next] != VACANT {
            let home = self.home(self.places[next].hash);
            if self.steps(home, next) >= self.steps(hole, next) {
                self.places[hole] = self.places[next];
                hole = next;
            }
            next = self.behind(next);
        }
        self.places[hole] = VACANT;
        self.taken -= 1;
    }

    fn settle(&mut self, place: Place) {
        let mut at = self.home(place.hash);
        while self.places[at] != VACANT {
            at = self.behind(at);
        }
        self.places[at] = place;
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & self.places.len().wrapping_sub(1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// How far it is from one place to another, round the end.
    fn steps(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that slots stand in each other's way, some of them round the end.
        #[test]
        fn what_was_inserted_and_not_removed_is_found_whatever_its_hash(
            steps in prop::collection::vec((0u32..60, prop::sample::select(vec![0u32, 1, 14, 15, 31, u32::MAX])), 0..200),
        ) {
            let (mut index, mut model) = (SlotIndex::default(), BTreeMap::new());
            for (slot, hash) in steps {
                match model.remove(&slot) {
                    Some(hash) => index.remove(hash, slot),
                    None => {
                        index.insert(hash, slot);
                        model.insert(slot, hash);
                    }
                }
                for slot in 0..60 {
                    let hash = model.get(&slot).copied();
                    let found = index.find(hash.unwrap_or(15), |found| found == slot);
                    prop_assert_eq!(found, hash.map(|_| slot));
                }
            }
        }
    }
}
