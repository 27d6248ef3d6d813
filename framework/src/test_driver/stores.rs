//! What the stores hold, read across all tasks that have a part of them.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::processor::{StoreLog, StoreSlot, TaskScope};
use crate::record::Headers;
use crate::state::{
    Changelog, KeyValueStore, SessionStore, StoreKind, StoreSerdes, TimestampedKeyValueStore,
    ValueAndTimestamp, VersionedKeyValueStore, VersionedRecord, WindowStore, WindowedStoreSpec,
};
use crate::time::Timestamp;
use crate::window::Windowed;

/// Reads a key-value store of the topology, all partitions together.
///
/// Made by [`TestDriver::key_value_store`](super::TestDriver::key_value_store); it survives a
/// [`restart`](super::TestDriver::restart).
pub struct TestKeyValueStore<K, V> {
    parts: Parts<K, V>,
}

impl<K: 'static, V: 'static> TestKeyValueStore<K, V> {
    pub(super) fn new(engine: Rc<RefCell<Engine>>, name: &str) -> Result<Self, Error> {
        let parts = Parts::new(engine, name, StoreKind::KeyValue)?;
        Ok(TestKeyValueStore { parts })
    }

    /// The value of a key, in whichever partition has it.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        self.parts
            .first(|store, log, serdes| KeyValueStore::new(store, log, serdes).get(key))
    }

    /// Every entry, partition by partition, each in the order of the serialized keys.
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all(&self) -> Result<Vec<(K, V)>, Error> {
        self.parts
            .all(|store, log, serdes| KeyValueStore::new(store, log, serdes).all().collect())
    }
}

impl<K, V> fmt::Debug for TestKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestKeyValueStore({})", self.parts.name)
    }
}

/// Reads a store whose values carry timestamps, all partitions together.
///
/// Made by [`TestDriver::timestamped_key_value_store`]; it survives a
/// [`restart`](super::TestDriver::restart).
///
/// [`TestDriver::timestamped_key_value_store`]: super::TestDriver::timestamped_key_value_store
pub struct TestTimestampedKeyValueStore<K, V> {
    parts: Parts<K, V>,
}

impl<K: 'static, V: 'static> TestTimestampedKeyValueStore<K, V> {
    pub(super) fn new(engine: Rc<RefCell<Engine>>, name: &str) -> Result<Self, Error> {
        let parts = Parts::new(engine, name, StoreKind::TimestampedKeyValue)?;
        Ok(TestTimestampedKeyValueStore { parts })
    }

    /// The value of a key and when it was set, in whichever partition has it.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        self.parts
            .first(|store, log, serdes| TimestampedKeyValueStore::new(store, log, serdes).get(key))
    }

    /// Every entry, partition by partition, each in the order of the serialized keys.
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all(&self) -> Result<Vec<(K, ValueAndTimestamp<V>)>, Error> {
        self.parts.all(|store, log, serdes| {
            TimestampedKeyValueStore::new(store, log, serdes)
                .all()
                .collect()
        })
    }
}

impl<K, V> fmt::Debug for TestTimestampedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestTimestampedKeyValueStore({})", self.parts.name)
    }
}

/// Reads a versioned key-value store of the topology, all partitions together.
///
/// Made by [`TestDriver::versioned_key_value_store`]; it survives a
/// [`restart`](super::TestDriver::restart).
///
/// [`TestDriver::versioned_key_value_store`]: super::TestDriver::versioned_key_value_store
pub struct TestVersionedKeyValueStore<K, V> {
    parts: Parts<K, V>,
}

impl<K: 'static, V: 'static> TestVersionedKeyValueStore<K, V> {
    pub(super) fn new(engine: Rc<RefCell<Engine>>, name: &str) -> Result<Self, Error> {
        let parts = Parts::new(engine, name, StoreKind::VersionedKeyValue)?;
        Ok(TestVersionedKeyValueStore { parts })
    }

