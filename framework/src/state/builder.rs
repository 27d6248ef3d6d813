//! A store as part of a topology: its name, kind, serdes, engine and changelog.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::headed::HeadedSerde;
use super::segments::{SegmentedKey, Segments};
use super::task_store::{ChangelogFormat, TaskStore};
use super::timestamped::ValueAndTimestamp;
use super::window_store::{TimestampedSerde, WindowShape};
use crate::serde::{Serde, SharedSerde, vec};
use crate::time::duration_millis;

/// Which typed view a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// [`KeyValueStore`](super::KeyValueStore).
    KeyValue,
    /// [`TimestampedKeyValueStore`](super::TimestampedKeyValueStore).
    TimestampedKeyValue,
    /// [`VersionedKeyValueStore`](super::VersionedKeyValueStore).
    VersionedKeyValue,
    /// [`WindowStore`](super::WindowStore).
    Window,
    /// [`TimestampedWindowStore`](super::TimestampedWindowStore).
    TimestampedWindow,
    /// [`SessionStore`](super::SessionStore).
    Session,
    /// [`BufferStore`](super::BufferStore).
    Buffer,
}

/// How much longer than the store a windowed changelog keeps its records (Kafka Streams'
/// `windowstore.changelog.additional.retention.ms`): brokers expire by the machine's clock.
const CHANGELOG_ADDITIONAL_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

/// Describes a store to a topology.
///
/// ```
/// use onceflow_framework::serde;
/// use onceflow_framework::state::StoreBuilder;
///
/// let balances = StoreBuilder::key_value("balances", serde::utf8(), serde::i64())
///     .with_changelog_config("max.message.bytes", "2097152");
/// assert_eq!(balances.name(), "balances");
/// ```
pub struct StoreBuilder<K, V> {
    name: String,
    kind: StoreKind,
    logged: bool,
    changelog_config: BTreeMap<String, String>,
    serdes: Arc<StoreSerdes<K, V>>,
    windows: Option<WindowedStoreSpec>,
    /// Whether a windowed store reads the entry at the very edge of its retention, too.
    reads_edge: bool,
    history_retention_ms: i64,
    entries_max: Option<NonZeroUsize>,
}

/// What a windowed store has beside a name and serdes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowedStoreSpec {
    pub(crate) segments: Segments,
    pub(crate) shape: WindowShape,
}

