//! How a source reads and a sink writes: `Consumed` and `Produced`.

use std::fmt;
use std::sync::Arc;

use crate::processor::Partitioner;
use crate::record::{RawRecord, Record};
use crate::serde::{DefaultSerde, Serde, SharedSerde, nullable};
use crate::time::{Extractor, RecordTime, Timestamp, TimestampExtractor};

/// A topic as the topology names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName {
    name: Arc<str>,
    internal: bool,
}

impl TopicName {
    /// A topic of the users', by its full name.
    pub fn external(name: impl Into<Arc<str>>) -> Self {
        TopicName {
            name: name.into(),
            internal: false,
        }
    }

    /// A topic of the application's own: its full name begins with the application id.
    pub fn internal(name: impl Into<Arc<str>>) -> Self {
        TopicName {
            name: name.into(),
            internal: true,
        }
    }

    /// The name as the topology prints it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether the application owns it.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    /// The name on the broker.
    #[must_use]
    pub fn resolve(&self, application_id: &str) -> Arc<str> {
        if self.internal {
            Arc::from(format!("{application_id}-{}", self.name))
        } else {
            Arc::clone(&self.name)
        }
    }
}

impl From<&str> for TopicName {
    fn from(name: &str) -> Self {
        TopicName::external(name)
    }
}

impl From<String> for TopicName {
    fn from(name: String) -> Self {
        TopicName::external(name)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Where a source begins when its group has committed no offset yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// Nowhere: the application stops with an error.
    None,
}

/// How a source reads a topic: serdes, timestamps, where it begins, its name.
///
/// ```
/// use onceflow_framework::serde;
/// use onceflow_framework::time::RecordTime;
/// use onceflow_framework::topology::Consumed;
///
/// let orders = Consumed::with(serde::utf8(), serde::i64())
///     .with_record_time(RecordTime::SkipOnInvalid)
///     .with_name("orders");
/// let same: Consumed<String, i64> = Consumed::new();
/// # let _ = (orders, same);
/// ```
pub struct Consumed<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) extractor: Extractor<K, V>,
    pub(crate) reset: Option<OffsetReset>,
    name: Option<String>,
}

impl<K: 'static, V: 'static> Consumed<K, V> {
    /// Reads with the default serdes of the types.
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Consumed::with(K::default_serde(), V::default_serde())
    }

    /// Reads with these serdes.
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Consumed {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            extractor: Extractor::Record(RecordTime::default()),
            reset: None,
            name: None,
        }
    }

    /// Times records by a function of their content; a negative answer drops the record and
    /// counts it.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{json, utf8};
    /// use onceflow_framework::topology::Consumed;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Order {
    ///     at: i64,
    /// }
    ///
    /// let orders = Consumed::with(utf8(), json::<Order>())
    ///     .with_timestamps(|order| Timestamp::from_millis(order.value.at));
    /// # let _ = orders;
    /// ```
    #[must_use]
    pub fn with_timestamps(
        self,
        extract: impl Fn(&Record<K, V>) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.with_timestamp_extractor(extract)
    }

    /// Times records by an extractor.
    #[must_use]
    pub fn with_timestamp_extractor(
        mut self,
        extractor: impl TimestampExtractor<K, V> + 'static,
    ) -> Self {
        self.extractor = Extractor::Custom(Arc::new(extractor));
        self
    }

    /// Times records by Kafka's timestamp, under a rule for missing ones
    /// (default: [`RecordTime::FailOnInvalid`]).
    #[must_use]
    pub fn with_record_time(mut self, rule: RecordTime) -> Self {
        self.extractor = Extractor::Record(rule);
        self
    }

    /// Begins here when the group has no offset (default: the application's setting).
    #[must_use]
    pub fn with_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// Names the source node.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name given, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it begins without an offset, if that was said.
    #[must_use]
    pub fn offset_reset(&self) -> Option<OffsetReset> {
        self.reset
    }

    /// The key's serde.
    #[must_use]
    pub fn key_serde(&self) -> &SharedSerde<K> {
        &self.key
    }

    /// The value's serde.
    #[must_use]
    pub fn value_serde(&self) -> &SharedSerde<V> {
        &self.value
    }
}

impl<K: Clone + 'static, V: Clone + 'static> Consumed<K, V> {
    /// Reads null keys and values as `None`, which is how a table's topic is read: a null value
    /// deletes. A record without a key or without a value keeps Kafka's timestamp; the extractor
    /// is not asked.
    #[must_use]
    pub fn nullable(self) -> Consumed<Option<K>, Option<V>> {
        let extractor = match self.extractor {
            Extractor::Record(rule) => Extractor::Record(rule),
            Extractor::Custom(custom) => Extractor::Custom(Arc::new(OfPresent(custom)) as _),
        };
        Consumed {
            key: SharedSerde::new(nullable(self.key)),
            value: SharedSerde::new(nullable(self.value)),
            extractor,
            reset: self.reset,
            name: self.name,
        }
    }
}

/// Asks an extractor about records that have a key and a value.
struct OfPresent<K, V>(Arc<dyn TimestampExtractor<K, V>>);

impl<K: Clone, V: Clone> TimestampExtractor<Option<K>, Option<V>> for OfPresent<K, V> {
    fn extract(
        &self,
        record: &Record<Option<K>, Option<V>>,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, String> {
        let (Some(key), Some(value)) = (&record.key, &record.value) else {
            return Ok(raw.timestamp);
        };
        let present = Record {
            key: key.clone(),
            value: value.clone(),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
        };
        self.0.extract(&present, raw, partition_time)
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Consumed<K, V> {
    fn default() -> Self {
        Consumed::new()
    }
}

impl<K, V> Clone for Consumed<K, V> {
    fn clone(&self) -> Self {
        Consumed {
            key: self.key.clone(),
            value: self.value.clone(),
            extractor: self.extractor.clone(),
            reset: self.reset,
            name: self.name.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Consumed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumed")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("extractor", &self.extractor)
            .field("reset", &self.reset)
            .field("name", &self.name)
            .finish()
    }
}

/// How a sink writes a topic: serdes, partitioner, its name.
pub struct Produced<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) partitioner: Option<Arc<dyn Partitioner<K, V>>>,
    name: Option<String>,
}

impl<K: 'static, V: 'static> Produced<K, V> {
    /// Writes with the default serdes of the types.
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Produced::with(K::default_serde(), V::default_serde())
    }

    /// Writes with these serdes.
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        let (key, value) = (SharedSerde::new(key), SharedSerde::new(value));
        Produced {
            key,
            value,
            partitioner: None,
            name: None,
        }
    }

    /// Chooses partitions by a function (default: murmur2 of the key, as Java producers).
    #[must_use]
    pub fn with_partitioner(mut self, partitioner: impl Partitioner<K, V> + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Names the sink node.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name given, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The key's serde.
    #[must_use]
    pub fn key_serde(&self) -> &SharedSerde<K> {
        &self.key
    }

    /// The value's serde.
    #[must_use]
    pub fn value_serde(&self) -> &SharedSerde<V> {
        &self.value
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Produced<K, V> {
    fn default() -> Self {
        Produced::new()
    }
}

impl<K, V> Clone for Produced<K, V> {
    fn clone(&self) -> Self {
        Produced {
            key: self.key.clone(),
            value: self.value.clone(),
            partitioner: self.partitioner.as_ref().map(Arc::clone),
            name: self.name.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Produced<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Produced")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("partitioner", &self.partitioner.is_some())
            .field("name", &self.name)
            .finish()
    }
}
