//! The application: a topology, its settings, and the handle that starts, watches and closes it.
//!
//! ```text
//!   App::new ── start ──> topics looked up and created, workers spawned
//!      │                      CREATED → REBALANCING ⇄ RUNNING
//!      ├── watch ──> every change of state
//!      ├── close ──> batches finished, group left     PENDING_SHUTDOWN → NOT_RUNNING
//!      └── wait  ──> the end, and why                 PENDING_ERROR → ERROR
//! ```
//!
//! # Invariants
//!
//! - Workers are plain threads; tokio serves this handle, and runs asynchronous calls.
//! - Dropping the handle closes the application without waiting for it.
//! - It never hangs on a worker that is gone: one that panics fails the application.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::kafka::KafkaCluster;
use crate::broker::{Cluster, Wake};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::handler::{UncaughtHandler, UncaughtResponse};
use crate::metrics::Metrics;
use crate::processor::Executor;
use crate::query::{
    Door, QueryError, ReadOnlyKeyValueStore, ReadOnlySessionStore, ReadOnlyWindowStore,
};
use crate::runtime::{
    BatchPoint, Instance, Plan, Probe, Scout, Shared, State, WorkerSettings, claim_instance,
    incarnation, supervise,
};
use crate::time::{Clock, SystemClock};
use crate::topology::Topology;

/// How often consumed records of repartition topics are deleted, as Kafka Streams does.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a purge may take; what it missed is in the next one.
const PURGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A topology that runs against Kafka, inside your program.
///
/// ```no_run
/// use std::time::Duration;
///
/// use onceflow_framework::processor::{Context, Processor};
/// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
/// use onceflow_framework::{App, Config};
///
/// # async fn program() -> Result<(), onceflow_framework::Error> {
/// let mut builder = TopologyBuilder::new();
/// let input = builder.add_source("in", ["in"], Consumed::<String, String>::new());
/// builder.add_sink("out", "out", Produced::new(), &[&input]);
///
/// let app = App::new(builder.build()?, Config::new("copy", "localhost:9092")?)?;
/// app.start().await?;
/// tokio::select! {
///     end = app.wait() => end?,                                  // it failed: this says why
///     _ = tokio::signal::ctrl_c() => app.close(Duration::from_secs(10)).await?,
/// }
/// # Ok(())
/// # }
/// ```
pub struct App {
    topology: Arc<Topology>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    probe: Probe,
    uncaught: UncaughtHandler,
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

/// What is there before a worker is: the cluster, who looks for topics, what was found.
type Prepared = (Arc<KafkaCluster>, Scout<KafkaCluster>, Plan);

/// What lives while the application runs.
#[derive(Default)]
struct Running {
    threads: Vec<JoinHandle<()>>,
    /// Wake the threads that wait for time to pass.
    bells: Vec<Arc<Wake>>,
    instance: Option<Instance>,
}

impl App {
    /// Puts a topology and its settings together; nothing runs yet.
    ///
    /// # Errors
    ///
    /// None as yet: what a topology and its settings can contradict each other in is found by
    /// [`start`](App::start).
    pub fn new(topology: Topology, config: Config) -> Result<Self, Error> {
        Ok(App {
            topology: Arc::new(topology),
            config: Arc::new(config),
            clock: Arc::new(SystemClock::new()),
            probe: Probe::default(),
            uncaught: UncaughtHandler::default(),
            shared: Arc::new(Shared::new()),
            running: Mutex::default(),
        })
    }

    /// Has `observer` called at each point of each batch, on the worker's thread.
    ///
    /// This is what a test crashes the process at; it is also a place to trace from. It is
    /// called once a record too, so it must be quick.
    #[must_use]
    pub fn with_batch_observer(
        mut self,
        observer: impl Fn(BatchPoint) + Send + Sync + 'static,
    ) -> Self {
        self.probe = Probe::new(Arc::new(observer));
        self
    }

