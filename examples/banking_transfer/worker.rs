//! The application: transfers in; one debit and one credit each, or a refusal.
//!
//! ```text
//!   transfers ──> debit ─┬─ refused ───────────────────────────────────> refused-transfers
//!                  │     └─ accepted ─> by payee ─> credits ─> credit ──> applied-transfers
//!                  └───────────── balances ─────────────────────┘
//! ```
//!
//! Debit and credit of one transfer are in different tasks, perhaps on different machines, and
//! in different transactions; no crash can come between them so that one is lost or repeated.

use std::process::ExitCode;
use std::time::Duration;

use onceflow::prelude::*;
use onceflow::{App, Config};
use onceflow_examples::{logging, shutdown};

use crate::arguments::WorkerArguments;
use crate::model::{OPENING_BALANCE, Topics, Transfer};

/// Builds the bank.
pub(crate) fn bank(topics: &Topics) -> Result<Topology, Error> {
    let transfer = || json::<Transfer>();
    let builder = StreamsBuilder::new();
    builder.add_state_store(StoreBuilder::key_value("balances", utf8(), i64()));

    let mut decided = builder
        .stream(&*topics.transfers, Consumed::with(utf8(), transfer()))
        .named("debit")
        .process(Debit::default, &["balances"])
        .named("decided-")
        .split();
    let refused = decided
        .named("refused")
        .branch(|_, decision| !decision.covered);
    let accepted = decided.named("accepted").default_branch();

    refused
        .map_values(|decision| decision.transfer)
        .to(&topics.refused, Produced::with(utf8(), transfer()));
    accepted
        .map_values(|decision| decision.transfer)
        .select_key(|_, transfer| transfer.to.clone())
        .repartition(Repartitioned::with(utf8(), transfer()).with_name("credits"))
        .named("credit")
        .process(Credit::default, &["balances"])
        .to(&topics.applied, Produced::with(utf8(), transfer()));
    builder.build()
}

/// A transfer, and whether the account that pays could.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    transfer: Transfer,
    covered: bool,
}

/// Takes the amount from the account that pays, if it is there.
#[derive(Default)]
struct Debit {
    balances: Balances,
}

impl Processor for Debit {
    type KeyIn = String;
    type ValueIn = Transfer;
    type KeyOut = String;
    type ValueOut = Decision;

    fn init(&mut self, ctx: &mut Context<String, Decision>) -> Result<(), Fault> {
        self.balances.open(ctx)
    }

    fn process(
        &mut self,
        record: Record<String, Transfer>,
        ctx: &mut Context<String, Decision>,
    ) -> Result<(), Fault> {
        let transfer = &record.value;
        let left = self.balances.of(&transfer.from)? - transfer.amount;
        if left >= 0 {
            self.balances.set(&transfer.from, left)?;
        }
        let decision = Decision {
            transfer: transfer.clone(),
            covered: left >= 0,
        };
        ctx.forward(record.with_value(decision))
    }
}

/// Gives the amount to the account that is paid.
#[derive(Default)]
struct Credit {
    balances: Balances,
}

impl Processor for Credit {
    type KeyIn = String;
    type ValueIn = Transfer;
    type KeyOut = String;
    type ValueOut = Transfer;

    fn init(&mut self, ctx: &mut Context<String, Transfer>) -> Result<(), Fault> {
        self.balances.open(ctx)
    }

    fn process(
        &mut self,
        record: Record<String, Transfer>,
        ctx: &mut Context<String, Transfer>,
    ) -> Result<(), Fault> {
        let transfer = &record.value;
        let balance = self.balances.of(&transfer.to)? + transfer.amount;
        self.balances.set(&transfer.to, balance)?;
        ctx.forward(record)
    }
}

/// The balances of a task's accounts: one store, which debits and credits share.
#[derive(Default)]
struct Balances(Option<KeyValueStore<String, i64>>);

impl Balances {
    fn open<K: Data, V: Data>(&mut self, ctx: &Context<K, V>) -> Result<(), Fault> {
        self.0 = Some(ctx.key_value_store("balances")?);
        Ok(())
    }

    fn of(&self, account: &String) -> Result<i64, Fault> {
        Ok(self.store().get(account)?.unwrap_or(OPENING_BALANCE))
    }

    fn set(&self, account: &String, balance: i64) -> Result<(), Fault> {
        Ok(self.store().put(account, &balance)?)
    }

    fn store(&self) -> &KeyValueStore<String, i64> {
        self.0.as_ref().expect("opened before the first record")
    }
}

/// Runs the bank until it is told to end, or fails.
#[tokio::main]
pub(crate) async fn work(arguments: &WorkerArguments) -> ExitCode {
    logging::start();
    let Err(error) = run(arguments).await else {
        return ExitCode::SUCCESS;
    };
    tracing::error!(%error, "the worker failed");
    ExitCode::FAILURE
}

async fn run(arguments: &WorkerArguments) -> Result<(), Error> {
    let config = Config::builder(&arguments.application_id, &arguments.bootstrap_servers)
        .num_stream_threads(arguments.threads)
        // A name that outlives a crash: the next worker of this name aborts what the last one
        // left open, and is given its partitions at once.
        .instance_id("teller")
        .static_membership(true)
        .property("processing.guarantee", &arguments.guarantee)
        .build()?;
    let app = App::new(bank(&Topics::of(&arguments.run))?, config)?;
    app.start().await?;
    tokio::select! {
        failed = app.wait() => failed,
        () = shutdown::requested() => app.close(Duration::from_secs(10)).await,
    }
}
