//! PostgreSQL at the end of a stream: rows and positions in one transaction.
//!
//! ```text
//!   record ──columns──> row ─┐ batch closes   ┌──────────── one transaction ────────────┐
//!   record ──columns──> row ─┴───────────────>│ positions: under my epoch?              │──> Kafka's
//!                                             │ COPY into a stage, INSERT .. ON CONFLICT │    commit
//!                                             └──────────────────────────────────────────┘
//! ```
//!
//! ```no_run
//! use onceflow::prelude::*;
//! use onceflow_postgres::PostgresSink;
//!
//! let builder = StreamsBuilder::new();
//! let balances = builder.stream("balances", Consumed::<String, i64>::new());
//! let accounts = PostgresSink::<String, i64>::upsert("host=localhost user=bank", "accounts")
//!     .key("id", |record| record.key.clone())
//!     .column("balance", |record| record.value);
//! balances.to_external("accounts", accounts);
//! # builder.build()?;
//! # Ok::<(), onceflow::Error>(())
//! ```
//!
//! # Three ways to write
//!
//! | | a record is | after a crash | a zombie |
//! |---|---|---|---|
//! | [`insert`](PostgresSink::insert) | a new row | as if nothing had happened | is refused |
//! | [`upsert`](PostgresSink::upsert) | the row of its key | as if nothing had happened | is refused |
//! | [`upsert_at_least_once`](PostgresSink::upsert_at_least_once) | the row of its key | rows are written again, with the same values | may write an older row over a newer one |
//!
//! The first two keep their positions in a table `onceflow_positions`, in the schema where the
//! connection creates tables, and make it if it is not there. What exactly once rests on is stated
//! by [`external`](onceflow_framework::processor::external): above all, that what a record writes is
//! decided by the record and what came before it in its task.
//!
//! # When something is wrong
//!
//! - **The database goes away.** The batch is aborted and tried again, at any point of it, until
//!   the sink's [`patience`](PostgresSink::patience) is at an end (two minutes) or
//!   `task.timeout.ms`. Then the application stops, with the position where the batch begins and
//!   the cause. A commit that was not answered is looked up in the positions, not guessed.
//! - **The table is not as expected.** Missing columns, columns that need a value and get none, types
//!   that cannot be written, keys without a unique constraint, missing privileges: the application
//!   stops before the first record, and says what.
//! - **A row is refused** (a constraint, a value out of range): it is found among the rows of its
//!   batch, nothing of the batch is written, and `processing.exception.handler` decides: stop, with
//!   the record's position and PostgreSQL's reason, or give up that record and no other.
//!
//! # Connections
//!
//! A connection for each task, `COPY` and temporary tables on it: a pool between has to pool
//! sessions, not transactions. TLS is brought along ([`tls`](PostgresSink::tls)). A server that does
//! not flush commits (`synchronous_commit = off`) is told to, for these.

mod sink;
mod session;
mod positions;
mod target;
mod row;
mod refusal;
mod connection;
mod failure;

pub use row::PostgresRow;
pub use session::PostgresSession;
pub use sink::PostgresSink;

/// The driver, for its types and its TLS connectors.
pub use tokio_postgres;