    /// Has `handler` decide what becomes of the application when a worker cannot go on (KIP-671):
    /// what no [handler of records](crate::handler) could decide, or said `Fail` to. By default all
    /// workers end, and the application with the error.
    ///
    /// It is called on the worker's thread; one that panics has said
    /// [`ShutdownClient`](UncaughtResponse::ShutdownClient).
    ///
    /// ```
    /// use onceflow_framework::handler::UncaughtResponse;
    /// use onceflow_framework::topology::{Consumed, TopologyBuilder};
    /// use onceflow_framework::{App, Config, Error, ErrorKind};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_source("in", ["in"], Consumed::<String, String>::new());
    /// let app = App::new(builder.build()?, Config::new("copy", "localhost:9092")?)?
    ///     .uncaught_exception_handler(|error: &Error| match error.kind() {
    ///         ErrorKind::Unreachable => UncaughtResponse::ReplaceThread,
    ///         _ => UncaughtResponse::ShutdownClient,
    ///     });
    /// # drop(app);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn uncaught_exception_handler(
        mut self,
        handler: impl Fn(&Error) -> UncaughtResponse + Send + Sync + 'static,
    ) -> Self {
        self.uncaught = UncaughtHandler::new(handler);
        self
    }

    /// Looks up the topics, creates the internal ones, and starts the workers.
    ///
    /// Returns once they are started; [`watch`](App::watch) tells when they run.
    ///
    /// # Errors
    ///
    /// When no broker answers within `startup.timeout.ms`, when a topic is missing or has the
    /// wrong number of partitions, or when it was started before.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(&self) -> Result<(), Error> {
        if !self.shared.start() {
            let state = self.state();
            let message = format!("the application was started before, its state is {state}");
            return Err(Error::new(ErrorKind::Config, message));
        }
        let prepared = self.prepare().await;
        let (cluster, scout, plan) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.shared.fail(error.duplicate());
                return Err(error);
            }
        };
        let spawned = self.spawn(&cluster, &plan, scout);
        spawned.inspect_err(|error| self.shared.fail(error.duplicate()))
    }

    /// Broker calls block, so they are made off the executor.
    async fn prepare(&self) -> Result<Prepared, Error> {
        let (topology, config) = (Arc::clone(&self.topology), Arc::clone(&self.config));
        let clock = Arc::clone(&self.clock);
        let prepared = tokio::task::spawn_blocking(move || {
            let mut properties = config.client_properties();
            // Each end wakes the worker: only where a task may have to wait for one.
            properties.tells_ends = topology.has_joint_inputs() && config.max_task_idle().is_some();
            let cluster = Arc::new(KafkaCluster::new(properties)?);
            let mut scout = Scout::new(&cluster, &topology, &config, &clock);
            let plan = scout.begin()?;
            Ok((cluster, scout, plan))
        });
        prepared.await.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Config, "starting panicked").because(panic))
        })
    }

    fn spawn<C: Cluster>(
        &self,
        cluster: &Arc<C>,
        plan: &Plan,
        scout: Scout<C>,
    ) -> Result<(), Error> {
        let config = &self.config;
        let application_id = config.application_id();
        let state_dir = PathBuf::from(config.state_dir());
        let instance = claim_instance(config.instance_id(), &state_dir, application_id)?;
        self.shared.begin(plan.clone());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let executor = Executor::current();
        for _ in 0..self.workers() {
            let wake = Arc::new(Wake::default());
            let settings = WorkerSettings {
                cluster: Arc::clone(cluster),
                topology: Arc::clone(&plan.topology),
                inputs: Arc::clone(&plan.inputs),
                config: Arc::clone(config),
                clock: Arc::clone(&self.clock),
                shared: Arc::clone(&self.shared),
                number: self.shared.add_worker(Arc::clone(&wake)),
                wake,
                probe: self.probe.clone(),
                executor: executor.clone(),
                instance: Arc::clone(&instance.name),
                incarnation: incarnation(),
            };
            running.threads.push(spawn_worker(
                application_id,
                settings,
                self.uncaught.clone(),
            )?);
        }
        let bell = Arc::new(Wake::default());
        let (purger, shared) = (Arc::clone(cluster), Arc::clone(&self.shared));
        let rung = Arc::clone(&bell);
        let purge = move || purge_until_closed(&*purger, &shared, &rung);
        running
            .threads
            .push(spawn_thread(format!("{application_id}-purger"), purge)?);
        running.bells.push(bell);
        if scout.has_patterns() {
            let bell = Arc::new(Wake::default());
            let (shared, rung) = (Arc::clone(&self.shared), Arc::clone(&bell));
            let watch = move || scout.watch(&shared, &rung);
            running
                .threads
                .push(spawn_thread(format!("{application_id}-scout"), watch)?);
            running.bells.push(bell);
        }
        running.instance = Some(instance);
        Ok(())
    }

    /// Where no tasks are to be spread, one worker keeps the global stores.
    fn workers(&self) -> usize {
        match self.topology.task_parts().next() {
            Some(_) => self.config.num_stream_threads(),
            None => 1,
        }
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Tells every change of state; the present one counts as seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared.watch()
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The topology that runs.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// A key-value store, to be read while the application runs: see [`query`](crate::query).
    ///
    /// A table's store is one of its keys and values, with timestamps or without, and so is a
    /// global table's.
    ///
    /// # Errors
    ///
    /// [`QueryError::UnknownStore`] and [`QueryError::WrongStore`] when the topology has no such
    /// store of these types, [`QueryError::NotRunning`] before the start.
    pub fn store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<ReadOnlyKeyValueStore<K, V>, QueryError> {
        ReadOnlyKeyValueStore::open(&self.door(), name)
    }

    /// A window store, with timestamps or without.
    ///
    /// # Errors
    ///
    /// As [`store`](Self::store).
    pub fn window_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<ReadOnlyWindowStore<K, V>, QueryError> {
        ReadOnlyWindowStore::open(&self.door(), name)
    }

    /// A session store.
    ///
    /// # Errors
    ///
    /// As [`store`](Self::store).
    pub fn session_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<ReadOnlySessionStore<K, V>, QueryError> {
        ReadOnlySessionStore::open(&self.door(), name)
    }

    fn door(&self) -> Door {
        Door {
            topology: Arc::clone(&self.topology),
            shared: Arc::clone(&self.shared),
            inputs: self.shared.plan().map(|(_, plan)| plan.inputs),
        }
    }

    /// Waits until the application has ended.
    ///
    /// # Errors
    ///
    /// The error that stopped it, if it did not end by [`close`](App::close).
    pub async fn wait(&self) -> Result<(), Error> {
        let mut states = self.shared.watch();
        // It could only fail with the sender gone, which `self` holds.
        let _ended = states.wait_for(|state| state.is_final()).await.is_ok();
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// Waits until the application runs: every worker has joined and restored its state.
    ///
    /// # Errors
    ///
    /// The error that stopped it before it ran.
    pub async fn wait_until_running(&self) -> Result<(), Error> {
        let mut states = self.shared.watch();
        let reached = states.wait_for(|state| *state == State::Running || state.is_final());
        let reached = reached.await.map_or(State::NotRunning, |state| *state);
        if reached == State::Running {
            return Ok(());
        }
        Err(self.shared.failure().unwrap_or_else(|| {
            let message = format!("the application was closed before it ran ({reached})");
            Error::new(ErrorKind::Config, message)
        }))
    }

    /// Finishes the open batches, leaves the group and waits for the end, at most `timeout`.
    ///
    /// # Errors
    ///
    /// The error that stopped it, or that the workers did not end in time: their batches are
    /// then aborted by the broker, and nothing of them is visible.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        self.stop();
        match tokio::time::timeout(timeout, self.wait()).await {
            Ok(ended) => ended,
            Err(_elapsed) => {
                let message = format!(
                    "the workers did not end within {} s; their open batches are left to be \
                     aborted by the broker",
                    timeout.as_secs_f32()
                );
                Err(Error::new(ErrorKind::Unreachable, message))
            }
        }
    }

    fn stop(&self) {
        self.shared.close();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.bells.iter().for_each(|bell| bell.ring());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({}, {})", self.config.application_id(), self.state())
    }
}

fn spawn_worker<C: Cluster>(
    application_id: &str,
    settings: WorkerSettings<C>,
    uncaught: UncaughtHandler,
) -> Result<JoinHandle<()>, Error> {
    let name = format!("{application_id}-{}", settings.number);
    spawn_thread(name, move || supervise(settings, &uncaught))
}

fn spawn_thread(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let spawned = std::thread::Builder::new().name(name).spawn(run);
    spawned.map_err(|error| Error::new(ErrorKind::Config, "cannot start a thread").because(error))
}

/// Deletes what was consumed from repartition topics: nobody reads it again.
fn purge_until_closed<C: Cluster>(cluster: &C, shared: &Shared, bell: &Wake) {
    while !shared.is_closing() {
        bell.sleep(PURGE_INTERVAL);
        let consumed = shared.take_consumed();
        if consumed.is_empty() || shared.is_closing() {
            continue;
        }
        if let Err(error) = cluster.delete_records(&consumed, PURGE_TIMEOUT) {
            tracing::warn!(%error, "consumed repartition records could not be deleted yet");
        }
    }
}
