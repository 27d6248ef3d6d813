//! Chance from a seed: the same seed gives the same numbers, on every machine and for ever.

use std::hash::{BuildHasher, RandomState};

/// A stream of random numbers (SplitMix64).
///
/// ```
/// use onceflow_examples::random::Random;
///
/// let (mut one, mut same) = (Random::seeded(7), Random::seeded(7));
/// assert_eq!(one.below(100), same.below(100));
/// ```
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, `bound`.
    ///
    /// # Panics
    ///
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        let scaled = (u128::from(self.any()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).expect("it is below the bound")
    }
}

/// A number that nobody chose: a seed to print, or a name that no earlier run had.
#[must_use]
pub fn unpredictable() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
