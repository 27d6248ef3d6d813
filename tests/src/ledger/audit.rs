//! Histories against the journal: every output, every change of a store, in order, once.
//!
//! Each check answers the first difference in words: which key, which place, what was expected,
//! what was found, and what stands around it.

use std::collections::BTreeMap;

use super::journal::{ENTRY_HEADER, Entry, Journal, branch_of};
use crate::record::Record;

/// How many records around a difference are shown.
const CONTEXT: usize = 3;

/// What is wrong with a history, if anything is.
pub(super) type Finding = Result<(), String>;

/// Statements: per account exactly the numbers 1 to n with the right sums, times and headers.
///
/// # Errors
///
/// The first difference.
pub(super) fn statements(journal: &Journal, history: &[Record]) -> Finding {
    let found = by_key(history)?;
    known_keys(
        "statements",
        &found,
        journal.accounts().map(|(account, _)| account),
    )?;
    for (account, entries) in journal.accounts() {
        let mut sum = 0;
        let expected = entries.iter().map(|entry| {
            sum += entry.amount;
            Line::of(entry, format!("{} {sum} {}", entry.number, entry.amount))
        });
        let expected: Vec<Line> = expected.collect();
        same_lines("statements", account, &expected, found_of(&found, account))?;
    }
    Ok(())
}

/// The changelog of the first store: one record for each entry, absolute values in order.
///
/// # Errors
///
/// The first difference.
pub(super) fn balances(journal: &Journal, changelog: &[Record]) -> Finding {
    let found = by_key(changelog)?;
    known_keys(
        "balances",
        &found,
        journal.accounts().map(|(account, _)| account),
    )?;
    for (account, entries) in journal.accounts() {
        let mut sum = 0;
        let expected = entries.iter().map(|entry| {
            sum += entry.amount;
            Line::of(entry, format!("{} {sum}", entry.number)).without_tag()
        });
        let expected: Vec<Line> = expected.collect();
        same_lines("balances", account, &expected, found_of(&found, account))?;
    }
    Ok(())
}

/// Totals: which account's entry comes when is the brokers' affair, but per branch the numbers
/// run from 1 without a gap, the sums follow, every account's entries come in order, and at the
/// end all of them have come once.
///
/// # Errors
///
/// The first difference.
pub(super) fn totals(journal: &Journal, history: &[Record]) -> Finding {
    let found = by_key(history)?;
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for (branch, records) in &found {
        let (mut number, mut sum) = (0u64, 0i64);
        for (place, record) in records.iter().enumerate() {
            let entry = next_entry(journal, &mut seen, branch, record)
                .map_err(|why| differs("totals", branch, place, &why, records))?;
            number += 1;
            sum += entry.amount;
            let text = format!(
                "{number} {sum} {} {} {}",
                entry.account, entry.number, entry.amount
            );
            Line::of(entry, text)
                .compare(record)
                .map_err(|why| differs("totals", branch, place, &why, records))?;
        }
    }
    for (account, entries) in journal.accounts() {
        let have = seen.get(account).copied().unwrap_or(0);
        if have != entries.len() as u64 {
            return Err(format!(
                "totals: {have} of the {} entries of {account} reached their branch",
                entries.len()
            ));
        }
    }
    Ok(())
}

/// The changelog of the second store against the totals: each change is that of an output, with its
/// number and sum, in order; a batch may log only the last of a branch, and none is left behind.
///
/// # Errors
///
/// The first difference.
pub(super) fn branches(totals: &[Record], changelog: &[Record]) -> Finding {
    let (totals, found) = (by_key(totals)?, by_key(changelog)?);
    known_keys("branches", &found, totals.keys().map(String::as_str))?;
    for (branch, outputs) in &totals {
        let expected = outputs.iter().map(|output| {
            let text = output.text();
            let state: Vec<&str> = text.split(' ').take(2).collect();
            Line {
                text: state.join(" "),
                timestamp: output.timestamp,
                tag: None,
            }
        });
        let expected: Vec<Line> = expected.collect();
        some_lines("branches", branch, &expected, found_of(&found, branch))?;
    }
    Ok(())
}

