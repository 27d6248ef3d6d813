//! The topology under test: two sub-topologies with a store each, and a repartition topic between.
//!
//! ```text
//!   input: account, amount
//!     └─ balance [balances: "number sum"] ──> statements: account, "number sum amount"
//!          └─ by branch ──> repartition: branch, "account number amount"
//!               └─ branch [branches: "number sum"] ──> totals: branch,
//!                                                      "number sum account number amount"
//! ```
//!
//! With a service, that is asked about each entry before it is balanced.
//!
//! # Invariants
//!
//! - An output names its number among the outputs of its key and the sum so far: a record that is
//!   lost, doubled or out of order shows in every later one.
//! - Timestamps and headers go through untouched.

use std::sync::Arc;
use std::time::Duration;

use ::serde::{Deserialize, Serialize};
use futures::future::BoxFuture;
use onceflow_framework::processor::{AsyncCalls, AsyncProcessor, Context, Processor};
use onceflow_framework::state::{KeyValueStore, StoreBuilder, TimestampedKeyValueStore};
use onceflow_framework::topology::{Consumed, NodeRef, Produced, Topology, TopologyBuilder};
use onceflow_framework::{Error, Fault, Record, serde};

use super::journal::branch_of;

/// The store of the first sub-topology.
pub const BALANCES: &str = "balances";

/// The store of the second sub-topology.
pub const BRANCHES: &str = "branches";

/// The repartition topic, without the application id.
pub const BY_BRANCH: &str = "by-branch-repartition";

/// Called for each entry that the first processor gets: account, its number, its amount.
///
/// What a test does to a record in flight, it does here: fail, panic, take its time.
pub type Hook = Arc<dyn Fn(&str, u64, i64) -> Result<(), Fault> + Send + Sync>;

/// Asked about each entry, many at a time: account, amount. It takes its time, fails, hangs.
pub type Service = Arc<dyn Fn(String, i64) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// A processor that writes lines: statements, or totals.
pub type Lines = NodeRef<String, String>;

/// The users' topics of one application.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerTopics {
    /// What is read.
    pub input: String,
    /// What the first sub-topology writes.
    pub statements: String,
    /// What the second sub-topology writes.
    pub totals: String,
}

impl LedgerTopics {
    /// The topology over these topics.
    ///
    /// # Errors
    ///
    /// None, unless the framework has a bug.
    pub fn topology(&self, hook: Hook) -> Result<Topology, Error> {
        self.topology_of(hook, None, |_, _, _| {})
    }

    /// As [`topology`](Self::topology), with a service that is asked about each entry.
    ///
    /// # Errors
    ///
    /// None, unless the framework has a bug.
    pub fn asking(
        &self,
        hook: Hook,
        service: Service,
        calls: AsyncCalls,
    ) -> Result<Topology, Error> {
        self.topology_of(hook, Some((service, calls)), |_, _, _| {})
    }

    /// As [`topology`](Self::topology), with what `more` adds below the two processors.
    ///
    /// # Errors
    ///
    /// Those of what was added.
    pub fn topology_with(
        &self,
        hook: Hook,
        more: impl FnOnce(&mut TopologyBuilder, &Lines, &Lines),
    ) -> Result<Topology, Error> {
        self.topology_of(hook, None, more)
    }

    fn topology_of(
        &self,
        hook: Hook,
        service: Option<(Service, AsyncCalls)>,
        more: impl FnOnce(&mut TopologyBuilder, &Lines, &Lines),
    ) -> Result<Topology, Error> {
        let mut builder = TopologyBuilder::new();
        let input = Consumed::with(serde::utf8(), serde::i64());
        let entries = builder.add_source("entries", [self.input.as_str()], input);
        let entries = match service {
            Some((service, calls)) => {
                builder.add_async_processor("ask", Ask(service), calls, &[&entries])
            }
            None => entries,
        };
        let supplier = move || Balance {
            store: None,
            hook: Arc::clone(&hook),
        };
        let balance = builder.add_processor("balance", supplier, &[&entries]);
        builder.add_state_store(
            StoreBuilder::key_value(BALANCES, serde::utf8(), serde::utf8()),
            &["balance"],
        );
        let by_branch = builder.add_processor("by-branch", || ByBranch, &[&balance]);
        let repartition = builder.add_internal_topic(BY_BRANCH, None);
        builder.add_sink(
            "statements",
            self.statements.as_str(),
            Produced::new(),
            &[&balance],
        );
        builder.add_sink(
            "hop-out",
            repartition.clone(),
            Produced::new(),
            &[&by_branch],
        );
        let hop = builder.add_source("hop-in", [repartition], Consumed::<String, String>::new());
        let branch = builder.add_processor("branch", Branch::default, &[&hop]);
        builder.add_state_store(
            StoreBuilder::timestamped_key_value(BRANCHES, serde::utf8(), serde::utf8()),
            &["branch"],
        );
        builder.add_sink("totals", self.totals.as_str(), Produced::new(), &[&branch]);
        more(&mut builder, &balance, &branch);
        builder.build()
    }
}

