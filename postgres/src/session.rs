//! One task's way to the table: transactions, and what is done when one fails.
//!
//! ```text
//!   begin ──> advance the positions ──> copy ──> insert ──> commit ──> done
//!                │ none of mine           │ a row is at fault   │ no answer
//!                └─> fenced               └─> roll back, find it └─> connect anew, look, try again
//! ```
//!
//! # Invariants
//!
//! - The positions go first: their rows are locked until the transaction ends, so whoever looks
//!   afterwards finds it decided.
//! - After a failure the session looks before it writes: what it believed may be older than what the
//!   database has.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use onceflow_framework::processor::external::{
    Applied, ExternalBatch, ExternalFault, ExternalRow, ExternalSession, ExternalTask,
};
use onceflow_framework::{Fault, Record};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config};

use crate::connection::{Background, Connection, pause};
use crate::failure::{Failure, Meaning};
use crate::positions::{Claim, Found};
use crate::refusal;
use crate::row::{PostgresRow, copy_chunks};
use crate::sink::Plan;
use crate::target::Target;

/// The pauses between attempts, doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long one attempt to open may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Deferred constraints are checked with the rows, not at the commit, whose error names none.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET CONSTRAINTS ALL IMMEDIATE";

/// The way of one task to a table.
pub struct PostgresSession<K, V> {
    plan: Arc<Plan<K, V>>,
    background: Arc<Background>,
    config: Config,
    types: Vec<Type>,
    claim: Option<Claim>,
    link: Option<Link>,
    /// Whether the database may have more than the claim says.
    in_doubt: bool,
    /// Since when nothing has come through.
    away_since: Option<Instant>,
}

/// A connection that is ready to write.
struct Link {
    connection: Connection,
    target: Target,
}

/// Rows of a batch.
pub(crate) type Rows = [ExternalRow<PostgresRow>];

/// What an attempt led to.
enum Attempt {
    Committed,
    Refused(Vec<(usize, Failure)>),
    /// For its rows together, or for one that is not to be found.
    RefusedBatch(Failure),
    /// As the positions say.
    Found(Found),
}

impl<K: 'static, V: 'static> PostgresSession<K, V> {
    pub(crate) fn open(
        plan: Arc<Plan<K, V>>,
        config: Config,
        background: Arc<Background>,
        task: &ExternalTask,
    ) -> Result<(Self, Applied), ExternalFault> {
        let opening = open(&plan, &config, task);
        let opened = background.wait(opening);
        let (link, claim) = opened.map_err(|failure| ExternalFault::Failed(failure.into()))?;
        let applied = match &claim {
            Some(claim) => Applied::UpTo(claim.applied()),
            None => Applied::Unknown,
        };
        let session = PostgresSession {
            plan,
            background,
            config,
            types: link.target.types.clone(),
            claim,
            link: Some(link),
            in_doubt: false,
            away_since: None,
        };
        Ok((session, applied))
    }

