//! The typed views of window stores: values by key and start of a window.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::builder::StoreSerdes;
use super::changelog::{Changelog, NO_HEADERS};
use super::cursor::EntryRef;
use super::headed::{split_headers, write_headers};
use super::segments::Segments;
use super::staged::Direction;
use super::task_store::TaskStore;
use super::timestamped::ValueAndTimestamp;
use super::windowed::{SegmentCursor, Times, WindowedStore, Write};
use crate::error::Error;
use crate::record::Headers;
use crate::serde::{Encoded, Serde, SerdeError, SharedSerde};
use crate::time::Timestamp;
use crate::window::{Window, Windowed};

/// Bytes of the timestamp before each value of a timestamped store.
const TIMESTAMP_BYTES: usize = 8;

/// A window store whose values carry a timestamp: what windowed tables are kept in.
pub type TimestampedWindowStore<K, V> = WindowStore<K, ValueAndTimestamp<V>>;

/// A store of values by key and start of a window: what [`Context::window_store`] hands out.
///
/// Entries expire when they fall behind the highest start that was put by the store's retention:
/// they are no longer read, and puts that far behind are refused and counted. Scans of several keys
/// run through the store's segments in time; within a segment by key, then by start.
///
/// [`Context::window_store`]: crate::processor::Context::window_store
pub struct WindowStore<K, V> {
    raw: WindowedStore<K>,
    value: SharedSerde<V>,
    shape: WindowShape,
}

/// What distinguishes window stores beside their types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowShape {
    pub(crate) size: Duration,
    /// Whether a put leaves earlier ones of its key and start in place.
    pub(crate) duplicates: bool,
    /// Whether the first bytes of values are a time, which the changelog has elsewhere.
    pub(crate) timestamped: bool,
    /// Whether values begin with the headers that came with them, which the changelog has elsewhere.
    pub(crate) headed: bool,
}

impl<K: 'static, V: 'static> WindowStore<K, V> {
    pub(crate) fn new(
        (store, log): (Rc<RefCell<TaskStore>>, Rc<dyn Changelog>),
        serdes: &StoreSerdes<K, V>,
        segments: Segments,
        shape: WindowShape,
    ) -> Self {
        WindowStore {
            raw: WindowedStore::new(store, log, serdes.key.clone(), segments),
            value: serdes.value.clone(),
            shape,
        }
    }

