//! The books of the payment service.
//!
//! # Invariants
//!
//! - **By id, once.** A charge is carried out if its order has none yet: the second of two that ask
//!   for the same, however close, is told so.
//! - The journal has a line for each charge that was carried out, and nobody looks at it but the
//!   audit: were money taken twice, it would be in there twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::clock::wait_until;
use onceflow_examples::drill::Sight;
use onceflow_examples::text::count;

use crate::model::{Answer, Order};

/// What was charged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether it forgets which orders it has charged.
    naive: bool,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    known: BTreeSet<u64>,
    journal: Vec<Order>,
    requests: usize,
}

impl Ledger {
    pub(crate) fn open(naive: bool) -> Self {
        Ledger {
            naive,
            books: Mutex::default(),
        }
    }

    /// Takes the money for an order, unless that was done before.
    pub(crate) fn charge(&self, order: Order) -> Answer {
        let mut books = self.books();
        books.requests += 1;
        if !books.known.insert(order.id) && !self.naive {
            return Answer::Known;
        }
        books.journal.push(order);
        Answer::Charged
    }

    /// Everything that was charged, in its order.
    pub(crate) fn journal(&self) -> Vec<Order> {
        self.books().journal.clone()
    }

    /// How often it was asked to.
    pub(crate) fn requests(&self) -> usize {
        self.books().requests
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many orders have been charged, for the drill to go by.
#[derive(Debug)]
pub(crate) struct Charged<'l> {
    ledger: &'l Ledger,
    requests: usize,
    orders: usize,
}

impl<'l> Charged<'l> {
    pub(crate) fn of(ledger: &'l Ledger) -> Self {
        Charged {
            ledger,
            requests: 0,
            orders: 0,
        }
    }
}

impl Sight for Charged<'_> {
    fn look(&mut self, wait: Duration) -> Result<bool> {
        let before = self.requests;
        let new = wait_until(wait, || Ok(self.ledger.requests() > before))?;
        let books = self.ledger.books();
        (self.requests, self.orders) = (books.requests, books.known.len());
        Ok(new)
    }

    fn seen(&self) -> usize {
        self.orders
    }

    fn words(&self) -> String {
        let repeated = count(self.requests - self.orders);
        format!("{} charged, {repeated} redelivered", count(self.orders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_charged_once_however_often_it_is_asked_for() {
        let ledger = Ledger::open(false);
        let order = Order { id: 7, cents: 100 };
        assert_eq!(ledger.charge(order.clone()), Answer::Charged);
        assert_eq!(ledger.charge(order.clone()), Answer::Known);
        assert_eq!((ledger.journal(), ledger.requests()), (vec![order], 2));
    }

    #[test]
    fn a_service_without_ids_charges_whatever_it_is_asked() {
        let ledger = Ledger::open(true);
        let order = Order { id: 7, cents: 100 };
        assert_eq!(ledger.charge(order.clone()), Answer::Charged);
        assert_eq!(ledger.charge(order), Answer::Charged);
        assert_eq!(ledger.journal().len(), 2);
    }
}
