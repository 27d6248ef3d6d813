//! An application that a third of its records are poison to: what it buries is accounted for like
//! what it processes.
//!
//! ```text
//!   input: account, amount
//!     └─ number [numbers: number] ──> statements: account, "number amount"
//!          └─ poison ──> totals, as the topic of dead letters: the input as it was
//! ```
//!
//! # Invariants
//!
//! - The good entries of an account are numbered from 1 without a gap, however many of its entries
//!   were poison, and each poison entry is one dead letter. Where what a node did before it failed
//!   stays, all entries are numbered like that.

use std::collections::BTreeMap;

use onceflow_framework::handler::FailureScope;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::state::{KeyValueStore, StoreBuilder};
use onceflow_framework::topology::{Consumed, Produced, Topology, TopologyBuilder};
use onceflow_framework::{Error, Fault, Record, serde};

use crate::{ledger::Ledger, ledger::LedgerTopics, record::Record as Read};

const NUMBERS: &str = "numbers";

/// The settings that bury poison, and as much as that of what it led to.
#[must_use]
pub fn burying(topics: &LedgerTopics, scope: FailureScope) -> Vec<(String, String)> {
    let scope = scope.to_string();
    let settings = [
        ("processing.exception.handler", "continue"),
        ("processing.exception.scope", &scope),
        (
            "errors.dead.letter.queue.topic.name",
            topics.totals.as_str(),
        ),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    settings.to_vec()
}

/// The topology over a ledger's topics.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn topology(topics: &LedgerTopics) -> Result<Topology, Error> {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [topics.input.as_str()], input);
    let number = builder.add_processor("number", Number::default, &[&entries]);
    let store = StoreBuilder::key_value(NUMBERS, serde::utf8(), serde::i64());
    builder.add_state_store(store, &["number"]);
    let statements = topics.statements.as_str();
    builder.add_sink("out", statements, Produced::new(), &[&number]);
    builder.build()
}

fn is_poison(amount: i64) -> bool {
    amount % 3 == 0
}

/// Holds every history of the application against what was put in. The workers have ended.
///
/// # Panics
///
/// At the first difference.
pub fn audit(ledger: &Ledger<'_>, scope: FailureScope) {
    let statements = by_account(
        &ledger.cluster.settled(&ledger.topics.statements),
        Read::text,
    );
    let letters = ledger.cluster.settled(&ledger.topics.totals);
    let letters = by_account(&letters, |letter| {
        let amount = letter.value.as_deref().unwrap_or_default();
        let amount = <[u8; 8]>::try_from(amount).expect("an amount, as it was");
        i64::from_be_bytes(amount)
    });
    ledger.with_journal(|journal| {
        let (mut good, mut poison) = (BTreeMap::new(), BTreeMap::new());
        for (account, entries) in journal.accounts() {
            let amounts = entries.iter().map(|entry| entry.amount);
            let bad: Vec<i64> = amounts
                .clone()
                .filter(|amount| is_poison(*amount))
                .collect();
            let stays = |amount: &i64| scope == FailureScope::Node || !is_poison(*amount);
            let fine: Vec<i64> = amounts.filter(stays).collect();
            let numbered = (1..)
                .zip(&fine)
                .map(|(number, amount)| format!("{number} {amount}"));
            good.insert(account.to_owned(), numbered.collect::<Vec<_>>());
            poison.insert(account.to_owned(), bad);
        }
        good.retain(|_, statements| !statements.is_empty());
        poison.retain(|_, letters| !letters.is_empty());
        assert!(!poison.is_empty(), "there is poison");
        assert_eq!(statements, good, "neighbours are processed once, in order");
        assert_eq!(letters, poison, "exactly the poison is buried, in order");
    });
}

fn by_account<T>(records: &[Read], read: impl Fn(&Read) -> T) -> BTreeMap<String, Vec<T>> {
    let mut by_account: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for record in records {
        let of_account = by_account.entry(record.key_text()).or_default();
        of_account.push(read(record));
    }
    by_account
}

/// Numbers the entries of each account, and fails after it has: by error or by panic.
#[derive(Default)]
struct Number(Option<KeyValueStore<String, i64>>);

impl Processor for Number {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store(NUMBERS)?);
        Ok(())
    }

    fn process(
        &mut self,
        entry: Record<String, i64>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        let number = store.get(&entry.key)?.unwrap_or(0) + 1;
        store.put(&entry.key, &number)?;
        let amount = entry.value;
        ctx.forward(entry.with_value(format!("{number} {amount}")))?;
        assert!(!is_poison(amount) || amount % 2 == 0, "poison");
        match is_poison(amount) {
            true => Err(Fault::message("poison")),
            false => Ok(()),
        }
    }
}