/// The entry that a total speaks of, which must be its account's next.
fn next_entry<'j>(
    journal: &'j Journal,
    seen: &mut BTreeMap<&'j str, u64>,
    branch: &str,
    record: &Record,
) -> Result<&'j Entry, String> {
    let text = record.text();
    let words: Vec<&str> = text.split(' ').collect();
    let [_, _, account, number, _] = words[..] else {
        return Err("expected five words".to_owned());
    };
    if branch_of(account) != branch {
        return Err(format!("{account} belongs to {}", branch_of(account)));
    }
    let number: u64 = number.parse().map_err(|_error| "expected a number")?;
    let Some(entry) = journal.entry(account, number) else {
        return Err(format!("nobody put in entry {number} of {account}"));
    };
    let last = seen.entry(&entry.account).or_default();
    if number != *last + 1 {
        return Err(format!("expected entry {} of {account}", *last + 1));
    }
    *last = number;
    Ok(entry)
}

/// A record as it must be.
struct Line {
    text: String,
    timestamp: Option<i64>,
    /// The entry's header; `None` where records carry none.
    tag: Option<String>,
}

impl Line {
    fn of(entry: &Entry, text: String) -> Self {
        Self {
            text,
            timestamp: Some(entry.timestamp),
            tag: Some(entry.tag()),
        }
    }

    fn without_tag(mut self) -> Self {
        self.tag = None;
        self
    }

    fn compare(&self, record: &Record) -> Finding {
        if record.text() != self.text {
            return Err(format!("expected '{}'", self.text));
        }
        if record.timestamp != self.timestamp {
            let (expected, found) = (self.timestamp, record.timestamp);
            return Err(format!(
                "expected the timestamp {expected:?}, not {found:?}"
            ));
        }
        let headers: Vec<_> = self
            .tag
            .iter()
            .map(|tag| (ENTRY_HEADER.to_owned(), Some(tag.clone().into_bytes())))
            .collect();
        if record.headers != headers {
            return Err(format!(
                "expected the headers {headers:?}, not {:?}",
                record.headers
            ));
        }
        Ok(())
    }
}

type ByKey<'r> = BTreeMap<String, Vec<&'r Record>>;

/// Records by key in the order of their offsets; a key lives in one partition.
fn by_key(history: &[Record]) -> Result<ByKey<'_>, String> {
    let mut by_key: ByKey<'_> = BTreeMap::new();
    for record in history {
        let of_key = by_key.entry(record.key_text()).or_default();
        if let Some(first) = of_key
            .first()
            .filter(|first| first.partition != record.partition)
        {
            return Err(format!(
                "{} is in partitions {} and {} of {}",
                record.key_text(),
                first.partition,
                record.partition,
                record.topic
            ));
        }
        of_key.push(record);
    }
    Ok(by_key)
}

fn found_of<'f, 'r>(found: &'f ByKey<'r>, key: &str) -> &'f [&'r Record] {
    found.get(key).map_or(&[], Vec::as_slice)
}

fn known_keys<'k>(what: &str, found: &ByKey<'_>, known: impl Iterator<Item = &'k str>) -> Finding {
    let known: Vec<&str> = known.collect();
    match found.keys().find(|key| !known.contains(&key.as_str())) {
        Some(stranger) => Err(format!("{what}: nobody put in {stranger}")),
        None => Ok(()),
    }
}

fn same_lines(what: &str, key: &str, expected: &[Line], found: &[&Record]) -> Finding {
    for (place, (line, record)) in expected.iter().zip(found).enumerate() {
        line.compare(record)
            .map_err(|why| differs(what, key, place, &why, found))?;
    }
    if expected.len() == found.len() {
        return Ok(());
    }
    let place = expected.len().min(found.len());
    let why = format!("expected {} records, found {}", expected.len(), found.len());
    Err(differs(what, key, place, &why, found))
}

/// Some of the lines, in order, the last one among them.
fn some_lines(what: &str, key: &str, expected: &[Line], found: &[&Record]) -> Finding {
    let mut left = expected.iter();
    for (place, record) in found.iter().enumerate() {
        if !left.any(|line| line.compare(record).is_ok()) {
            let why = "no line of those left says this";
            return Err(differs(what, key, place, why, found));
        }
    }
    match left.len() {
        0 => Ok(()),
        behind => {
            let why = format!("it ends {behind} lines before the last");
            Err(differs(what, key, found.len(), &why, found))
        }
    }
}

fn differs(what: &str, key: &str, place: usize, why: &str, found: &[&Record]) -> String {
    let from = place.saturating_sub(CONTEXT);
    let around = found.iter().enumerate().skip(from).take(2 * CONTEXT + 1);
    let around = around.map(|(at, record)| {
        let mark = if at == place { ">" } else { " " };
        let (partition, offset, text) = (record.partition, record.offset, record.text());
        format!("\n  {mark} {at}: '{text}' (partition {partition} offset {offset})")
    });
    format!(
        "{what} of {key} differ at {place}: {why}; found:{}",
        around.collect::<String>()
    )
}
