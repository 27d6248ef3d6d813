//! Money moves between accounts, exactly once, while the program that moves it is being killed.
//!
//! ```text
//!   this process                              its worker, a child process (worker.rs)
//!   ┌──────────────────────────┐  transfers   ┌────────────────────────────────────────┐
//!   │ writes transfers         │ ───────────> │ debit ─┬─ refused ──> refused-transfers│
//!   │ follows what is settled  │              │        └─ accepted ─> credit           │
//!   │ kills the worker ────────│──── ✗ ─────> │              (another task's account)  │
//!   │ audits the whole history │ <─────────── │                └────> applied-transfers│
//!   └──────────────────────────┘              └────────────────────────────────────────┘
//! ```
//!
//! Read [`worker`] first: it is all that an application needs. The rest is there to break it
//! ([`drill`], [`crashes`]) and to find out whether it broke ([`history`], [`audit`]).

mod model;
mod arguments;
mod worker;
#[cfg(test)]
mod worker_tests;
mod crashes;
mod setup;
mod settled;
mod drill;
mod history;
mod audit;
mod report;

use std::process::ExitCode;

use clap::Parser;
use onceflow_examples::Result;
use onceflow_examples::reader::Reader;
use onceflow_examples::shutdown::{Interrupt, Interrupted};

use arguments::{Arguments, Role};
use setup::Setup;

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Role::Worker(worker)) = &arguments.role {
        return worker::work(worker);
    }
    let ended = Interrupt::notice().and_then(|interrupt| {
        let setup = Setup::prepare(&arguments)?;
        Ok(run(&setup, interrupt, arguments.keep_topics))
    });
    ended.unwrap_or_else(|error| {
        report::not_begun(&*error);
        ExitCode::FAILURE
    })
}

/// The drill, the audit after it, and what is left behind.
fn run(setup: &Setup, interrupt: Interrupt, keep_topics: bool) -> ExitCode {
    report::opening(setup);
    let (code, keep_evidence) = match drill_and_audit(setup, interrupt) {
        Ok(true) => (ExitCode::SUCCESS, false),
        Ok(false) => (ExitCode::FAILURE, true),
        Err(error) if error.is::<Interrupted>() => {
            report::interrupted();
            (ExitCode::from(INTERRUPTED), false)
        }
        Err(error) => {
            report::broken_off(setup, &*error);
            (ExitCode::FAILURE, true)
        }
    };
    if keep_evidence {
        report::evidence(setup);
    } else if let Err(error) = setup.clear(keep_topics) {
        report::not_cleared(&*error);
    }
    code
}

/// Answers whether the audit passed.
fn drill_and_audit(setup: &Setup, interrupt: Interrupt) -> Result<bool> {
    let reader = Reader::open(&setup.cluster, interrupt.clone())?;
    let drilled = drill::run(setup, &reader, &interrupt)?;
    report::auditing();
    let history = history::read(setup, &reader)?;
    let hidden = history::count_hidden(setup, &reader)?;
    let audit = audit::audit(&setup.transfers, &setup.account_names(), &history);
    report::closing(setup, &drilled, &history, &hidden, &audit);
    Ok(report::verdict(setup, &drilled, &audit))
}
