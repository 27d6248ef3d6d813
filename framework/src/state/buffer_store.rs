//! The byte view of a buffer: entries that wait, logged once a batch.
//!
//! # Invariants
//!
//! - A put reaches the changelog only when [`log`](BufferStore::log) is called for its key: what was
//!   put and removed within a batch costs one record.
//! - The changelog holds the stored bytes, so a restored buffer is as it was.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::changelog::Changelog;
use super::cursor::Cursor;
use super::staged::Direction;
use super::store::{Entry, KeyRange};
use super::task_store::TaskStore;
use crate::error::Error;
use crate::record::Headers;
use crate::time::Timestamp;

/// A buffer of a task: what [`Context::buffer`](crate::processor::Context::buffer) hands out.
#[derive(Clone)]
pub struct BufferStore {
    store: Rc<RefCell<TaskStore>>,
    log: Rc<dyn Changelog>,
}

impl BufferStore {
    pub(crate) fn new(store: Rc<RefCell<TaskStore>>, log: Rc<dyn Changelog>) -> Self {
        BufferStore { store, log }
    }

    /// The entry of a key.
    ///
    /// ```
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::buffer("waiting"));
    /// let waiting = stores.open().buffer("waiting")?;
    /// assert_eq!(waiting.get(b"7")?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the engine cannot read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.store
            .borrow()
            .get(key, |entry| entry.map(<[u8]>::to_vec))
    }

    /// Sets or removes the entry of a key, without logging it yet.
    ///
    /// ```
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::buffer("waiting"));
    /// let waiting = stores.open().buffer("waiting")?;
    /// waiting.put(b"7", Some(b"later"));
    /// waiting.put(b"7", None);
    /// assert_eq!(waiting.get(b"7")?, None);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn put(&self, key: &[u8], entry: Option<&[u8]>) {
        self.store.borrow_mut().put(key, entry);
    }

    /// Logs what a key has now: its entry with these headers and without a timestamp, as Kafka
    /// Streams does, or a tombstone.
    ///
    /// ```
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::buffer("waiting"));
    /// let waiting = stores.open().buffer("waiting")?;
    /// waiting.put(b"7", Some(b"later"));
    /// waiting.log(b"7", &onceflow_framework::Headers::new())?; // once, before the batch is committed
    /// stores.commit()?;
    /// assert_eq!(waiting.get(b"7")?, Some(b"later".to_vec()));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the engine cannot read, or the changelog record cannot be sent.
    pub fn log(&self, key: &[u8], headers: &Headers) -> Result<(), Error> {
        let none = Headers::new();
        let entry = self.get(key)?;
        let headers = if entry.is_some() { headers } else { &none };
        self.log
            .send_with(key, entry.as_deref(), Some(Timestamp::NONE), headers)
    }

    /// Every entry, in the order of the keys.
    ///
    /// ```
    /// use onceflow_framework::state::StoreBuilder;
    /// use onceflow_framework::test_driver::TestStores;
    ///
    /// let stores = TestStores::new().with(StoreBuilder::buffer("waiting"));
    /// let waiting = stores.open().buffer("waiting")?;
    /// waiting.put(b"8", Some(b"later"));
    /// waiting.put(b"7", Some(b"soon"));
    /// let entries = waiting.all().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(entries[0], (b"7".to_vec().into(), b"soon".to_vec().into()));
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn all(&self) -> impl Iterator<Item = Result<Entry, Error>> + use<> {
        let store = Rc::clone(&self.store);
        let mut cursor = Cursor::new(store, KeyRange::ALL, Direction::Forward);
        std::iter::from_fn(move || {
            let entry = cursor.next()?;
            Some(
                entry.map(|(key, entry)| {
                    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(entry))
                }),
            )
        })
    }

    /// An error that names the buffer and the record in process.
    #[must_use]
    pub fn error(&self, message: &str) -> Error {
        self.log.error(message)
    }
}

impl fmt::Debug for BufferStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferStore({})", self.log.store())
    }
}
