//! The handlers of one application, and asking them.
//!
//! # Invariants
//!
//! - User code that panics here has answered `Fail`.
//! - Where `Retry` cannot be followed it is `Fail`, and the error says so.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{
    DeadLetter, ErrorContext, ExceptionHandler, FailureScope, Isolation, OnBadRecord,
    OnFailedRecord, OnRefusedOutput, RefusedOutput, Response, Retry, Stage,
};
use crate::error::{Error, panic_text};
use crate::record::{RawRecord, TaskId};

/// What an application does about records that fail.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) deserialization: Arc<dyn ExceptionHandler>,
    pub(crate) processing: Arc<dyn ExceptionHandler>,
    pub(crate) production: Arc<dyn ExceptionHandler>,
    /// The topic of records that were given up.
    pub(crate) dead_letters: Option<Arc<str>>,
    pub(crate) retry: Retry,
    /// What is given up with a processor's call.
    pub(crate) scope: FailureScope,
}

/// A failure, before anybody was asked.
pub(crate) struct Failed<'a> {
    pub(crate) stage: Stage,
    pub(crate) task: TaskId,
    pub(crate) input: Option<RawRecord<'a>>,
    pub(crate) output: Option<&'a RefusedOutput<'a>>,
    /// From 1.
    pub(crate) attempt: u32,
    /// Whether it could be processed once more at all.
    pub(crate) retries: bool,
}

/// What is done about a failure.
pub(crate) enum Answer {
    Resume(Vec<DeadLetter>, Error),
    Retry(Error),
    Fail(Error),
}

impl Default for Handlers {
    fn default() -> Self {
        Handlers {
            deserialization: Arc::new(OnBadRecord::default()),
            processing: Arc::new(OnFailedRecord::default()),
            production: Arc::new(OnRefusedOutput::default()),
            dead_letters: None,
            retry: Retry::NEVER,
            scope: FailureScope::default(),
        }
    }
}

impl Handlers {
    pub(crate) fn of(&self, stage: Stage) -> &dyn ExceptionHandler {
        match stage {
            Stage::Deserialization => &*self.deserialization,
            Stage::Processing => &*self.processing,
            Stage::Production => &*self.production,
        }
    }

    /// What goes with a call that fails: its batch, unless a handler may go on without it, or without
    /// an output, or it may be tried again.
    pub(crate) fn isolation(&self) -> Isolation {
        let goes_on = !self.processing.only_fails() || !self.production.only_fails();
        match self.scope {
            _ if !goes_on && self.retry.times == 0 => Isolation::Batch,
            FailureScope::Record => Isolation::Record,
            FailureScope::Node => Isolation::Call,
        }
    }

    /// Whether outputs are held back until their record is done: to take them back, or to tell which
    /// of them a broker refuses.
    pub(crate) fn hold_outputs(&self) -> bool {
        match self.isolation() {
            Isolation::Batch => false,
            Isolation::Record => true,
            Isolation::Call => !self.production.only_fails(),
        }
    }

    /// Whether each node is asked about on its own.
    pub(crate) fn guard_nodes(&self) -> bool {
        self.isolation() == Isolation::Call && !self.processing.only_fails()
    }

    /// What contradicts each other.
    pub(crate) fn problem(&self) -> Option<String> {
        let scope = self.scope;
        (scope == FailureScope::Node && self.retry.times > 0).then(|| {
            format!(
                "processing.exception.scope={scope} keeps what a record has done before it fails, and \
                 record.retry.attempts={} would do it again: set the first to {}, or the second \
                 to 0",
                self.retry.times,
                FailureScope::Record
            )
        })
    }

    /// Whether somebody may go on without what a batch was refused for when it closed: without an
    /// output, which is known only where outputs are held back, or without a record.
    pub(crate) fn go_on(&self, of_outputs: bool) -> bool {
        match of_outputs {
            true => {
                self.hold_outputs()
                    && !(self.processing.only_fails() && self.production.only_fails())
            }
            false => !self.processing.only_fails(),
        }
    }

    /// Those of what fills global stores: outside any transaction, so without dead letters, and in the
    /// order of the topic, so without waiting.
    pub(crate) fn of_global_stores(&self) -> Arc<Handlers> {
        Arc::new(Handlers {
            dead_letters: None,
            retry: Retry::NEVER,
            ..self.clone()
        })
    }

    /// Whether nobody ever goes on without a record.
    pub(crate) fn only_fail(&self) -> bool {
        let stages = [Stage::Deserialization, Stage::Processing, Stage::Production];
        stages.iter().all(|stage| self.of(*stage).only_fails())
    }

    /// Where the retries are used up, or there is no record, the handler has the last word.
    pub(crate) fn decide(&self, failed: &Failed<'_>, error: Error) -> Answer {
        let can_retry =
            failed.retries && failed.input.is_some() && failed.attempt <= self.retry.times;
        if error.is_transient() && can_retry {
            return Answer::Retry(error);
        }
        if error.is_settled() {
            return Answer::Fail(error);
        }
        let handler = self.of(failed.stage);
        let context = ErrorContext {
            stage: failed.stage,
            task: failed.task,
            error: &error,
            input: failed.input,
            output: failed.output,
            attempt: failed.attempt,
            can_retry,
            dead_letter_topic: self.dead_letters.as_deref(),
        };
        let asked = catch_unwind(AssertUnwindSafe(|| handler.handle(&context)));
        match asked {
            Ok(Response::Resume(letters)) => Answer::Resume(letters, error),
            Ok(Response::Retry) if can_retry => Answer::Retry(error),
            Ok(Response::Retry) => {
                let attempts = failed.attempt;
                let what = format!("the handler asks for one more attempt after {attempts}");
                Answer::Fail(error.told_with(&what).settled())
            }
            Ok(Response::Fail) => Answer::Fail(error.settled()),
            Err(panic) => {
                let (name, text) = (handler.name(), panic_text(&*panic));
                let what = format!("the exception handler {name} panicked: {text}");
                Answer::Fail(error.told_with(&what).settled())
            }
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("deserialization", &self.deserialization.name())
            .field("processing", &self.processing.name())
            .field("production", &self.production.name())
            .field("dead_letters", &self.dead_letters)
            .field("retry", &self.retry)
            .field("scope", &self.scope)
            .finish()
    }
}
