//! An application whose every record can be accounted for: what is put in is known, and what
//! comes out of it is checked record by record.
//!
//! ```text
//!   journal ──feed──> input ──> [ the workers under test ] ──> statements, totals, changelogs
//!      └──────────────────────────── audit ──────────────────────────────┘
//! ```

mod audit;
mod tally;
mod journal;
mod topology;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub use journal::{Entry, Journal};
pub use tally::{Tallies, Tally};
pub use topology::{
    BALANCES, BRANCHES, BY_BRANCH, Hook, LedgerTopics, Lines, Service, no_hook, slow_service,
};

use onceflow_framework::config::{Config, ConfigBuilder};

use crate::{
    clients::Isolation,
    cluster::{Cluster, unique},
    offsets::Committed,
    produce::Delivered,
    record::Record,
    tail::Tail,
    wait::{Deadline, PATIENCE, holds_for, wait_until},
};

/// One application on its own topics.
pub struct Ledger<'c> {
    /// Where it runs.
    pub cluster: &'c Cluster,
    /// The application id, which is also the group.
    pub application: String,
    /// The users' topics.
    pub topics: LedgerTopics,
    journal: Mutex<Journal>,
    places: Mutex<Vec<(Entry, Delivered)>>,
    tail: Mutex<Tail>,
}

impl<'c> Ledger<'c> {
    /// Topics of this many partitions for a test of this name, nothing in them yet.
    #[must_use]
    pub fn new(cluster: &'c Cluster, name: &str, partitions: i32) -> Self {
        Self::seeded(cluster, name, partitions, 1)
    }

    /// As [`new`](Self::new), with entries of this seed.
    #[must_use]
    pub fn seeded(cluster: &'c Cluster, name: &str, partitions: i32, seed: u64) -> Self {
        let topic = |what: &str| cluster.topic(&format!("{name}-{what}"), partitions);
        let topics = LedgerTopics {
            input: topic("in"),
            statements: topic("statements"),
            totals: topic("totals"),
        };
        Self {
            cluster,
            application: unique(name),
            tail: Mutex::new(Tail::of(cluster, &topics.totals)),
            topics,
            journal: Mutex::new(Journal::new(seed)),
            places: Mutex::default(),
        }
    }

