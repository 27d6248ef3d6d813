//! An application that time drives: what its punctuations write is accounted for like records.
//!
//! ```text
//!   input: account, amount
//!     └─ till [pending: "count sum", ticks: number]
//!          ├─ a record adds to what its account has pending
//!          ├─ stream time empties the till: account, "count sum"  ──> statements
//!          └─ the wall clock ticks: the task's tick, "number"      ──> totals
//! ```
//!
//! # Invariants
//!
//! - Whatever moment it punctuates at, of each account the counts and sums written and still
//!   pending make up what was put in, and the ticks of a task run from 1 without a gap.

use std::{collections::BTreeMap, time::Duration};

use onceflow_framework::processor::{Context, Processor, Punctuation, PunctuationKind};
use onceflow_framework::state::{KeyValueStore, StoreBuilder};
use onceflow_framework::topology::{Consumed, Produced, Topology, TopologyBuilder};
use onceflow_framework::{Error, Fault, Record, Timestamp, serde};

use crate::{ledger::Ledger, ledger::LedgerTopics, record::Record as Read};

const PENDING: &str = "pending";
const TICKS: &str = "ticks";

/// How far stream time goes between two emptyings of the till, and the wall clock between ticks.
const EMPTIED_EVERY: Duration = Duration::from_millis(200);
const TICKS_EVERY: Duration = Duration::from_millis(30);

/// The topology over a ledger's topics.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn topology(topics: &LedgerTopics) -> Result<Topology, Error> {
    let mut builder = TopologyBuilder::new();
    let input = Consumed::with(serde::utf8(), serde::i64());
    let entries = builder.add_source("entries", [topics.input.as_str()], input);
    let till = builder.add_processor("till", Till::default, &[&entries]);
    builder.add_state_store(
        StoreBuilder::key_value(PENDING, serde::utf8(), serde::utf8()),
        &["till"],
    );
    builder.add_state_store(
        StoreBuilder::key_value(TICKS, serde::utf8(), serde::i64()),
        &["till"],
    );
    builder.add_sink(
        "emptied",
        topics.statements.as_str(),
        Produced::new(),
        &[&till],
    );
    builder.add_sink(
        "ticks-out",
        topics.totals.as_str(),
        Produced::new(),
        &[&till],
    );
    builder.build()
}

/// Holds every history of the application against what was put in. The workers have ended.
///
/// # Panics
///
/// At the first difference.
pub fn audit(ledger: &Ledger<'_>, ticks_min: usize) {
    let emptied = ledger.cluster.settled(&ledger.topics.statements);
    let pending = ledger.cluster.settled(&ledger.changelog(PENDING));
    let ticks = ledger.cluster.settled(&ledger.topics.totals);
    let logged = ledger.cluster.settled(&ledger.changelog(TICKS));
    ledger.with_journal(|journal| {
        let mut found = written(&emptied);
        for (account, (count, sum)) in written(&latest(&pending)) {
            let of_account = found.entry(account).or_default();
            *of_account = (of_account.0 + count, of_account.1 + sum);
        }
        let expected = journal.accounts().map(|(account, entries)| {
            let sum: i64 = entries.iter().map(|entry| entry.amount).sum();
            (account.to_owned(), (entries.len() as u64, sum))
        });
        let expected: BTreeMap<String, (u64, i64)> = expected.collect();
        assert_eq!(
            found, expected,
            "written and pending make up what was put in"
        );
    });
    let ticks = numbers(&ticks);
    assert_eq!(
        ticks,
        numbers(&logged),
        "each tick is one output and one change"
    );
    for (task, numbers) in ticks {
        let row: Vec<i64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, row, "the ticks of {task}");
        assert!(
            numbers.len() >= ticks_min,
            "{} ticks of {task}",
            numbers.len()
        );
    }
}

/// Count and sum by account.
fn written(records: &[Read]) -> BTreeMap<String, (u64, i64)> {
    let mut by_account: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for record in records.iter().filter(|record| record.value.is_some()) {
        let (count, sum) = read(&record.text()).expect("the till wrote it");
        let of_account = by_account.entry(record.key_text()).or_default();
        *of_account = (of_account.0 + count, of_account.1 + sum);
    }
    by_account
}

/// What a changelog comes down to.
fn latest(changelog: &[Read]) -> Vec<Read> {
    let by_key = changelog
        .iter()
        .map(|record| (record.key_text(), record.clone()));
    by_key.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Numbers by key in order.
fn numbers(records: &[Read]) -> BTreeMap<String, Vec<i64>> {
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in records {
        // As text in the output, as eight bytes in the changelog.
        let bytes = record.value.as_deref().unwrap_or_default();
        let number = match <[u8; 8]>::try_from(bytes) {
            Ok(bytes) if bytes[0] == 0 => i64::from_be_bytes(bytes),
            _ => record.text().parse().expect("a number"),
        };
        by_key.entry(record.key_text()).or_default().push(number);
    }
    by_key
}

#[derive(Default)]
struct Till {
    stores: Option<(KeyValueStore<String, String>, KeyValueStore<String, i64>)>,
    emptying: Option<Punctuation>,
}

impl Till {
    fn empty(&self, at: Timestamp, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        let (pending, _) = self.stores.as_ref().expect("init ran");
        for entry in pending.all().collect::<Result<Vec<_>, _>>()? {
            pending.delete(&entry.0)?;
            ctx.forward_to("emptied", Record::new(entry.0, entry.1, at))?;
        }
        Ok(())
    }

    fn tick(&self, at: Timestamp, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        let (_, ticks) = self.stores.as_ref().expect("init ran");
        let task = ctx.task_id().to_string();
        let number = ticks.get(&task)?.unwrap_or(0) + 1;
        ticks.put(&task, &number)?;
        ctx.forward_to("ticks-out", Record::new(task, number.to_string(), at))
    }
}

impl Processor for Till {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.stores = Some((ctx.key_value_store(PENDING)?, ctx.key_value_store(TICKS)?));
        self.emptying = Some(ctx.schedule(EMPTIED_EVERY, PunctuationKind::StreamTime));
        ctx.schedule(TICKS_EVERY, PunctuationKind::WallClock);
        Ok(())
    }

    fn process(
        &mut self,
        entry: Record<String, i64>,
        _ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let (pending, _) = self.stores.as_ref().expect("init ran");
        let (count, sum) = match pending.get(&entry.key)? {
            Some(state) => read(&state)?,
            None => (0, 0),
        };
        pending.put(&entry.key, &format!("{} {}", count + 1, sum + entry.value))?;
        Ok(())
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: Timestamp,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        if Some(punctuation) == self.emptying {
            return self.empty(timestamp, ctx);
        }
        self.tick(timestamp, ctx)
    }
}

fn read(state: &str) -> Result<(u64, i64), Fault> {
    let (count, sum) = state
        .split_once(' ')
        .ok_or_else(|| Fault::message("expected two words"))?;
    Ok((count.parse()?, sum.parse()?))
}
