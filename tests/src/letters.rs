//! What a ledger with dead letters has said, account by account.

use std::collections::BTreeMap;

use crate::{ledger::Ledger, record::Record as Read};

/// The statements of each account, and the amounts of its dead letters, which are in the topic of
/// totals: both in order.
pub(crate) fn told_and_buried(
    ledger: &Ledger<'_>,
) -> (BTreeMap<String, Vec<String>>, BTreeMap<String, Vec<i64>>) {
    let statements = ledger.cluster.settled(&ledger.topics.statements);
    let letters = ledger.cluster.settled(&ledger.topics.totals);
    let letters = by_account(&letters, |letter| {
        let amount = letter.value.as_deref().unwrap_or_default();
        let amount = <[u8; 8]>::try_from(amount).expect("an amount, as it was");
        i64::from_be_bytes(amount)
    });
    (by_account(&statements, Read::text), letters)
}

fn by_account<T>(records: &[Read], read: impl Fn(&Read) -> T) -> BTreeMap<String, Vec<T>> {
    let mut by_account: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for record in records {
        let of_account = by_account.entry(record.key_text()).or_default();
        of_account.push(read(record));
    }
    by_account
}
