//! How often each entry took effect: what is left to claim where a guarantee allows to lose, or to
//! repeat.
//!
//! # Invariants
//!
//! - Whatever is allowed, nothing appears that nobody put in: that is a failure of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{ENTRY_HEADER, Journal, branch_of};
use crate::record::Record;

/// How often the entries took effect at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries without any effect.
    pub lost: u64,
    /// Effects beyond the first of an entry.
    pub repeated: u64,
    /// Entries whose first effect came after that of a later one of the same account.
    pub overtaken: u64,
}

/// How often the entries took effect, everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallies {
    /// In the first output.
    pub statements: Tally,
    /// In the second output, behind the repartition topic.
    pub totals: Tally,
    /// In the first store: how far its counts are from the numbers of entries.
    pub balances: Tally,
    /// In the second store.
    pub branches: Tally,
}

impl Tallies {
    fn places(&self) -> [&Tally; 4] {
        [
            &self.statements,
            &self.totals,
            &self.balances,
            &self.branches,
        ]
    }

    /// Entries without effect, over all places.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.places().iter().map(|tally| tally.lost).sum()
    }

    /// Effects beyond the first, over all places.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.places().iter().map(|tally| tally.repeated).sum()
    }

    /// Entries that a later one has overtaken, over all places.
    #[must_use]
    pub fn overtaken(&self) -> u64 {
        self.places().iter().map(|tally| tally.overtaken).sum()
    }
}

/// Outputs, by the header that every entry passes on to them.
pub(super) fn of_outputs(journal: &Journal, history: &[Record]) -> Tally {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut tally = Tally::default();
    for record in history {
        let tag = tag_of(record);
        let times = seen.entry(tag.clone()).or_default();
        *times += 1;
        if *times > 1 {
            tally.repeated += 1;
            continue;
        }
        let (account, number) = tag.split_once('#').expect("a tag is account#number");
        let number: u64 = number.parse().expect("a tag ends in a number");
        let newest = newest.entry(account.to_owned()).or_default();
        tally.overtaken += u64::from(number < *newest);
        *newest = number.max(*newest);
    }
    let known = journal.accounts().flat_map(|(_, entries)| entries);
    let known: BTreeSet<String> = known.map(super::Entry::tag).collect();
    let stranger = seen.keys().find(|tag| !known.contains(*tag));
    assert_eq!(stranger, None, "nobody put this in");
    tally.lost = known.iter().filter(|tag| !seen.contains_key(*tag)).count() as u64;
    tally
}

fn tag_of(record: &Record) -> String {
    let mut headers = record.headers.iter();
    let tag = headers.find(|(name, _)| name == ENTRY_HEADER);
    let tag = tag.and_then(|(_, value)| value.as_deref());
    let tag = tag.unwrap_or_else(|| panic!("{record:?} has lost its header"));
    String::from_utf8_lossy(tag).into_owned()
}

/// The counts that the first store ends with, an account a key.
pub(super) fn of_balances(journal: &Journal, changelog: &[Record]) -> Tally {
    let put_in = journal.accounts();
    let put_in = put_in.map(|(account, entries)| (account.to_owned(), entries.len() as u64));
    of_counts(&put_in.collect(), changelog)
}

/// The counts that the second store ends with, a branch a key.
pub(super) fn of_branches(journal: &Journal, changelog: &[Record]) -> Tally {
    let mut put_in: BTreeMap<String, u64> = BTreeMap::new();
    for (account, entries) in journal.accounts() {
        *put_in.entry(branch_of(account)).or_default() += entries.len() as u64;
    }
    of_counts(&put_in, changelog)
}

fn of_counts(put_in: &BTreeMap<String, u64>, changelog: &[Record]) -> Tally {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for record in changelog {
        let text = record.text();
        let count = text.split(' ').next().and_then(|count| count.parse().ok());
        let count = count.unwrap_or_else(|| panic!("'{text}' begins with no count"));
        counted.insert(record.key_text(), count);
    }
    let mut tally = Tally::default();
    for (key, expected) in put_in {
        let counted = counted.remove(key).unwrap_or(0);
        tally.lost += expected.saturating_sub(counted);
        tally.repeated += counted.saturating_sub(*expected);
    }
    assert!(counted.is_empty(), "nobody put in {counted:?}");
    tally
}
