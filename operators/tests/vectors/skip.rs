//! Why a case is not played.

/// A reason, the same for all cases that lack the same thing.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

/// Skips a case.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Result<T, Skip> {
    Err(Skip(reason.into()))
}
