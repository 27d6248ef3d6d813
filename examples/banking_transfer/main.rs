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
use onceflow_examples::shutdown::Interrupt;

use arguments::{Arguments, Role};
use drill::{Drilled, End};
use setup::Setup;

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Role::Worker(worker)) = &arguments.role {
        return worker::work(worker);
    }
    run(&arguments).unwrap_or_else(|error| {
        report::failure(&*error);
        ExitCode::FAILURE
    })
}

/// The drill, and the audit after it.
fn run(arguments: &Arguments) -> Result<ExitCode> {
    let interrupt = Interrupt::notice()?;
    let setup = Setup::prepare(arguments)?;
    report::opening(&setup);
    let reader = Reader::open(&setup.cluster)?;
    let drilled = drill::run(&setup, &reader, &interrupt)?;
    let code = match drilled.end {
        End::Interrupted => ExitCode::from(INTERRUPTED),
        End::Settled | End::Stalled if audited(&setup, &reader, &drilled)? => ExitCode::SUCCESS,
        // The evidence stays where it is.
        End::Settled | End::Stalled => return Ok(ExitCode::FAILURE),
    };
    setup.clear(arguments.keep_topics)?;
    Ok(code)
}

/// Reads everything back and judges it; answers whether the audit passed.
fn audited(setup: &Setup, reader: &Reader<'_>, drilled: &Drilled) -> Result<bool> {
    let history = history::read(setup, reader)?;
    let hidden = history::count_hidden(setup, reader)?;
    let audit = audit::audit(&setup.transfers, &setup.account_names(), &history);
    report::closing(drilled, &history, &hidden, &audit);
    Ok(report::verdict(setup, drilled, &audit))
}
