//! What happens, as it happens: a bar on a terminal, a line now and then elsewhere.
//!
//! # Invariants
//!
//! - All of it goes to standard error, so that standard output holds the result and nothing else.
#![expect(clippy::print_stderr, reason = "telling is what this module is for")]

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Stopwatch;
use crate::text::{count, seconds};

/// Where there is no terminal, a line is told this often.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

const TEMPLATE: &str = "  {elapsed_precise} [{bar:32}] {pos:>7}/{len}  {msg}";

/// How far a run has come.
#[derive(Debug)]
pub struct Progress {
    running: Stopwatch,
    total: u64,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<Duration> },
}

impl Progress {
    /// Shows a run of `total` steps; as lines if `lines` says so or there is no terminal.
    ///
    /// # Panics
    ///
    /// Never: the bar's template is a constant, and valid.
    #[must_use]
    pub fn start(total: u64, lines: bool) -> Self {
        let shown = if lines || !stderr().is_terminal() {
            Shown::Lines { last: None }
        } else {
            let style = ProgressStyle::with_template(TEMPLATE).expect("the template is valid");
            let bar = ProgressBar::new(total).with_style(style.progress_chars("=> "));
            Shown::Bar(bar)
        };
        Progress {
            running: Stopwatch::start(),
            total,
            shown,
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.running.elapsed()
    }

    /// So many steps are done; `detail` says more.
    pub fn show(&mut self, done: u64, detail: impl FnOnce() -> String) {
        let elapsed = self.running.elapsed();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(detail());
            }
            Shown::Lines { last } if last.is_none_or(|last| elapsed - last >= LINE_INTERVAL) => {
                *last = Some(elapsed);
                let (at, total) = (seconds(elapsed), count(self.total));
                eprintln!("  {at:>7}  {:>9} of {total}  {}", count(done), detail());
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Tells an event, above the bar.
    pub fn tell(&self, event: &str) {
        let line = format!("  {:>7}  {event}", seconds(self.running.elapsed()));
        match &self.shown {
            Shown::Bar(bar) => bar.println(line),
            Shown::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
