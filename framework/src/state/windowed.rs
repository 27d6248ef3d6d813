//! What the views of windowed stores share: keys within segments, retention, scans.
//!
//! # Invariants
//!
//! - What is past the retention is neither read nor kept, whatever its segment still holds.
//! - A put is logged even if it is refused, as in Kafka Streams; a refusal is counted.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::changelog::Changelog;
use super::cursor::{EntryRef, FIRST_SLICE_ENTRIES, SLICE_ENTRIES_MAX, SLICE_GROWTH, Slice};
use super::segments::{SEGMENT_BYTES, Segments, segment_start};
use super::staged::Direction;
use super::store::KeyRange;
use super::task_store::{TaskStore, View};
use crate::error::Error;
use crate::record::Headers;
use crate::serde::{Encoded, Serde, SharedSerde};
use crate::time::Timestamp;

/// So many segments in a row are tried one by one; over more, the next that exists is sought.
const SEGMENTS_TRIED_MAX: i64 = 4;

/// A windowed store as its typed views see it: keys through their serde, values as bytes.
pub(super) struct WindowedStore<K> {
    pub(super) store: Rc<RefCell<TaskStore>>,
    pub(super) log: Rc<dyn Changelog>,
    pub(super) key: SharedSerde<K>,
    pub(super) segments: Segments,
    /// Where stored keys are put together.
    scratch: RefCell<Vec<u8>>,
    /// Where values are.
    values: RefCell<Vec<u8>>,
}

/// A write: the value in the store and the one in the changelog, with its time.
pub(super) struct Write<'v> {
    pub(super) stored: Option<&'v [u8]>,
    pub(super) logged: Option<&'v [u8]>,
    /// None: the time of the record in process.
    pub(super) logged_at: Option<Timestamp>,
    /// Logged with the rest, where the store is to keep them.
    pub(super) headers: &'v Headers,
}

impl<K> Clone for WindowedStore<K> {
    fn clone(&self) -> Self {
        WindowedStore {
            store: Rc::clone(&self.store),
            log: Rc::clone(&self.log),
            key: self.key.clone(),
            segments: self.segments,
            scratch: RefCell::default(),
            values: RefCell::default(),
        }
    }
}

