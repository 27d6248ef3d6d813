//! What is asked of a store from outside its task, in bytes: answered from what is committed.
//!
//! ```text
//!   Question ──> TaskStore, committed values only ──> Answer      of at most a slice of entries
//!      ^                                                │
//!      └────────────── behind the last key ─────────────┘
//! ```
//!
//! # Invariants
//!
//! - Nothing of the open batch is shown, neither a put nor a deletion nor an expiry.
//! - An answer is bounded: whoever wants more entries asks again, behind the last one.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::staged::Direction;
use super::store::{Entry, KeyRange};
use super::task_store::{TaskStore, View};
use super::windowed::{Keys, SegmentCursor, Times};
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// How many entries one answer has at most.
pub(crate) const ANSWER_ENTRIES_MAX: usize = 500;

/// A question to the store of one task.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// The value of a key.
    Get { key: Bytes },
    /// Entries of a key-value store, in the order of their keys.
    Scan { range: KeyRange },
    /// Windows by start, or sessions by end, of one key.
    Fetch {
        key: Bytes,
        from: Timestamp,
        to: Timestamp,
        /// The changelog key of the last entry that was answered before.
        behind: Option<Bytes>,
    },
    /// How many entries there are.
    Count,
}

/// What the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Value(Option<Bytes>),
    /// Keys as the changelog has them. A full slice: there may be more.
    Entries(Vec<Entry>),
    Count(u64),
}

impl Answer {
    /// How much work it was.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Answer::Value(_) | Answer::Count(_) => 1,
            Answer::Entries(entries) => entries.len(),
        }
    }
}

impl Question {
    /// The same question about what comes after an entry.
    pub(crate) fn behind(self, last: Bytes) -> Self {
        match self {
            Question::Scan { range } => Question::Scan {
                range: range.behind(last, Direction::Forward),
            },
            Question::Fetch { key, from, to, .. } => Question::Fetch {
                key,
                from,
                to,
                behind: Some(last),
            },
            single @ (Question::Get { .. } | Question::Count) => single,
        }
    }

    /// Answers it from what is committed.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn ask(self, store: &Rc<RefCell<TaskStore>>) -> Result<Answer, Error> {
        match self {
            Question::Get { key } => Ok(Answer::Value(store.borrow().get_committed(&key)?)),
            Question::Count => Ok(Answer::Count(store.borrow().approximate_entries())),
            Question::Scan { range } => {
                let mut entries = Vec::new();
                let mut push = |key: &[u8], value: &[u8]| entries.push(owned(key, value));
                let (view, forward) = (View::Committed, Direction::Forward);
                let store = store.borrow();
                store.scan_as((view, &range), forward, ANSWER_ENTRIES_MAX, &mut push)?;
                Ok(Answer::Entries(entries))
            }
            Question::Fetch {
                key,
                from,
                to,
                behind,
            } => fetch(store, key, Times::between(from, to), behind.as_ref()),
        }
    }
}

fn fetch(
    store: &Rc<RefCell<TaskStore>>,
    key: Bytes,
    times: Times,
    behind: Option<&Bytes>,
) -> Result<Answer, Error> {
    let Some(segments) = store.borrow().segments() else {
        let message = "windows were asked for of a store that has none";
        return Err(Error::new(ErrorKind::Store, message));
    };
    // Of one key the order of the entries is that of their changelog keys.
    let times = behind
        .and_then(|last| segments.time_of(last))
        .map_or(times, |last| times.starting_at_least(last));
    let keys = Keys::One(key.into());
    let view = View::Committed;
    let (store, direction) = (Rc::clone(store), Direction::Forward);
    let mut cursor = SegmentCursor::new((store, view), segments, keys, times, direction);
    let mut entries = Vec::new();
    while entries.len() < ANSWER_ENTRIES_MAX {
        let Some(next) = cursor.next() else { break };
        let (key, value) = next?;
        if behind.is_none_or(|last| key > &last[..]) {
            entries.push(owned(key, value));
        }
    }
    Ok(Answer::Entries(entries))
}

