//! The rows of a table whose changes are held back, as they were told.
//!
//! ```text
//!   look-up ──> key in the buffer? ── yes ──> what was told of it before
//!                     └── no ──> row of the table above: its last change was told
//! ```

use std::sync::Arc;

use onceflow_framework::serde::{Serde, SharedSerde};
use onceflow_framework::state::{BufferStore, ValueAndTimestamp};
use onceflow_framework::{Error, Timestamp};

use crate::Data;
use crate::table::Initial;
use crate::view::{Rows, TableView};
use crate::waiting_entry::Entry;

/// A buffer that holds changes of a table back.
pub(super) struct TellsLater<K, V> {
    pub(super) buffer: Arc<str>,
    pub(super) serdes: (SharedSerde<K>, SharedSerde<V>),
    /// What rows of the table above begin with: it was never told.
    pub(super) initial: Option<Initial<K, V>>,
    /// Whether each row is told once, when its window closes.
    pub(super) is_final: bool,
}

impl<K: Data, V: Data> TellsLater<K, V> {
    /// The rows that were told, of those of the table above.
    pub(super) fn of(&self, above: TableView<K, V>) -> TableView<K, V> {
        let (key, value) = self.serdes.clone();
        let (initial, is_final) = (self.initial.clone(), self.is_final);
        above.behind(&self.buffer, move |above, buffer| {
            Box::new(Told {
                above,
                buffer,
                key: key.clone(),
                value: value.clone(),
                initial: initial.clone(),
                is_final,
            })
        })
    }
}

/// Rows of the table above, but for those whose last change waits.
struct Told<K, V> {
    above: Box<dyn Rows<K, V>>,
    buffer: BufferStore,
    key: SharedSerde<K>,
    value: SharedSerde<V>,
    initial: Option<Initial<K, V>>,
    is_final: bool,
}

impl<K: Data, V: Data> Rows<K, V> for Told<K, V> {
    fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let bytes = self.key.to_vec(key);
        let bytes = bytes.map_err(|error| self.error("a key cannot be written").because(error))?;
        let waiting = match bytes {
            Some(bytes) => self.buffer.get(&bytes)?,
            None => None,
        };
        match waiting {
            Some(_) if self.is_final => Ok(None),
            Some(entry) => self.prior(key, &entry),
            None => self.above.get(key),
        }
    }
}

impl<K: Data, V: Data> Told<K, V> {
    /// What was told before the entry. When, only the table above would know.
    fn prior(&self, key: &K, entry: &[u8]) -> Result<Option<ValueAndTimestamp<V>>, Error> {
        let Some(entry) = Entry::read(entry) else {
            return Err(self.error("an entry cannot be read"));
        };
        let cannot = |error| {
            self.error("a value cannot be read or written")
                .because(error)
        };
        let initial = self.initial.as_ref().and_then(|initial| initial(key));
        let initial = initial.map(|initial| self.value.to_vec(&initial));
        let initial = initial.transpose().map_err(cannot)?.flatten();
        let prior = entry.prior.filter(|prior| Some(prior) != initial.as_ref());
        let value = prior.map(|prior| self.value.deserialize(Some(&prior)));
        let value = value.transpose().map_err(cannot)?;
        let timestamp = Timestamp::NONE;
        Ok(value.map(|value| ValueAndTimestamp { value, timestamp }))
    }

    fn error(&self, what: &str) -> Error {
        self.buffer.error(what)
    }
}
