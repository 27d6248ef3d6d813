//! Versioned stores against a plain history that forgets nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::builder::StoreSerdes;
use super::changelog::Changelog;
use super::task_store::{ChangelogFormat, TaskStore};
use super::versioned::{VersionPut, VersionedKeyValueStore, VersionedRecord};
use crate::error::Error;
use crate::record::{Headers, Position};
use crate::serde::{SharedSerde, utf8};
use crate::time::Timestamp;

const RETENTION_MS: i64 = 10;
const TIMES: i64 = 40;

type Logged = (Vec<u8>, Option<Vec<u8>>, Timestamp);

/// A changelog topic: what is committed, and what the open batch sent.
#[derive(Default)]
struct Topic {
    committed: RefCell<Vec<Logged>>,
    open: RefCell<Vec<Logged>>,
    refused: Cell<usize>,
}

impl Changelog for Topic {
    fn store(&self) -> &'static str {
        "prices"
    }

    fn position(&self) -> Option<Position> {
        None
    }

    fn send_with(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
        _headers: &Headers,
    ) -> Result<(), Error> {
        let timestamp = timestamp.expect("a version is logged at its time");
        let record = (key.to_vec(), value.map(<[u8]>::to_vec), timestamp);
        self.open.borrow_mut().push(record);
        Ok(())
    }

    fn refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }
}

fn empty() -> TaskStore {
    let retention_ms = RETENTION_MS;
    TaskStore::in_memory(ChangelogFormat::Versioned { retention_ms })
}

fn view(
    store: &Rc<RefCell<TaskStore>>,
    topic: &Rc<Topic>,
) -> VersionedKeyValueStore<String, String> {
    let serdes = StoreSerdes {
        key: SharedSerde::new(utf8()),
        value: SharedSerde::new(utf8()),
    };
    let log: Rc<dyn Changelog> = Rc::<Topic>::clone(topic);
    VersionedKeyValueStore::new(Rc::clone(store), log, &serdes, RETENTION_MS)
}

/// By key, then by time; nothing is ever removed.
#[derive(Debug, Clone, Default)]
struct Naive {
    versions: BTreeMap<String, BTreeMap<i64, Option<String>>>,
    observed: Option<i64>,
}

impl Naive {
    fn is_past(&self, time: i64) -> bool {
        self.observed
            .is_some_and(|observed| time < observed - RETENTION_MS)
    }

    fn put(&mut self, key: &str, value: Option<&str>, time: i64) -> VersionPut {
        if self.is_past(time) {
            return VersionPut::Refused;
        }
        self.observed = self.observed.max(Some(time));
        let versions = self.versions.entry(key.to_owned()).or_default();
        versions.insert(time, value.map(str::to_owned));
        let next = versions.range(time + 1..).next();
        next.map_or(VersionPut::Latest, |(next, _)| {
            VersionPut::ValidUntil(Timestamp::from_millis(*next))
        })
    }

    fn as_of(&self, key: &str, time: i64) -> Option<VersionedRecord<String>> {
        let versions = self.versions.get(key)?;
        let (from, value) = versions.range(..=time).next_back()?;
        let next = versions.range(from + 1..).next();
        if self.is_past(time) && next.is_some() {
            return None;
        }
        Some(VersionedRecord {
            value: value.clone()?,
            timestamp: Timestamp::from_millis(*from),
            valid_to: next.map(|(next, _)| Timestamp::from_millis(*next)),
        })
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(&'static str, Option<String>, i64),
    Delete(&'static str, i64),
    Commit,
    Abort,
    /// The open batch is lost, and the store is made anew of its changelog.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::sample::select(vec!["a", "b", "long key that does not lie in place"]);
    let put = (key(), prop::option::weighted(0.8, "[xy]{0,30}"), 0..TIMES);
    prop_oneof![
        8 => put.prop_map(|(key, value, time)| Step::Put(key, value, time)),
        2 => (key(), 0..TIMES).prop_map(|(key, time)| Step::Delete(key, time)),
        2 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #[test]
    fn a_versioned_store_reads_as_a_history_that_forgets_nothing(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let topic = Rc::new(Topic::default());
        let mut store = Rc::new(RefCell::new(empty()));
        let (mut naive, mut committed) = (Naive::default(), Naive::default());
        let mut refused = 0;
        for step in steps {
            let prices = view(&store, &topic);
            match step {
                Step::Put(key, value, time) => {
                    let expected = naive.put(key, value.as_deref(), time);
                    let at = Timestamp::from_millis(time);
                    let put = prices.put(&key.to_owned(), value.as_ref(), at).unwrap();
                    prop_assert_eq!(put, expected);
                    refused += usize::from(expected == VersionPut::Refused);
                }
                Step::Delete(key, time) => {
                    let before = naive.as_of(key, time);
                    let put = naive.put(key, None, time);
                    let expected = before.filter(|_| put != VersionPut::Refused);
                    let at = Timestamp::from_millis(time);
                    prop_assert_eq!(prices.delete(&key.to_owned(), at).unwrap(), expected);
                    refused += usize::from(put == VersionPut::Refused);
                }
                Step::Commit => {
                    store.borrow_mut().apply().unwrap();
                    topic.committed.borrow_mut().append(&mut topic.open.borrow_mut());
                    committed = naive.clone();
                }
                Step::Abort => {
                    store.borrow_mut().discard();
                    topic.open.borrow_mut().clear();
                    naive = committed.clone();
                }
                Step::Crash => {
                    topic.open.borrow_mut().clear();
                    naive = committed.clone();
                    let mut restored = empty();
                    let log = topic.committed.borrow();
                    let log = log.iter().map(|(k, v, at)| (&k[..], v.as_deref(), *at));
                    restored.restore(log).unwrap();
                    store = Rc::new(RefCell::new(restored));
                }
            }
            let prices = view(&store, &topic);
            for key in ["a", "b", "long key that does not lie in place"] {
                for time in 0..TIMES {
                    let at = Timestamp::from_millis(time);
                    let read = prices.get_as_of(&key.to_owned(), at).unwrap();
                    prop_assert_eq!(read, naive.as_of(key, time), "{} at {}", key, time);
                }
                let latest = naive.as_of(key, i64::from(i32::MAX));
                prop_assert_eq!(prices.get(&key.to_owned()).unwrap(), latest);
            }
            prop_assert_eq!(topic.refused.get(), refused);
        }
    }
}

#[test]
fn what_nobody_can_read_is_given_up_with_the_next_put() {
    let topic = Rc::new(Topic::default());
    let store = Rc::new(RefCell::new(empty()));
    let prices = view(&store, &topic);
    let bytes = |key: &[u8]| {
        let store = store.borrow();
        store
            .get(key, |history| history.map_or(0, <[u8]>::len))
            .unwrap()
    };
    for time in 0..1000 {
        let (key, value) = ("k".to_owned(), "v".to_owned());
        let put = prices.put(&key, Some(&value), Timestamp::from_millis(time));
        assert_eq!(put.unwrap(), VersionPut::Latest);
    }
    let version = 8 + 4 + 1;
    assert_eq!(bytes(b"k"), (11 * version));
    // A deletion is forgotten, too, once nothing older than it can be put.
    let (gone, now) = ("gone".to_owned(), Timestamp::from_millis(2000));
    prices.put(&gone, None, now).unwrap();
    assert_eq!(bytes(b"gone"), 8 + 4);
    prices
        .put(&gone, None, Timestamp::from_millis(1990))
        .unwrap();
    assert_eq!(bytes(b"gone"), 8 + 4);
}
