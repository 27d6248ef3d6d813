//! The audit: what was written must follow from what was asked for, each transfer once.
//!
//! It trusts nothing but the committed history, and knows nothing of crashes: pure functions from
//! transfers and history to findings.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.

use std::collections::BTreeMap;

use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::history::History;
use crate::model::{OPENING_BALANCE, Transfer};

/// What the audit found.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) findings: Vec<Finding>,
    pub(crate) money_before: i64,
    pub(crate) money_after: i64,
}

impl Audit {
    pub(crate) fn passed(&self) -> bool {
        self.findings.iter().all(Finding::holds)
    }
}

/// Audits a history against the transfers that were made, by their ids, between these accounts.
pub(crate) fn audit(made: &[Transfer], accounts: &[String], history: &History) -> Audit {
    let books = Books::keep(accounts, history);
    let money_before = sum(accounts.iter().map(|_| OPENING_BALANCE));
    let money_after = sum(books.accounts.values().map(|account| account.balance));
    let mut findings = outcomes(made, history);
    findings.extend(books.findings(history));
    findings.push(Finding::new(
        "no money was made or lost",
        format!("{} in all", count(money_before)),
        (money_before != money_after)
            .then(|| {
                format!(
                    "{} before, {} after",
                    count(money_before),
                    count(money_after)
                )
            })
            .into_iter(),
    ));
    Audit {
        findings,
        money_before,
        money_after,
    }
}

fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.sum()
}

/// How often a transfer ended in which way.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    applied: u32,
    refused: u32,
}

/// Transfers and their outcomes, by id.
fn outcomes(made: &[Transfer], history: &History) -> Vec<Finding> {
    let mut outcomes = vec![Outcome::default(); made.len()];
    let mut strangers = Vec::new();
    let mut tally = |results: &[Transfer], add: fn(&mut Outcome)| {
        for transfer in results {
            let id = usize::try_from(transfer.id).unwrap_or(usize::MAX);
            match outcomes.get_mut(id) {
                Some(outcome) if made[id] == *transfer => add(outcome),
                _ => strangers.push(format!("nobody made {transfer:?}")),
            }
        }
    };
    tally(&history.applied, |outcome| outcome.applied += 1);
    tally(&history.refused, |outcome| outcome.refused += 1);
    let those = |is_wrong: fn(&Outcome) -> bool| {
        let wrong = outcomes
            .iter()
            .enumerate()
            .filter(move |(_, outcome)| is_wrong(outcome));
        wrong.map(|(id, outcome)| {
            let Outcome { applied, refused } = outcome;
            format!("transfer {id} was applied {applied} times and refused {refused} times")
        })
    };
    let (applied, refused) = (history.applied.len(), history.refused.len());
    vec![
        Finding::new(
            "every transfer was applied or refused",
            format!("{} transfers", count(made.len())),
            those(|outcome| outcome.applied + outcome.refused == 0),
        ),
        Finding::new(
            "none was applied twice",
            format!("{} applied", count(applied)),
            those(|outcome| outcome.applied > 1),
        ),
        Finding::new(
            "none was refused twice",
            format!("{} refused", count(refused)),
            those(|outcome| outcome.refused > 1),
        ),
        Finding::new(
            "none was both applied and refused",
            format!("{} results", count(applied + refused)),
            those(|outcome| outcome.applied > 0 && outcome.refused > 0),
        ),
        Finding::new(
            "every result is of a transfer that was made, unaltered",
            format!("{} results", count(applied + refused)),
            strangers.into_iter(),
        ),
    ]
}

/// What an account has, and had.
#[derive(Debug)]
struct Account {
    balance: i64,
    /// By amount: how often the balance changed by it, less how often a transfer says so.
    changes: BTreeMap<i64, i64>,
}

/// The accounts as their balances tell it, beside what the applied transfers say.
#[derive(Debug)]
struct Books<'h> {
    accounts: BTreeMap<&'h str, Account>,
    /// By account: opening balance, less debits, plus credits.
    expected: BTreeMap<&'h str, i64>,
}

impl<'h> Books<'h> {
    fn keep(accounts: &'h [String], history: &'h History) -> Self {
        let open = || Account {
            balance: OPENING_BALANCE,
            changes: BTreeMap::new(),
        };
        let names = accounts.iter().map(String::as_str);
        let mut books = Books {
            accounts: names.clone().map(|name| (name, open())).collect(),
            expected: names.map(|name| (name, OPENING_BALANCE)).collect(),
        };
        for (name, balance) in &history.balances {
            let account = books.accounts.entry(name).or_insert_with(open);
            let change = balance - account.balance;
            account.balance = *balance;
            *account.changes.entry(change).or_default() += 1;
        }
        for transfer in &history.applied {
            books.expect(&transfer.from, -transfer.amount);
            books.expect(&transfer.to, transfer.amount);
        }
        books
    }

    fn expect(&mut self, name: &'h str, change: i64) {
        *self.expected.entry(name).or_insert(OPENING_BALANCE) += change;
        let account = self.accounts.entry(name).or_insert_with(|| Account {
            balance: OPENING_BALANCE,
            changes: BTreeMap::new(),
        });
        *account.changes.entry(change).or_default() -= 1;
    }

    fn findings(&self, history: &History) -> Vec<Finding> {
        let changes = format!("{} changes", count(history.balances.len()));
        let accounts = format!("{} accounts", count(self.accounts.len()));
        let negative = history.balances.iter().filter(|(_, balance)| *balance < 0);
        let unexplained = self.accounts.iter().flat_map(|(name, account)| {
            let odd = account.changes.iter().filter(|(_, surplus)| **surplus != 0);
            odd.map(move |(change, surplus)| match *surplus {
                more @ 1.. => format!("{name} changed by {change} {more} times too often"),
                less => format!("{name} changed by {change} {} times too rarely", -less),
            })
        });
        let wrong = self.accounts.iter().filter_map(|(name, account)| {
            let (expected, has) = (self.expected.get(name)?, account.balance);
            (has != *expected).then(|| format!("{name} has {has}, should have {expected}"))
        });
        vec![
            Finding::new(
                "every change of a balance is one debit or credit of one transfer",
                changes.clone(),
                unexplained,
            ),
            Finding::new(
                "no balance was ever below zero",
                changes,
                negative.map(|(name, balance)| format!("{name} had {balance}")),
            ),
            Finding::new(
                "every balance is opening - debits + credits",
                accounts,
                wrong,
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
