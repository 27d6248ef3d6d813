//! Why a question was not answered, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::runtime::State;

/// Why a question to a store was not answered: what can be done differs, so each is told apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueryError {
    /// The topology has no store of that name.
    UnknownStore {
        /// The name that was asked for.
        store: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The store is of another kind, or of other types, than asked for.
    WrongStore {
        /// Its name.
        store: String,
        /// What it was built as, and what it was asked for as.
        message: String,
    },
    /// The application was not started, or is ending: nothing answers.
    NotRunning {
        /// Its state.
        state: State,
    },
    /// The partition is being given or restored: ask again in a moment.
    Rebalancing {
        /// The store that was asked.
        store: String,
    },
    /// The application runs, and the partition is in another process of it.
    PartitionElsewhere {
        /// The store that was asked.
        store: String,
        /// The partition; none where every one of them was asked for.
        partition: Option<i32>,
        /// Those that are here.
        here: Vec<i32>,
    },
    /// Too many questions wait for the worker already.
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The worker did not come to it in time.
    TimedOut {
        /// The store that was asked.
        store: String,
        /// How long it was given.
        after: Duration,
    },
    /// A key has no bytes, or what the store holds cannot be read.
    Failed(Error),
}

impl QueryError {
    /// Whether the same question may be answered if it is asked again in a moment.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            QueryError::Rebalancing { .. } | QueryError::Busy { .. } | QueryError::TimedOut { .. }
        )
    }

    fn kind(&self) -> ErrorKind {
        match self {
            QueryError::UnknownStore { .. } | QueryError::WrongStore { .. } => ErrorKind::Topology,
            QueryError::NotRunning { .. } => ErrorKind::Config,
            QueryError::Rebalancing { .. } | QueryError::PartitionElsewhere { .. } => {
                ErrorKind::Assignment
            }
            QueryError::Busy { .. } | QueryError::TimedOut { .. } => ErrorKind::Unreachable,
            QueryError::Failed(error) => error.kind(),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::UnknownStore { store, known } => {
                let known = known.join(", ");
                write!(
                    f,
                    "there is no store {store}; name it where it is made (stores: {known})"
                )
            }
            QueryError::WrongStore { store, message } => write!(f, "store {store} {message}"),
            QueryError::NotRunning { state } => {
                write!(f, "the application does not run ({state}); start it first")
            }
            QueryError::Rebalancing { store } => write!(
                f,
                "the partitions of store {store} are being given or restored; ask again in a moment"
            ),
            QueryError::PartitionElsewhere {
                store,
                partition,
                here,
            } => {
                match partition {
                    Some(partition) => write!(f, "partition {partition}")?,
                    None => f.write_str("every partition")?,
                }
                write!(
                    f,
                    " of store {store} is in another process of the application (here: {here:?}); \
                     ask that one"
                )
            }
            QueryError::Busy { waiting } => write!(
                f,
                "{waiting} questions wait for the worker already; ask less often, or let more \
                 workers share the partitions (num.stream.threads)"
            ),
            QueryError::TimedOut { store, after } => write!(
                f,
                "store {store} was not answered for within {after:?}: its worker is busy, or \
                 waits for a broker; ask again, or give it longer (with_timeout)"
            ),
            QueryError::Failed(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for QueryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            QueryError::Failed(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Failed(error) => error,
            other => Error::new(other.kind(), other.to_string()),
        }
    }
}
