//! A store that logs values when its batch closes: what a restore makes of such a changelog.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::task_store::{ChangelogFormat, TaskStore, begin_timestamped};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
enum Step {
    /// A value that is logged at the close.
    Put(u8, i64),
    /// A value that is logged at once, as one with headers is.
    PutLogged(u8, i64),
    Delete(u8),
    Hold,
    Keep,
    Undo,
    Commit,
    Abort,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0u8..4;
    prop_oneof![
        6 => (key(), 0i64..1000).prop_map(|(key, time)| Step::Put(key, time)),
        2 => (key(), 0i64..1000).prop_map(|(key, time)| Step::PutLogged(key, time)),
        3 => key().prop_map(Step::Delete),
        2 => Just(Step::Hold),
        1 => Just(Step::Keep),
        1 => Just(Step::Undo),
        2 => Just(Step::Commit),
        1 => Just(Step::Abort),
    ]
}

type Logged = (Vec<u8>, Option<Vec<u8>>, Timestamp);

/// A store and its changelog topic, of which readers see what is committed.
struct Task {
    store: TaskStore,
    topic: Vec<Logged>,
    committed: usize,
    /// Where the topic and the hold began: undone, the records after it were never sent.
    held: Option<usize>,
}

fn store() -> TaskStore {
    let mut store = TaskStore::in_memory(ChangelogFormat::Timestamped);
    store.log_at_close();
    store
}

impl Task {
    fn new() -> Self {
        Task {
            store: store(),
            topic: Vec::new(),
            committed: 0,
            held: None,
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Put(key, time) => self.store.put_unlogged(&[key], &stored(time)),
            Step::PutLogged(key, time) => {
                self.store.put(&[key], Some(&stored(time)));
                let at = Timestamp::from_millis(time);
                self.topic.push((vec![key], Some(b"v".to_vec()), at));
            }
            Step::Delete(key) => {
                self.store.put(&[key], None);
                self.topic.push((vec![key], None, Timestamp::NONE));
            }
            Step::Hold => {
                self.store.hold();
                self.held = Some(self.topic.len());
            }
            Step::Keep => {
                self.store.keep();
                self.held = None;
            }
            Step::Undo => {
                self.store.undo().unwrap();
                self.topic.truncate(self.held.take().unwrap_or(usize::MAX));
            }
            Step::Commit => self.commit(),
            Step::Abort => {
                self.store.discard();
                self.topic.truncate(self.committed);
                self.held = None;
            }
        }
    }

    fn commit(&mut self) {
        self.store.keep();
        self.held = None;
        let topic = &mut self.topic;
        let log = |key: &[u8], value: &[u8], at| {
            topic.push((key.to_vec(), Some(value.to_vec()), at));
            Ok(())
        };
        self.store.log_staged(log).unwrap();
        self.store.apply().unwrap();
        self.committed = self.topic.len();
    }

    fn restored(&self) -> TaskStore {
        let mut restored = store();
        let records = self.topic[..self.committed].iter();
        let records = records.map(|(key, value, at)| (&key[..], value.as_deref(), *at));
        restored.restore(records).unwrap();
        restored
    }
}

fn stored(time: i64) -> Vec<u8> {
    let mut stored = Vec::new();
    begin_timestamped(Timestamp::from_millis(time), &mut stored);
    stored.extend_from_slice(b"v");
    stored
}

fn entries(store: &TaskStore) -> BTreeMap<u8, Vec<u8>> {
    let value = |key: u8| store.get(&[key], |value| value.map(<[u8]>::to_vec));
    let entries = (0..4).map(|key| (key, value(key).unwrap()));
    entries
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

proptest! {
    #[test]
    fn a_restored_store_is_the_one_that_was_committed(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut task = Task::new();
        for step in &steps {
            task.play(step);
            if matches!(step, Step::Commit | Step::Abort) {
                prop_assert_eq!(entries(&task.restored()), entries(&task.store));
            }
        }
    }
}

#[test]
fn of_many_writes_to_a_key_only_the_last_is_logged() {
    let mut task = Task::new();
    let steps = [
        Step::Put(1, 10),
        Step::Put(1, 20),
        Step::Put(2, 15),
        Step::Put(3, 1),
        Step::Delete(3),
        Step::Commit,
        Step::Put(2, 30),
        Step::Commit,
    ];
    steps.iter().for_each(|step| task.play(step));
    let logged = task.topic.iter();
    let logged: Vec<_> = logged
        .map(|(key, value, at)| (key[0], value.is_some(), at.as_millis()))
        .collect();
    let deletion = (3, false, Timestamp::NONE.as_millis());
    assert_eq!(
        logged,
        [deletion, (1, true, 20), (2, true, 15), (2, true, 30)]
    );
}