impl<K: 'static> WindowedStore<K> {
    pub(super) fn new(
        store: Rc<RefCell<TaskStore>>,
        log: Rc<dyn Changelog>,
        key: SharedSerde<K>,
        segments: Segments,
    ) -> Self {
        WindowedStore {
            store,
            log,
            key,
            segments,
            scratch: RefCell::default(),
            values: RefCell::default(),
        }
    }

    /// The same store as those see it who are behind.
    pub(super) fn with_held(self) -> Self {
        WindowedStore {
            segments: self.segments.with_held(),
            ..self
        }
    }

    /// The highest time that is expired.
    pub(super) fn expired_ms(&self) -> i64 {
        self.segments.expired_ms(self.store.borrow().observed_ms())
    }

    /// The value of that key, time and remainder.
    pub(super) fn get<V: 'static>(
        &self,
        key: &K,
        (time, rest): (i64, &[u8]),
        value: &SharedSerde<V>,
    ) -> Result<Option<V>, Error> {
        if time < 0 || time <= self.expired_ms() {
            return Ok(None);
        }
        let mut stored_key = self.scratch.borrow_mut();
        self.write_key(key, time, rest, &mut stored_key)?;
        let read = |bytes: Option<&[u8]>| bytes.map(|bytes| self.read(value, bytes)).transpose();
        self.store.borrow().get(&stored_key, read)?
    }

    /// Has `write` do something with the bytes of a value, or with none if it is null.
    pub(super) fn with_bytes_of<V: 'static>(
        &self,
        serde: &SharedSerde<V>,
        value: Option<&V>,
        write: impl FnOnce(Option<&[u8]>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut bytes = self.values.borrow_mut();
        bytes.clear();
        let encoded = match value {
            Some(value) => serde.serialize(value, &mut bytes),
            None => Ok(Encoded::Null),
        };
        match encoded.map_err(|error| self.cannot_write(error))? {
            Encoded::Bytes => write(Some(&bytes)),
            Encoded::Null => write(None),
        }
    }

    pub(super) fn put(
        &self,
        key: &K,
        time: i64,
        rest: &[u8],
        write: Write<'_>,
    ) -> Result<(), Error> {
        self.check_time(time)?;
        let mut stored_key = self.scratch.borrow_mut();
        self.write_key(key, time, rest, &mut stored_key)?;
        let logged_key = &stored_key[SEGMENT_BYTES..];
        let Write {
            logged,
            logged_at,
            headers,
            ..
        } = write;
        self.log.send_with(logged_key, logged, logged_at, headers)?;
        let mut store = self.store.borrow_mut();
        store.observe(time);
        if time < self.segments.kept_from_ms(store.observed_ms()) {
            self.log.refused();
        } else {
            store.put(&stored_key, write.stored);
        }
        Ok(())
    }

    /// Whether a put at that time would be kept.
    pub(super) fn is_kept(&self, time: i64) -> bool {
        let observed = self.store.borrow().observed_ms().max(time);
        time >= self.segments.kept_from_ms(observed)
    }

    /// Stores without logging: a [`log`](Self::log) before the commit is owed.
    pub(super) fn stage(
        &self,
        key: &K,
        (time, rest): (i64, &[u8]),
        stored: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.check_time(time)?;
        let mut stored_key = self.scratch.borrow_mut();
        self.write_key(key, time, rest, &mut stored_key)?;
        let mut store = self.store.borrow_mut();
        store.observe(time);
        store.put(&stored_key, stored);
        Ok(())
    }

    /// Has `send` log what is stored, even if time has passed it since.
    pub(super) fn log<R>(
        &self,
        key: &K,
        (time, rest): (i64, &[u8]),
        send: impl FnOnce(&[u8], Option<&[u8]>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut stored_key = self.scratch.borrow_mut();
        self.write_key(key, time, rest, &mut stored_key)?;
        let logged_key = &stored_key[SEGMENT_BYTES..];
        let store = self.store.borrow();
        store.get(&stored_key, |stored| send(logged_key, stored))?
    }

    fn check_time(&self, time: i64) -> Result<(), Error> {
        if time >= 0 {
            return Ok(());
        }
        let message = format!("a window cannot begin or end at {time}, before the epoch");
        Err(self.log.error(&message))
    }

    /// Logs a deletion of what was never there: the store, and its time, stay as they are.
    pub(super) fn log_only(
        &self,
        key: &K,
        time: i64,
        rest: &[u8],
        headers: &Headers,
    ) -> Result<(), Error> {
        let mut stored_key = self.scratch.borrow_mut();
        self.write_key(key, time, rest, &mut stored_key)?;
        let logged_key = &stored_key[SEGMENT_BYTES..];
        self.log.send_with(logged_key, None, None, headers)
    }

    fn write_key(&self, key: &K, time: i64, rest: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        out.extend_from_slice(&self.segments.segment_of(time).to_be_bytes());
        self.write_inner_key(key, out)?;
        out.extend_from_slice(&time.to_be_bytes());
        out.extend_from_slice(rest);
        Ok(())
    }

    fn write_inner_key(&self, key: &K, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.key.serialize(key, out) {
            Ok(Encoded::Bytes) => Ok(()),
            Ok(Encoded::Null) => Err(self.log.error("a store has no entry for a null key")),
            Err(error) => Err(self.cannot_write(error)),
        }
    }

    fn inner_key(&self, key: &K) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.write_inner_key(key, &mut bytes)?;
        Ok(bytes)
    }

    fn cannot_write(&self, error: crate::serde::SerdeError) -> Error {
        let what = "cannot serialize for the store";
        self.log.error(what).because(error)
    }

    pub(super) fn read<T: 'static>(
        &self,
        serde: &SharedSerde<T>,
        bytes: &[u8],
    ) -> Result<T, Error> {
        let value = serde.deserialize(Some(bytes));
        value.map_err(|error| {
            let remedy = "cannot read what the store holds; was its serde changed?";
            self.log.error(remedy).because(error)
        })
    }

    /// Entries of one key.
    pub(super) fn scan_key(
        &self,
        key: &K,
        times: Times,
        direction: Direction,
    ) -> Result<SegmentCursor, Error> {
        let keys = Keys::One(self.inner_key(key)?);
        Ok(self.cursor(keys, times, direction))
    }

    /// Entries of keys from one to another, both included, by segment and key.
    pub(super) fn scan_keys(
        &self,
        from: &K,
        to: &K,
        times: Times,
        direction: Direction,
    ) -> Result<SegmentCursor, Error> {
        let keys = Keys::Between(self.inner_key(from)?, self.inner_key(to)?);
        Ok(self.cursor(keys, times, direction))
    }

    /// Entries of all keys, by segment and key.
    pub(super) fn scan_all(&self, times: Times, direction: Direction) -> SegmentCursor {
        self.cursor(Keys::All, times, direction)
    }

    fn cursor(&self, keys: Keys, times: Times, direction: Direction) -> SegmentCursor {
        let seen = (Rc::clone(&self.store), View::Task);
        SegmentCursor::new(seen, self.segments, keys, times, direction)
    }
}

