//! What a broker is told before it starts: the settings of the state machine.
//!
//! # Invariants
//!
//! - **Kafka's defaults, except where a test would wait for nothing:** the first rebalance of a
//!   group is not delayed and the sweep for expired transactions runs every second, not every ten.

/// Settings of a [`Core`](crate::Core). Names and defaults follow Apache Kafka's broker settings.
///
/// ```
/// use onceflow_broker::Options;
///
/// let options = Options { partitions: 4, ..Options::default() };
/// assert_eq!(options.session_timeout_min_ms, 6_000);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// The host that metadata and coordinator answers name.
    pub host: String,
    /// The port that metadata and coordinator answers name.
    pub port: u16,
    /// The cluster id in metadata answers.
    pub cluster_id: String,
    /// Partitions of a topic created without a count: `num.partitions`.
    pub partitions: i32,
    /// Whether asking for the metadata of an unknown topic creates it: `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// Whether topics can be deleted: `delete.topic.enable`.
    pub delete_topics: bool,
    /// The largest record batch accepted, unless the topic says otherwise: `message.max.bytes`.
    pub message_bytes_max: i32,
    /// The shortest session time-out accepted: `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// The longest session time-out accepted: `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// How long an empty group waits for more members: `group.initial.rebalance.delay.ms`.
    /// Kafka's default is 3000; here it is 0.
    pub initial_rebalance_delay_ms: i32,
    /// The most members a group takes: `group.max.size`.
    pub group_members_max: usize,
    /// The longest offset metadata string accepted: `offset.metadata.max.bytes`.
    pub offset_metadata_max: usize,
    /// The longest transaction time-out accepted: `transaction.max.timeout.ms`.
    pub transaction_timeout_max_ms: i32,
    /// How often expired transactions are looked for:
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`. Kafka's default is 10000.
    pub transaction_sweep_interval_ms: i32,
    /// How long each control marker takes to reach its partition. With 0 a transaction is marked
    /// before its `EndTxn` is answered; above 0 the markers follow one by one, offsets first, and
    /// the producer meets `CONCURRENT_TRANSACTIONS` until the last one is written.
    pub marker_delay_ms: i32,
    /// Topics and partitions are refused above this many partitions in the whole broker.
    pub partitions_max: usize,
    /// Where member ids, topic ids and producer ids start: the same seed and the same requests
    /// give the same history.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 9092,
            cluster_id: "b25jZWZsb3ctYnJva2VyIQ".to_owned(),
            partitions: 1,
            auto_create_topics: true,
            delete_topics: true,
            message_bytes_max: 1_048_588,
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 0,
            group_members_max: 10_000,
            offset_metadata_max: 4_096,
            transaction_timeout_max_ms: 900_000,
            transaction_sweep_interval_ms: 1_000,
            marker_delay_ms: 0,
            partitions_max: 100_000,
            seed: 0,
        }
    }
}
