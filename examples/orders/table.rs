//! Payments as rows of a table, made for the run: an order's id is their primary key.

use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::clock::wait_until;
use onceflow_examples::drill::Sight;
use onceflow_examples::random::unpredictable;
use onceflow_examples::text::count;
use onceflow_postgres::tokio_postgres::{Client, NoTls};
use tokio::runtime::Runtime;

use crate::model::Order;

/// The table, and the connection that it is looked at through.
pub(crate) struct Table {
    pub(crate) name: String,
    runtime: Runtime,
    client: Client,
}

impl Table {
    /// Makes a table that nobody else has.
    pub(crate) fn create(connection: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let connected = runtime.block_on(onceflow_postgres::tokio_postgres::connect(
            connection, NoTls,
        ));
        let (client, driver) = connected.map_err(|error| format!("no database: {error}"))?;
        runtime.spawn(driver);
        let name = format!("onceflow_orders_{:06x}", unpredictable() & 0xff_ffff);
        let columns = "id bigint PRIMARY KEY, cents bigint NOT NULL";
        let table = Table {
            name,
            runtime,
            client,
        };
        table.run(&format!("CREATE TABLE {} ({columns})", table.name))?;
        Ok(table)
    }

    /// Every row.
    pub(crate) fn rows(&self) -> Result<Vec<Order>> {
        let query = format!("SELECT id, cents FROM {} ORDER BY id", self.name);
        let rows = self.runtime.block_on(self.client.query(&query, &[]))?;
        let order = |row: onceflow_postgres::tokio_postgres::Row| {
            let (id, cents) = (row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?);
            Ok(Order {
                id: u64::try_from(id)?,
                cents: u64::try_from(cents)?,
            })
        };
        rows.into_iter().map(order).collect()
    }

    /// Takes it away.
    pub(crate) fn remove(&self) -> Result<()> {
        self.run(&format!("DROP TABLE {}", self.name))
    }

    fn count(&self) -> Result<usize> {
        let query = format!("SELECT count(*) FROM {}", self.name);
        let row = self.runtime.block_on(self.client.query_one(&query, &[]))?;
        Ok(usize::try_from(row.try_get::<_, i64>(0)?)?)
    }

    fn run(&self, statement: &str) -> Result<()> {
        let ran = self.runtime.block_on(self.client.batch_execute(statement));
        Ok(ran.map_err(|error| format!("{statement}: {error}"))?)
    }
}

/// How many rows there are, for the drill to go by.
pub(crate) struct Written<'t> {
    table: &'t Table,
    rows: usize,
}

impl<'t> Written<'t> {
    pub(crate) fn of(table: &'t Table) -> Self {
        Written { table, rows: 0 }
    }
}

impl Sight for Written<'_> {
    fn look(&mut self, wait: Duration) -> Result<bool> {
        let before = self.rows;
        wait_until(wait, || {
            self.rows = self.table.count()?;
            Ok(self.rows > before)
        })
    }

    fn seen(&self) -> usize {
        self.rows
    }

    fn words(&self) -> String {
        format!("{} rows", count(self.rows))
    }
}
