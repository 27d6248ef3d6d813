//! An application that a third of its records are poison to: what it buries is accounted for like
//! what it processes.
//!
//! ```text
//!   input: account, amount
//!     └─ later [later] ── or at once ──> number [numbers: number] ──> statements: account, "number amount"
//!          └─ poison ──> totals, as the topic of dead letters: the input as it was
//! ```
//!
//! # Invariants
//!
//! - The good entries of an account are numbered from 1 without a gap, however many of its entries
//!   were poison, and each poison entry is one dead letter. Where what a node did before it failed
//!   stays, all entries are numbered like that.

use std::collections::BTreeMap;

use ::serde::{Deserialize, Serialize};
use onceflow_framework::handler::FailureScope;
use onceflow_framework::processor::{Context, Processor, WaitingRecord};
use onceflow_framework::state::{BufferStore, KeyValueStore, StoreBuilder};
use onceflow_framework::topology::{Consumed, Produced, Topology, TopologyBuilder};
use onceflow_framework::{Error, Fault, Headers, Offset, Position, RawRecord, Record, serde};

use crate::{ledger::Ledger, ledger::LedgerTopics, letters::told_and_buried};

const NUMBERS: &str = "numbers";
const LATER: &str = "later";

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

/// Whether an entry waits until the next one of its account comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entries {
    /// It is processed at once.
    AtOnce,
    /// It waits in a buffer; the last of each account is still there in the end.
    Later,
}

/// The topology over a ledger's topics.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn topology(topics: &LedgerTopics, come: Entries) -> Result<Topology, Error> {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [topics.input.as_str()], input);
    let entries = match come {
        Entries::AtOnce => entries,
        Entries::Later => {
            let later = builder.add_processor("later", Later::default, &[&entries]);
            builder.add_state_store(StoreBuilder::buffer(LATER), &["later"]);
            later
        }
    };
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
pub fn audit(ledger: &Ledger<'_>, come: Entries, scope: FailureScope) {
    let (statements, letters) = told_and_buried(ledger);
    ledger.with_journal(|journal| {
        let (mut good, mut poison) = (BTreeMap::new(), BTreeMap::new());
        for (account, entries) in journal.accounts() {
            let came = match come {
                Entries::AtOnce => entries,
                Entries::Later => &entries[..entries.len() - 1],
            };
            let amounts = came.iter().map(|entry| entry.amount);
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

/// Holds an entry back until the next one of its account comes.
#[derive(Default)]
struct Later(Option<BufferStore>);

impl Later {
    /// What waits: the amount, and the offset that it was read at.
    fn entry(bytes: &[u8]) -> Option<(i64, i64)> {
        let (amount, offset) = bytes.split_at_checked(8)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        Some((number(amount)?, number(offset)?))
    }
}

impl Processor for Later {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
        self.0 = Some(ctx.buffer(LATER)?);
        Ok(())
    }

    fn process(
        &mut self,
        entry: Record<String, i64>,
        ctx: &mut Context<String, i64>,
    ) -> Result<(), Fault> {
        let buffer = self.0.as_ref().expect("init ran");
        let at = ctx.position().expect("an entry was read somewhere");
        let (place, headers) = (entry.key.as_bytes(), Headers::new());
        if let Some(waiting) = buffer.get(place)? {
            let (amount, offset) = Later::entry(&waiting).expect("it was written here");
            let position = Position {
                offset: Offset::new(offset),
                ..at.clone()
            };
            let waiting = WaitingRecord {
                buffer,
                place,
                record: RawRecord {
                    offset: position.offset,
                    timestamp: entry.timestamp,
                    key: Some(place),
                    value: Some(&waiting[..8]),
                    headers: &headers,
                },
                position: &|| Some(position.clone()),
            };
            let released = Record::new(entry.key.clone(), amount, entry.timestamp);
            ctx.release(&waiting, |ctx| ctx.forward(released))?;
        }
        let waits = [entry.value.to_be_bytes(), at.offset.get().to_be_bytes()].concat();
        buffer.put(place, Some(&waits));
        Ok(buffer.log(place, &headers)?)
    }
}
