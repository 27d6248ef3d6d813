//! An application some of whose records lead to what the broker does not take: told when the batch
//! closes, of no record in particular.
//!
//! ```text
//!   input: account, amount
//!     └─ number [numbers: text] ──> statements: account, "number amount"
//!          ├─ an amount of LARGE_OUTPUT: its statement is too large: left out, and its number stays
//!          └─ an amount of LARGE_ROW: its row is too large for the changelog: nothing of it stays
//!                └── both ──> totals, as the topic of dead letters: the input as it was
//! ```
//!
//! # Invariants
//!
//! - The entries of an account but those of `LARGE_ROW` are numbered from 1 without a gap, each has
//!   its statement but those of `LARGE_OUTPUT`, and each of both kinds is one dead letter.

use std::collections::{BTreeMap, BTreeSet};

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::state::{KeyValueStore, StoreBuilder};
use onceflow_framework::topology::{Consumed, Produced, Topology, TopologyBuilder};
use onceflow_framework::{Error, Fault, Record, serde};

use crate::{cluster::Cluster, ledger::Ledger, letters::told_and_buried};

const NUMBERS: &str = "numbers";

/// What a topic of statements, or a changelog, takes; and what is more than that.
const MESSAGE_MAX_BYTES: (&str, &str) = ("max.message.bytes", "3000");
const TOO_LARGE: usize = 9_000;

/// Of fifty consecutive amounts the one whose statement is refused, and the one whose row is.
const LARGE_OUTPUT: i64 = 7;
const LARGE_ROW: i64 = 20;

/// A ledger whose statements have to be small.
#[must_use]
pub fn ledger<'c>(cluster: &'c Cluster, name: &str, partitions: i32) -> Ledger<'c> {
    let mut ledger = Ledger::new(cluster, name, partitions);
    let statements = cluster.topic_with(&format!("{name}-small"), partitions, &[MESSAGE_MAX_BYTES]);
    ledger.topics.statements = statements;
    ledger
}

/// The settings that go on, in batches that hold all that waits.
#[must_use]
pub fn going_on(ledger: &Ledger<'_>) -> Vec<(String, String)> {
    let settings = [
        ("processing.exception.handler", "continue"),
        ("production.exception.handler", "continue"),
        ("batch.bytes.max", "1000000"),
        ("commit.interval.ms", "500"),
        // Brokers hold the limit of a topic against whole batches.
        ("producer.batch.size", "2000"),
        (
            "errors.dead.letter.queue.topic.name",
            ledger.topics.totals.as_str(),
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
pub fn topology(topics: &crate::ledger::LedgerTopics) -> Result<Topology, Error> {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [topics.input.as_str()], input);
    let number = builder.add_processor("number", Number::default, &[&entries]);
    let (name, value) = MESSAGE_MAX_BYTES;
    let store = StoreBuilder::key_value(NUMBERS, serde::utf8(), serde::utf8());
    builder.add_state_store(store.with_changelog_config(name, value), &["number"]);
    let statements = topics.statements.as_str();
    builder.add_sink("out", statements, Produced::new(), &[&number]);
    builder.build()
}

fn is(amount: i64, kind: i64) -> bool {
    amount.rem_euclid(50) == kind
}

/// What a history has to be: of each account its statements, and its dead letters.
struct Model {
    statements: BTreeMap<String, Vec<String>>,
    letters: BTreeMap<String, Vec<i64>>,
}

impl Model {
    fn of(ledger: &Ledger<'_>) -> Self {
        let (mut statements, mut letters) = (BTreeMap::new(), BTreeMap::new());
        ledger.with_journal(|journal| {
            for (account, entries) in journal.accounts() {
                let amounts = || entries.iter().map(|entry| entry.amount);
                let numbered = (1..).zip(amounts().filter(|amount| !is(*amount, LARGE_ROW)));
                let told = numbered.filter(|(_, amount)| !is(*amount, LARGE_OUTPUT));
                let told: Vec<String> = told.map(|(n, amount)| format!("{n} {amount}")).collect();
                let dead = amounts().filter(|a| is(*a, LARGE_ROW) || is(*a, LARGE_OUTPUT));
                statements.insert(account.to_owned(), told);
                letters.insert(account.to_owned(), dead.collect::<Vec<_>>());
            }
        });
        statements.retain(|_, statements| !statements.is_empty());
        letters.retain(|_, letters: &mut Vec<i64>| !letters.is_empty());
        assert!(letters.len() > 1, "something is refused");
        Model {
            statements,
            letters,
        }
    }
}

/// Holds every history of the application against what was put in. The workers have ended.
///
/// # Panics
///
/// At the first difference.
pub fn audit(ledger: &Ledger<'_>) {
    let model = Model::of(ledger);
    let (statements, letters) = told_and_buried(ledger);
    assert_eq!(
        statements, model.statements,
        "neighbours are told once, in order"
    );
    assert_eq!(
        letters, model.letters,
        "exactly what is refused is buried, in order"
    );
}

/// As [`audit`], where things may repeat, and what attempts that failed have sent stays: nothing is
/// lost, and exactly what is refused is buried.
///
/// # Panics
///
/// At the first difference.
pub fn audit_at_least_once(ledger: &Ledger<'_>) {
    let model = Model::of(ledger);
    let (statements, letters) = told_and_buried(ledger);
    let told = amounts(&statements);
    for (account, expected) in amounts(&model.statements) {
        let lost: Vec<_> = expected.difference(&told[account]).collect();
        assert!(lost.is_empty(), "{account} has lost {lost:?}");
    }
    let set = |letters: BTreeMap<String, Vec<i64>>| -> BTreeMap<_, BTreeSet<_>> {
        let sets = letters.into_iter();
        sets.map(|(account, letters)| (account, letters.into_iter().collect()))
            .collect()
    };
    assert_eq!(set(letters), set(model.letters), "dead letters");
}

/// A store may count a record twice, so numbers tell nothing.
fn amounts(statements: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, BTreeSet<&str>> {
    let accounts = statements.iter();
    accounts
        .map(|(account, told)| {
            let amounts = told.iter().filter_map(|text| text.split(' ').nth(1));
            (account.as_str(), amounts.collect())
        })
        .collect()
}

/// Numbers the entries of each account.
#[derive(Default)]
struct Number(Option<KeyValueStore<String, String>>);

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
        let before = store.get(&entry.key)?.unwrap_or_default();
        let number = before.parse::<u64>().unwrap_or(0) + 1;
        let amount = entry.value;
        let row = match is(amount, LARGE_ROW) {
            true => "x".repeat(TOO_LARGE),
            false => number.to_string(),
        };
        store.put(&entry.key, &row)?;
        let statement = match is(amount, LARGE_OUTPUT) {
            true => "x".repeat(TOO_LARGE),
            false => format!("{number} {amount}"),
        };
        ctx.forward(entry.with_value(statement))
    }
}