/// A span of times, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    from: i64,
    to: i64,
    hidden: Hidden,
}

/// What a scan passes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    Expired,
    Nothing,
}

impl Times {
    pub(super) const ALL: Times = Times {
        from: 0,
        to: i64::MAX,
        hidden: Hidden::Expired,
    };

    pub(super) fn between(from: Timestamp, to: Timestamp) -> Self {
        Times {
            from: from.as_millis(),
            to: to.as_millis(),
            hidden: Hidden::Expired,
        }
    }

    pub(super) fn starting_at_least(mut self, from_ms: i64) -> Self {
        self.from = self.from.max(from_ms);
        self
    }

    /// With what is past the retention and still there.
    pub(super) fn with_expired(mut self) -> Self {
        self.hidden = Hidden::Nothing;
        self
    }
}

/// Which keys a scan is for.
#[derive(Debug)]
pub(super) enum Keys {
    One(Vec<u8>),
    Between(Vec<u8>, Vec<u8>),
    All,
}

/// A scan in slices, segment by segment, that holds no borrow of the store between steps.
///
/// Answers changelog keys with their values.
pub(super) struct SegmentCursor {
    store: Rc<RefCell<TaskStore>>,
    view: View,
    segments: Segments,
    direction: Direction,
    keys: Keys,
    /// The times wanted, both included.
    times: (i64, i64),
    /// The first and last segment still to visit; none once all are.
    unvisited: Option<(i64, i64)>,
    /// The segment being visited.
    visited: i64,
    /// What is still to be fetched of it.
    rest: Option<KeyRange>,
    slice: Slice,
    /// The entry of the slice that is next.
    next: usize,
    /// How many entries the next slice has.
    fetch: usize,
}

impl SegmentCursor {
    pub(super) fn new(
        (store, view): (Rc<RefCell<TaskStore>>, View),
        segments: Segments,
        keys: Keys,
        times: Times,
        direction: Direction,
    ) -> Self {
        let observed = store.borrow().observed_ms_as(view);
        let from = match times.hidden {
            Hidden::Expired => times
                .from
                .max(segments.expired_ms(observed).saturating_add(1)),
            Hidden::Nothing => times.from,
        };
        let (from, to) = (from.max(0), times.to.min(observed));
        let unvisited = (from <= to).then(|| (segments.segment_of(from), segments.segment_of(to)));
        SegmentCursor {
            store,
            view,
            segments,
            direction,
            keys,
            times: (from, to),
            unvisited,
            visited: 0,
            rest: None,
            slice: Slice::default(),
            next: 0,
            fetch: FIRST_SLICE_ENTRIES,
        }
    }

