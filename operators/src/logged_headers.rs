//! The headers that stores have a use for: a change of a row is logged with none, or with those of
//! the record that deleted it; the stores of joins of streams keep theirs, or not.

use onceflow_framework::Headers;

static NONE: Headers = Headers::new();

/// Whether deletions of rows are logged with headers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoggedHeaders {
    pub(crate) of_deletions: bool,
    /// Whether the stores of joins of streams keep the headers that they log.
    pub(crate) kept_by_joins: bool,
}

impl LoggedHeaders {
    /// Those that a row that is `new` now is logged with, of those that the record has.
    pub(crate) fn of<'h, T>(self, new: Option<&T>, headers: &'h Headers) -> &'h Headers {
        match new {
            None if self.of_deletions => headers,
            _ => &NONE,
        }
    }
}
