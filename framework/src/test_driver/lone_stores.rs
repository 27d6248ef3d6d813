//! Stores without a topology, for tests of code that reads and writes them: real ones, whose
//! changelog is nowhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::processor::{Collector, ConnectedStores, OutgoingRecord, StoreSlot, TaskScope, TopicId};
use crate::record::TaskId;
use crate::state::StoreBuilder;
use crate::time::ManualClock;

/// Stores of no topology and without a changelog, opened as a processor opens its own.
///
/// Writes are seen at once, as by the processor that makes them. Kafka Streams has a
/// `MockProcessorContext` for the same.
///
/// ```
/// use onceflow_framework::serde::{i64, utf8};
/// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
/// use onceflow_framework::test_driver::TestStores;
/// use onceflow_framework::Error;
///
/// /// What is to be tested: takes a number, and answers the sum so far.
/// fn add(sums: &KeyValueStore<String, i64>, key: &str, number: i64) -> Result<i64, Error> {
///     let sum = sums.get(&key.to_owned())?.unwrap_or(0) + number;
///     sums.put(&key.to_owned(), &sum)?;
///     Ok(sum)
/// }
///
/// let stores = TestStores::new().with(StoreBuilder::key_value("sums", utf8(), i64()));
/// let sums = stores.open().key_value("sums")?;
/// assert_eq!(add(&sums, "ada", 3)?, 3);
/// assert_eq!(add(&sums, "ada", 4)?, 7);
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct TestStores {
    slots: BTreeMap<Arc<str>, StoreSlot>,
}

impl TestStores {
    /// No store yet.
    #[must_use]
    pub fn new() -> Self {
        TestStores::default()
    }

    /// With one more store; one of the same name takes its place.
    #[must_use]
    pub fn with<K: 'static, V: 'static>(mut self, store: StoreBuilder<K, V>) -> Self {
        let spec = store.into_spec();
        let slot = StoreSlot {
            store: Rc::new(RefCell::new(spec.create())),
            changelog: None,
            spec,
        };
        self.slots.insert(Arc::clone(&slot.spec.name), slot);
        self
    }

    /// The stores, as [`Context::stores`](crate::processor::Context::stores) hands them out; all
    /// that is opened sees the same.
    #[must_use]
    pub fn open(&self) -> ConnectedStores {
        let task = TaskId {
            sub_topology: 0,
            partition: 0,
        };
        let clock = Arc::new(ManualClock::default());
        let mut scope = TaskScope::new(task, Arc::from("app"), clock, Rc::new(Nowhere));
        scope.stores = self.slots.iter().map(copy_of).collect();
        let names = self.slots.keys().cloned().collect();
        ConnectedStores::new(Arc::from("test"), names, Rc::new(scope))
    }

    /// Ends the batch: what was written is committed.
    ///
    /// # Errors
    ///
    /// When a store cannot be written.
    pub fn commit(&self) -> Result<(), Error> {
        let mut stores = self.slots.values();
        stores.try_for_each(|slot| slot.store.borrow_mut().apply())
    }

    /// Ends the batch: what was written since the last commit is gone.
    pub fn abort(&self) {
        for slot in self.slots.values() {
            slot.store.borrow_mut().discard();
        }
    }
}

fn copy_of((name, slot): (&Arc<str>, &StoreSlot)) -> (Arc<str>, StoreSlot) {
    let copy = StoreSlot {
        spec: slot.spec.clone(),
        store: Rc::clone(&slot.store),
        changelog: slot.changelog,
    };
    (Arc::clone(name), copy)
}

impl fmt::Debug for TestStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestStores({:?})", self.slots.keys())
    }
}

/// No topics: these stores have no changelogs.
#[derive(Debug)]
struct Nowhere;

impl Collector for Nowhere {
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        let message = format!("stores without a topology have no topic {name}");
        Err(Error::new(ErrorKind::Topics, message))
    }

    fn partitions(&self, _topic: TopicId) -> Result<i32, Error> {
        Ok(0)
    }

    fn send(&self, _record: &OutgoingRecord<'_>) -> Result<(), Error> {
        Ok(())
    }
}
