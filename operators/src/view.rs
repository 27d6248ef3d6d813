//! Reading a table's rows from another operator: from its store, or computed from the store of
//! the table above it.
//!
//! ```text
//!   lookup ──> TableView of a filter without a store ──compute──> TableView of its source ──> store
//! ```
//!
//! # Invariants
//!
//! - Whether a table has a store is known only when the graph is lowered, so a view is made then.
//! - A view names the stores that its reader must be connected to.

use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::processor::ConnectedStores;
use onceflow_framework::state::{
    BufferStore, SessionStore, TimestampedKeyValueStore, TimestampedWindowStore, ValueAndTimestamp,
    VersionedKeyValueStore, VersionedRecord,
};
use onceflow_framework::{Error, Timestamp, Windowed};

use crate::Data;

/// The rows of a table, as one task reads them.
pub(crate) trait Rows<K, V> {
    /// The row as it is now.
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error>;

    /// The row as it was at a time, if its versions are known; else as it is now.
    fn get_as_of(&self, key: &K, _time: Timestamp) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        self.get(key)
    }
}

/// Opens the rows of a table in a task.
type Open<K, V> = dyn Fn(&ConnectedStores) -> Result<Box<dyn Rows<K, V>>, Error> + Send + Sync;

/// How the rows of a table are read.
pub(crate) struct TableView<K, V> {
    pub(crate) stores: Vec<Arc<str>>,
    open: Arc<Open<K, V>>,
}

/// Makes the view of a table once the graph is complete.
pub(crate) type ViewSource<K, V> = Rc<dyn Fn() -> TableView<K, V>>;

impl<K: Data, V: Data> TableView<K, V> {
    /// Of a table with a store of its own.
    pub(crate) fn stored(store: &Arc<str>) -> Self {
        let name = Arc::clone(store);
        TableView {
            stores: vec![Arc::clone(store)],
            open: Arc::new(move |stores| {
                let store = stores.timestamped_key_value::<K, V>(&name)?;
                Ok(Box::new(store) as Box<dyn Rows<K, V>>)
            }),
        }
    }

    /// Of a table with a versioned store of its own.
    pub(crate) fn versioned(store: &Arc<str>) -> Self {
        let name = Arc::clone(store);
        TableView {
            stores: vec![Arc::clone(store)],
            open: Arc::new(move |stores| {
                let store = stores.versioned_key_value::<K, V>(&name)?;
                Ok(Box::new(store) as Box<dyn Rows<K, V>>)
            }),
        }
    }

    /// Of a table whose rows are computed, each time they are asked for.
    pub(crate) fn computed<V2: Data>(
        self,
        compute: Arc<impl Fn(&K, Option<V>) -> Option<V2> + Send + Sync + 'static>,
    ) -> TableView<K, V2> {
        let above = self.open;
        TableView {
            stores: self.stores,
            open: Arc::new(move |stores| {
                let rows = Computed {
                    above: above(stores)?,
                    compute: Arc::clone(&compute),
                };
                Ok(Box::new(rows) as Box<dyn Rows<K, V2>>)
            }),
        }
    }

    /// Of two tables that are joined; `join` answers which rows meet.
    pub(crate) fn joined<V2: Data, VR: Data>(
        self,
        other: TableView<K, V2>,
        join: Arc<impl Fn(Option<V>, Option<V2>) -> Option<VR> + Send + Sync + 'static>,
    ) -> TableView<K, VR> {
        let (left, right) = (self.open, other.open);
        let mut stores = self.stores;
        stores.extend(other.stores);
        TableView {
            stores,
            open: Arc::new(move |stores| {
                let rows = Joined {
                    left: left(stores)?,
                    right: right(stores)?,
                    join: Arc::clone(&join),
                };
                Ok(Box::new(rows) as Box<dyn Rows<K, VR>>)
            }),
        }
    }

    /// Of a table whose changes wait in a buffer; `behind` reads the rows as they were told.
    pub(crate) fn behind(
        self,
        buffer: &Arc<str>,
        behind: impl Fn(Box<dyn Rows<K, V>>, BufferStore) -> Box<dyn Rows<K, V>> + Send + Sync + 'static,
    ) -> Self {
        let (above, name) = (self.open, Arc::clone(buffer));
        let mut stores = self.stores;
        stores.push(Arc::clone(buffer));
        TableView {
            stores,
            open: Arc::new(move |stores| Ok(behind(above(stores)?, stores.buffer(&name)?))),
        }
    }

