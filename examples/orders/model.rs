//! Orders, and the receipts for them.

use onceflow_examples::Result;
use onceflow_examples::random::Random;
use onceflow_examples::text::count;
use serde::{Deserialize, Serialize};

/// The topic of orders, by their ids.
pub(crate) const ORDERS: &str = "orders";

/// The topic of receipts, by the orders' ids.
pub(crate) const RECEIPTS: &str = "receipts";

/// An order that is to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The shop gives every order one of its own: what deduplication rests on.
    pub(crate) id: u64,
    pub(crate) cents: u64,
}

impl Order {
    /// Key and value of its record.
    pub(crate) fn record(&self) -> Result<(String, Vec<u8>)> {
        Ok((format!("order-{:07}", self.id), serde_json::to_vec(self)?))
    }
}

/// What the service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The money was taken.
    Charged,
    /// It was taken before, for the same order.
    Known,
}

/// That an order is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) order: Order,
    pub(crate) answer: Answer,
}

/// The orders of a seed, numbered from 0.
pub(crate) fn orders(random: &mut Random, count: u64) -> Vec<Order> {
    let mut order = |id| Order {
        id,
        cents: 99 + random.below(20_000),
    };
    (0..count).map(&mut order).collect()
}

/// Cents, as a price.
pub(crate) fn money(cents: u64) -> String {
    format!("{}.{:02}", count(cents / 100), cents % 100)
}
