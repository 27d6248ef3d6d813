//! The embedded broker under the real client: an unmodified rdkafka over TCP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "client/support.rs"]
mod support;
#[path = "client/plain.rs"]
mod plain;
#[path = "client/transactions.rs"]
mod transactions;
#[path = "client/groups.rs"]
mod groups;
#[path = "client/admin.rs"]
mod admin;
#[path = "client/faults.rs"]
mod faults;