    /// Tries until it is decided, or the time is over.
    async fn decide(
        &mut self,
        batch: &ExternalBatch<'_, PostgresRow>,
        deadline: Instant,
    ) -> Result<Attempt, Failure> {
        let mut wait = PAUSE_MIN;
        loop {
            let attempt = timeout_at(deadline, self.attempt(batch, deadline)).await;
            let failure = match attempt {
                Ok(Ok(decided)) => return Ok(decided),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::passing("it did not answer in time"),
            };
            self.link = None;
            self.in_doubt = true;
            if failure.meaning != Meaning::Passing || Instant::now() + wait >= deadline {
                return Err(failure);
            }
            tracing::info!(%failure, table = self.plan.table, "connecting anew");
            pause(wait).await;
            wait = (wait * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(
        &mut self,
        batch: &ExternalBatch<'_, PostgresRow>,
        deadline: Instant,
    ) -> Result<Attempt, Failure> {
        let link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let link = self.link.insert(link);
        let client = &link.connection.client;
        client.batch_execute(BEGIN).await?;
        if let Some(claim) = &mut self.claim {
            if self.in_doubt {
                match claim.look(client, batch.positions).await? {
                    Found::Unmoved => {}
                    found => {
                        client.batch_execute("ROLLBACK").await?;
                        self.in_doubt = false;
                        return Ok(Attempt::Found(found));
                    }
                }
            }
            if !claim.advance(client, batch.positions).await? {
                client.batch_execute("ROLLBACK").await?;
                return Ok(Attempt::Found(Found::Fenced));
            }
        }
        match write(client, &link.target, batch.rows).await {
            Ok(()) => {}
            Err(failure) if failure.meaning == Meaning::Data => {
                client.batch_execute("ROLLBACK").await?;
                let refused = refusal::find(client, &link.target, batch.rows, deadline).await?;
                self.in_doubt = false;
                return match refused.is_empty() {
                    true => Ok(Attempt::RefusedBatch(
                        failure.during("the batch was refused, and none of its rows alone"),
                    )),
                    false => Ok(Attempt::Refused(refused)),
                };
            }
            Err(failure) => return Err(failure),
        }
        client.batch_execute("COMMIT").await?;
        self.in_doubt = false;
        Ok(Attempt::Committed)
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let link = link(&self.plan, &self.config).await?;
        if link.target.types == self.types {
            return Ok(link);
        }
        let table = &self.plan.table;
        let why = format!("the columns of table {table} have other types now; restart");
        Err(Failure::last(why))
    }

    /// What did not come through is tried again by the worker, until it has taken too long.
    fn away(&mut self, failure: Failure) -> ExternalFault {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        let failure = failure.during(&format!("table {}", self.plan.table));
        if failure.meaning != Meaning::Passing {
            return ExternalFault::Failed(failure.into());
        }
        let patience = self.plan.patience;
        if since.elapsed() >= patience {
            let what = format!("given up after {} s", since.elapsed().as_secs());
            return ExternalFault::Failed(failure.during(&what).into());
        }
        ExternalFault::Unreachable(failure.into())
    }

    fn came_through(&mut self, batch: &ExternalBatch<'_, PostgresRow>) {
        self.away_since = None;
        if let Some(claim) = &mut self.claim {
            claim.moved(batch.positions);
        }
    }
}

impl<K: 'static, V: 'static> ExternalSession<K, V> for PostgresSession<K, V> {
    type Row = PostgresRow;

    fn row(&mut self, record: &Record<K, V>) -> Result<PostgresRow, Fault> {
        PostgresRow::of(record, &self.plan, &self.types)
    }

    fn commit(
        &mut self,
        batch: &ExternalBatch<'_, PostgresRow>,
        within: Duration,
    ) -> Result<(), ExternalFault> {
        let background = Arc::clone(&self.background);
        let began = Instant::now();
        match background.wait(self.decide(batch, began + within)) {
            Ok(Attempt::Committed | Attempt::Found(Found::Batch | Found::Unmoved)) => {
                self.came_through(batch);
                Ok(())
            }
            Ok(Attempt::Found(Found::Ahead(positions))) => Err(ExternalFault::Ahead(positions)),
            Ok(Attempt::Found(Found::Fenced)) => {
                let why = "the epoch of its rows in onceflow_positions was raised";
                Err(ExternalFault::Fenced(why.into()))
            }
            Ok(Attempt::Refused(refused)) => {
                let table = format!("table {}", self.plan.table);
                let refused = refused.into_iter();
                let refused = refused.map(|(row, why)| (row, why.during(&table).into()));
                Err(ExternalFault::Refused(refused.collect()))
            }
            Ok(Attempt::RefusedBatch(failure)) => {
                let table = format!("table {}", self.plan.table);
                Err(ExternalFault::RefusedBatch(failure.during(&table).into()))
            }
            Err(failure) => {
                self.away_since.get_or_insert(began);
                Err(self.away(failure))
            }
        }
    }
}

/// Brings rows into the table, in the open transaction.
pub(crate) async fn write(client: &Client, target: &Target, rows: &Rows) -> Result<(), Failure> {
    let rows = rows.iter().map(|row| &row.row);
    let chunks = copy_chunks(rows, target.types.len());
    let chunks =
        chunks.map_err(|error| Failure::last(format!("too many columns for a copy: {error}")))?;
    let sink = client.copy_in::<_, Bytes>(&target.copy).await?;
    let mut sink = std::pin::pin!(sink);
    for chunk in chunks {
        sink.send(chunk).await?;
    }
    sink.finish().await?;
    for statement in &target.writes {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// Connects and claims, for as long as the sink is patient.
async fn open<K: 'static, V: 'static>(
    plan: &Plan<K, V>,
    config: &Config,
    task: &ExternalTask,
) -> Result<(Link, Option<Claim>), Failure> {
    let deadline = Instant::now() + plan.patience;
    let mut wait = PAUSE_MIN;
    loop {
        let opened = timeout(OPEN_TIMEOUT, open_once(plan, config, task)).await;
        let failure = match opened {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::passing("it did not answer in time"),
        };
        if failure.meaning != Meaning::Passing {
            return Err(failure);
        }
        if Instant::now() + wait >= deadline {
            let what = format!("given up after {} s", plan.patience.as_secs());
            return Err(failure.during(&what));
        }
        tracing::info!(%failure, table = plan.table, task = %task.task, "waiting for the database");
        pause(wait).await;
        wait = (wait * 2).min(PAUSE_MAX);
    }
}

async fn open_once<K: 'static, V: 'static>(
    plan: &Plan<K, V>,
    config: &Config,
    task: &ExternalTask,
) -> Result<(Link, Option<Claim>), Failure> {
    let link = link(plan, config).await?;
    if !plan.remembers {
        return Ok((link, None));
    }
    let client = &link.connection.client;
    Claim::prepare(client).await?;
    let claim = Claim::take(client, task).await?;
    Ok((link, Some(claim)))
}

async fn link<K: 'static, V: 'static>(plan: &Plan<K, V>, config: &Config) -> Result<Link, Failure> {
    let connection = Connection::open(plan.connector(), config).await?;
    let target = Target::prepare(&connection.client, plan).await?;
    Ok(Link { connection, target })
}

impl<K, V> fmt::Debug for PostgresSession<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSession({}, {:?})", self.plan.table, self.claim)
    }
}
