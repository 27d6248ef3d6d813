//! Bytes that are kept by the million: short ones in place, longer ones on the heap.
//!
//! # Invariants
//!
//! - Nothing is shared: cloning copies, dropping frees.
//! - Order and equality are those of the bytes, wherever they lie.

use std::borrow::Borrow;
use std::fmt;

/// How many bytes find room in place: with them the whole is as large as a `Vec`.
///
/// A number with its timestamp has 16, a window's key over a number 20.
const SHORT_BYTES_MAX: usize = 22;

/// A byte string of its own.
#[derive(Clone)]
pub(super) struct ShortBytes(Place);

#[derive(Clone)]
enum Place {
    Here {
        length: u8,
        bytes: [u8; SHORT_BYTES_MAX],
    },
    Heap(Box<[u8]>),
}

impl ShortBytes {
    pub(super) const EMPTY: ShortBytes = ShortBytes(Place::Here {
        length: 0,
        bytes: [0; SHORT_BYTES_MAX],
    });

    pub(super) fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Place::Here { length, bytes } => &bytes[..usize::from(*length)],
            Place::Heap(bytes) => bytes,
        }
    }

    /// Whether these are the bytes.
    pub(super) fn is(&self, other: &[u8]) -> bool {
        let own = self.as_slice();
        // The usual keys, without a call: two words that may overlap.
        if (8..=16).contains(&own.len()) && own.len() == other.len() {
            let same_start = own.first_chunk::<8>() == other.first_chunk();
            return same_start && own.last_chunk::<8>() == other.last_chunk();
        }
        own == other
    }
}

impl From<&[u8]> for ShortBytes {
    fn from(from: &[u8]) -> Self {
        let short = u8::try_from(from.len()).ok();
        let Some(length) = short.filter(|length| usize::from(*length) <= SHORT_BYTES_MAX) else {
            return ShortBytes(Place::Heap(from.into()));
        };
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes[..from.len()].copy_from_slice(from);
        ShortBytes(Place::Here { length, bytes })
    }
}

impl Borrow<[u8]> for ShortBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for ShortBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for ShortBytes {}

impl PartialOrd for ShortBytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortBytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl fmt::Debug for ShortBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back_and_keep_their_order() {
        let lengths = [0, 1, 7, 8, 15, 16, 17, 21, 22, 23, 255, 256, 300];
        let of = |length: usize| vec![7; length];
        for left in lengths {
            assert_eq!(ShortBytes::from(&of(left)[..]).as_slice(), of(left));
            for right in lengths {
                let [left_bytes, right_bytes] =
                    [left, right].map(|length| ShortBytes::from(&of(length)[..]));
                assert_eq!(left_bytes.cmp(&right_bytes), left.cmp(&right));
                assert_eq!(left_bytes.is(right_bytes.as_slice()), left == right);
            }
        }
        assert_eq!(ShortBytes::EMPTY, ShortBytes::from(&[][..]));
    }

    #[test]
    fn a_difference_anywhere_is_one() {
        for length in [1, 8, 12, 16, 17, 22, 40] {
            let bytes = vec![7; length];
            for at in 0..length {
                let mut other = bytes.clone();
                other[at] = 8;
                assert!(!ShortBytes::from(&bytes[..]).is(&other), "{at} of {length}");
            }
        }
    }

    #[test]
    fn what_is_in_place_costs_no_more_than_a_vector() {
        assert_eq!(size_of::<ShortBytes>(), 24);
    }
}