    /// The value of a key in the window that begins at `start`; none if it is expired.
    ///
    /// Where duplicates are kept there is no such one value: use [`fetch`](Self::fetch).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.put(&ada, Some(&3), at(1_000))?;
    /// assert_eq!(clicks.get(&ada, at(1_000))?, Some(3));
    /// clicks.put(&ada, Some(&1), at(61_000))?;
    /// assert_eq!(clicks.get(&ada, at(1_000))?, None); // expired
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K, start: Timestamp) -> Result<Option<V>, Error> {
        let place = (start.as_millis(), &[0; 4][..]);
        self.raw.get(key, place, &self.value)
    }

    /// Sets the value of a key in the window that begins at `start`; `None`, or a value that is
    /// null to its serde, deletes it. Where duplicates are kept there is nothing to delete, but the
    /// number of an entry is taken, and its deletion logged, as in Kafka Streams.
    ///
    /// A put past the retention is refused and counted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.put(&ada, Some(&3), at(1_000))?;
    /// clicks.put(&ada, None, at(1_000))?;
    /// assert_eq!(clicks.get(&ada, at(1_000))?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When `start` is negative, key or value cannot be serialized, or the changelog record cannot
    /// be sent.
    pub fn put(&self, key: &K, value: Option<&V>, start: Timestamp) -> Result<(), Error> {
        self.put_with_headers(key, value, start, &NO_HEADERS)
    }

    /// As [`put`](Self::put), with headers in the changelog, as Kafka Streams logs what it keeps
    /// for a join.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp};
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let mut headers = Headers::new();
    /// headers.push("page", Some(b"home"));
    /// clicks.put_with_headers(&ada, Some(&3), at(1_000), &headers)?;
    /// assert_eq!(clicks.get(&ada, at(1_000))?, Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_with_headers(
        &self,
        key: &K,
        value: Option<&V>,
        start: Timestamp,
        headers: &Headers,
    ) -> Result<(), Error> {
        let write = |bytes: Option<&[u8]>| self.put_bytes(key, bytes, start, headers);
        self.raw.with_bytes_of(&self.value, value, write)
    }

    fn put_bytes(
        &self,
        key: &K,
        stored: Option<&[u8]>,
        start: Timestamp,
        headers: &Headers,
    ) -> Result<(), Error> {
        let sequence = match self.shape.duplicates {
            true => self.raw.store.borrow_mut().next_sequence(),
            false => 0,
        };
        let mut with_headers = Vec::new();
        let (logged, logged_at) = match stored {
            Some(bytes) if self.shape.timestamped => {
                let (time, value) = split_timestamp(bytes);
                (Some(value), Some(time))
            }
            // A tombstone is logged at the time of the record being processed.
            stored => (stored, None),
        };
        let stored = match stored {
            Some(value) if self.shape.headed => {
                write_headers(headers, &mut with_headers);
                with_headers.extend_from_slice(value);
                Some(&with_headers[..])
            }
            stored => stored,
        };
        let write = Write {
            stored,
            logged,
            logged_at,
            headers,
        };
        let (start, sequence) = (start.as_millis(), sequence.to_be_bytes());
        if self.shape.duplicates && stored.is_none() {
            return self.raw.log_only(key, start, &sequence, headers);
        }
        self.raw.put(key, start, &sequence, write)
    }

    /// As [`put`](Self::put), but for the changelog: a [`log`](Self::log) before the commit is owed.
    /// Answers how many bytes are stored; only for what the store [`keeps`](Self::keeps).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp};
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// assert_eq!(clicks.stage(&ada, Some(&3), at(1_000))?, 8);
    /// let logged = clicks.log(&ada, at(1_000), (false, at(1_000)), &Headers::new())?;
    /// assert_eq!(logged, Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the store keeps headers: there are none here to keep.
    ///
    /// # Errors
    ///
    /// When `start` is negative, or key or value cannot be serialized.
    pub fn stage(&self, key: &K, value: Option<&V>, start: Timestamp) -> Result<usize, Error> {
        assert!(!self.shape.headed, "what is staged has no headers");
        let mut length = 0;
        self.raw.with_bytes_of(&self.value, value, |stored| {
            length = stored.map_or(0, <[u8]>::len);
            self.raw.stage(key, (start.as_millis(), &[0; 4]), stored)
        })?;
        Ok(length)
    }

    /// Logs the value of a key in the window that begins at `start`, and answers it: once for any
    /// number of [`stage`](Self::stage)s. What carries no time of its own is logged as of `at`, a
    /// deletion with these headers; nothing is logged, and nothing answered, if there is no value
    /// and was none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp};
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.stage(&ada, Some(&3), at(1_000))?;
    /// clicks.stage(&ada, Some(&4), at(1_000))?;
    /// let logged = clicks.log(&ada, at(1_000), (false, at(1_000)), &Headers::new())?;
    /// assert_eq!(logged, Some(4)); // one record for both
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the stored bytes cannot be read, or the changelog record cannot be sent.
    pub fn log(
        &self,
        key: &K,
        start: Timestamp,
        (was_there, at): (bool, Timestamp),
        of_deletion: &Headers,
    ) -> Result<Option<V>, Error> {
        let place = (start.as_millis(), &[0; 4][..]);
        self.raw.log(key, place, |logged_key, stored| {
            let (logged, logged_at) = match stored {
                Some(bytes) if self.shape.timestamped => {
                    let (time, value) = split_timestamp(bytes);
                    (Some(value), time)
                }
                stored => (stored, at),
            };
            if stored.is_some() {
                self.raw.log.send(logged_key, logged, Some(logged_at))?;
            } else if was_there {
                let log = &self.raw.log;
                log.send_with(logged_key, None, Some(at), of_deletion)?;
            }
            let value = stored.map(|bytes| self.raw.read(&self.value, bytes));
            value.transpose()
        })
    }

    /// Values of a key whose windows begin from `from` to `to`, both included, by start.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for start in [0, 1_000, 2_000] {
    ///     clicks.put(&ada, Some(&start), at(start))?;
    /// }
    /// let found: Result<Vec<_>, _> = clicks.fetch(&ada, at(1_000), at(9_000))?.collect();
    /// assert_eq!(found?, [(at(1_000), 1_000), (at(2_000), 2_000)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized; each step can fail on its own.
    pub fn fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Timestamp, V), Error>> + use<K, V>, Error> {
        self.of_key(key, Times::between(from, to), Direction::Forward)
    }

    /// As [`fetch`](Self::fetch), from the last start to the first.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for start in [0, 1_000, 2_000] {
    ///     clicks.put(&ada, Some(&start), at(start))?;
    /// }
    /// let found: Result<Vec<_>, _> = clicks.backward_fetch(&ada, at(1_000), at(9_000))?.collect();
    /// assert_eq!(found?, [(at(2_000), 2_000), (at(1_000), 1_000)]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch).
    pub fn backward_fetch(
        &self,
        key: &K,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Timestamp, V), Error>> + use<K, V>, Error> {
        self.of_key(key, Times::between(from, to), Direction::Reverse)
    }

    /// Values of the keys from `keys.0` to `keys.1` in windows that begin from `from` to `to`, all
    /// included.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let found = clicks.fetch_range((&ada, &"bob".to_owned()), at(0), at(9_000))?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["ada", "bob"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a key cannot be serialized; each step can fail on its own.
    pub fn fetch_range(
        &self,
        keys: (&K, &K),
        from: Timestamp,
        to: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        self.of_keys(keys, Times::between(from, to), Direction::Forward)
    }

    /// As [`fetch_range`](Self::fetch_range), backwards.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let found = clicks.backward_fetch_range((&ada, &"bob".to_owned()), at(0), at(9_000))?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["bob", "ada"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fetch_range`](Self::fetch_range).
    pub fn backward_fetch_range(
        &self,
        keys: (&K, &K),
        from: Timestamp,
        to: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        self.of_keys(keys, Times::between(from, to), Direction::Reverse)
    }

    /// Values of all keys in windows that begin from `from` to `to`, both included.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let found = clicks.fetch_all(at(0), at(9_000));
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["ada", "bob", "eve"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn fetch_all(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.of_all(Times::between(from, to), Direction::Forward)
    }

    /// As [`fetch_all`](Self::fetch_all), backwards.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let found = clicks.backward_fetch_all(at(0), at(9_000));
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["eve", "bob", "ada"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn backward_fetch_all(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.of_all(Times::between(from, to), Direction::Reverse)
    }

    /// Every entry that is not expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// assert_eq!(keys(clicks.all().collect::<Result<_, _>>()?), ["ada", "bob", "eve"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all(&self) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.of_all(Times::ALL, Direction::Forward)
    }

    /// Every entry that is not expired, with its headers: none where the store
    /// [keeps none](super::StoreBuilder::with_headers).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp};
    ///
    /// let minute = Duration::from_secs(60);
    /// let clicks = StoreBuilder::window("clicks", minute, minute, utf8(), i64()).with_headers();
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let mut by = Headers::new();
    /// by.push("by", Some(b"ada"));
    /// clicks.put_with_headers(&"home".to_owned(), Some(&3), Timestamp::from_millis(1), &by)?;
    /// let kept = clicks.all_with_headers().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!((kept[0].1, &kept[0].2), (3, &by));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all_with_headers(
        &self,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V, Headers), Error>> + use<K, V> {
        let mut cursor = self.raw.scan_all(Times::ALL, Direction::Forward);
        let (raw, value, shape) = (self.raw.clone(), self.value.clone(), self.shape);
        let read = move |(key, bytes): EntryRef<'_>| {
            let (key, start) = split_key(key);
            let window = Window::new(start, start + shape.size);
            let key = Windowed::new(raw.read(&raw.key, key)?, window);
            let headers = match shape.headed {
                true => split_headers(bytes).map(|(headers, _)| headers),
                false => None,
            };
            Ok((key, raw.read(&value, bytes)?, headers.unwrap_or_default()))
        };
        std::iter::from_fn(move || Some(cursor.next()?.and_then(&read)))
    }

    /// As [`all`](Self::all), backwards.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// for who in ["ada", "bob", "eve"] {
    ///     clicks.put(&who.to_owned(), Some(&1), at(1_000))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// assert_eq!(keys(clicks.backward_all().collect::<Result<_, _>>()?), ["eve", "bob", "ada"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn backward_all(
        &self,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.of_all(Times::ALL, Direction::Reverse)
    }

    /// As [`fetch_all`](Self::fetch_all), with what is past the retention but still there: for an
    /// operator that emits a window when it has closed.
    ///
    /// What is there is decided by segments that expire as a whole, so it is never less than what
    /// [`fetch_all`](Self::fetch_all) answers, and may be more.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.put(&ada, Some(&3), at(1_000))?;
    /// clicks.put(&ada, Some(&1), at(61_000))?;
    /// assert_eq!(clicks.fetch_all(at(0), at(2_000)).count(), 0);
    /// assert_eq!(clicks.fetch_all_with_expired(at(0), at(2_000)).count(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn fetch_all_with_expired(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        let times = Times::between(from, to).with_expired();
        self.of_all(times, Direction::Forward)
    }

    /// The same store as an operator sees it whose stream is behind others that write here: with
    /// what is [held](super::StoreBuilder::with_hold) for it. That is kept when it is put, too.
    #[must_use]
    pub fn with_held(self) -> Self {
        WindowStore {
            raw: self.raw.with_held(),
            ..self
        }
    }

    /// Says how far the slowest stream is that writes here: what is past the retention for it, too,
    /// is no longer held from the next commit on.
    pub fn needed_at(&self, slowest: Timestamp) {
        let slowest_ms = slowest.as_millis();
        self.raw.store.borrow_mut().needed_at(slowest_ms);
    }

    /// Whether what is put at that time would be kept: it is not past the retention.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.put(&ada, Some(&1), at(61_000))?;
    /// assert!(clicks.keeps(at(2_000)));
    /// assert!(!clicks.keeps(at(1_000)));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn keeps(&self, start: Timestamp) -> bool {
        let observed_ms = self.raw.store.borrow().observed_ms();
        start.as_millis()
            > self
                .raw
                .segments
                .expired_ms(observed_ms.max(start.as_millis()))
    }

    /// How long an entry is kept after a later one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// assert_eq!(clicks.retention(), minute);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_millis(self.raw.segments.retention_ms.unsigned_abs())
    }

    /// How many entries were committed; the open batch is not counted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::Timestamp;
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{StoreBuilder, WindowStore};
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    /// let clicks = StoreBuilder::window("clicks", minute, second, utf8(), i64());
    /// let stores = TestStores::new().with(clicks);
    /// let clicks: WindowStore<String, i64> = stores.open().window("clicks")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// clicks.put(&ada, Some(&3), at(0))?;
    /// assert_eq!(clicks.approximate_entries(), 0);
    /// stores.commit()?;
    /// assert_eq!(clicks.approximate_entries(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn approximate_entries(&self) -> u64 {
        self.raw.store.borrow().approximate_entries()
    }

    fn of_key(
        &self,
        key: &K,
        times: Times,
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<(Timestamp, V), Error>> + use<K, V>, Error> {
        let mut cursor = self.raw.scan_key(key, times, direction)?;
        let (raw, value) = (self.raw.clone(), self.value.clone());
        let read = move |(key, bytes): EntryRef<'_>| {
            let (_, start) = split_key(key);
            Ok((start, raw.read(&value, bytes)?))
        };
        Ok(std::iter::from_fn(move || {
            Some(cursor.next()?.and_then(&read))
        }))
    }

    fn of_keys(
        &self,
        (first, last): (&K, &K),
        times: Times,
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let cursor = self.raw.scan_keys(first, last, times, direction)?;
        Ok(self.typed(cursor))
    }

    fn of_all(
        &self,
        times: Times,
        direction: Direction,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.typed(self.raw.scan_all(times, direction))
    }

    fn typed(
        &self,
        mut cursor: SegmentCursor,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        let (raw, value, size) = (self.raw.clone(), self.value.clone(), self.shape.size);
        let read = move |(key, bytes): EntryRef<'_>| {
            let (key, start) = split_key(key);
            let window = Window::new(start, start + size);
            let key = Windowed::new(raw.read(&raw.key, key)?, window);
            Ok((key, raw.read(&value, bytes)?))
        };
        std::iter::from_fn(move || Some(cursor.next()?.and_then(&read)))
    }
}