fn owned(key: &[u8], value: &[u8]) -> Entry {
    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serde::utf8;
    use crate::state::StoreBuilder;

    fn key_values() -> Rc<RefCell<TaskStore>> {
        let spec = StoreBuilder::key_value("store", utf8(), utf8()).into_spec();
        Rc::new(RefCell::new(spec.create()))
    }

    /// A store of windows that are kept for 100 ms.
    fn windows() -> Rc<RefCell<TaskStore>> {
        let ms = Duration::from_millis;
        let builder = StoreBuilder::window("store", ms(100), ms(10), utf8(), utf8());
        let spec = builder.with_segment_interval(ms(20)).into_spec();
        Rc::new(RefCell::new(spec.create()))
    }

    fn put_window(store: &Rc<RefCell<TaskStore>>, key: &str, start: i64) {
        let mut store = store.borrow_mut();
        let segment = store.segments().unwrap().segment_of(start);
        let suffix = [&start.to_be_bytes()[..], &[0; 4]].concat();
        let key = [&segment.to_be_bytes()[..], key.as_bytes(), &suffix].concat();
        store.observe(start);
        store.put(&key, Some(b"value"));
    }

    fn get(store: &Rc<RefCell<TaskStore>>, key: &'static str) -> Option<Bytes> {
        let key = Bytes::from_static(key.as_bytes());
        match (Question::Get { key }).ask(store).unwrap() {
            Answer::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }

    fn entries(store: &Rc<RefCell<TaskStore>>, mut question: Question) -> Vec<Entry> {
        let mut all = Vec::new();
        loop {
            let Answer::Entries(entries) = question.clone().ask(store).unwrap() else {
                panic!("{question:?} is for entries");
            };
            let Some((last, _)) = entries.last() else {
                return all;
            };
            question = question.behind(last.clone());
            all.extend(entries);
        }
    }

    fn starts(store: &Rc<RefCell<TaskStore>>, key: &'static str, from: i64, to: i64) -> Vec<i64> {
        let [from, to] = [from, to].map(Timestamp::from_millis);
        let key = Bytes::from_static(key.as_bytes());
        let behind = None;
        let question = Question::Fetch {
            key,
            from,
            to,
            behind,
        };
        let segments = store.borrow().segments().unwrap();
        let found = entries(store, question).into_iter();
        found
            .map(|(key, _)| segments.time_of(&key).unwrap())
            .collect()
    }

    #[test]
    fn the_open_batch_is_not_seen() {
        let store = key_values();
        store.borrow_mut().put(b"kept", Some(b"old"));
        store.borrow_mut().put(b"gone", Some(b"old"));
        store.borrow_mut().apply().unwrap();
        store.borrow_mut().put(b"kept", Some(b"new"));
        store.borrow_mut().put(b"gone", None);
        store.borrow_mut().put(b"made", Some(b"new"));
        let seen = || ["kept", "gone", "made"].map(|key| get(&store, key));
        let old = Bytes::from_static(b"old");
        assert_eq!(seen(), [Some(old.clone()), Some(old), None]);
        let range = KeyRange::ALL;
        assert_eq!(entries(&store, Question::Scan { range }).len(), 2);
        assert_eq!(Question::Count.ask(&store).unwrap(), Answer::Count(2));
        store.borrow_mut().apply().unwrap();
        let new = Bytes::from_static(b"new");
        assert_eq!(seen(), [Some(new.clone()), None, Some(new)]);
    }

    #[test]
    fn a_scan_goes_on_behind_each_answer_and_misses_nothing() {
        let store = key_values();
        let keys: Vec<String> = (0..1_234).map(|number| format!("{number:04}")).collect();
        for key in &keys {
            store.borrow_mut().put(key.as_bytes(), Some(b"value"));
        }
        store.borrow_mut().apply().unwrap();
        let range = KeyRange::inclusive(Bytes::from_static(b"0001"), Bytes::from_static(b"1232"));
        let found = entries(&store, Question::Scan { range });
        let found: Vec<&[u8]> = found.iter().map(|(key, _)| &key[..]).collect();
        let wanted: Vec<&[u8]> = keys[1..=1232].iter().map(String::as_bytes).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn windows_of_a_key_are_those_that_are_committed() {
        let store = windows();
        for start in [0, 10, 30, 90] {
            put_window(&store, "a", start);
            put_window(&store, "aa", start);
        }
        store.borrow_mut().apply().unwrap();
        put_window(&store, "a", 40);
        assert_eq!(starts(&store, "a", 0, 1_000), [0, 10, 30, 90]);
        assert_eq!(starts(&store, "a", 10, 30), [10, 30]);
        // It expires others, once it is committed.
        put_window(&store, "a", 115);
        assert_eq!(starts(&store, "a", 0, 1_000), [0, 10, 30, 90]);
        store.borrow_mut().apply().unwrap();
        assert_eq!(starts(&store, "a", 0, 1_000), [30, 40, 90, 115]);
    }

    #[test]
    fn a_fetch_goes_on_behind_each_answer_and_misses_nothing() {
        let store = windows();
        let ms = Duration::from_millis;
        let builder = StoreBuilder::window("store", ms(10_000), ms(10), utf8(), utf8());
        *store.borrow_mut() = builder.into_spec().create();
        for start in 0..1_234 {
            put_window(&store, "a", start);
            put_window(&store, "b", start);
        }
        store.borrow_mut().apply().unwrap();
        let wanted: Vec<i64> = (1..=1_232).collect();
        assert_eq!(starts(&store, "a", 1, 1_232), wanted);
    }
}
