//! The values of one key: the committed one, and that of the open batch.
//!
//! # Invariants
//!
//! - Staging leaves the committed value as it is.
//! - With a key the whole fits a cache line, as long as both values are short.

/// How long a value is that needs no memory of its own: a number with its timestamp has 16 bytes.
const SHORT_BYTES_MAX: usize = 18;

/// Lengths that are none.
const NOTHING: u8 = 0xff;
const DELETION: u8 = 0xfe;

/// What the open batch did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staged<'v> {
    Nothing,
    Deletion,
    Value(&'v [u8]),
}

/// The committed and the staged value of a key; either may be missing.
pub(super) struct Versions(Kept);

enum Kept {
    Short(Short),
    Long(Box<Long>),
}

struct Short {
    unlogged: bool,
    committed_length: u8,
    staged_length: u8,
    committed: [u8; SHORT_BYTES_MAX],
    staged: [u8; SHORT_BYTES_MAX],
}

struct Long {
    unlogged: bool,
    committed: Option<Box<[u8]>>,
    staged: LongStaged,
}

enum LongStaged {
    Nothing,
    Deletion,
    Value(Box<[u8]>),
}

impl Versions {
    pub(super) const NONE: Versions = Versions(Kept::Short(Short {
        unlogged: false,
        committed_length: NOTHING,
        staged_length: NOTHING,
        committed: [0; SHORT_BYTES_MAX],
        staged: [0; SHORT_BYTES_MAX],
    }));

    pub(super) fn committed(&self) -> Option<&[u8]> {
        match &self.0 {
            Kept::Short(short) => short.committed.get(..short.committed_length.into()),
            Kept::Long(long) => long.committed.as_deref(),
        }
    }

