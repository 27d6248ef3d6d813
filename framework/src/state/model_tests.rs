//! Stores as tasks see them, against a plain map.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::cursor::Cursor;
use super::memory::MemoryStore;
use super::staged::Direction;
use super::store::{ByteStore, KeyRange};
use super::task_store::{ChangelogFormat, TaskStore};
use crate::time::Timestamp;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Apply,
    Discard,
    /// A changelog record, taken over between batches.
    Restore(Vec<u8>, Option<Vec<u8>>),
    /// Looks, which must change nothing; the first look sorts the keys.
    Look(KeyRange, Direction, usize),
}

/// Few keys, so that they meet again; some too long to lie in place.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let short = || prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7f, 0xff]), 0..3);
    let long = short().prop_map(|key| [key, vec![9; 30]].concat());
    prop_oneof![4 => short(), 1 => long]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => prop::collection::vec(any::<u8>(), 0..3), 1 => any::<u8>().prop_map(|b| vec![b; 40])]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let between = (key(), key()).prop_map(|(from, to)| KeyRange::inclusive(from.into(), to.into()));
    let prefix = key().prop_map(|prefix| KeyRange::prefix(prefix.into()));
    prop_oneof![2 => between, 1 => prefix, 1 => Just(KeyRange::ALL)]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::Forward, Direction::Reverse])
}

fn write() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => key().prop_map(Step::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let restored = (key(), prop::option::of(value()));
    prop_oneof![
        9 => write(),
        1 => Just(Step::Apply),
        1 => Just(Step::Discard),
        1 => restored.prop_map(|(key, value)| Step::Restore(key, value)),
        2 => (range(), direction(), 0usize..6).prop_map(|(r, d, most)| Step::Look(r, d, most)),
    ]
}

/// What a store must show.
#[derive(Debug, Clone, Default)]
struct Model {
    visible: Map,
    committed: Map,
}

impl Model {
    fn in_range(&self, range: &KeyRange, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let is_in = |key: &[u8]| {
            let after = match &range.from {
                Included(from) => key >= &from[..],
                Excluded(from) => key > &from[..],
                Unbounded => true,
            };
            let before = match &range.to {
                Included(to) => key <= &to[..],
                Excluded(to) => key < &to[..],
                Unbounded => true,
            };
            after && before
        };
        let entries = self.visible.iter().filter(|(key, _)| is_in(key));
        let mut entries: Vec<_> = entries.map(|(k, v)| (k.clone(), v.clone())).collect();
        if direction == Direction::Reverse {
            entries.reverse();
        }
        entries
    }
}

/// Both kinds of store, and what they must show.
struct Stores {
    stores: [Rc<RefCell<TaskStore>>; 2],
    model: Model,
}

impl Stores {
    fn new() -> Self {
        let over = TaskStore::over(Box::new(MemoryStore::new()), ChangelogFormat::Plain);
        let stores = [TaskStore::in_memory(ChangelogFormat::Plain), over];
        Stores {
            stores: stores.map(|store| Rc::new(RefCell::new(store))),
            model: Model::default(),
        }
    }

    fn play(&mut self, step: &Step) {
        let Model { visible, committed } = &mut self.model;
        match step {
            Step::Put(key, value) => drop(visible.insert(key.clone(), value.clone())),
            Step::Delete(key) => drop(visible.remove(key)),
            Step::Apply => committed.clone_from(visible),
            Step::Discard => visible.clone_from(committed),
            Step::Restore(key, value) => {
                match value {
                    Some(value) => drop(visible.insert(key.clone(), value.clone())),
                    None => drop(visible.remove(key)),
                }
                committed.clone_from(visible);
            }
            Step::Look(..) => {}
        }
        for store in &self.stores {
            let mut store = store.borrow_mut();
            match step {
                Step::Put(key, value) => store.put(key, Some(value)),
                Step::Delete(key) => store.put(key, None),
                Step::Apply => store.apply().unwrap(),
                Step::Discard => store.discard(),
                Step::Restore(key, value) => {
                    store.apply().unwrap();
                    let record = (&key[..], value.as_deref(), Timestamp::NONE);
                    store.restore(std::iter::once(record)).unwrap();
                }
                Step::Look(range, direction, entries_max) => {
                    let mut expected = self.model.in_range(range, *direction);
                    expected.truncate(*entries_max);
                    assert_eq!(scan(&store, range, *direction, *entries_max), expected);
                }
            }
        }
    }

