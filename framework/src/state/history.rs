//! The versions of one key, as bytes: what a versioned store holds for it.
//!
//! ```text
//!   from (8) ‖ length (4, -1: deleted) ‖ value │ from ‖ length ‖ value │ ...      oldest first
//!   └─────────── valid until the next one ───┘
//! ```
//!
//! # Invariants
//!
//! - Versions are in the order of their times, one a time.
//! - The latest value never expires; another version is kept as long as it was valid at some time
//!   that can still be read.

/// The length of a version that says that there is no value.
const DELETED: i32 = -1;

/// A value, or that there is none, and from when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'b> {
    pub(crate) from_ms: i64,
    pub(crate) value: Option<&'b [u8]>,
}

/// The versions of a history, oldest first, each with the time of the next one.
#[derive(Debug, Clone)]
pub(super) struct History<'b> {
    rest: &'b [u8],
}

impl<'b> History<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        History { rest: bytes }
    }

    /// The version that was valid at a time.
    pub(super) fn at(self, time_ms: i64) -> Option<(Version<'b>, Option<i64>)> {
        self.take_while(|(version, _)| version.from_ms <= time_ms)
            .last()
    }

    fn read(bytes: &'b [u8]) -> Option<(Version<'b>, &'b [u8])> {
        let (from, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (value, rest) = bytes.split_at_checked(length.unwrap_or(0))?;
        let version = Version {
            from_ms: i64::from_be_bytes(*from),
            value: length.map(|_| value),
        };
        Some((version, rest))
    }
}

impl<'b> Iterator for History<'b> {
    type Item = (Version<'b>, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        let (version, rest) = History::read(self.rest)?;
        self.rest = rest;
        let next = History::read(rest).map(|(next, _)| next.from_ms);
        Some((version, next))
    }
}

/// Writes a history with one more version to `out`, without what nobody can read any more, and
/// answers when the next version begins.
pub(super) fn insert(
    history: &[u8],
    version: Version<'_>,
    oldest_ms: i64,
    out: &mut Vec<u8>,
) -> Option<i64> {
    let others = History::of(history).map(|(other, _)| other);
    let others = others.filter(|other| other.from_ms != version.from_ms);
    let mut versions: Vec<Version<'_>> = others.collect();
    let at = versions.partition_point(|other| other.from_ms < version.from_ms);
    versions.insert(at, version);
    let next = versions.get(at + 1).map(|next| next.from_ms);
    // The last one that begins by then is the oldest that can be read.
    let begun = versions.partition_point(|version| version.from_ms <= oldest_ms);
    let mut kept = &versions[begun.saturating_sub(1)..];
    if let [first, rest @ ..] = kept
        && first.value.is_none()
        && first.from_ms <= oldest_ms
    {
        kept = rest;
    }
    kept.iter().for_each(|version| write(*version, out));
    next
}

fn write(version: Version<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&version.from_ms.to_be_bytes());
    let value = version.value.unwrap_or_default();
    let length = match version.value {
        Some(value) => i32::try_from(value.len()).expect("a record is shorter than 2 GiB"),
        None => DELETED,
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}