pub(crate) struct StoreSerdes<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> StoreBuilder<K, V> {
    /// A plain key-value store in memory, logged to a compacted changelog topic.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::key_value("stock", utf8(), i64()));
    /// let stock: KeyValueStore<String, i64> = stores.open().key_value("stock")?;
    /// assert_eq!(stock.get(&"nut".to_owned())?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn key_value(
        name: impl Into<String>,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        StoreBuilder::new(name.into(), StoreKind::KeyValue, key, value)
    }

    /// A key-value store in memory whose values carry a timestamp, as tables are kept.
    ///
    /// ```
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedKeyValueStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::timestamped_key_value("stock", utf8(), i64()));
    /// let stock: TimestampedKeyValueStore<String, i64> = stores.open().timestamped_key_value("stock")?;
    /// stock.put(&"nut".to_owned(), Some(&3), Timestamp::from_millis(7))?;
    /// let nuts = stock.get(&"nut".to_owned())?;
    /// assert_eq!(nuts.map(|row| row.timestamp.as_millis()), Some(7));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn timestamped_key_value(
        name: impl Into<String>,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        StoreBuilder::new(name.into(), StoreKind::TimestampedKeyValue, key, value)
    }

    /// A key-value store in memory that knows what a value was at a time, as far back as
    /// `history_retention` (KIP-889).
    ///
    /// Its changelog topic is compacted, but not before the history is over.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let prices = StoreBuilder::versioned_key_value("prices", day, utf8(), i64());
    /// assert_eq!(prices.name(), "prices");
    /// ```
    pub fn versioned_key_value(
        name: impl Into<String>,
        history_retention: Duration,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        StoreBuilder {
            history_retention_ms: duration_millis(history_retention),
            ..StoreBuilder::new(name.into(), StoreKind::VersionedKeyValue, key, value)
        }
    }

    /// A store of values by key and window in memory: `retention` is how long an entry is kept
    /// after a later one, `window_size` what the ends of windows are told by.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// let clicks = StoreBuilder::window("clicks", hour, minute, utf8(), i64());
    /// assert_eq!(clicks.name(), "clicks");
    /// ```
    pub fn window(
        name: impl Into<String>,
        retention: Duration,
        window_size: Duration,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let mut store = StoreBuilder::new(name.into(), StoreKind::Window, key, value);
        store.windows = Some(WindowedStoreSpec {
            segments: Segments::new(SegmentedKey::Window, duration_millis(retention)),
            shape: WindowShape {
                size: window_size,
                duplicates: false,
                timestamped: false,
                headed: false,
            },
        });
        store
    }

    /// A store of values by key and session in memory, kept for `retention` after a later one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let stores = TestStores::new().with(StoreBuilder::session("visits", hour, utf8(), i64()));
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// assert_eq!(visits.retention(), hour);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn session(
        name: impl Into<String>,
        retention: Duration,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let windowed = StoreBuilder::window(name, retention, Duration::ZERO, key, value);
        let segments = Segments::new(SegmentedKey::Session, duration_millis(retention));
        StoreBuilder {
            kind: StoreKind::Session,
            windows: windowed
                .windows
                .map(|spec| WindowedStoreSpec { segments, ..spec }),
            ..windowed
        }
    }

    /// Keeps so many entries at most, as Kafka Streams' `Stores.lruMap` does: where one more is put,
    /// the one that was longest neither read nor written is forgotten. Scans and queries from
    /// outside read nothing in that sense.
    ///
    /// An aborted batch has forgotten nothing. What a plain key-value store forgets is deleted in
    /// its changelog, too; in that of one with timestamps it is not, as in Kafka Streams: after a
    /// restore an entry there is as old as its last write, however often it was read since.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// let recent = StoreBuilder::key_value("recent", utf8(), i64()).with_lru_entries_max(10_000);
    /// assert_eq!(recent.name(), "recent");
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no key-value store, with timestamps or without, or has no room for one entry.
    #[must_use]
    pub fn with_lru_entries_max(mut self, entries_max: usize) -> Self {
        let kinds = [StoreKind::KeyValue, StoreKind::TimestampedKeyValue];
        assert!(
            kinds.contains(&self.kind),
            "only key-value stores forget what is not used"
        );
        let entries_max = NonZeroUsize::new(entries_max);
        assert!(entries_max.is_some(), "a store has room for one entry");
        self.entries_max = entries_max;
        self
    }

    /// Keeps every put of a window store, in order, instead of the last of a key and start.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// let bids = StoreBuilder::window("bids", hour, minute, utf8(), i64()).with_duplicates();
    /// let stores = TestStores::new().with(bids);
    /// let bids: WindowStore<String, i64> = stores.open().window("bids")?;
    /// let (lot, at) = ("lot".to_owned(), Timestamp::from_millis);
    /// bids.put(&lot, Some(&10), at(0))?;
    /// bids.put(&lot, Some(&20), at(0))?;
    /// assert_eq!(bids.fetch(&lot, at(0), at(0))?.count(), 2);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not a window store.
    #[must_use]
    pub fn with_duplicates(mut self) -> Self {
        let windows = self.windows.as_mut();
        let spec = windows.expect("only window stores keep duplicates");
        spec.shape.duplicates = true;
        self
    }

    /// Keeps the headers that values are put with
    /// ([`put_with_headers`](super::WindowStore::put_with_headers)), in the store and through a
    /// restore: [`all_with_headers`](super::WindowStore::all_with_headers) tells them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let clicks = StoreBuilder::window("clicks", hour, hour, utf8(), i64()).with_headers();
    /// assert_eq!(clicks.name(), "clicks");
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not a window store, or one with timestamps.
    #[must_use]
    pub fn with_headers(mut self) -> Self {
        let is_plain = self.kind == StoreKind::Window;
        let windows = self.windows.as_mut().filter(|_| is_plain);
        let spec = windows.expect("only plain window stores keep headers");
        if !spec.shape.headed {
            spec.shape.headed = true;
            self.serdes = Arc::new(StoreSerdes {
                key: self.serdes.key.clone(),
                value: SharedSerde::new(HeadedSerde(self.serdes.value.clone())),
            });
        }
        self
    }

    /// Divides a window or session store into segments of that length, which expire as a whole
    /// (default: half the retention, at least a minute): short ones cost more look-ups in a scan
    /// over time and fewer entries read in vain.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// let clicks = StoreBuilder::window("clicks", hour, minute, utf8(), i64());
    /// let stores = TestStores::new().with(clicks.with_segment_interval(minute));
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// clicks.put(&"ada".to_owned(), Some(&1), Timestamp::from_millis(0))?;
    /// assert_eq!(clicks.all().count(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When it is neither a window nor a session store.
    #[must_use]
    pub fn with_segment_interval(mut self, interval: Duration) -> Self {
        let windows = self.windows.as_mut();
        let spec = windows.expect("only windowed stores have segments");
        spec.segments.interval_ms = duration_millis(interval).max(1);
        self
    }

    /// Has a window or session store read the entry that lies behind the highest time by just its
    /// retention, too, as Kafka Streams' store on disk of results that are told on close does.
    ///
    /// # Panics
    ///
    /// When it is neither a window nor a session store.
    #[must_use]
    pub fn with_readable_edge(mut self) -> Self {
        assert!(self.windows.is_some(), "only windowed stores have an edge");
        self.reads_edge = true;
        self
    }

    /// Has a window or session store hold entries that are past the retention for streams that are
    /// behind, up to that long. They are found only in a view
    /// [`with_held`](super::WindowStore::with_held) entries, and go when the slowest stream
    /// [is past them](super::WindowStore::needed_at), too.
    ///
    /// # Panics
    ///
    /// When it is neither a window nor a session store.
    #[must_use]
    pub fn with_hold(mut self, hold: Duration) -> Self {
        let windows = self.windows.as_mut();
        let spec = windows.expect("only windowed stores hold entries");
        spec.segments.held_ms = duration_millis(hold);
        self
    }

    fn new(
        name: String,
        kind: StoreKind,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let serdes = Arc::new(StoreSerdes {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
        });
        StoreBuilder {
            name,
            kind,
            logged: true,
            changelog_config: BTreeMap::new(),
            serdes,
            windows: None,
            reads_edge: false,
            history_retention_ms: 0,
            entries_max: None,
        }
    }

    /// Keeps no changelog: the state is gone when the task moves or the process ends.
    ///
    /// ```
    /// use onceflow_framework::processor::{Context, Processor};
    /// # use onceflow_framework::serde::{i64, utf8};
    /// # use onceflow_framework::state::StoreBuilder;
    /// # use onceflow_framework::topology::{Consumed, TopologyBuilder};
    /// # use onceflow_framework::{Fault, Record};
    /// # struct Pass;
    /// # impl Processor for Pass {
    /// #     type KeyIn = String;
    /// #     type ValueIn = i64;
    /// #     type KeyOut = String;
    /// #     type ValueOut = i64;
    /// #     fn process(&mut self, r: Record<String, i64>, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
    /// #         ctx.forward(r)
    /// #     }
    /// # }
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source("in", ["in"], Consumed::<String, i64>::new());
    /// builder.add_processor("count", || Pass, &[&input]);
    /// let kept = StoreBuilder::key_value("kept", utf8(), i64());
    /// let lost = StoreBuilder::key_value("lost", utf8(), i64()).with_logging_disabled();
    /// builder.add_state_store(kept, &["count"]);
    /// builder.add_state_store(lost, &["count"]);
    /// assert_eq!(builder.build()?.internal_topics("app"), ["app-kept-changelog"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn with_logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sets a topic configuration of the changelog, by Kafka's name.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// let stock = StoreBuilder::key_value("stock", utf8(), i64())
    ///     .with_changelog_config("max.message.bytes", "2097152");
    /// assert_eq!(format!("{stock:?}"), "StoreBuilder(stock, KeyValue, logged: true)");
    /// ```
    #[must_use]
    pub fn with_changelog_config(mut self, name: &str, value: &str) -> Self {
        self.changelog_config
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// The store's name.
    ///
    /// ```
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::StoreBuilder;
    ///
    /// assert_eq!(StoreBuilder::key_value("stock", utf8(), i64()).name(), "stock");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_serdes(&self) -> Arc<StoreSerdes<K, V>> {
        Arc::clone(&self.serdes)
    }

    pub(crate) fn into_spec(mut self) -> StoreSpec {
        if let Some(windows) = &mut self.windows {
            let policy = match windows.shape.duplicates {
                true => "delete",
                false => "compact,delete",
            };
            let retention = windows.segments.retention_ms;
            let defaults = [
                ("cleanup.policy", policy.to_owned()),
                ("retention.ms", changelog_retention(retention)),
            ];
            for (name, value) in defaults {
                let config = self.changelog_config.entry(name.to_owned());
                config.or_insert(value);
            }
            let edge_ms = i64::from(self.reads_edge);
            windows.segments.retention_ms = retention.saturating_add(edge_ms);
        }
        if self.kind == StoreKind::VersionedKeyValue {
            // A version that compaction removes could not be restored.
            let lag = self
                .changelog_config
                .entry("min.compaction.lag.ms".to_owned());
            lag.or_insert_with(|| changelog_retention(self.history_retention_ms));
        }
        StoreSpec {
            windows: self.windows,
            history_retention_ms: self.history_retention_ms,
            entries_max: self.entries_max,
            name: Arc::from(self.name),
            kind: self.kind,
            logged: self.logged,
            changelog_config: self.changelog_config,
            types: (type_name::<K>(), type_name::<V>()),
            serdes: self.serdes,
        }
    }
}

