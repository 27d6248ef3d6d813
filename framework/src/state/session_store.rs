//! The typed view of a session store: values by key and session.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::builder::StoreSerdes;
use super::changelog::{Changelog, NO_HEADERS};
use super::cursor::EntryRef;
use super::segments::Segments;
use super::staged::Direction;
use super::task_store::TaskStore;
use super::windowed::{SegmentCursor, Times, WindowedStore, Write};
use crate::error::Error;
use crate::record::Headers;
use crate::serde::SharedSerde;
use crate::time::Timestamp;
use crate::window::{Window, Windowed};

/// A store of values by key and session: what [`Context::session_store`] hands out.
///
/// Sessions expire when their end falls behind the highest end that was put by the store's
/// retention: they are no longer read, and puts that far behind are refused and counted.
///
/// [`Context::session_store`]: crate::processor::Context::session_store
pub struct SessionStore<K, V> {
    raw: WindowedStore<K>,
    value: SharedSerde<V>,
}

impl<K: 'static, V: 'static> SessionStore<K, V> {
    pub(crate) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        serdes: &StoreSerdes<K, V>,
        segments: Segments,
    ) -> Self {
        SessionStore {
            raw: WindowedStore::new(store, log, serdes.key.clone(), segments),
            value: serdes.value.clone(),
        }
    }

    /// The value of a key in exactly that session; none if it is expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(10, 20), Some(&3))?;
    /// assert_eq!(visits.get(&ada, session(10, 20))?, Some(3));
    /// assert_eq!(visits.get(&ada, session(10, 21))?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K, session: Window) -> Result<Option<V>, Error> {
        let (end, start) = (session.end.as_millis(), start_bytes(session));
        self.raw.get(key, (end, &start), &self.value)
    }

    /// Sets the value of a session; `None`, or a value that is null to its serde, deletes it.
    ///
    /// A put past the retention is refused and counted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(10, 20), Some(&3))?;
    /// visits.put(&ada, session(10, 20), None)?;
    /// assert_eq!(visits.get(&ada, session(10, 20))?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the session ends before the epoch, key or value cannot be serialized, or the changelog
    /// record cannot be sent.
    pub fn put(&self, key: &K, session: Window, value: Option<&V>) -> Result<(), Error> {
        self.put_with_headers(key, session, value, &NO_HEADERS)
    }

    /// As [`put`](Self::put), with headers in the changelog.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let visit = Window::new(at(10), at(20));
    /// let mut headers = Headers::new();
    /// headers.push("page", Some(b"home"));
    /// visits.put_with_headers(&ada, visit, Some(&3), &headers)?;
    /// assert_eq!(visits.get(&ada, visit)?, Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_with_headers(
        &self,
        key: &K,
        session: Window,
        value: Option<&V>,
        headers: &Headers,
    ) -> Result<(), Error> {
        let (end, start) = (session.end.as_millis(), start_bytes(session));
        self.raw.with_bytes_of(&self.value, value, |bytes| {
            let write = Write {
                stored: bytes,
                logged: bytes,
                logged_at: None,
                headers,
            };
            self.raw.put(key, end, &start, write)
        })
    }

    /// As [`put`](Self::put), but for the changelog: a [`log`](Self::log) before the commit is owed.
    /// Answers how many bytes are stored; only for what the store [`keeps`](Self::keeps).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let visit = Window::new(at(10), at(20));
    /// assert_eq!(visits.stage(&ada, visit, Some(&3))?, 8);
    /// assert_eq!(visits.log(&ada, visit, (false, at(20)), &Headers::new())?, Some(3));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the session ends before the epoch, or key or value cannot be serialized.
    pub fn stage(&self, key: &K, session: Window, value: Option<&V>) -> Result<usize, Error> {
        let (end, start) = (session.end.as_millis(), start_bytes(session));
        let mut length = 0;
        self.raw.with_bytes_of(&self.value, value, |stored| {
            length = stored.map_or(0, <[u8]>::len);
            self.raw.stage(key, (end, &start), stored)
        })?;
        Ok(length)
    }

    /// Logs the value of a session as of `at`, and answers it: once for any number of
    /// [`stage`](Self::stage)s. That it is deleted is logged with these headers; nothing is logged,
    /// and nothing answered, if there is no value and was none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let visit = Window::new(at(10), at(20));
    /// visits.stage(&ada, visit, Some(&3))?;
    /// visits.stage(&ada, visit, Some(&4))?;
    /// assert_eq!(visits.log(&ada, visit, (false, at(20)), &Headers::new())?, Some(4));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the stored bytes cannot be read, or the changelog record cannot be sent.
    pub fn log(
        &self,
        key: &K,
        session: Window,
        (was_there, at): (bool, Timestamp),
        of_deletion: &Headers,
    ) -> Result<Option<V>, Error> {
        let (end, start) = (session.end.as_millis(), start_bytes(session));
        self.raw.log(key, (end, &start), |logged_key, stored| {
            if stored.is_some() {
                self.raw.log.send(logged_key, stored, Some(at))?;
            } else if was_there {
                let log = &self.raw.log;
                log.send_with(logged_key, None, Some(at), of_deletion)?;
            }
            let value = stored.map(|bytes| self.raw.read(&self.value, bytes));
            value.transpose()
        })
    }

    /// Whether a session that is put now would be kept: its end is not past the retention.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Headers, Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let visit = Window::new(at(10), at(20));
    /// visits.put(&ada, Window::new(at(60_000), at(60_010)), Some(&1))?;
    /// assert!(visits.keeps(Window::new(at(0), at(11))));
    /// assert!(!visits.keeps(Window::new(at(0), at(9))));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn keeps(&self, session: Window) -> bool {
        self.raw.is_kept(session.end.as_millis())
    }

    /// Removes a session.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(10, 20), Some(&3))?;
    /// visits.remove(&ada, session(10, 20))?;
    /// assert_eq!(visits.get(&ada, session(10, 20))?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn remove(&self, key: &K, session: Window) -> Result<(), Error> {
        self.put(key, session, None)
    }

    /// Sessions of a key that end at or after `earliest_end` and begin at or before
    /// `latest_start`, by end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// let found = visits.find_sessions(&ada, at(15), at(40))?;
    /// assert_eq!(values(found.collect::<Result<_, _>>()?), [20, 40]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized; each step can fail on its own.
    pub fn find_sessions(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let times = Times::between(earliest_end, Timestamp::from_millis(i64::MAX));
        self.of_key(key, times, latest_start, Direction::Forward)
    }

    /// As [`find_sessions`](Self::find_sessions), from the last end to the first.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// let found = visits.backward_find_sessions(&ada, at(15), at(40))?;
    /// assert_eq!(values(found.collect::<Result<_, _>>()?), [40, 20]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn backward_find_sessions(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let times = Times::between(earliest_end, Timestamp::from_millis(i64::MAX));
        self.of_key(key, times, latest_start, Direction::Reverse)
    }

    /// As [`find_sessions`](Self::find_sessions), with those past the retention that are still
    /// there: for an operator that knows better which sessions are open.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(0, 10), Some(&3))?;
    /// visits.put(&ada, session(60_000, 60_010), Some(&1))?;
    /// assert_eq!(visits.find_sessions(&ada, at(0), at(50))?.count(), 0);
    /// assert_eq!(visits.find_sessions_with_expired(&ada, at(0), at(50))?.count(), 1);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn find_sessions_with_expired(
        &self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let times = Times::between(earliest_end, Timestamp::from_millis(i64::MAX));
        self.of_key(key, times.with_expired(), latest_start, Direction::Forward)
    }

    /// Every session of a key that is not expired, by end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// assert_eq!(values(visits.fetch(&ada)?.collect::<Result<_, _>>()?), [0, 20, 40]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn fetch(
        &self,
        key: &K,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let forever = Timestamp::from_millis(i64::MAX);
        self.of_key(key, Times::ALL, forever, Direction::Forward)
    }

    /// As [`fetch`](Self::fetch), from the last end to the first.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// assert_eq!(values(visits.backward_fetch(&ada)?.collect::<Result<_, _>>()?), [40, 20, 0]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn backward_fetch(
        &self,
        key: &K,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let forever = Timestamp::from_millis(i64::MAX);
        self.of_key(key, Times::ALL, forever, Direction::Reverse)
    }

    /// As [`find_sessions`](Self::find_sessions), of the keys from `keys.0` to `keys.1`, both
    /// included.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (who, start) in [("ada", 0), ("bob", 20), ("eve", 40)] {
    ///     visits.put(&who.to_owned(), session(start, start + 10), Some(&start))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let who = (&ada, &"eve".to_owned());
    /// let found = visits.find_sessions_range(who, at(15), at(39))?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["bob"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn find_sessions_range(
        &self,
        keys: (&K, &K),
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let times = Times::between(earliest_end, Timestamp::from_millis(i64::MAX));
        self.of_keys(keys, times, latest_start, Direction::Forward)
    }

    /// As [`find_sessions_range`](Self::find_sessions_range), backwards.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (who, start) in [("ada", 0), ("bob", 20), ("eve", 40)] {
    ///     visits.put(&who.to_owned(), session(start, start + 10), Some(&start))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let who = (&ada, &"eve".to_owned());
    /// let found = visits.backward_find_sessions_range(who, at(15), at(40))?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["eve", "bob"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn backward_find_sessions_range(
        &self,
        keys: (&K, &K),
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let times = Times::between(earliest_end, Timestamp::from_millis(i64::MAX));
        self.of_keys(keys, times, latest_start, Direction::Reverse)
    }

    /// Every session of the keys from `keys.0` to `keys.1`, both included, that is not expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (who, start) in [("ada", 0), ("bob", 20), ("eve", 40)] {
    ///     visits.put(&who.to_owned(), session(start, start + 10), Some(&start))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let who = (&ada, &"eve".to_owned());
    /// let found = visits.fetch_range(who)?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["ada", "bob", "eve"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn fetch_range(
        &self,
        keys: (&K, &K),
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let forever = Timestamp::from_millis(i64::MAX);
        self.of_keys(keys, Times::ALL, forever, Direction::Forward)
    }

    /// As [`fetch_range`](Self::fetch_range), backwards.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (who, start) in [("ada", 0), ("bob", 20), ("eve", 40)] {
    ///     visits.put(&who.to_owned(), session(start, start + 10), Some(&start))?;
    /// }
    /// let keys = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(row, _)| row.key).collect::<Vec<_>>()
    /// };
    /// let who = (&ada, &"eve".to_owned());
    /// let found = visits.backward_fetch_range(who)?;
    /// assert_eq!(keys(found.collect::<Result<_, _>>()?), ["eve", "bob", "ada"]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`find_sessions`](Self::find_sessions).
    pub fn backward_fetch_range(
        &self,
        keys: (&K, &K),
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let forever = Timestamp::from_millis(i64::MAX);
        self.of_keys(keys, Times::ALL, forever, Direction::Reverse)
    }

    /// Sessions of all keys that end from `from` to `to`, both included, with those past the
    /// retention that are still there: for an operator that emits a session when it has closed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// let found = visits.ending_between_with_expired(at(10), at(30));
    /// assert_eq!(values(found.collect::<Result<_, _>>()?), [0, 20]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn ending_between_with_expired(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        let times = Times::between(from, to).with_expired();
        self.typed(self.raw.scan_all(times, Direction::Forward))
    }

    /// Every session that is not expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// for (start, end) in [(0, 10), (20, 30), (40, 50)] {
    ///     visits.put(&ada, session(start, end), Some(&start))?;
    /// }
    /// let values = |found: Vec<(onceflow_framework::Windowed<String>, i64)>| {
    ///     found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    /// };
    /// assert_eq!(visits.all().count(), 3);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all(&self) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.typed(self.raw.scan_all(Times::ALL, Direction::Forward))
    }

    /// The earliest end that is read: what ends before it is expired.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(60_000, 60_010), Some(&1))?;
    /// assert_eq!(visits.readable_from(), at(11));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn readable_from(&self) -> Timestamp {
        Timestamp::from_millis(self.raw.expired_ms().saturating_add(1))
    }

    /// How long a session is kept after the end of a later one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// assert_eq!(visits.retention(), Duration::from_secs(60));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_millis(self.raw.segments.retention_ms.unsigned_abs())
    }

    /// How many sessions were committed; the open batch is not counted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow_framework::serde::{i64, utf8};
    /// use onceflow_framework::state::{SessionStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestStores;
    /// use onceflow_framework::{Timestamp, Window};
    ///
    /// let visits = StoreBuilder::session("visits", Duration::from_secs(60), utf8(), i64());
    /// let stores = TestStores::new().with(visits);
    /// let visits: SessionStore<String, i64> = stores.open().session("visits")?;
    /// let (ada, at) = ("ada".to_owned(), Timestamp::from_millis);
    /// let session = |start, end| Window::new(at(start), at(end));
    /// visits.put(&ada, session(0, 10), Some(&3))?;
    /// assert_eq!(visits.approximate_entries(), 0);
    /// stores.commit()?;
    /// assert_eq!(visits.approximate_entries(), 1);
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
        latest_start: Timestamp,
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let cursor = self.raw.scan_key(key, times, direction)?;
        Ok(self.starting_until(latest_start, cursor))
    }

    fn of_keys(
        &self,
        (from, to): (&K, &K),
        times: Times,
        latest_start: Timestamp,
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V>, Error> {
        let cursor = self.raw.scan_keys(from, to, times, direction)?;
        Ok(self.starting_until(latest_start, cursor))
    }

    fn starting_until(
        &self,
        latest_start: Timestamp,
        cursor: SegmentCursor,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        self.typed(cursor).filter(move |session| {
            let starts = session.as_ref().map(|(key, _)| key.window.start);
            starts.map_or(true, |start| start <= latest_start)
        })
    }

    fn typed(
        &self,
        mut cursor: SegmentCursor,
    ) -> impl Iterator<Item = Result<(Windowed<K>, V), Error>> + use<K, V> {
        let (raw, value) = (self.raw.clone(), self.value.clone());
        let read = move |(key, bytes): EntryRef<'_>| {
            let (key, session) = split_key(key);
            let key = Windowed::new(raw.read(&raw.key, key)?, session);
            Ok((key, raw.read(&value, bytes)?))
        };
        std::iter::from_fn(move || Some(cursor.next()?.and_then(&read)))
    }
}

impl<K, V> fmt::Debug for SessionStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionStore({})", self.raw.log.store())
    }
}

fn start_bytes(session: Window) -> [u8; 8] {
    session.start.as_millis().to_be_bytes()
}

/// The inner key and the session of a changelog key.
pub(crate) fn split_key(key: &[u8]) -> (&[u8], Window) {
    let split = key.split_last_chunk::<8>().and_then(|(rest, start)| {
        let (key, end) = rest.split_last_chunk::<8>()?;
        Some((key, *end, *start))
    });
    let (key, end, start) = split.expect("the cursor passes over keys without a session");
    let at = |bytes| Timestamp::from_millis(i64::from_be_bytes(bytes));
    (key, Window::new(at(start), at(end)))
}