/// A hook that does nothing.
#[must_use]
pub fn no_hook() -> Hook {
    Arc::new(|_, _, _| Ok(()))
}

/// A service that answers after a few milliseconds, later entries before earlier ones.
#[must_use]
pub fn slow_service() -> Service {
    Arc::new(|_account, amount| {
        Box::pin(async move {
            let millis = 1 + amount.unsigned_abs() % 8;
            #[expect(
                clippy::disallowed_methods,
                reason = "it stands for something far away"
            )]
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(())
        })
    })
}

/// Lets an entry pass once the service has answered.
struct Ask(Service);

impl AsyncProcessor for Ask {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;
    type Results = [Record<String, i64>; 1];

    async fn call(&self, entry: Record<String, i64>) -> Result<Self::Results, Fault> {
        (self.0)(entry.key.clone(), entry.value).await?;
        Ok([entry])
    }
}

/// Numbers the entries of an account and sums their amounts.
struct Balance {
    store: Option<KeyValueStore<String, String>>,
    hook: Hook,
}

impl Processor for Balance {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.store = Some(ctx.key_value_store(BALANCES)?);
        Ok(())
    }

    fn process(
        &mut self,
        entry: Record<String, i64>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let store = self.store.as_ref().expect("init ran");
        let (number, sum) = read(store.get(&entry.key)?.as_deref())?;
        let amount = entry.value;
        (self.hook)(&entry.key, number + 1, amount)?;
        let state = format!("{} {}", number + 1, sum + amount);
        store.put(&entry.key, &state)?;
        ctx.forward(entry.with_value(format!("{state} {amount}")))
    }
}

/// Turns a statement into a branch's affair.
struct ByBranch;

impl Processor for ByBranch {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        statement: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let [number, _sum, amount] = words(&statement.value)?;
        let value = format!("{} {number} {amount}", statement.key);
        let branch = branch_of(&statement.key);
        ctx.forward(statement.with_key(branch).with_value(value))
    }
}

/// Numbers what reaches a branch and sums it.
#[derive(Default)]
struct Branch(Option<TimestampedKeyValueStore<String, String>>);

impl Processor for Branch {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        self.0 = Some(ctx.timestamped_key_value_store(BRANCHES)?);
        Ok(())
    }

    fn process(
        &mut self,
        part: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        let store = self.0.as_ref().expect("init ran");
        let before = store.get(&part.key)?;
        let (number, sum) = read(before.as_ref().map(|before| before.value.as_str()))?;
        let [_account, _number, amount] = words(&part.value)?;
        let amount: i64 = amount.parse()?;
        let state = format!("{} {}", number + 1, sum + amount);
        store.put(&part.key, Some(&state), part.timestamp)?;
        let value = format!("{state} {}", part.value);
        ctx.forward(part.with_value(value))
    }
}

/// Number and sum as a store keeps them.
fn read(state: Option<&str>) -> Result<(u64, i64), Fault> {
    let Some(state) = state else {
        return Ok((0, 0));
    };
    let [number, sum] = words(state)?;
    Ok((number.parse()?, sum.parse()?))
}

fn words<const N: usize>(text: &str) -> Result<[&str; N], Fault> {
    let words: Vec<&str> = text.split(' ').collect();
    let count = words.len();
    let words = <[&str; N]>::try_from(words);
    words.map_err(|_words| Fault::message(format!("{count} words in '{text}', not {N}")))
}