    /// The latest value of a key, in whichever partition has it.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>, Error> {
        let retention = self.retention_ms();
        self.parts.first(|store, log, serdes| {
            VersionedKeyValueStore::new(store, log, serdes, retention).get(key)
        })
    }

    /// The value that a key had at a time, in whichever partition has it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_as_of(&self, key: &K, time: Timestamp) -> Result<Option<VersionedRecord<V>>, Error> {
        let retention = self.retention_ms();
        self.parts.first(|store, log, serdes| {
            VersionedKeyValueStore::new(store, log, serdes, retention).get_as_of(key, time)
        })
    }

    /// Every version that can be read, partition by partition, each in the order of the
    /// serialized keys, then of the times.
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all(&self) -> Result<Vec<(K, VersionedRecord<V>)>, Error> {
        let retention = self.retention_ms();
        self.parts.all(|store, log, serdes| {
            VersionedKeyValueStore::new(store, log, serdes, retention).versions()
        })
    }

    fn retention_ms(&self) -> i64 {
        let engine = self.parts.engine.borrow();
        let mut holders = engine.holders(&self.parts.name);
        let retention = holders
            .next()
            .map(|(_, slot)| slot.spec.history_retention_ms);
        retention.unwrap_or(0) // the driver is closed
    }
}

impl<K, V> fmt::Debug for TestVersionedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestVersionedKeyValueStore({})", self.parts.name)
    }
}

/// Reads a window store of the topology, all partitions together.
///
/// Made by [`TestDriver::window_store`] and [`TestDriver::timestamped_window_store`]; it survives
/// a [`restart`](super::TestDriver::restart).
///
/// [`TestDriver::window_store`]: super::TestDriver::window_store
/// [`TestDriver::timestamped_window_store`]: super::TestDriver::timestamped_window_store
pub struct TestWindowStore<K, V> {
    parts: Parts<K, V>,
}

/// A window store whose values carry timestamps: a windowed table's.
pub type TestTimestampedWindowStore<K, V> = TestWindowStore<K, ValueAndTimestamp<V>>;

impl<K: 'static, V: 'static> TestWindowStore<K, V> {
    pub(super) fn new(
        engine: Rc<RefCell<Engine>>,
        name: &str,
        kind: StoreKind,
    ) -> Result<Self, Error> {
        let parts = Parts::new(engine, name, kind)?;
        Ok(TestWindowStore { parts })
    }

    /// The value of a key in the window that begins at `start`, unless it is expired.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or the stored bytes cannot be read.
    pub fn get(&self, key: &K, start: Timestamp) -> Result<Option<V>, Error> {
        let found = self.parts.all_windowed(|store, log, serdes, spec| {
            let view = WindowStore::new((store, log), serdes, spec.segments, spec.shape);
            Ok(view.get(key, start)?.into_iter().collect())
        })?;
        Ok(found.into_iter().next())
    }

    /// Every entry that is not expired, partition by partition.
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all(&self) -> Result<Vec<(Windowed<K>, V)>, Error> {
        self.parts.all_windowed(|store, log, serdes, spec| {
            let view = WindowStore::new((store, log), serdes, spec.segments, spec.shape);
            view.all().collect()
        })
    }

    /// Every entry that is not expired, with its headers: none where the store
    /// [keeps none](crate::state::StoreBuilder::with_headers).
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all_with_headers(&self) -> Result<Vec<(Windowed<K>, V, Headers)>, Error> {
        self.parts.all_windowed(|store, log, serdes, spec| {
            let view = WindowStore::new((store, log), serdes, spec.segments, spec.shape);
            view.all_with_headers().collect()
        })
    }

    /// Whether the store [keeps headers](crate::state::StoreBuilder::with_headers).
    #[must_use]
    pub fn keeps_headers(&self) -> bool {
        let headed = self
            .parts
            .all_windowed(|_, _, _, spec| Ok(vec![spec.shape.headed]));
        headed.is_ok_and(|headed| headed.contains(&true))
    }
}

impl<K, V> fmt::Debug for TestWindowStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestWindowStore({})", self.parts.name)
    }
}

/// Reads a session store of the topology, all partitions together.
///
/// Made by [`TestDriver::session_store`](super::TestDriver::session_store); it survives a
/// [`restart`](super::TestDriver::restart).
pub struct TestSessionStore<K, V> {
    parts: Parts<K, V>,
}

impl<K: 'static, V: 'static> TestSessionStore<K, V> {
    pub(super) fn new(engine: Rc<RefCell<Engine>>, name: &str) -> Result<Self, Error> {
        let parts = Parts::new(engine, name, StoreKind::Session)?;
        Ok(TestSessionStore { parts })
    }

    /// The sessions of a key that are not expired, by end.
    ///
    /// # Errors
    ///
    /// When the key cannot be serialized or stored bytes cannot be read.
    pub fn fetch(&self, key: &K) -> Result<Vec<(Windowed<K>, V)>, Error> {
        self.parts.all_windowed(|store, log, serdes, spec| {
            let view = SessionStore::new(store, log, serdes, spec.segments);
            view.fetch(key)?.collect()
        })
    }