    fn check(&self, others: [&Vec<u8>; 2]) {
        for store in &self.stores {
            let store = store.borrow();
            let keys = self.model.visible.keys().chain(self.model.committed.keys());
            for key in keys.chain(others) {
                let found = store.get(key, |value| value.map(<[u8]>::to_vec)).unwrap();
                assert_eq!(found, self.model.visible.get(key).cloned(), "{key:?}");
            }
            let committed = self.model.committed.len() as u64;
            assert_eq!(store.approximate_entries(), committed);
        }
    }
}

fn scan(
    store: &TaskStore,
    range: &KeyRange,
    direction: Direction,
    entries_max: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| found.push((key.to_vec(), value.to_vec()));
    store
        .scan(range, direction, entries_max, &mut each)
        .unwrap();
    found
}

proptest! {
    #[test]
    fn a_store_shows_what_a_plain_map_would(
        steps in prop::collection::vec(step(), 0..80),
        range in range(), direction in direction(), others in [key(), key()],
    ) {
        let mut stores = Stores::new();
        for step in &steps {
            stores.play(step);
            stores.check([&others[0], &others[1]]);
        }
        stores.play(&Step::Look(range, direction, usize::MAX));
    }

    #[test]
    fn committed_values_stand_beside_the_open_batch(steps in prop::collection::vec(step(), 0..60)) {
        let mut store = MemoryStore::new();
        let mut model = Model::default();
        let mut staged = Stores::new();
        for step in &steps {
            match step {
                Step::Put(key, value) => store.stage(key, Some(value)),
                Step::Delete(key) => store.stage(key, None),
                Step::Apply => store.commit_staged(),
                Step::Discard => store.discard_staged(),
                Step::Restore(..) | Step::Look(..) => continue,
            }
            staged.play(step);
            model.visible.clone_from(&staged.model.committed);
            for direction in [Direction::Forward, Direction::Reverse] {
                let found = match direction {
                    Direction::Forward => store.scan(&KeyRange::ALL, usize::MAX).unwrap(),
                    Direction::Reverse => store.scan_reverse(&KeyRange::ALL, usize::MAX).unwrap(),
                };
                let found = found.iter().map(|(k, v)| (k.to_vec(), v.to_vec()));
                prop_assert_eq!(found.collect::<Vec<_>>(), model.in_range(&KeyRange::ALL, direction));
            }
            for (key, value) in &staged.model.visible {
                let committed = store.get(key).unwrap();
                prop_assert_eq!(committed.as_deref(), model.visible.get(key).map(Vec::as_slice));
                prop_assert_eq!(store.staged_or_committed(key), Some(&value[..]));
            }
        }
    }

    #[test]
    fn a_scan_with_writes_behind_its_back_keeps_its_order_and_all_that_is_left_alone(
        before in prop::collection::vec(write(), 0..120),
        between in prop::collection::vec(prop::collection::vec(step(), 0..3), 40),
        range in range(), direction in direction(),
    ) {
        for which in 0..2 {
            let mut stores = Stores::new();
            before.iter().for_each(|step| stores.play(step));
            let mut shown = vec![stores.model.clone()];
            let store = Rc::clone(&stores.stores[which]);
            let mut cursor = Cursor::new(store, range.clone(), direction);
            let mut between = between.iter().flatten();
            let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            while let Some(entry) = cursor.next() {
                let (key, value) = entry.unwrap();
                found.push((key.to_vec(), value.to_vec()));
                for step in between.by_ref().take(2) {
                    stores.play(step);
                    shown.push(stores.model.clone());
                }
            }
            let is_ordered = |pair: &[(Vec<u8>, Vec<u8>)]| match direction {
                Direction::Forward => pair[0].0 < pair[1].0,
                Direction::Reverse => pair[0].0 > pair[1].0,
            };
            prop_assert!(found.windows(2).all(is_ordered), "{:?}", found);
            for (key, value) in &found {
                prop_assert!(shown.iter().any(|model| model.visible.get(key) == Some(value)));
            }
            for (key, value) in shown[0].in_range(&range, direction) {
                if shown.iter().all(|model| model.visible.get(&key) == Some(&value)) {
                    prop_assert!(found.contains(&(key, value)));
                }
            }
        }
    }
}
