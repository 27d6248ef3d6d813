//! The audit: what was paid, and what receipts say, against the orders.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.
//! - Receipts may repeat, as redelivered orders do: at least once allows it.

use std::collections::BTreeMap;

use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::model::{Order, Receipt, money};

/// Holds the journal of what was paid, and the receipts, against the orders, by their ids.
pub(crate) fn audit(orders: &[Order], journal: &[Order], receipts: &[Receipt]) -> Vec<Finding> {
    let mut charges: BTreeMap<u64, u64> = BTreeMap::new();
    for charge in journal {
        *charges.entry(charge.id).or_default() += 1;
    }
    let written: BTreeMap<u64, &Receipt> = receipts.iter().map(|it| (it.order.id, it)).collect();
    let unpaid = orders
        .iter()
        .filter(|order| !charges.contains_key(&order.id));
    let unwritten = orders
        .iter()
        .filter(|order| !written.contains_key(&order.id));
    let twice = charges.iter().filter(|(_, times)| **times > 1);
    let known: BTreeMap<u64, &Order> = orders.iter().map(|order| (order.id, order)).collect();
    let strange = |order: &&Order| known.get(&order.id) != Some(order);
    let claimed = journal.iter().chain(receipts.iter().map(|it| &it.order));
    let extent = format!("{} orders", count(orders.len()));
    let (owed, taken) = (sum(orders), sum(journal));
    vec![
        Finding::new(
            "every order was charged",
            extent.clone(),
            unpaid.map(|order| format!("order {} was not", order.id)),
        ),
        Finding::new(
            "no order was charged twice",
            format!("{} charges", count(journal.len())),
            twice.map(|(id, times)| format!("order {id} was, {times} times")),
        ),
        Finding::new(
            "every order has a receipt",
            extent,
            unwritten.map(|order| format!("order {} has none", order.id)),
        ),
        Finding::new(
            "every charge and every receipt is of an order, unaltered",
            format!("{} of them", count(journal.len() + receipts.len())),
            claimed
                .filter(strange)
                .map(|order| format!("{order:?} is not")),
        ),
        Finding::new(
            "the money taken is the money owed",
            money(owed),
            (owed != taken)
                .then(|| format!("{} was taken", money(taken)))
                .into_iter(),
        ),
    ]
}

fn sum(orders: &[Order]) -> u64 {
    orders.iter().map(|order| order.cents).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Answer;

    const UNPAID: &str = "every order was charged";
    const TWICE: &str = "no order was charged twice";
    const WRITTEN: &str = "every order has a receipt";
    const STRANGE: &str = "every charge and every receipt is of an order, unaltered";
    const MONEY: &str = "the money taken is the money owed";

    /// The claims that do not hold after a defect.
    fn broken(defect: impl FnOnce(&mut Vec<Order>, &mut Vec<Receipt>)) -> Vec<&'static str> {
        let order = |id| Order {
            id,
            cents: 100 + id,
        };
        let orders: Vec<Order> = (0..5).map(order).collect();
        let receipt = |order: &Order| Receipt {
            order: order.clone(),
            answer: Answer::Charged,
        };
        let (mut journal, mut receipts) = (orders.clone(), orders.iter().map(receipt).collect());
        defect(&mut journal, &mut receipts);
        let broken = audit(&orders, &journal, &receipts).into_iter();
        let broken = broken.filter(|finding| !finding.holds());
        broken.map(|finding| finding.claim).collect()
    }

    #[test]
    fn receipts_may_come_again() {
        assert_eq!(
            broken(|_, receipts| receipts.push(receipts[2].clone())),
            [""; 0]
        );
    }

    #[test]
    fn an_order_that_is_paid_twice_is_found() {
        assert_eq!(
            broken(|journal, _| journal.push(journal[2].clone())),
            [TWICE, MONEY]
        );
    }

    #[test]
    fn an_order_that_is_lost_is_found() {
        let lost = |journal: &mut Vec<Order>, _: &mut Vec<Receipt>| journal.truncate(4);
        assert_eq!(broken(lost), [UNPAID, MONEY]);
        assert_eq!(broken(|_, receipts| receipts.truncate(4)), [WRITTEN]);
        let all = [UNPAID, WRITTEN, MONEY];
        let nothing = |journal: &mut Vec<Order>, receipts: &mut Vec<Receipt>| {
            journal.clear();
            receipts.clear();
        };
        assert_eq!(broken(nothing), all);
    }

    #[test]
    fn errors_that_cancel_out_are_found() {
        let shifted = |journal: &mut Vec<Order>, _: &mut Vec<Receipt>| {
            journal[1].cents += 1;
            journal[2].cents -= 1;
        };
        assert_eq!(broken(shifted), [STRANGE]);
    }
}
