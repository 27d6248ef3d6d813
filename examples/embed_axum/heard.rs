//! What the service told, and what is wrong with it by itself.

use std::collections::BTreeMap;

/// What the service told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// How many answers there were.
    pub(crate) answers: usize,
    /// By page, as told last.
    pub(crate) last: BTreeMap<String, i64>,
    /// Counts that fell, or ran ahead of the visits.
    pub(crate) wrong: Vec<String>,
}

impl Heard {
    /// Notes an answer of a page that was visited so often by then.
    pub(crate) fn note(&mut self, page: &str, visits: i64, written: i64) {
        self.answers += 1;
        let before = self.last.insert(page.to_owned(), visits).unwrap_or(0);
        if visits < before {
            self.wrong
                .push(format!("{page} fell from {before} to {visits}"));
        }
        if visits > written {
            self.wrong
                .push(format!("{page} had {visits} of {written} visits"));
        }
    }
}