    /// Puts `count` more entries in and waits until the broker has them.
    pub fn feed(&self, count: usize) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = journal.extend(count);
        let records = entries.iter().map(Entry::to_record);
        let delivered = self.cluster.produce(&self.topics.input, records);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.extend(entries.into_iter().zip(delivered));
    }

    /// What was put in.
    pub fn with_journal<R>(&self, look: impl FnOnce(&Journal) -> R) -> R {
        look(&self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry that was put in as the `index`-th, from 0, and where it is.
    ///
    /// # Panics
    ///
    /// When there are not that many.
    #[must_use]
    pub fn nth(&self, index: usize) -> (Entry, Delivered) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)[index].clone()
    }

    /// Where the group goes on reading a partition of the input.
    #[must_use]
    pub fn consumed_to(&self, partition: i32) -> i64 {
        let committed = self
            .cluster
            .committed(&self.application, &self.topics.input);
        committed
            .get(&partition)
            .map_or(0, |committed| committed.offset)
    }

    /// How many entries were put in.
    #[must_use]
    pub fn fed(&self) -> usize {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The settings that tests of exactly-once start from: short batches, the shortest session
    /// that Kafka accepts.
    #[must_use]
    pub fn properties(&self, instance: &str) -> Vec<(String, String)> {
        let own = [
            ("application.id", self.application.as_str()),
            ("bootstrap.servers", self.cluster.bootstrap_servers()),
            ("instance.id", instance),
        ];
        let all = own.into_iter().chain(SETTINGS);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The same, to be changed and built.
    pub fn config(&self, instance: &str) -> ConfigBuilder {
        Config::builder("", "").properties(self.properties(instance))
    }

    /// The full name of the repartition topic.
    #[must_use]
    pub fn repartition(&self) -> String {
        format!("{}-{BY_BRANCH}", self.application)
    }

    /// The full name of a store's changelog.
    #[must_use]
    pub fn changelog(&self, store: &str) -> String {
        format!("{}-{store}-changelog", self.application)
    }

    /// Waits until at least `count` entries have gone all the way through, committed.
    ///
    /// # Panics
    ///
    /// When they have not after a deadline.
    pub fn wait_for(&self, count: usize) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = tail.reach(count, Deadline::after(2 * PATIENCE));
        let have = tail.records.len();
        assert!(
            arrived,
            "{}: {have} of {count} entries came through",
            self.application
        );
    }

    /// Waits until every entry has gone all the way through.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_all(&self) {
        self.wait_for(self.fed());
    }

    /// Reads everything back and holds it against the journal. The workers have ended.
    ///
    /// # Panics
    ///
    /// At the first difference.
    pub fn audit(&self) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let statements = self.cluster.settled(&self.topics.statements);
        let totals = self.cluster.settled(&self.topics.totals);
        let balances = self.cluster.settled(&self.changelog(BALANCES));
        let branches = self.cluster.settled(&self.changelog(BRANCHES));
        let findings = [
            audit::statements(&journal, &statements),
            audit::balances(&journal, &balances),
            audit::totals(&journal, &totals),
            audit::branches(&totals, &branches),
            self.input_offsets(),
            self.repartition_offsets(),
        ];
        let wrong: Vec<String> = findings.into_iter().filter_map(Result::err).collect();
        assert!(
            wrong.is_empty(),
            "{}: {}",
            self.application,
            wrong.join("\n")
        );
    }

    /// Reads everything back and counts how often each entry took effect. The workers have ended.
    ///
    /// # Panics
    ///
    /// When there is something that nobody put in.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = |topic: &str| self.cluster.settled(topic);
        Tallies {
            statements: tally::of_outputs(&journal, &settled(&self.topics.statements)),
            totals: tally::of_outputs(&journal, &settled(&self.topics.totals)),
            balances: tally::of_balances(&journal, &settled(&self.changelog(BALANCES))),
            branches: tally::of_branches(&journal, &settled(&self.changelog(BRANCHES))),
        }
    }

    /// Waits until the group stands at the end of all that is read, and stays there.
    ///
    /// # Panics
    ///
    /// When it does not get there before a deadline.
    pub fn wait_until_consumed(&self) {
        let consumed = || self.input_offsets().is_ok() && self.repartition_offsets().is_ok();
        wait_until("all input is consumed", || {
            consumed() && holds_for(SETTLES_WITHIN, consumed)
        });
    }

    /// As [`audit`](Self::audit), of what the first sub-topology writes only.
    ///
    /// # Panics
    ///
    /// At the first difference.
    pub fn audit_first_half(&self) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let statements = self.cluster.settled(&self.topics.statements);
        let balances = self.cluster.settled(&self.changelog(BALANCES));
        let findings = [
            audit::statements(&journal, &statements),
            audit::balances(&journal, &balances),
        ];
        let wrong: Vec<String> = findings.into_iter().filter_map(Result::err).collect();
        assert!(
            wrong.is_empty(),
            "{}: {}",
            self.application,
            wrong.join("\n")
        );
    }

    /// Whether the group stands at the end of each input partition.
    #[must_use]
    pub fn input_is_consumed(&self) -> bool {
        self.input_offsets().is_ok()
    }

    /// Everything is consumed: the group stands at the end of each input partition.
    fn input_offsets(&self) -> audit::Finding {
        let input = &self.topics.input;
        let committed = self.cluster.committed(&self.application, input);
        for partition in self.cluster.partitions(input) {
            let (_, end) = self
                .cluster
                .watermarks(input, partition, Isolation::ReadUncommitted);
            let stands = committed
                .get(&partition)
                .map_or(0, |committed| committed.offset);
            if stands != end {
                return Err(format!(
                    "{input}-{partition} is consumed to {stands} of {end}"
                ));
            }
        }
        Ok(())
    }

    /// The same of the repartition topic, whose consumed records may be deleted already.
    fn repartition_offsets(&self) -> audit::Finding {
        let topic = self.repartition();
        let committed = self.cluster.committed(&self.application, &topic);
        let history = self.cluster.settled(&topic);
        for partition in self.cluster.partitions(&topic) {
            let own = history
                .iter()
                .filter(|record| record.partition == partition);
            let Some(last) = own.map(|record| record.offset).max() else {
                continue;
            };
            let stands = committed
                .get(&partition)
                .map_or(0, |committed| committed.offset);
            if stands != last + 1 {
                return Err(format!(
                    "{topic}-{partition} is consumed to {stands}, not {}",
                    last + 1
                ));
            }
        }
        Ok(())
    }

    /// All that the application has written and committed, in its topics and offsets.
    #[must_use]
    pub fn everything(&self) -> Everything {
        let (statements, totals) = (&self.topics.statements, &self.topics.totals);
        let (balances, branches) = (self.changelog(BALANCES), self.changelog(BRANCHES));
        let topics = [statements, totals, &balances, &branches];
        let sources = [&self.topics.input, &self.repartition()];
        Everything {
            histories: topics.map(|topic| self.cluster.settled(topic)).into(),
            offsets: sources
                .map(|topic| self.cluster.committed(&self.application, topic))
                .into(),
        }
    }

    /// The statements that a `read_committed` reader can see now.
    #[must_use]
    pub fn statements(&self) -> Vec<Record> {
        self.cluster
            .visible(&self.topics.statements, Isolation::ReadCommitted)
    }
}

/// All that an application has written and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Everything {
    histories: Vec<Vec<Record>>,
    offsets: Vec<BTreeMap<i32, Committed>>,
}

impl fmt::Debug for Ledger<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("application", &self.application)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// What was read last has led to output by then, if it does at all.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);

/// Batches are short, nothing waits out a default of a second, nothing changes what is delivered.
const SETTINGS: [(&str, &str); 9] = [
    ("batch.bytes.max", "1000"),
    ("commit.interval.ms", "20"),
    ("commit.linger.ms", "2"),
    ("task.timeout.ms", "60000"),
    ("broker.address.family", "v4"),
    ("reconnect.backoff.ms", "20"),
    ("reconnect.backoff.max.ms", "500"),
    ("consumer.session.timeout.ms", "6000"),
    ("consumer.heartbeat.interval.ms", "200"),
];
