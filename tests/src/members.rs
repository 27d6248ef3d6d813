//! Members of a consumer group, polled by the test's own thread.
//!
//! A rebalance needs every member to poll: with one thread, the test polls them in turn
//! ([`poll_until`]) until the group is where the claim wants it.

use std::{
    collections::BTreeSet,
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    clients::Isolation,
    cluster::Cluster,
    record::Record,
    wait::{Deadline, PATIENCE},
};

/// One poll of one member.
const POLL_SLICE: Duration = Duration::from_millis(10);

/// A subscribed consumer, with what it has received so far.
pub struct Member {
    consumer: BaseConsumer<Rebalances>,
    /// Records received, in order.
    pub received: Vec<Record>,
    /// Errors that polling returned, in order.
    pub errors: Vec<KafkaError>,
}

impl Member {
    /// Subscribes a read_committed consumer; it becomes a member as it is polled.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn join(cluster: &Cluster, group: &str, topics: &[&str]) -> Self {
        Self::with(cluster, group, topics, &[])
    }

    /// As [`join`](Self::join), with settings of the client on top.
    ///
    /// # Panics
    ///
    /// When the client library refuses the configuration.
    #[must_use]
    pub fn with(
        cluster: &Cluster,
        group: &str,
        topics: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let mut config = cluster.consumer_config(group, Isolation::ReadCommitted);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer<Rebalances> = config
            .create_with_context(Rebalances::default())
            .expect("the member's configuration is valid");
        consumer
            .subscribe(topics)
            .expect("a consumer may subscribe");
        Self {
            consumer,
            received: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Serves the member for a moment: rebalances run in here, records and errors are kept.
    pub fn poll(&mut self) {
        match self.consumer.poll(POLL_SLICE) {
            None => {}
            Some(Ok(message)) => self.received.push(Record::from(&message)),
            Some(Err(error)) => self.errors.push(error),
        }
    }

    /// The partitions that it owns now.
    ///
    /// # Panics
    ///
    /// When the client does not know its own assignment.
    #[must_use]
    pub fn assignment(&self) -> BTreeSet<(String, i32)> {
        let assignment = self
            .consumer
            .assignment()
            .expect("a consumer knows its assignment");
        assignment
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect()
    }

    /// The partitions of one topic that it owns now.
    #[must_use]
    pub fn partitions_of(&self, topic: &str) -> BTreeSet<i32> {
        let owned = self.assignment().into_iter();
        owned
            .filter(|(name, _)| name == topic)
            .map(|(_, partition)| partition)
            .collect()
    }

    /// How often it was given partitions.
    #[must_use]
    pub fn times_assigned(&self) -> u32 {
        self.consumer.context().assigned.load(Ordering::Relaxed)
    }

    /// How often partitions were taken from it.
    #[must_use]
    pub fn times_revoked(&self) -> u32 {
        self.consumer.context().revoked.load(Ordering::Relaxed)
    }

    /// A snapshot of its membership, as transactions carry it.
    ///
    /// # Panics
    ///
    /// When the client has no group.
    #[must_use]
    pub fn group_metadata(&self) -> ConsumerGroupMetadata {
        self.consumer
            .group_metadata()
            .expect("a member has group metadata")
    }

    /// Whether polling returned this error.
    #[must_use]
    pub fn saw(&self, code: RDKafkaErrorCode) -> bool {
        self.errors
            .iter()
            .any(|error| error.rdkafka_error_code() == Some(code))
    }

    /// The client underneath.
    #[must_use]
    pub fn consumer(&self) -> &BaseConsumer<impl ConsumerContext> {
        &self.consumer
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("received", &self.received.len())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

/// Polls members in turn until a condition holds, for [`PATIENCE`] at most.
///
/// # Panics
///
/// When the deadline passes; the message names `what` and what the members own.
pub fn poll_until(
    what: &str,
    members: &mut [&mut Member],
    condition: impl Fn(&[&mut Member]) -> bool,
) {
    let deadline = Deadline::after(PATIENCE);
    while !condition(members) {
        if deadline.passed() {
            let owned: Vec<_> = members.iter().map(|member| member.assignment()).collect();
            panic!("waited {PATIENCE:?} in vain: {what}; members {members:?} own {owned:?}");
        }
        for member in members.iter_mut() {
            member.poll();
        }
    }
}

/// Counts rebalances; assigns and revokes as the client does by default.
#[derive(Default)]
struct Rebalances {
    assigned: AtomicU32,
    revoked: AtomicU32,
}

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let counter = match rebalance {
            Rebalance::Assign(_) => &self.assigned,
            Rebalance::Revoke(_) => &self.revoked,
            Rebalance::Error(_) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
