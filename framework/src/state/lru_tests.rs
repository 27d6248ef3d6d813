//! Stores that forget, against a list of entries in the order of their use.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::{ChangelogFormat, TaskStore};
use crate::time::Timestamp;

const ENTRIES_MAX: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Put(u8, u8),
    Delete(u8),
    /// A record begins; with what it does is kept or undone by the next of these.
    Hold,
    Keep,
    Undo,
    Commit,
    Abort,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..6;
    let step = prop_oneof![
        4 => key.clone().prop_map(Step::Get),
        6 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key.prop_map(Step::Delete),
        2 => Just(Step::Hold),
        1 => Just(Step::Keep),
        1 => Just(Step::Undo),
        1 => Just(Step::Commit),
        1 => Just(Step::Abort),
    ];
    prop::collection::vec(step, 0..80)
}

/// Keys and values, the one first that was longest not used.
type Entries = Vec<(u8, u8)>;

fn take(entries: &mut Entries, key: u8) -> Option<u8> {
    let at = entries.iter().position(|(entry, _)| *entry == key)?;
    Some(entries.remove(at).1)
}

fn use_of(entries: &mut Entries, key: u8) -> Option<u8> {
    let value = take(entries, key)?;
    entries.push((key, value));
    Some(value)
}

fn put(entries: &mut Entries, key: u8, value: u8) {
    if take(entries, key).is_none() && entries.len() == ENTRIES_MAX {
        entries.remove(0);
    }
    entries.push((key, value));
}

fn store() -> TaskStore {
    let entries_max = NonZeroUsize::new(ENTRIES_MAX).unwrap();
    TaskStore::least_recently_used(ChangelogFormat::Plain, entries_max)
}

fn listed(store: &TaskStore) -> Entries {
    let mut listed = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| listed.push((key[0], value[0]));
    store
        .scan(&KeyRange::ALL, Direction::Forward, usize::MAX, &mut each)
        .unwrap();
    listed
}

fn sorted(entries: &Entries) -> Entries {
    let mut entries = entries.clone();
    entries.sort_unstable();
    entries
}

/// A changelog record.
type Logged = (Vec<u8>, Option<Vec<u8>>);

/// Writes as the typed view does: what is forgotten is logged first.
fn write(store: &mut TaskStore, log: &mut Vec<Logged>, key: u8, value: Option<u8>) {
    let forgotten = store.forgotten_for(&[key]).filter(|_| value.is_some());
    log.extend(forgotten.map(|key| (key.to_vec(), None)));
    let value = value.map(|value| vec![value]);
    store.put(&[key], value.as_deref());
    log.push((vec![key], value));
}

fn restored(log: &[Logged]) -> Entries {
    let mut store = store();
    let records = log
        .iter()
        .map(|(key, value)| (&key[..], value.as_deref(), Timestamp::NONE));
    store.restore(records).unwrap();
    listed(&store)
}

proptest! {
    #[test]
    fn what_was_longest_not_used_is_forgotten_whatever_is_taken_back(steps in steps()) {
        let (mut store, mut committed, mut open) = (store(), Entries::new(), Entries::new());
        let (mut log, mut sent) = (Vec::new(), Vec::new());
        let mut held: Option<(Entries, usize)> = None;
        for step in steps {
            match step {
                Step::Get(key) => {
                    let found = store.get(&[key], |value| value.map(|value| value[0])).unwrap();
                    prop_assert_eq!(found, use_of(&mut open, key));
                }
                Step::Put(key, value) => {
                    write(&mut store, &mut sent, key, Some(value));
                    put(&mut open, key, value);
                }
                Step::Delete(key) => {
                    write(&mut store, &mut sent, key, None);
                    take(&mut open, key);
                }
                Step::Hold if held.is_none() => {
                    store.hold();
                    held = Some((open.clone(), sent.len()));
                }
                Step::Hold => {}
                Step::Keep => {
                    store.keep();
                    held = None;
                }
                Step::Undo => {
                    store.undo().unwrap();
                    if let Some((before, logged)) = held.take() {
                        open = before;
                        sent.truncate(logged);
                    }
                }
                Step::Commit => {
                    store.keep();
                    held = None;
                    store.apply().unwrap();
                    committed.clone_from(&open);
                    log.append(&mut sent);
                    prop_assert_eq!(restored(&log), sorted(&committed));
                }
                Step::Abort => {
                    held = None;
                    store.discard();
                    open.clone_from(&committed);
                    sent.clear();
                }
            }
            prop_assert_eq!(listed(&store), sorted(&open));
            prop_assert!(open.len() <= ENTRIES_MAX);
        }
    }
}

#[test]
fn entries_without_logged_deletions_are_restored_in_the_order_of_their_writes() {
    let puts = [1, 2, 3, 4, 1].map(|key| (vec![key], Some(vec![key])));
    assert_eq!(restored(&puts), [(1, 1), (3, 3), (4, 4)]);
}
