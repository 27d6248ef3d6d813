//! The loop's consumer and producer, with the settings that measured best.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::native::{Chunk, Queue, QueueSlot};
use crate::Failure;
use crate::cli::Options;
use crate::topics::Admin;
use crate::workload::{Guarantee, Workload};

/// How long brokers may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// The topics of a workload.
#[derive(Debug)]
pub(super) struct Topics {
    /// Those that are read: the input, then what is between the stages.
    pub(super) read: Vec<String>,
    pub(super) changelog: String,
    pub(super) output: String,
    /// Of each of them.
    partitions: usize,
}

/// Names the topics and creates those that are internal.
pub(super) fn topics(
    workload: Workload,
    application_id: &str,
    options: &Options,
) -> Result<Topics, Failure> {
    let admin = Admin::new(&options.bootstrap_servers)?;
    let partitions = admin.partitions(&options.input)?;
    let mut topics = Topics {
        read: vec![options.input.clone()],
        changelog: format!("{application_id}-counts-changelog"),
        output: options.output.clone(),
        partitions: usize::try_from(partitions)?,
    };
    if matches!(workload, Workload::Count | Workload::Repartition) {
        admin.create(
            &topics.changelog,
            partitions,
            &[("cleanup.policy", "compact")],
        )?;
    }
    if workload == Workload::Repartition {
        let between = format!("{application_id}-counts-repartition");
        admin.create(&between, partitions, &[])?;
        topics.read.push(between);
    }
    if workload == Workload::Join {
        topics.read.push(options.table.clone());
    }
    Ok(topics)
}

/// Cuts partitions off from the consumer's queue before they are read.
#[derive(Debug, Default)]
struct Forward {
    queue: QueueSlot,
    assigned: AtomicUsize,
}

impl ClientContext for Forward {}

impl ConsumerContext for Forward {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.queue
                .forward(consumer.client().native_ptr(), partitions);
            self.assigned.store(partitions.count(), Ordering::Relaxed);
        }
    }
}

/// A member of the group that takes records in bulk.
pub(super) struct Reader {
    // Field order: the queue goes before its client.
    queue: Queue,
    consumer: BaseConsumer<Forward>,
    topics: Vec<String>,
    /// The least and the most partitions that a member has once all have joined.
    share: (usize, usize),
}

impl Reader {
    pub(super) fn new(options: &Options, group: &str, topics: &Topics) -> Result<Self, Failure> {
        let consumer: BaseConsumer<Forward> = ClientConfig::new()
            .set("bootstrap.servers", &options.bootstrap_servers)
            .set("group.id", group)
            .set("partition.assignment.strategy", "range")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            .create_with_context(Forward::default())?;
        let queue = Queue::new(consumer.client().native_ptr());
        consumer.context().queue.set(&queue);
        let names: Vec<&str> = topics.read.iter().map(String::as_str).collect();
        consumer.subscribe(&names)?;
        let (read, members) = (topics.read.len(), options.threads);
        let share = (
            topics.partitions / members * read,
            topics.partitions.div_ceil(members) * read,
        );
        Ok(Reader {
            queue,
            consumer,
            topics: topics.read.clone(),
            share,
        })
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<impl ConsumerContext> {
        &self.consumer
    }

    /// Whether all threads have joined: a rebalance in the middle of a transaction would end it,
    /// and this loop does not go back.
    pub(super) fn is_settled(&self) -> bool {
        let assigned = self.consumer.context().assigned.load(Ordering::Relaxed);
        assigned > 0 && (self.share.0..=self.share.1).contains(&assigned)
    }

    /// Answers rebalances. Called with no transaction open, so there is nothing to finish first;
    /// what is queued of a partition that goes is not taken any more: librdkafka leaves it out.
    pub(super) fn serve_events(&self) -> Result<(), Failure> {
        match self.consumer.poll(Duration::ZERO) {
            None => Ok(()),
            Some(Ok(_)) => Err("a record came to the consumer's own queue".into()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    pub(super) fn wait(&self, timeout: Duration) -> bool {
        self.queue.wait(timeout)
    }

    pub(super) fn take(&self) -> Result<Chunk<'_>, Failure> {
        self.queue.take()
    }
}

/// Remembers whether a record could not be delivered.
#[derive(Debug, Default)]
pub(super) struct Undelivered(AtomicBool);

impl ClientContext for Undelivered {}

impl ProducerContext for Undelivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The producer, transactional or not.
pub(super) struct Committer {
    pub(super) producer: BaseProducer<Undelivered>,
    pub(super) guarantee: Guarantee,
}

impl Committer {
    pub(super) fn new(options: &Options, member: &str) -> Result<Self, Failure> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &options.bootstrap_servers)
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("retry.backoff.ms", "5")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144");
        match options.guarantee {
            Guarantee::ExactlyOnce => config.set("transactional.id", member),
            Guarantee::AtLeastOnce => config.set("enable.idempotence", "true"),
            // Whoever may lose a record need not wait for its acknowledgement.
            Guarantee::AtMostOnce => config.set("acks", "0"),
        };
        let producer: BaseProducer<Undelivered> =
            config.create_with_context(Undelivered::default())?;
        if options.guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions(TIMEOUT)?;
        }
        Ok(Committer {
            producer,
            guarantee: options.guarantee,
        })
    }

    pub(super) fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Sends what nobody waited for.
    pub(super) fn close(&self) -> Result<(), Failure> {
        Ok(self.producer.flush(TIMEOUT)?)
    }

    pub(super) fn check_delivered(&self) -> Result<(), Failure> {
        match self.producer.context().0.load(Ordering::Relaxed) {
            true => Err("a record was not delivered".into()),
            false => Ok(()),
        }
    }
}
