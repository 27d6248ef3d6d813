//! Where orders are paid: the service of this process, or a table of PostgreSQL.

use std::sync::Arc;

use onceflow_examples::Result;
use onceflow_examples::drill::Sight;

use crate::arguments::Arguments;
use crate::ledger::{Charged, Ledger};
use crate::model::Order;
use crate::service;
use crate::table::{Table, Written};

/// What outlives the workers, and is held against the orders in the end.
pub(crate) enum Payments {
    Service {
        ledger: Arc<Ledger>,
        address: String,
    },
    Table(Box<Table>),
}

impl Payments {
    /// The table if there is a database, else the service.
    pub(crate) fn open(arguments: &Arguments) -> Result<Self> {
        if let Some(connection) = &arguments.postgres {
            return Ok(Payments::Table(Box::new(Table::create(connection)?)));
        }
        let ledger = Arc::new(Ledger::open(arguments.naive));
        let address = service::open(Arc::clone(&ledger))?.to_string();
        Ok(Payments::Service { ledger, address })
    }

    /// How a worker finds it.
    pub(crate) fn place(&self) -> String {
        match self {
            Payments::Service { address, .. } => address.clone(),
            Payments::Table(table) => table.name.clone(),
        }
    }

    /// How many orders are paid, for the drill to go by.
    pub(crate) fn sight(&self) -> Box<dyn Sight + '_> {
        match self {
            Payments::Service { ledger, .. } => Box::new(Charged::of(ledger)),
            Payments::Table(table) => Box::new(Written::of(table)),
        }
    }

    /// Every payment that was made.
    pub(crate) fn journal(&self) -> Result<Vec<Order>> {
        match self {
            Payments::Service { ledger, .. } => Ok(ledger.journal()),
            Payments::Table(table) => table.rows(),
        }
    }

    /// How often it was asked for one, if it knows.
    pub(crate) fn requests(&self) -> Option<usize> {
        match self {
            Payments::Service { ledger, .. } => Some(ledger.requests()),
            Payments::Table(_) => None,
        }
    }

    /// Leaves nothing behind, but what an audit failed on.
    pub(crate) fn clear(&self, passed: bool) -> Result<()> {
        match self {
            Payments::Table(table) if passed => table.remove(),
            _ => Ok(()),
        }
    }
}
