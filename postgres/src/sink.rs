//! What the user says: where, which table, which columns from what.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use onceflow_framework::Record;
use onceflow_framework::processor::external::{Applied, ExternalFault, ExternalSink, ExternalTask};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Socket};

use crate::connection::{Background, Connect, Connector};
use crate::row::Column;
use crate::session::PostgresSession;

/// How long a database may be away, unless told otherwise: longer than a failover takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes records as rows of a PostgreSQL table; the [crate](crate) says how.
pub struct PostgresSink<K, V> {
    pub(crate) plan: Arc<Plan<K, V>>,
}

/// What a sink's sessions share.
pub(crate) struct Plan<K, V> {
    /// As it was given, to be read when the sink is opened.
    config: String,
    pub(crate) table: String,
    pub(crate) writes: Writes,
    /// Whether positions are kept.
    pub(crate) remembers: bool,
    pub(crate) columns: Vec<Column<K, V>>,
    pub(crate) deletes: Option<Test<K, V>>,
    pub(crate) patience: Duration,
    connector: Arc<dyn Connect>,
    background: OnceLock<Arc<Background>>,
}

/// A question about a record.
pub(crate) type Test<K, V> = Arc<dyn Fn(&Record<K, V>) -> bool + Send + Sync>;

/// What a record does to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    Inserts,
    Upserts,
}

impl<K: 'static, V: 'static> PostgresSink<K, V> {
    /// Appends a row for each record, exactly once.
    ///
    /// `connection` is a connection string of libpq's kind, as key-value pairs or a URL; `table`
    /// may name its schema.
    ///
    /// ```no_run
    /// use onceflow_postgres::PostgresSink;
    ///
    /// let journal = PostgresSink::<String, i64>::insert("postgresql://bank@db/bank", "journal")
    ///     .column("account", |record| record.key.clone())
    ///     .column("cents", |record| record.value);
    /// ```
    pub fn insert(connection: impl Into<String>, table: impl Into<String>) -> Self {
        Self::new(connection.into(), table.into(), Writes::Inserts, true)
    }

    /// Writes the row of a record's key, in place of the one that is there, exactly once: a zombie
    /// cannot bring an older row back.
    ///
    /// The [`key`](Self::key) columns need a unique constraint of just these columns.
    ///
    /// ```no_run
    /// use onceflow_postgres::PostgresSink;
    ///
    /// /// A table's changes: a row that is deleted there is deleted here.
    /// let balances = PostgresSink::<String, Option<i64>>::upsert("host=db user=bank", "balances")
    ///     .key("account", |record| record.key.clone())
    ///     .column("cents", |record| record.value)
    ///     .delete_if(|record| record.value.is_none());
    /// ```
    pub fn upsert(connection: impl Into<String>, table: impl Into<String>) -> Self {
        Self::new(connection.into(), table.into(), Writes::Upserts, true)
    }

    /// As [`upsert`](Self::upsert), without positions: at least once, and nothing is fenced. Rows of
    /// punctuations are taken, too.
    ///
    /// ```no_run
    /// use onceflow_postgres::PostgresSink;
    ///
    /// let last = PostgresSink::<String, f64>::upsert_at_least_once("host=db user=lab", "gauges")
    ///     .key("gauge", |record| record.key.clone())
    ///     .column("shown", |record| record.value);
    /// ```
    pub fn upsert_at_least_once(connection: impl Into<String>, table: impl Into<String>) -> Self {
        Self::new(connection.into(), table.into(), Writes::Upserts, false)
    }

    fn new(config: String, table: String, writes: Writes, remembers: bool) -> Self {
        let plan = Plan {
            config,
            table,
            writes,
            remembers,
            columns: Vec::new(),
            deletes: None,
            patience: PATIENCE,
            connector: Arc::new(Connector(NoTls)),
            background: OnceLock::new(),
        };
        PostgresSink {
            plan: Arc::new(plan),
        }
    }

    /// A column of the key, and its value.
    #[must_use]
    pub fn key<T: ToSql + 'static>(
        self,
        name: impl Into<String>,
        value: impl Fn(&Record<K, V>) -> T + Send + Sync + 'static,
    ) -> Self {
        let column = Column::new(name.into(), true, value);
        self.with(|plan| plan.columns.push(column))
    }

    /// A column, and its value; an `Option` may be null.
    #[must_use]
    pub fn column<T: ToSql + 'static>(
        self,
        name: impl Into<String>,
        value: impl Fn(&Record<K, V>) -> T + Send + Sync + 'static,
    ) -> Self {
        let column = Column::new(name.into(), false, value);
        self.with(|plan| plan.columns.push(column))
    }

    /// Deletes the row of a record's key, where this says so, instead of writing it; of such a
    /// record only the key columns are asked for.
    #[must_use]
    pub fn delete_if(self, test: impl Fn(&Record<K, V>) -> bool + Send + Sync + 'static) -> Self {
        self.with(|plan| plan.deletes = Some(Arc::new(test)))
    }

    /// How long the database may be away before the application stops, two minutes by default.
    /// While a batch is open, `task.timeout.ms` ends it, too.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        self.with(|plan| plan.patience = patience)
    }

    /// How connections are encrypted: a connector of a crate like `postgres-native-tls` or
    /// `tokio-postgres-rustls`. Without one they are not.
    #[must_use]
    pub fn tls<T>(self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.with(|plan| plan.connector = Arc::new(Connector(connector)))
    }

    fn with(mut self, change: impl FnOnce(&mut Plan<K, V>)) -> Self {
        let plan = Arc::get_mut(&mut self.plan);
        change(plan.expect("sessions share the plan only once the sink is in a topology"));
        self
    }
}

impl<K: 'static, V: 'static> ExternalSink<K, V> for PostgresSink<K, V> {
    type Session = PostgresSession<K, V>;

    fn open(&self, task: &ExternalTask) -> Result<(Self::Session, Applied), ExternalFault> {
        let config = self.plan.config.parse::<Config>().map_err(|error| {
            let what = format!("the connection string cannot be read: {error}");
            ExternalFault::Failed(what.into())
        })?;
        let background = self.plan.background()?;
        PostgresSession::open(Arc::clone(&self.plan), config, background, task)
    }
}

impl<K, V> Plan<K, V> {
    fn background(&self) -> Result<Arc<Background>, ExternalFault> {
        if let Some(background) = self.background.get() {
            return Ok(Arc::clone(background));
        }
        let background =
            Background::start().map_err(|error| ExternalFault::Failed(error.into()))?;
        // Of two workers that open at once one is first, and its threads serve both.
        Ok(Arc::clone(
            self.background.get_or_init(|| Arc::new(background)),
        ))
    }

    pub(crate) fn connector(&self) -> &dyn Connect {
        &*self.connector
    }
}

impl<K, V> fmt::Debug for PostgresSink<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        // Not the connection: it may hold a password.
        write!(f, "PostgresSink({:?} {})", plan.writes, plan.table)
    }
}
