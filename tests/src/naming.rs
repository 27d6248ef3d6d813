//! An application that joins each entry with the owner of its account, from a global table.
//!
//! ```text
//!   statements: account, owner ──> global table     (this application writes no statements)
//!                                      │
//!   input: account, amount ──> join ───┴──> totals: account, owner
//! ```
//!
//! # Invariants
//!
//! - Each entry comes out once, with the owner that its account has.

use std::collections::BTreeSet;

use onceflow::prelude::*;
use onceflow_framework::Error;

use crate::{Outgoing, ledger::Ledger, ledger::LedgerTopics};

/// The topology over a ledger's topics.
///
/// # Errors
///
/// None, unless the framework has a bug.
pub fn topology(topics: &LedgerTopics) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    let entries: KStream<String, i64> = builder.stream(&*topics.input, Consumed::new());
    let owners: GlobalKTable<String, String> =
        builder.global_table(&topics.statements, Consumed::new());
    let account = |account: &String, _amount: &i64| account.clone();
    let owner = |_: &String, _amount: i64, owner: Option<String>| owner.unwrap_or_default();
    entries
        .left_join_global(&owners, account, owner, Joined::new())
        .to(&topics.totals, Produced::new());
    builder.build()
}

/// Gives every account that has an entry an owner.
pub fn name_owners(ledger: &Ledger<'_>) {
    let rows: Vec<Outgoing> = ledger.with_journal(|journal| {
        let accounts = journal.accounts().map(|(account, _)| account);
        let row = |account: &str| Outgoing::value(owner(account)).key(account);
        accounts.map(row).collect()
    });
    ledger.cluster.produce(&ledger.topics.statements, rows);
}

fn owner(account: &str) -> String {
    format!("owner of {account}")
}

/// Holds what came out against what was put in. The workers have ended.
///
/// # Panics
///
/// At the first difference.
pub fn audit(ledger: &Ledger<'_>) {
    let joined = ledger.cluster.settled(&ledger.topics.totals);
    assert_eq!(joined.len(), ledger.fed(), "each entry comes out once");
    let mut entries = BTreeSet::new();
    for record in &joined {
        assert_eq!(record.text(), owner(&record.key_text()), "{record:?}");
        assert!(entries.insert(&record.headers), "twice: {record:?}");
    }
}
