//! What typed views share: keys through their serde, values as bytes, the changelog.
//!
//! # Invariants
//!
//! - A put stages and logs the same bytes, and neither if it fails before the changelog has them.
//! - Keys and values are written into buffers that the view uses again: a put of what the store
//!   has room for allocates nothing here.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use bytes::Bytes;

use super::changelog::Changelog;
use super::cursor::Cursor;
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::TaskStore;
use crate::error::Error;
use crate::serde::{Encoded, Serde, SharedSerde};
use crate::time::Timestamp;

/// A larger buffer is freed after its use.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// The store under a typed view.
pub(super) struct RawStore<K> {
    pub(super) store: Rc<RefCell<TaskStore>>,
    pub(super) log: Rc<dyn Changelog>,
    pub(super) key: SharedSerde<K>,
    key_buffer: Cell<Vec<u8>>,
    value_buffer: Cell<Vec<u8>>,
}

impl<K> Clone for RawStore<K> {
    fn clone(&self) -> Self {
        RawStore {
            store: Rc::clone(&self.store),
            log: Rc::clone(&self.log),
            key: self.key.clone(),
            key_buffer: Cell::default(),
            value_buffer: Cell::default(),
        }
    }
}

impl<K: 'static> RawStore<K> {
    pub(super) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        key: SharedSerde<K>,
    ) -> Self {
        RawStore {
            store,
            log,
            key,
            key_buffer: Cell::default(),
            value_buffer: Cell::default(),
        }
    }

    /// The bytes of a key, which must not be null.
    pub(super) fn key(&self, key: &K) -> Result<Buffer<'_>, Error> {
        let mut bytes = Buffer::take(&self.key_buffer);
        match self.write(&self.key, key, &mut bytes)? {
            Encoded::Bytes => Ok(bytes),
            Encoded::Null => Err(self.log.error("a store has no entry for a null key")),
        }
    }

    /// A buffer to build a stored value in.
    pub(super) fn value_buffer(&self) -> Buffer<'_> {
        Buffer::take(&self.value_buffer)
    }

    /// Shows the value of a key to `read`, if there is one.
    pub(super) fn get<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<R, Error>,
    ) -> Result<Option<R>, Error> {
        let store = self.store.borrow();
        store.get(key, |value| value.map(read).transpose())?
    }

    /// Logs `logged`, by default at the time of the record being processed, and stages `stored`.
    pub(super) fn put(
        &self,
        key: &[u8],
        stored: Option<&[u8]>,
        logged: Option<&[u8]>,
        timestamp: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.log.send(key, logged, timestamp)?;
        self.store.borrow_mut().put(key, stored);
        Ok(())
    }

    /// Appends the bytes of a key or a value.
    pub(super) fn write<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        value: &T,
        bytes: &mut Vec<u8>,
    ) -> Result<Encoded, Error> {
        serde.serialize(value, bytes).map_err(|error| {
            self.log
                .error("cannot serialize for the store")
                .because(error)
        })
    }

    pub(super) fn read<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        bytes: &[u8],
    ) -> Result<T, Error> {
        let value = serde.deserialize(Some(bytes));
        value.map_err(|error| {
            let remedy = "cannot read what the store holds; was its serde changed?";
            self.log.error(remedy).because(error)
        })
    }

    pub(super) fn range_of(&self, from: &K, to: &K) -> Result<KeyRange, Error> {
        let from = Bytes::copy_from_slice(&self.key(from)?);
        let to = Bytes::copy_from_slice(&self.key(to)?);
        Ok(KeyRange::inclusive(from, to))
    }

    pub(super) fn cursor(&self, range: KeyRange, direction: Direction) -> Cursor {
        Cursor::new(Rc::clone(&self.store), range, direction)
    }
}

/// A buffer of a view while it is used; whoever needs it meanwhile gets an empty one.
pub(super) struct Buffer<'v> {
    home: &'v Cell<Vec<u8>>,
    bytes: Vec<u8>,
}

impl<'v> Buffer<'v> {
    fn take(home: &'v Cell<Vec<u8>>) -> Self {
        let mut bytes = home.take();
        bytes.clear();
        Buffer { home, bytes }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        if self.bytes.capacity() <= BUFFER_BYTES_MAX {
            self.home.set(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}