fn changelog_retention(retention_ms: i64) -> String {
    let retention = retention_ms.saturating_add(CHANGELOG_ADDITIONAL_RETENTION_MS);
    retention.to_string()
}

impl StoreBuilder<Vec<u8>, Vec<u8>> {
    /// A buffer of entries that wait, as bytes: logged once a batch, to a compacted topic.
    ///
    /// ```
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::buffer("waiting"));
    /// let waiting = stores.open().buffer("waiting")?;
    /// waiting.put(b"7", Some(b"later"));
    /// assert_eq!(waiting.get(b"7")?, Some(b"later".to_vec()));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn buffer(name: impl Into<String>) -> Self {
        StoreBuilder::new(name.into(), StoreKind::Buffer, vec(), vec())
    }
}

impl<K: 'static, V: 'static> StoreBuilder<K, ValueAndTimestamp<V>> {
    /// A window store in memory whose values carry a timestamp, as windowed tables are kept; its
    /// arguments are those of [`window`](Self::window).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, TimestampedWindowStore, ValueAndTimestamp};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// let clicks = StoreBuilder::timestamped_window("clicks", hour, minute, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: TimestampedWindowStore<String, i64> = stores.open().timestamped_window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let three = ValueAndTimestamp { value: 3, timestamp: at(59_000) };
    /// clicks.put(&ada, Some(&three), at(0))?;
    /// assert_eq!(clicks.get(&ada, at(0))?, Some(three));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn timestamped_window(
        name: impl Into<String>,
        retention: Duration,
        window_size: Duration,
        key: impl Serde<Item = K>,
        value: impl Serde<Item = V>,
    ) -> Self {
        let value = TimestampedSerde(SharedSerde::new(value));
        let mut store = StoreBuilder::window(name, retention, window_size, key, value);
        store.kind = StoreKind::TimestampedWindow;
        if let Some(spec) = &mut store.windows {
            spec.shape.timestamped = true;
        }
        store
    }
}

