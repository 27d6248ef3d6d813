//! Orders are charged at least once, and every customer pays once: the order's id sees to it.
//!
//! ```text
//!   this process                              its worker, a child process (worker.rs)
//!   ┌────────────────────────────┐   orders   ┌──────────────────────────────────────┐
//!   │ writes orders              │ ─────────> │ for each order:                      │
//!   │ kills the worker ──────────│─── ✗ ────> │   charge it ──┐                      │
//!   │ audits money and receipts  │ <───────── │   receipt     │ (then the offsets)   │
//!   │   payments: a service <────│────────────│───────────────┘                      │
//!   └────────────────────────────┘            └──────────────────────────────────────┘
//! ```
//!
//! Money outside of Kafka cannot be in Kafka's transaction. A worker that dies after it has charged
//! an order, and before it has said so, leaves the next one no choice but to charge it again. So the
//! service that takes the money knows orders by their ids, and takes it once ([`service`]); with
//! `--postgres` a table does, whose primary key they are ([`table`]).
//! `--naive` has it forget the ids, and the [`audit`] find the customers who paid twice.

mod arguments;
mod model;
mod ledger;
mod service;
mod table;
mod payments;
mod worker;
mod audit;

use std::process::ExitCode;

use clap::Parser;
use onceflow_examples::Result;
use onceflow_examples::drill::{Plan, drill};
use onceflow_examples::random::{Random, unpredictable};
use onceflow_examples::reader::{Isolation, Reader};
use onceflow_examples::report;
use onceflow_examples::run::{Run, conclude};
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::text::{count, seconds};
use onceflow_examples::worker::Worker;
use rdkafka::Message;

use arguments::{Arguments, Role, TillArguments};
use model::{ORDERS, Order, RECEIPTS, Receipt, money, orders};
use payments::Payments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Worker(worker)) => worker::work(worker),
        None => conclude(|interrupt| shop(&arguments, interrupt)),
    }
}

fn shop(arguments: &Arguments, interrupt: &Interrupt) -> Result<bool> {
    let run = Run::connect("orders", &arguments.place)?;
    let topics = [run.named(ORDERS), run.named(RECEIPTS)];
    let topics = topics.each_ref().map(String::as_str);
    run.cluster.create_topics(&topics, arguments.partitions)?;
    let mut random = Random::seeded(arguments.seed.unwrap_or_else(unpredictable));
    let made = orders(&mut random, arguments.orders);
    let payments = Payments::open(arguments)?;
    opening(&run, arguments);

    let worker = TillArguments {
        common: run.worker(),
        payments: payments.place(),
        postgres: arguments.postgres.clone(),
    };
    let start = || Worker::start(worker.to_command_line(), &run.log);
    let mut plan = Plan {
        topic: topics[0],
        records: made.iter().map(Order::record).collect::<Result<_>>()?,
        crashes: arguments.crashes,
        may_lose: false,
        random,
        start: &start,
    };
    let mut sight = payments.sight();
    let drilled = drill(&run, &mut plan, &mut *sight, interrupt)?;
    drop(sight);

    let mut receipts: Vec<Receipt> = Vec::new();
    let reader = Reader::open(&run.cluster, interrupt.clone())?;
    reader.read_all(topics[1], Isolation::ReadCommitted, |message| {
        receipts.push(serde_json::from_slice(
            message.payload().unwrap_or_default(),
        )?);
        Ok(())
    })?;
    let journal = payments.journal()?;
    // A table does not count how often it is asked; each time leaves a receipt, too.
    let requests = payments.requests().unwrap_or(receipts.len());
    let repeated = requests.saturating_sub(made.len());
    let taken = journal.iter().map(|charge| charge.cents).sum();
    report::heading("What happened");
    report::row("orders", &count(made.len()), "");
    report::row("charges asked for", &count(requests), "by the worker");
    report::row(
        "  redelivered",
        &count(repeated),
        "asked for again, after a crash",
    );
    report::row("  carried out", &count(journal.len()), "");
    report::row(
        "receipts",
        &count(receipts.len()),
        "redelivered orders have several",
    );
    report::row("money", &money(taken), "");
    report::row("crashes", &count(drilled.crashes), "kill -9");
    report::row("time", &seconds(drilled.took), "");
    report::gap();
    let mut findings = vec![drilled.finding()];
    findings.extend(audit::audit(&made, &journal, &receipts));
    let proven = format!(
        "every order was charged once, although {} came again.",
        count(repeated)
    );
    let failure = match arguments.naive {
        false => report::REPORT_IT,
        true => "That is what the ids are for.",
    };
    let passed = report::verdict(&findings, &proven, failure);
    payments.clear(passed)?;
    run.clear(passed, &topics)?;
    Ok(passed)
}

fn opening(run: &Run, arguments: &Arguments) {
    let payments = match (&arguments.postgres, arguments.naive) {
        (Some(_), _) => "a table of PostgreSQL, with orders' ids for its primary key",
        (None, false) => "a service in this process, that knows orders by their ids",
        (None, true) => "a service in this process, that forgets what it has charged",
    };
    report::heading("Orders: at least once, under kill -9");
    report::setting("broker", &run.broker());
    report::setting("orders", &count(arguments.orders));
    report::setting("payments", payments);
    report::setting("crashes", &count(arguments.crashes));
    report::gap();
}
