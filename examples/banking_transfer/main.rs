//! Money moves between accounts, exactly once, while the program that moves it is being killed.
//! `--guarantee all` shows what the two weaker guarantees would make of the same crashes.
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
mod promise;
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
use promise::Outcome;
use setup::Setup;

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Role::Worker(worker)) = &arguments.role {
        return worker::work(worker);
    }
    let ended = Interrupt::notice().and_then(|interrupt| {
        let seed = arguments.seed.unwrap_or_else(Setup::any_seed);
        let mut ended = Ended::default();
        for promise in arguments.guarantee.promises() {
            let setup = Setup::prepare(&arguments, *promise, seed)?;
            run(&setup, interrupt.clone(), arguments.keep_topics, &mut ended);
            if ended.given_up {
                break;
            }
        }
        report::side_by_side(&ended.outcomes);
        Ok(ended.code)
    });
    ended.unwrap_or_else(|error| {
        report::not_begun(&*error);
        ExitCode::FAILURE
    })
}

/// How it ended: the worst of all runs.
struct Ended {
    code: ExitCode,
    outcomes: Vec<Outcome>,
    given_up: bool,
}

impl Default for Ended {
    fn default() -> Self {
        Ended {
            code: ExitCode::SUCCESS,
            outcomes: Vec::new(),
            given_up: false,
        }
    }
}

/// The drill, the audit after it, and what is left behind.
fn run(setup: &Setup, interrupt: Interrupt, keep_topics: bool, ended: &mut Ended) {
    report::opening(setup);
    let keep_evidence = match drill_and_audit(setup, interrupt, &mut ended.outcomes) {
        Ok(true) => false,
        Ok(false) => {
            ended.code = ExitCode::FAILURE;
            true
        }
        Err(error) if error.is::<Interrupted>() => {
            report::interrupted();
            (ended.code, ended.given_up) = (ExitCode::from(INTERRUPTED), true);
            false
        }
        Err(error) => {
            report::broken_off(setup, &*error);
            (ended.code, ended.given_up) = (ExitCode::FAILURE, true);
            true
        }
    };
    if keep_evidence {
        report::evidence(setup);
    } else if let Err(error) = setup.clear(keep_topics) {
        report::not_cleared(&*error);
    }
}

/// Answers whether the audit passed.
fn drill_and_audit(
    setup: &Setup,
    interrupt: Interrupt,
    outcomes: &mut Vec<Outcome>,
) -> Result<bool> {
    let reader = Reader::open(&setup.cluster, interrupt.clone())?;
    let drilled = drill::run(setup, &reader, &interrupt)?;
    report::auditing();
    let history = history::read(setup, &reader)?;
    let hidden = history::count_hidden(setup, &reader)?;
    let audit = audit::audit(&setup.transfers, &setup.account_names(), &history);
    let crashes = drilled.crashes.len();
    let outcome = Outcome::of(setup.promise, &setup.transfers, &history, &audit, crashes);
    report::closing(setup, &drilled, &history, &hidden, &audit);
    outcomes.push(outcome);
    Ok(report::verdict(setup, &drilled, &outcome))
}
