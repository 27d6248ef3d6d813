//! Everything that is decided before the first transfer: cluster, names, transfers, crashes.

use onceflow_examples::Result;
use onceflow_examples::cluster::Cluster;
use onceflow_examples::random::{Random, unpredictable};
use onceflow_examples::worker::{Log, Worker};

use crate::arguments::{Arguments, WorkerArguments};
use crate::crashes::CrashPlan;
use crate::model::{Topics, Transfer, account, transfers};
use crate::promise::Promise;

/// A seed that nobody chose has this many digits at most: somebody may have to type it.
const SEEDS: u64 = 1_000_000;

/// A run, ready to begin.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) promise: Promise,
    pub(crate) cluster: Cluster,
    pub(crate) topics: Topics,
    pub(crate) seed: u64,
    pub(crate) accounts: u64,
    /// By their ids.
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) crashes: CrashPlan,
    pub(crate) worker: WorkerArguments,
    pub(crate) log: Log,
    pub(crate) partitions: i32,
}

impl Setup {
    /// The seed of a run for which none was chosen.
    pub(crate) fn any_seed() -> u64 {
        unpredictable() % SEEDS
    }

    /// Connects, decides everything, and creates the topics.
    pub(crate) fn prepare(arguments: &Arguments, promise: Promise, seed: u64) -> Result<Self> {
        let cluster = Cluster::connect(arguments.bootstrap_servers.as_deref())?;
        let id = format!("{:06x}", unpredictable() & 0xff_ffff);
        // Nobody else is on the embedded broker, so the names can be plain there.
        let run = if cluster.is_embedded() {
            String::new()
        } else {
            format!("-{id}")
        };
        let topics = Topics::of(&run);
        let mut random = Random::seeded(seed);
        let crashes = CrashPlan::draw(&mut random, arguments.transfers, arguments.crashes);
        let worker = WorkerArguments {
            bootstrap_servers: cluster.bootstrap_servers().to_owned(),
            application_id: format!("banking-transfer{run}"),
            run,
            threads: usize::from(arguments.threads),
            guarantee: promise.setting().to_owned(),
        };
        cluster.create_topics(&topics.names(), arguments.partitions)?;
        Ok(Setup {
            promise,
            topics,
            seed,
            accounts: arguments.accounts,
            transfers: transfers(&mut random, arguments.accounts, arguments.transfers),
            crashes,
            worker,
            log: Log::choose(&format!("onceflow-banking-transfer-{id}.log")),
            partitions: arguments.partitions,
            cluster,
        })
    }

    /// Starts a worker: the first, or the next after a crash.
    pub(crate) fn start_worker(&self) -> Result<Worker> {
        Worker::start(self.worker.to_command_line(), &self.log)
    }

    /// The topic that holds every committed write of a balance.
    pub(crate) fn changelog(&self) -> String {
        format!("{}-balances-changelog", self.worker.application_id)
    }

    /// The topic in which accepted transfers wait for their credit.
    pub(crate) fn credits(&self) -> String {
        format!("{}-credits-repartition", self.worker.application_id)
    }

    /// The topics that the worker writes, in the order of the life of a transfer.
    pub(crate) fn written_topics(&self) -> [String; 4] {
        let (refused, applied) = (self.topics.refused.clone(), self.topics.applied.clone());
        [refused, self.credits(), self.changelog(), applied]
    }

    /// The topics of this run.
    pub(crate) fn all_topics(&self) -> Vec<String> {
        [&[self.topics.transfers.clone()][..], &self.written_topics()].concat()
    }

    /// The names of all accounts.
    pub(crate) fn account_names(&self) -> Vec<String> {
        (0..self.accounts).map(account).collect()
    }

    /// Leaves nothing behind, but the topics if they are asked for.
    pub(crate) fn clear(&self, keep_topics: bool) -> Result<()> {
        if let Some(log) = self.log.file() {
            // It does not exist if no worker had anything to say.
            drop(std::fs::remove_file(log));
        }
        if keep_topics || self.cluster.is_embedded() {
            return Ok(());
        }
        let names = self.all_topics();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.cluster.delete_topics(&names)
    }
}