    pub(super) fn staged(&self) -> Staged<'_> {
        match &self.0 {
            Kept::Short(short) => match (short.staged_length, &short.staged) {
                (NOTHING, _) => Staged::Nothing,
                (DELETION, _) => Staged::Deletion,
                (length, staged) => Staged::Value(&staged[..length.into()]),
            },
            Kept::Long(long) => match &long.staged {
                LongStaged::Nothing => Staged::Nothing,
                LongStaged::Deletion => Staged::Deletion,
                LongStaged::Value(value) => Staged::Value(value),
            },
        }
    }

    /// Whether there is neither a committed value nor anything staged.
    pub(super) fn is_empty(&self) -> bool {
        self.committed().is_none() && self.staged() == Staged::Nothing
    }

    /// Stages a value, or a deletion.
    pub(super) fn stage(&mut self, value: Option<&[u8]>) {
        if value.is_some_and(|value| value.len() > SHORT_BYTES_MAX) {
            self.lengthen();
        }
        match (&mut self.0, value) {
            (Kept::Short(short), None) => short.staged_length = DELETION,
            (Kept::Short(short), Some(value)) => {
                short.staged_length = copy(value, &mut short.staged);
            }
            (Kept::Long(long), None) => long.staged = LongStaged::Deletion,
            (Kept::Long(long), Some(value)) => match &mut long.staged {
                LongStaged::Value(before) if before.len() == value.len() => {
                    before.copy_from_slice(value);
                }
                staged => *staged = LongStaged::Value(value.into()),
            },
        }
    }

    /// The staged value, if the changelog does not have it yet.
    pub(super) fn unlogged(&self) -> Option<&[u8]> {
        let unlogged = match &self.0 {
            Kept::Short(short) => short.unlogged,
            Kept::Long(long) => long.unlogged,
        };
        match self.staged() {
            Staged::Value(value) if unlogged => Some(value),
            _ => None,
        }
    }

    /// Notes whether the changelog is still to have what was staged last.
    pub(super) fn set_unlogged(&mut self, unlogged: bool) {
        match &mut self.0 {
            Kept::Short(short) => short.unlogged = unlogged,
            Kept::Long(long) => long.unlogged = unlogged,
        }
    }

    /// Makes what is staged the committed value.
    pub(super) fn commit(&mut self) {
        match &mut self.0 {
            Kept::Short(short) => {
                short.committed = short.staged;
                short.committed_length = short.staged_length;
                if short.staged_length == DELETION {
                    short.committed_length = NOTHING;
                }
                short.staged_length = NOTHING;
            }
            Kept::Long(long) => {
                long.committed = match std::mem::replace(&mut long.staged, LongStaged::Nothing) {
                    LongStaged::Value(value) => Some(value),
                    LongStaged::Deletion | LongStaged::Nothing => None,
                };
                self.shorten();
            }
        }
    }

    /// Forgets what is staged.
    pub(super) fn discard(&mut self) {
        match &mut self.0 {
            Kept::Short(short) => short.staged_length = NOTHING,
            Kept::Long(long) => {
                long.staged = LongStaged::Nothing;
                self.shorten();
            }
        }
    }

    /// Replaces the committed value, past the open batch.
    pub(super) fn set_committed(&mut self, value: Option<&[u8]>) {
        if value.is_some_and(|value| value.len() > SHORT_BYTES_MAX) {
            self.lengthen();
        }
        match &mut self.0 {
            Kept::Short(short) => {
                let length = value.map(|value| copy(value, &mut short.committed));
                short.committed_length = length.unwrap_or(NOTHING);
            }
            Kept::Long(long) => long.committed = value.map(Into::into),
        }
    }

    fn lengthen(&mut self) {
        if matches!(self.0, Kept::Long(_)) {
            return;
        }
        let committed = self.committed().map(Into::into);
        let staged = match self.staged() {
            Staged::Nothing => LongStaged::Nothing,
            Staged::Deletion => LongStaged::Deletion,
            Staged::Value(value) => LongStaged::Value(value.into()),
        };
        let unlogged = self.unlogged().is_some();
        self.0 = Kept::Long(Box::new(Long {
            unlogged,
            committed,
            staged,
        }));
    }

    /// Gives memory back that a committed value does not need any more.
    fn shorten(&mut self) {
        let committed = self.committed();
        if committed.is_some_and(|value| value.len() > SHORT_BYTES_MAX) {
            return;
        }
        let mut short = Versions::NONE;
        short.set_committed(committed);
        *self = short;
    }
}

fn copy(value: &[u8], to: &mut [u8; SHORT_BYTES_MAX]) -> u8 {
    to[..value.len()].copy_from_slice(value);
    u8::try_from(value.len()).expect("a short value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_follow_each_other() {
        let value = |length: usize| vec![7; length];
        let lengths = [0, 1, 17, 18, 19, 300];
        for before in lengths {
            for after in lengths {
                let mut versions = Versions::NONE;
                versions.set_committed(Some(&value(before)));
                versions.stage(Some(&value(before)));
                versions.set_unlogged(true);
                assert_eq!(versions.unlogged(), Some(&value(before)[..]));
                versions.stage(Some(&value(after)));
                assert_eq!(versions.unlogged(), Some(&value(after)[..]));
                assert_eq!(versions.committed(), Some(&value(before)[..]));
                assert_eq!(versions.staged(), Staged::Value(&value(after)));
                versions.commit();
                assert_eq!(versions.committed(), Some(&value(after)[..]));
                assert_eq!(versions.unlogged(), None, "nothing is staged");
                versions.stage(Some(&value(before)));
                versions.stage(None);
                assert_eq!(versions.staged(), Staged::Deletion);
                assert_eq!(versions.unlogged(), None, "a deletion is no value");
                versions.discard();
                assert_eq!(versions.committed(), Some(&value(after)[..]));
                versions.stage(None);
                versions.commit();
                assert!(versions.is_empty());
            }
        }
    }

    #[test]
    fn with_a_key_they_fit_a_cache_line() {
        assert_eq!(size_of::<Versions>(), 40);
    }
}