    /// The rows in the task of the processor that has these stores.
    pub(crate) fn open(&self, stores: &ConnectedStores) -> Result<Box<dyn Rows<K, V>>, Error> {
        (self.open)(stores)
    }
}

impl<K: Data, V: Data> TableView<Windowed<K>, V> {
    /// Of an aggregation in time windows.
    pub(crate) fn in_windows(store: &Arc<str>) -> Self {
        let name = Arc::clone(store);
        TableView {
            stores: vec![Arc::clone(store)],
            open: Arc::new(move |stores| {
                let store = stores.timestamped_window::<K, V>(&name)?;
                Ok(Box::new(store) as Box<dyn Rows<Windowed<K>, V>>)
            }),
        }
    }

    /// Of an aggregation in sessions.
    pub(crate) fn in_sessions(store: &Arc<str>) -> Self {
        let name = Arc::clone(store);
        TableView {
            stores: vec![Arc::clone(store)],
            open: Arc::new(move |stores| {
                let store = stores.session::<K, V>(&name)?;
                Ok(Box::new(store) as Box<dyn Rows<Windowed<K>, V>>)
            }),
        }
    }
}

impl<K, V> Clone for TableView<K, V> {
    fn clone(&self) -> Self {
        TableView {
            stores: self.stores.clone(),
            open: Arc::clone(&self.open),
        }
    }
}

impl<K: Data, V: Data> Rows<K, V> for TimestampedKeyValueStore<K, V> {
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        self.get(key)
    }
}

impl<K: Data, V: Data> Rows<K, V> for VersionedKeyValueStore<K, V> {
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        Ok(self.get(key)?.map(row_of))
    }

    fn get_as_of(&self, key: &K, time: Timestamp) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        Ok(self.get_as_of(key, time)?.map(row_of))
    }
}

impl<K: Data, V: Data> Rows<Windowed<K>, V> for TimestampedWindowStore<K, V> {
    fn get(&self, key: &Windowed<K>) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        self.get(&key.key, key.window.start)
    }
}

impl<K: Data, V: Data> Rows<Windowed<K>, V> for SessionStore<K, V> {
    fn get(&self, key: &Windowed<K>) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let timestamp = key.window.end;
        let row = self.get(&key.key, key.window)?;
        Ok(row.map(|value| ValueAndTimestamp { value, timestamp }))
    }
}

/// A version as the row that it is, or was.
fn row_of<V>(version: VersionedRecord<V>) -> ValueAndTimestamp<V> {
    ValueAndTimestamp {
        value: version.value,
        timestamp: version.timestamp,
    }
}

/// Rows that follow from those of the table above.
struct Computed<K, V, F> {
    above: Box<dyn Rows<K, V>>,
    compute: Arc<F>,
}

impl<K, V, V2, F: Fn(&K, Option<V>) -> Option<V2>> Rows<K, V2> for Computed<K, V, F> {
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V2>>, Error> {
        Ok(self.row(key, self.above.get(key)?))
    }

    fn get_as_of(&self, key: &K, time: Timestamp) -> Result<Option<ValueAndTimestamp<V2>>, Error> {
        Ok(self.row(key, self.above.get_as_of(key, time)?))
    }
}

impl<K, V, V2, F: Fn(&K, Option<V>) -> Option<V2>> Computed<K, V, F> {
    fn row(&self, key: &K, above: Option<ValueAndTimestamp<V>>) -> Option<ValueAndTimestamp<V2>> {
        let (value, timestamp) = parts(above);
        let value = (self.compute)(key, value);
        value.map(|value| ValueAndTimestamp { value, timestamp })
    }
}

/// Rows of two tables that meet, as they are now: a join without a store has no versions.
struct Joined<K, V, V2, F> {
    left: Box<dyn Rows<K, V>>,
    right: Box<dyn Rows<K, V2>>,
    join: Arc<F>,
}

impl<K, V, V2, VR, F> Rows<K, VR> for Joined<K, V, V2, F>
where
    F: Fn(Option<V>, Option<V2>) -> Option<VR>,
{
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<VR>>, Error> {
        let (left, left_time) = parts(self.left.get(key)?);
        let (right, right_time) = parts(self.right.get(key)?);
        let value = (self.join)(left, right);
        let timestamp = left_time.max(right_time);
        Ok(value.map(|value| ValueAndTimestamp { value, timestamp }))
    }
}

/// A row's value and its time, which is before all others if there is no row.
pub(crate) fn parts<V>(row: Option<ValueAndTimestamp<V>>) -> (Option<V>, Timestamp) {
    match row {
        Some(row) => (Some(row.value), row.timestamp),
        None => (None, Timestamp::NONE),
    }
}
