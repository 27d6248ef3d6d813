//! What an error of the server or the connection means, and how it is told.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) meaning: Meaning,
    text: String,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It may go away by itself: connect anew and try again.
    Passing,
    /// A row is at fault.
    Data,
    /// It will be the same next time.
    Final,
}

impl Failure {
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Failure {
            meaning: Meaning::Passing,
            text: text.into(),
        }
    }

    pub(crate) fn last(text: impl Into<String>) -> Self {
        Failure {
            meaning: Meaning::Final,
            text: text.into(),
        }
    }

    /// Says what was tried.
    pub(crate) fn during(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            // No answer of the server: it is away, or what is between.
            return Failure::passing(chain(&error));
        };
        Failure {
            meaning: meaning(refusal.code().code()),
            text: told(refusal),
        }
    }
}

/// By the classes of PostgreSQL's appendix A.
fn meaning(code: &str) -> Meaning {
    match (&code[..2], code) {
        // Connections, transactions rolled back, resources, operators, disks.
        ("08" | "40" | "53" | "57" | "58", _) => Meaning::Passing,
        // A lock not got in time, a transaction that was idle for too long, a read-only standby.
        (_, "55P03" | "25P03" | "25006") => Meaning::Passing,
        // Data exceptions, constraints, check options, triggers that raise, rows too big.
        ("22" | "23" | "44" | "P0" | "54", _) => Meaning::Data,
        _ => Meaning::Final,
    }
}

fn told(error: &DbError) -> String {
    let mut text = format!("{} (SQLSTATE {}", error.message(), error.code().code());
    let places = [
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
    ];
    for (what, name) in places {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    text.push(')');
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str(&format!(": {more}"));
    }
    text
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[&str], expected: Meaning) {
        for code in codes {
            assert_eq!(meaning(code), expected, "{code}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        // Shut down, crashed, starting up, too many connections, disk full, deadlock, a standby.
        let codes = [
            "57P01", "57P02", "57P03", "53300", "53100", "40P01", "55P03", "25006", "08006",
        ];
        check(&codes, Meaning::Passing);
    }

    #[test]
    fn what_a_row_violates_is_the_rows() {
        // Unique, not null, foreign key, check, too long, out of range, raised by a trigger.
        let codes = [
            "23505", "23502", "23503", "23514", "22001", "22003", "P0001",
        ];
        check(&codes, Meaning::Data);
    }

    #[test]
    fn what_a_human_has_to_mend_is_not_tried_again() {
        // No such table, column or database, a wrong password, no privilege.
        check(
            &["42P01", "42703", "3D000", "28P01", "42501"],
            Meaning::Final,
        );
    }
}