    /// Every session that is not expired, partition by partition.
    ///
    /// # Errors
    ///
    /// When stored bytes cannot be read.
    pub fn all(&self) -> Result<Vec<(Windowed<K>, V)>, Error> {
        self.parts.all_windowed(|store, log, serdes, spec| {
            let view = SessionStore::new(store, log, serdes, spec.segments);
            view.all().collect()
        })
    }
}

impl<K, V> fmt::Debug for TestSessionStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestSessionStore({})", self.parts.name)
    }
}

type TaskStoreRef = Rc<RefCell<crate::state::TaskStore>>;

/// The parts of a store, one a task, found anew at every call: a restart replaces them.
struct Parts<K, V> {
    engine: Rc<RefCell<Engine>>,
    name: String,
    types: std::marker::PhantomData<fn() -> (K, V)>,
}

impl<K: 'static, V: 'static> Parts<K, V> {
    fn new(engine: Rc<RefCell<Engine>>, name: &str, kind: StoreKind) -> Result<Self, Error> {
        check::<K, V>(&engine.borrow(), name, kind)?;
        Ok(Parts {
            engine,
            name: name.to_owned(),
            types: std::marker::PhantomData,
        })
    }

    fn first<R>(
        &self,
        read: impl Fn(TaskStoreRef, Rc<dyn Changelog>, &StoreSerdes<K, V>) -> Result<Option<R>, Error>,
    ) -> Result<Option<R>, Error> {
        let engine = self.engine.borrow();
        for (task, slot) in engine.holders(&self.name) {
            let found = read(
                Rc::clone(&slot.store),
                unlogged(slot, task.scope()),
                serdes(slot),
            )?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn all<R>(
        &self,
        read: impl Fn(TaskStoreRef, Rc<dyn Changelog>, &StoreSerdes<K, V>) -> Result<Vec<R>, Error>,
    ) -> Result<Vec<R>, Error> {
        let engine = self.engine.borrow();
        let mut entries = Vec::new();
        for (task, slot) in engine.holders(&self.name) {
            let part = read(
                Rc::clone(&slot.store),
                unlogged(slot, task.scope()),
                serdes(slot),
            )?;
            entries.extend(part);
        }
        Ok(entries)
    }

    fn all_windowed<R>(
        &self,
        read: impl Fn(
            TaskStoreRef,
            Rc<dyn Changelog>,
            &StoreSerdes<K, V>,
            WindowedStoreSpec,
        ) -> Result<Vec<R>, Error>,
    ) -> Result<Vec<R>, Error> {
        let engine = self.engine.borrow();
        let mut windows = engine
            .holders(&self.name)
            .map(|(_, slot)| slot.spec.windows);
        let Some(spec) = windows.next().flatten() else {
            return Ok(Vec::new()); // the driver is closed
        };
        self.all(|store, log, serdes| read(store, log, serdes, spec))
    }
}

fn check<K: 'static, V: 'static>(
    engine: &Engine,
    name: &str,
    kind: StoreKind,
) -> Result<(), Error> {
    let message = match engine.holders(name).next() {
        None => {
            let stores = engine.stores().join(", ");
            let stores = if stores.is_empty() { "none" } else { &stores };
            format!("the topology has no store {name}; it has: {stores}")
        }
        Some((_, slot)) if slot.spec.kind != kind => {
            format!(
                "store {name} was built as {:?}, not as {kind:?}",
                slot.spec.kind
            )
        }
        Some((_, slot)) if slot.spec.serdes::<K, V>().is_none() => {
            let (key, value) = (std::any::type_name::<K>(), std::any::type_name::<V>());
            let (built_key, built_value) = slot.spec.types;
            format!(
                "store {name} was built for key {built_key} and value {built_value}, not for key \
                 {key} and value {value}"
            )
        }
        Some(_) => return Ok(()),
    };
    Err(Error::new(ErrorKind::Store, message))
}

fn serdes<K: 'static, V: 'static>(slot: &StoreSlot) -> &StoreSerdes<K, V> {
    slot.spec
        .serdes()
        .expect("checked when the handle was made")
}

/// A reader writes nothing, so it needs no changelog.
fn unlogged(slot: &StoreSlot, scope: &Rc<TaskScope>) -> Rc<dyn Changelog> {
    Rc::new(StoreLog {
        store: Arc::clone(&slot.spec.name),
        scope: Rc::clone(scope),
        topic: None,
    })
}
