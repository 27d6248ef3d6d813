//! The bank: accounts, transfers between them, and the topics that they go through.

use onceflow_examples::random::Random;
use serde::{Deserialize, Serialize};

/// What every account holds before its first transfer.
pub(crate) const OPENING_BALANCE: i64 = 100_000;

/// The largest amount of a transfer: large enough that some accounts run out.
const AMOUNT_MAX: u64 = 500;

/// An order to move money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) id: u64,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: i64,
}

/// Where transfers come from and go to.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    /// Orders, by the account that pays.
    pub(crate) transfers: String,
    /// Done, by the account that was paid.
    pub(crate) applied: String,
    /// Not done for want of money, by the account that could not pay.
    pub(crate) refused: String,
}

impl Topics {
    /// The topics of a run; `run` keeps those of several runs apart.
    pub(crate) fn of(run: &str) -> Self {
        let named = |name: &str| format!("{name}{run}");
        Topics {
            transfers: named("transfers"),
            applied: named("applied-transfers"),
            refused: named("refused-transfers"),
        }
    }

    /// All of them.
    pub(crate) fn names(&self) -> [&str; 3] {
        [&self.transfers, &self.applied, &self.refused]
    }
}

/// The name of an account.
pub(crate) fn account(number: u64) -> String {
    format!("account-{number:04}")
}

/// The transfers of a seed: numbered from 0, each between two different accounts.
pub(crate) fn transfers(random: &mut Random, accounts: u64, count: u64) -> Vec<Transfer> {
    let mut transfer = |id| {
        let from = random.below(accounts);
        // Any of the others: from 1 to accounts - 1 further on.
        let to = (from + 1 + random.below(accounts - 1)) % accounts;
        Transfer {
            id,
            from: account(from),
            to: account(to),
            amount: i64::try_from(1 + random.below(AMOUNT_MAX)).expect("amounts are small"),
        }
    };
    (0..count).map(&mut transfer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_transfers_and_nobody_pays_themselves() {
        let of = |seed| transfers(&mut Random::seeded(seed), 2, 1_000);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(3).iter().all(|transfer| transfer.from != transfer.to));
    }
}