    /// Fetches the next slice; answers false at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        let range = match self.rest.take() {
            Some(range) => range,
            None => match self.next_segment()? {
                Some(segment) => {
                    self.visited = segment;
                    self.range_in(segment)
                }
                None => return Ok(false),
            },
        };
        let (store, wanted) = (self.store.borrow(), self.fetch);
        let slice = &mut self.slice;
        let seen = (self.view, &range);
        slice.fill(|each| store.scan_as(seen, self.direction, wanted, each))?;
        if slice.len() == wanted {
            let (last, _) = slice.get(wanted - 1).expect("a slice has entries");
            let last = [&self.visited.to_be_bytes()[..], last].concat();
            self.rest = Some(range.behind(Bytes::from(last), self.direction));
            self.fetch = (wanted * SLICE_GROWTH).min(SLICE_ENTRIES_MAX);
        }
        self.next = 0;
        Ok(true)
    }

    fn next_segment(&mut self) -> Result<Option<i64>, Error> {
        let Some((first, last)) = self.unvisited else {
            return Ok(None);
        };
        let is_forward = self.direction == Direction::Forward;
        let next = if last - first < SEGMENTS_TRIED_MAX {
            Some(if is_forward { first } else { last })
        } else {
            self.seek(first, last)?
        };
        let rest = next.map(|next| match self.direction {
            Direction::Forward => (next + 1, last),
            Direction::Reverse => (first, next - 1),
        });
        self.unvisited = rest.filter(|(first, last)| first <= last);
        Ok(next)
    }

    /// The next segment that has entries.
    fn seek(&self, first: i64, last: i64) -> Result<Option<i64>, Error> {
        let range = KeyRange {
            from: std::ops::Bound::Included(segment_start(first)),
            to: match last.checked_add(1) {
                Some(end) => std::ops::Bound::Excluded(segment_start(end)),
                None => std::ops::Bound::Unbounded,
            },
        };
        let mut found = None;
        let store = self.store.borrow();
        store.scan_as((self.view, &range), self.direction, 1, &mut |key, _| {
            let time = self.segments.time_of(key);
            found = time.map(|time| self.segments.segment_of(time));
        })?;
        Ok(found)
    }

    fn range_in(&self, segment: i64) -> KeyRange {
        let start = segment_start(segment);
        let key_with = |key: &[u8], time: i64, fill: u8| {
            let mut bytes = start.to_vec();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&time.to_be_bytes());
            bytes.resize(bytes.len() + self.segments.key.suffix_bytes() - 8, fill);
            Bytes::from(bytes)
        };
        match &self.keys {
            Keys::One(key) => {
                let (from, to) = self.times;
                KeyRange::inclusive(key_with(key, from, 0), key_with(key, to, 0xff))
            }
            // Keys differ in length, so `to` and its times may be before a lesser key's.
            Keys::Between(from, _) => {
                let mut range = KeyRange::prefix(start.clone());
                let from = [&start[..], from].concat();
                range.from = std::ops::Bound::Included(Bytes::from(from));
                range
            }
            Keys::All => KeyRange::prefix(start),
        }
    }

    /// Whether an entry that lies in the range is wanted.
    fn wants(&self, key: &[u8]) -> bool {
        let Some(time) = self.segments.time_of(key) else {
            return false;
        };
        let key = &key[..key.len() - self.segments.key.suffix_bytes()];
        let is_key = match &self.keys {
            Keys::One(one) => key == &one[..],
            Keys::Between(from, to) => &from[..] <= key && key <= &to[..],
            Keys::All => true,
        };
        is_key && self.times.0 <= time && time <= self.times.1
    }
}

impl SegmentCursor {
    /// The next entry: a changelog key and its value.
    pub(super) fn next(&mut self) -> Option<Result<EntryRef<'_>, Error>> {
        loop {
            let fetched = self.next..self.slice.len();
            let mut fetched = fetched.filter_map(|entry| Some((entry, self.slice.get(entry)?.0)));
            if let Some((wanted, _)) = fetched.find(|(_, key)| self.wants(key)) {
                self.next = wanted + 1;
                return self.slice.get(wanted).map(Ok);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
