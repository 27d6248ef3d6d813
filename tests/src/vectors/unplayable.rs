//! Why a case cannot be played.

/// A reason, the same for all cases that lack the same thing.
#[derive(Debug)]
pub(super) struct Unplayable(pub(super) String);

/// Gives a case up.
pub(super) fn unplayable<T>(reason: impl Into<String>) -> Result<T, Unplayable> {
    Err(Unplayable(reason.into()))
}
