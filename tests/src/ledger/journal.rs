//! What was put in: every entry of every account, in order. The model that histories are held
//! against.

use std::collections::BTreeMap;

use crate::{dice::Dice, record::Outgoing, wait::unix_millis};

/// How many accounts there are.
const ACCOUNTS: u64 = 12;

/// How many branches the accounts belong to.
const BRANCHES: u64 = 5;

/// The header that every entry carries, to be found again on whatever it led to.
pub(super) const ENTRY_HEADER: &str = "entry";

/// One input record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub account: String,
    /// Its number within the account, from 1.
    pub number: u64,
    /// Its value.
    pub amount: i64,
    /// Milliseconds since the epoch; not in order, for events are not.
    pub timestamp: i64,
}

impl Entry {
    /// The bytes of its header: unique among all entries.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{}#{}", self.account, self.number)
    }

    /// The record as it is produced; the key decides the partition, as murmur2 does in Java.
    #[must_use]
    pub fn to_record(&self) -> Outgoing {
        Outgoing::value(self.amount.to_be_bytes())
            .key(&self.account)
            .timestamp(self.timestamp)
            .header(ENTRY_HEADER, self.tag())
    }
}

/// All entries made so far.
#[derive(Debug)]
pub struct Journal {
    accounts: BTreeMap<String, Vec<Entry>>,
    entries: u64,
    began: i64,
    dice: Dice,
}

impl Journal {
    /// An empty journal whose entries will be those of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            accounts: BTreeMap::new(),
            entries: 0,
            began: unix_millis(),
            dice: Dice::from_seed(seed),
        }
    }

    /// Makes `count` more entries, in the order in which they are to be produced.
    pub fn extend(&mut self, count: usize) -> Vec<Entry> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Entry {
        let account = format!("account-{:02}", self.dice.below(ACCOUNTS));
        let amount = i64::try_from(self.dice.below(200)).expect("a small number") - 100;
        let late = i64::try_from(self.dice.below(40)).expect("a small number");
        let elapsed = i64::try_from(self.entries).expect("few entries") * 10;
        let entries = self.accounts.entry(account.clone()).or_default();
        let entry = Entry {
            account,
            number: entries.len() as u64 + 1,
            amount,
            timestamp: self.began + elapsed - late,
        };
        entries.push(entry.clone());
        self.entries += 1;
        entry
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.values().map(Vec::len).sum()
    }

    /// Whether nothing was put in yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Accounts with their entries.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &[Entry])> {
        let accounts = self.accounts.iter();
        accounts.map(|(account, entries)| (account.as_str(), entries.as_slice()))
    }

    /// An entry by its account and number.
    #[must_use]
    pub fn entry(&self, account: &str, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.accounts.get(account)?.get(index)
    }
}

/// The branch that an account belongs to: the key of the second half of the topology.
pub(super) fn branch_of(account: &str) -> String {
    let digits = account.rsplit('-').next().unwrap_or_default();
    let number: u64 = digits.parse().unwrap_or_default();
    format!("branch-{}", number % BRANCHES)
}
