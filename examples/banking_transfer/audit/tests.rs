//! An audit that cannot fail proves nothing: each claim is made to fail, by a history that a
//! defect of its kind would leave behind.

use onceflow_examples::random::Random;

use super::*;
use crate::model::{account, transfers};

const ACCOUNTS: u64 = 5;
const TRANSFERS: u64 = 400;

fn accounts() -> Vec<String> {
    (0..ACCOUNTS).map(account).collect()
}

/// Transfers of amounts that few accounts can bear for long.
fn made() -> Vec<Transfer> {
    let mut made = transfers(&mut Random::seeded(1), ACCOUNTS, TRANSFERS);
    made.iter_mut()
        .for_each(|transfer| transfer.amount *= OPENING_BALANCE / 1_000);
    made
}

/// What a bank without faults leaves behind.
fn honest() -> History {
    let mut history = History::default();
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for transfer in made() {
        let mut change = |name: &String, amount: i64| {
            let balance = balances.entry(name.clone()).or_insert(OPENING_BALANCE);
            if *balance + amount < 0 {
                return false;
            }
            *balance += amount;
            history.balances.push((name.clone(), *balance));
            true
        };
        if change(&transfer.from, -transfer.amount) {
            assert!(change(&transfer.to, transfer.amount));
            history.applied.push(transfer);
        } else {
            history.refused.push(transfer);
        }
    }
    assert!(history.applied.len() > 100 && history.refused.len() > 10);
    history
}

/// The claims that a history breaks.
fn broken(corrupt: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = honest();
    corrupt(&mut history);
    let audit = audit(&made(), &accounts(), &history);
    let broken: Vec<_> = audit
        .findings
        .iter()
        .filter(|finding| !finding.holds())
        .collect();
    assert_eq!(audit.passed(), broken.is_empty());
    assert!(broken.iter().all(|finding| !finding.examples.is_empty()));
    broken.iter().map(|finding| finding.claim).collect()
}

const OUTCOME: &str = "every transfer was applied or refused";
const APPLIED_TWICE: &str = "none was applied twice";
const REFUSED_TWICE: &str = "none was refused twice";
const BOTH: &str = "none was both applied and refused";
const STRANGER: &str = "every result is of a transfer that was made, unaltered";
const CHANGES: &str = "every change of a balance is one debit or credit of one transfer";
const NEGATIVE: &str = "no balance was ever below zero";
const BALANCES: &str = "every balance is opening - debits + credits";
const MONEY: &str = "no money was made or lost";

/// Adds to the last balance of an account.
fn add(history: &mut History, name: &str, amount: i64) {
    let of_account = history
        .balances
        .iter()
        .rev()
        .find(|(account, _)| account == name);
    let balance = of_account.map_or(OPENING_BALANCE, |(_, balance)| *balance) + amount;
    history.balances.push((name.to_owned(), balance));
}

#[test]
fn an_honest_history_passes() {
    assert_eq!(broken(|_| {}), [""; 0]);
}

#[test]
fn a_result_that_is_missing_is_found() {
    assert_eq!(broken(|history| drop(history.refused.pop())), [OUTCOME]);
    let lost = broken(|history| drop(history.applied.pop()));
    assert_eq!(lost, [OUTCOME, CHANGES, BALANCES]);
}

#[test]
fn a_result_that_was_written_twice_is_found() {
    let again = |results: &mut Vec<Transfer>| results.push(results[7].clone());
    assert_eq!(
        broken(|history| again(&mut history.refused)),
        [REFUSED_TWICE]
    );
    let applied = broken(|history| again(&mut history.applied));
    assert_eq!(applied, [APPLIED_TWICE, CHANGES, BALANCES]);
}

#[test]
fn a_transfer_that_was_carried_out_twice_is_found_although_no_money_is_lost() {
    let twice = broken(|history| {
        let transfer = history.applied[7].clone();
        add(history, &transfer.from, -transfer.amount);
        add(history, &transfer.to, transfer.amount);
        history.applied.push(transfer);
    });
    assert!(twice.starts_with(&[APPLIED_TWICE]), "{twice:?}");
    assert!(!twice.contains(&MONEY), "{twice:?}");
}

#[test]
fn a_transfer_that_was_applied_and_refused_is_found() {
    let both = broken(|history| history.refused.push(history.applied[7].clone()));
    assert_eq!(both, [BOTH]);
}

#[test]
fn a_result_of_no_transfer_is_found() {
    let unknown = broken(|history| {
        let mut stranger = history.refused[0].clone();
        stranger.id = TRANSFERS;
        history.refused.push(stranger);
    });
    assert_eq!(unknown, [STRANGER]);
}

#[test]
fn a_result_that_was_altered_is_found() {
    let altered = broken(|history| history.refused[0].amount += 1);
    assert_eq!(altered, [OUTCOME, STRANGER]);
}

#[test]
fn a_credit_that_was_lost_is_found() {
    let lost = broken(|history| {
        let (name, _) = history.balances.pop().unwrap();
        assert_eq!(name, history.applied.last().unwrap().to);
    });
    assert_eq!(lost, [CHANGES, BALANCES, MONEY]);
}

#[test]
fn a_credit_that_was_given_twice_is_found() {
    let twice = broken(|history| {
        let transfer = history.applied.last().unwrap().clone();
        add(history, &transfer.to, transfer.amount);
    });
    assert_eq!(twice, [CHANGES, BALANCES, MONEY]);
}

#[test]
fn a_balance_below_zero_is_found_although_it_did_not_last() {
    let negative = broken(|history| {
        add(history, &account(0), -9 * OPENING_BALANCE);
        add(history, &account(0), 9 * OPENING_BALANCE);
    });
    assert_eq!(negative, [CHANGES, NEGATIVE]);
}

#[test]
fn errors_that_cancel_out_are_found() {
    let cancelled = broken(|history| {
        add(history, &account(0), 10);
        add(history, &account(1), -10);
        add(history, &account(0), -10);
        add(history, &account(1), 10);
    });
    assert_eq!(cancelled, [CHANGES]);
}

#[test]
fn money_of_an_account_that_nobody_opened_is_found() {
    let stranger = broken(|history| add(history, "account-9999", 1));
    assert!(
        stranger.contains(&CHANGES) && stranger.contains(&MONEY),
        "{stranger:?}"
    );
}

#[test]
fn an_empty_history_does_not_pass() {
    assert_eq!(broken(|history| *history = History::default()), [OUTCOME]);
}
