//! Stores that are copies of a topic which the topology reads: they need no changelog.
//!
//! # Invariants
//!
//! - A record makes the same row in a restore as it made when it was processed: it is read by the
//!   same serdes and timed by the same extractor, not copied byte by byte.
//! - What the source drops makes no row.

use std::fmt;
use std::sync::Arc;

use super::builder::{NodeRef, TopologyBuilder};
use super::options::{Consumed, TopicName};
use crate::processor::Processor;
use crate::record::{RawRecord, Record};
use crate::serde::{Serde, SharedSerde};
use crate::state::{StoreBuilder, StoreSerdes};
use crate::time::{Clock, Extractor, Timestamp};

impl TopologyBuilder {
    /// Adds a store that a processor fills from a topic, task by task, and that other processors
    /// read (KIP-813): `fill` is the processor's name and supplier. Its source is named after it
    /// unless `consumed` has a name.
    ///
    /// The store has no changelog: it is restored from the topic, without the processor, as the
    /// last value of each key. So the processor is to put what it gets as it is, as in Kafka Streams.
    ///
    /// ```
    /// use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, TopologyBuilder};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// /// Keeps prices by article.
    /// #[derive(Default)]
    /// struct Keep(Option<KeyValueStore<String, i64>>);
    ///
    /// impl Processor for Keep {
    ///     type KeyIn = Option<String>;
    ///     type ValueIn = Option<i64>;
    ///     type KeyOut = ();
    ///     type ValueOut = ();
    ///
    ///     fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("prices")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         price: Record<Option<String>, Option<i64>>,
    ///         _ctx: &mut Context<(), ()>,
    ///     ) -> Result<(), Fault> {
    ///         let prices = self.0.as_ref().expect("init ran");
    ///         match (price.key, price.value) {
    ///             (Some(article), Some(cents)) => prices.put(&article, &cents)?,
    ///             (Some(article), None) => drop(prices.delete(&article)?),
    ///             (None, _) => {}
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let store = StoreBuilder::key_value("prices", utf8(), i64());
    /// let fill = ("keep", Keep::default);
    /// builder.add_read_only_state_store(store, "prices", Consumed::new(), fill);
    /// let topology = builder.build()?;
    /// assert!(topology.internal_topics("app").is_empty());
    ///
    /// let driver = TestDriver::new(topology)?;
    /// let prices = driver.input_topic("prices", utf8(), i64());
    /// prices.pipe("nut", 3, Timestamp::from_millis(0))?;
    /// prices.pipe("bolt", 5, Timestamp::from_millis(0))?;
    /// prices.pipe_tombstone("bolt", Timestamp::from_millis(1))?;
    /// driver.restart()?; // the topic brings the rows back
    /// let prices = driver.key_value_store::<String, i64>("prices")?;
    /// assert_eq!(prices.all()?, [("nut".to_owned(), 3)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn add_read_only_state_store<K, V, P, F>(
        &mut self,
        store: StoreBuilder<K, V>,
        topic: impl Into<TopicName>,
        consumed: Consumed<K, V>,
        fill: (&str, F),
    ) -> NodeRef<P::KeyOut, P::ValueOut>
    where
        K: Clone + 'static,
        V: Clone + 'static,
        P: Processor<KeyIn = Option<K>, ValueIn = Option<V>>,
        F: Fn() -> P + Send + Sync + 'static,
    {
        let ((name, supplier), topic) = (fill, topic.into());
        let source = consumed.name().map(str::to_owned);
        let source = source.unwrap_or_else(|| format!("{name}-source"));
        let consumed = consumed.nullable();
        let source = self.add_source(&source, [topic.clone()], consumed.clone());
        let processor = self.add_processor(name, supplier, &[&source]);
        self.add_source_store(store, topic, &consumed, &[name]);
        processor
    }
}

/// The topic of a store, and how its records become rows.
#[derive(Clone)]
pub(crate) struct SourceStore {
    pub(crate) topic: TopicName,
    pub(crate) rows: Arc<dyn SourceRows>,
}

/// A row as bytes: what a changelog record would hold.
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    /// None deletes.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Timestamp,
}

/// Makes rows of records; knows their types.
pub(crate) trait SourceRows: Send + Sync {
    fn row(&self, raw: &RawRecord<'_>, partition_time: Timestamp, clock: &dyn Clock)
    -> Option<Row>;
}

/// As the source of the topic is read, and as the store is written.
pub(super) struct RowsOf<K, V> {
    pub(super) consumed: Consumed<Option<K>, Option<V>>,
    pub(super) store: Arc<StoreSerdes<K, V>>,
}

impl<K: Clone + 'static, V: Clone + 'static> SourceRows for RowsOf<K, V> {
    fn row(
        &self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
        clock: &dyn Clock,
    ) -> Option<Row> {
        let record = Record {
            key: self.consumed.key.deserialize(raw.key).ok()?,
            value: self.consumed.value.deserialize(raw.value).ok()?,
            timestamp: raw.timestamp,
            headers: raw.headers.clone(),
        };
        let timestamp = match &self.consumed.extractor {
            Extractor::Record(rule) => rule.resolve(raw.timestamp, partition_time, clock),
            Extractor::Custom(custom) => custom.extract(&record, raw, partition_time),
        };
        let timestamp = timestamp.ok().filter(|timestamp| timestamp.is_some())?;
        Some(Row {
            key: written(&self.store.key, record.key.as_ref())?,
            value: written(&self.store.value, record.value.as_ref()),
            timestamp,
        })
    }
}

fn written<T: 'static>(serde: &SharedSerde<T>, item: Option<&T>) -> Option<Vec<u8>> {
    serde.to_vec(item?).ok().flatten()
}

/// Reads one partition of the topic from its beginning.
pub(crate) struct Replay {
    rows: Arc<dyn SourceRows>,
    clock: Arc<dyn Clock>,
    partition_time: Timestamp,
}

impl Replay {
    pub(crate) fn new(rows: Arc<dyn SourceRows>, clock: Arc<dyn Clock>) -> Self {
        Replay {
            rows,
            clock,
            partition_time: Timestamp::NONE,
        }
    }

    /// The row of the next record, if it makes one.
    pub(crate) fn row(&mut self, raw: &RawRecord<'_>) -> Option<Row> {
        let row = self.rows.row(raw, self.partition_time, &*self.clock)?;
        self.partition_time = self.partition_time.max(row.timestamp);
        Some(row)
    }
}

impl fmt::Debug for SourceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceStore({})", self.topic)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({})", self.partition_time)
    }
}