impl<K, V> fmt::Debug for WindowStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowStore({})", self.raw.log.store())
    }
}

/// The inner key and the start of a changelog key.
pub(crate) fn split_key(key: &[u8]) -> (&[u8], Timestamp) {
    let split = key
        .split_last_chunk::<12>()
        .and_then(|(key, suffix)| Some((key, *suffix.first_chunk::<8>()?)));
    let (key, start) = split.expect("the cursor passes over keys without a window");
    (key, Timestamp::from_millis(i64::from_be_bytes(start)))
}

/// The time before a timestamped value, and the value.
fn split_timestamp(bytes: &[u8]) -> (Timestamp, &[u8]) {
    let split = bytes.split_first_chunk::<TIMESTAMP_BYTES>();
    let (time, value) = split.expect("the serde of timestamped values writes a time");
    (Timestamp::from_millis(i64::from_be_bytes(*time)), value)
}

/// Puts the time before the value: `time (8) ‖ value`.
pub(super) struct TimestampedSerde<V>(pub(super) SharedSerde<V>);

impl<V: 'static> Serde for TimestampedSerde<V> {
    type Item = ValueAndTimestamp<V>;

    fn serialize(
        &self,
        row: &ValueAndTimestamp<V>,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SerdeError> {
        out.extend_from_slice(&row.timestamp.as_millis().to_be_bytes());
        self.0.serialize(&row.value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<ValueAndTimestamp<V>, SerdeError> {
        let bytes = bytes.unwrap_or_default();
        let Some((time, value)) = bytes.split_first_chunk::<TIMESTAMP_BYTES>() else {
            let length = bytes.len();
            let message = format!("a stored value of {length} bytes has no timestamp");
            return Err(SerdeError::new(message));
        };
        Ok(ValueAndTimestamp {
            value: self.0.deserialize(Some(value))?,
            timestamp: Timestamp::from_millis(i64::from_be_bytes(*time)),
        })
    }

    fn is_null(&self, row: &ValueAndTimestamp<V>) -> bool {
        self.0.is_null(&row.value)
    }
}
