//! The stores that a topology connects to one processor, without the types that it forwards.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::scope::{ReadOnlyLog, StoreLog, StoreSlot, TaskScope};
use crate::error::{Error, ErrorKind};
use crate::state::{
    BufferStore, Changelog, KeyValueStore, SessionStore, StoreKind, StoreSerdes,
    TimestampedKeyValueStore, TimestampedWindowStore, ValueAndTimestamp, VersionedKeyValueStore,
    WindowStore, WindowedStoreSpec,
};

/// The stores of one processor, and the global ones: what [`Context::stores`](super::Context::stores) hands out, for
/// code that opens stores and has no business with what the processor forwards.
#[derive(Clone)]
pub struct ConnectedStores {
    node: Arc<str>,
    names: Vec<Arc<str>>,
    scope: Rc<TaskScope>,
}

/// A store, its way to the changelog, and its serdes.
type Opened<'s, K, V> = (&'s StoreSlot, Rc<dyn Changelog>, &'s StoreSerdes<K, V>);

impl ConnectedStores {
    pub(crate) fn new(node: Arc<str>, names: Vec<Arc<str>>, scope: Rc<TaskScope>) -> Self {
        ConnectedStores { node, names, scope }
    }

    /// As [`Context::key_value_store`](super::Context::key_value_store).
    ///
    /// # Errors
    ///
    /// When the topology connects no such store to this processor, or it is of another kind or
    /// of other types.
    pub fn key_value<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<KeyValueStore<SK, SV>, Error> {
        let (slot, log, serdes) = self.open(name, StoreKind::KeyValue)?;
        Ok(KeyValueStore::new(Rc::clone(&slot.store), log, serdes))
    }

    /// As [`Context::timestamped_key_value_store`](super::Context::timestamped_key_value_store).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn timestamped_key_value<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<SK, SV>, Error> {
        let (slot, log, serdes) = self.open(name, StoreKind::TimestampedKeyValue)?;
        let store = Rc::clone(&slot.store);
        Ok(TimestampedKeyValueStore::new(store, log, serdes))
    }

    /// As [`Context::versioned_key_value_store`](super::Context::versioned_key_value_store).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn versioned_key_value<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<SK, SV>, Error> {
        let (slot, log, serdes) = self.open(name, StoreKind::VersionedKeyValue)?;
        let (store, retention) = (Rc::clone(&slot.store), slot.spec.history_retention_ms);
        Ok(VersionedKeyValueStore::new(store, log, serdes, retention))
    }

    /// As [`Context::window_store`](super::Context::window_store).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn window<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<WindowStore<SK, SV>, Error> {
        let (slot, log, serdes) = self.open(name, StoreKind::Window)?;
        let WindowedStoreSpec { segments, shape } = windows_of(slot);
        let store = (Rc::clone(&slot.store), log);
        Ok(WindowStore::new(store, serdes, segments, shape))
    }

    /// As [`Context::timestamped_window_store`](super::Context::timestamped_window_store).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn timestamped_window<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedWindowStore<SK, SV>, Error> {
        let kind = StoreKind::TimestampedWindow;
        let (slot, log, serdes) = self.open::<SK, ValueAndTimestamp<SV>>(name, kind)?;
        let WindowedStoreSpec { segments, shape } = windows_of(slot);
        let store = (Rc::clone(&slot.store), log);
        Ok(WindowStore::new(store, serdes, segments, shape))
    }

    /// As [`Context::session_store`](super::Context::session_store).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn session<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<SessionStore<SK, SV>, Error> {
        let (slot, log, serdes) = self.open(name, StoreKind::Session)?;
        let WindowedStoreSpec { segments, .. } = windows_of(slot);
        let store = Rc::clone(&slot.store);
        Ok(SessionStore::new(store, log, serdes, segments))
    }

    /// As [`Context::buffer`](super::Context::buffer).
    ///
    /// # Errors
    ///
    /// As [`key_value`](Self::key_value).
    pub fn buffer(&self, name: &str) -> Result<BufferStore, Error> {
        let (slot, log, _) = self.open::<Vec<u8>, Vec<u8>>(name, StoreKind::Buffer)?;
        Ok(BufferStore::new(Rc::clone(&slot.store), log))
    }

    /// What processors of one task share beside stores, under a name: made for the first that
    /// asks, and lost with the processors when a batch is aborted.
    ///
    /// # Panics
    ///
    /// When it was shared as another type before.
    pub fn shared<T: 'static>(&self, name: &str, make: impl FnOnce() -> T) -> Rc<T> {
        let mut shared = self.scope.shared.borrow_mut();
        let made = shared.get(name).map(Rc::clone);
        let made = made.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new(make());
            shared.insert(name.to_owned(), Rc::clone(&made));
            made
        });
        let typed = made.downcast();
        typed.unwrap_or_else(|_| panic!("{name} is shared as another type"))
    }

    /// The store of that name, if it is connected and as asked for.
    fn open<SK: 'static, SV: 'static>(
        &self,
        name: &str,
        kind: StoreKind,
    ) -> Result<Opened<'_, SK, SV>, Error> {
        let (slot, log) = self.slot(name)?;
        if slot.spec.kind != kind {
            let built = slot.spec.kind;
            let message = format!("store {name} was built as {built:?}, not as {kind:?}");
            return Err(self.error(message));
        }
        let Some(serdes) = slot.spec.serdes() else {
            let (key, value) = (std::any::type_name::<SK>(), std::any::type_name::<SV>());
            let (built_key, built_value) = slot.spec.types;
            let message = format!(
                "store {name} was built for key {built_key} and value {built_value}, not for key \
                 {key} and value {value}"
            );
            return Err(self.error(message));
        };
        Ok((slot, log, serdes))
    }

    /// A connected store, or a global one, with the way of its writes.
    fn slot(&self, name: &str) -> Result<(&StoreSlot, Rc<dyn Changelog>), Error> {
        let is_connected = self.names.iter().any(|connected| **connected == *name);
        let connected = self.scope.stores.get(name).filter(|_| is_connected);
        if let Some(slot) = connected {
            let log = StoreLog {
                store: Arc::clone(&slot.spec.name),
                scope: Rc::clone(&self.scope),
                topic: slot.changelog,
            };
            return Ok((slot, Rc::new(log)));
        }
        if let Some(slot) = self.scope.global_stores.0.get(name) {
            let log = ReadOnlyLog {
                store: Arc::clone(&slot.spec.name),
                scope: Rc::clone(&self.scope),
            };
            return Ok((slot, Rc::new(log)));
        }
        Err(self.error(self.not_connected(name)))
    }

    fn not_connected(&self, name: &str) -> String {
        let listed = |names: Vec<&str>| match names[..] {
            [] => "none".to_owned(),
            _ => names.join(", "),
        };
        let connected = listed(self.names.iter().map(|name| &**name).collect());
        if self.scope.stores.contains_key(name) {
            return format!(
                "store {name} is not connected to this processor; connect it where the processor \
                 is added (connected: {connected})"
            );
        }
        let existing = listed(self.scope.stores.keys().map(|name| &**name).collect());
        format!(
            "there is no store {name} in this sub-topology; add it, and connect it where the \
             processor is added (connected: {connected}; existing: {existing})"
        )
    }

    fn error(&self, message: String) -> Error {
        Error::new(ErrorKind::Store, message).at_node(&self.node)
    }
}

fn windows_of(slot: &StoreSlot) -> WindowedStoreSpec {
    let windows = slot.spec.windows;
    windows.expect("stores of windowed kinds have windows")
}

impl fmt::Debug for ConnectedStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectedStores({}, {:?})", self.node, self.names)
    }
}