impl<K, V> fmt::Debug for StoreBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoreBuilder({}, {:?}, logged: {})",
            self.name, self.kind, self.logged
        )
    }
}

/// A store of a built topology, without its types.
#[derive(Clone)]
pub(crate) struct StoreSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    pub(crate) logged: bool,
    pub(crate) changelog_config: BTreeMap<String, String>,
    pub(crate) windows: Option<WindowedStoreSpec>,
    /// How far back a versioned store reads.
    pub(crate) history_retention_ms: i64,
    /// How many entries there is room for; any number if none.
    pub(crate) entries_max: Option<NonZeroUsize>,
    /// The names of the types of keys and values.
    pub(crate) types: (&'static str, &'static str),
    /// A [`StoreSerdes`] of the store's types.
    serdes: Arc<dyn Any + Send + Sync>,
}

impl StoreSpec {
    /// An empty store for one task.
    pub(crate) fn create(&self) -> TaskStore {
        let is_headed = self.windows.is_some_and(|windows| windows.shape.headed);
        let format = match self.kind {
            StoreKind::Window if is_headed => ChangelogFormat::Headed,
            StoreKind::KeyValue | StoreKind::Window | StoreKind::Session | StoreKind::Buffer => {
                ChangelogFormat::Plain
            }
            StoreKind::TimestampedKeyValue | StoreKind::TimestampedWindow => {
                ChangelogFormat::Timestamped
            }
            StoreKind::VersionedKeyValue => ChangelogFormat::Versioned {
                retention_ms: self.history_retention_ms,
            },
        };
        if let Some(windows) = &self.windows {
            return TaskStore::segmented(format, windows.segments);
        }
        match self.entries_max {
            Some(entries_max) => TaskStore::least_recently_used(format, entries_max),
            None => TaskStore::in_memory(format),
        }
    }

    /// The full name of its changelog topic, if it is logged.
    pub(crate) fn changelog_topic(&self, application_id: &str) -> Option<Arc<str>> {
        self.logged
            .then(|| Arc::from(format!("{application_id}-{}-changelog", self.name)))
    }

    /// The serdes, if the store was built with these types.
    pub(crate) fn serdes<K: 'static, V: 'static>(&self) -> Option<&StoreSerdes<K, V>> {
        self.serdes.downcast_ref()
    }
}

impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoreSpec({}, {:?}, logged: {})",
            self.name, self.kind, self.logged
        )
    }
}
