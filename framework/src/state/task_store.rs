//! One store of one task: the committed bytes, the open batch over them, the way to the changelog.
//!
//! # Invariants
//!
//! - The changelog gets every put of a logged store, in order; or, from a store that
//!   [logs at the close](TaskStore::log_at_close), the last value of each key that a batch wrote.
//!   Either way it holds the batch before that is committed.
//! - [`apply`](TaskStore::apply) follows a commit, [`discard`](TaskStore::discard) an abort.

use std::num::NonZeroUsize;
use std::rc::Rc;

use bytes::Bytes;

use super::changelog::NO_HEADERS;
use super::headed::write_headers;
use super::history::{self, Version};
use super::lru::LruStore;
use super::memory::MemoryStore;
use super::segments::{SEGMENT_BYTES, SegmentedStore, Segments};
use super::staged::{Direction, StagedWrites};
use super::store::{ByteStore, KeyRange};

pub(super) use super::store::View;
use super::versioned::VersionPut;
use crate::error::Error;
use crate::record::Headers;
use crate::time::Timestamp;

/// How the value of a changelog record becomes the value in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangelogFormat {
    /// The same bytes.
    Plain,
    /// The store puts the record's timestamp (8 bytes, big-endian) before the value.
    Timestamped,
    /// The store puts the record's headers before the value.
    Headed,
    /// A version of the key, at the record's timestamp: the store keeps it beside the others for
    /// that long.
    Versioned { retention_ms: i64 },
}

/// Bytes of the timestamp before each value that has one.
pub(super) const TIMESTAMP_BYTES: usize = 8;

impl ChangelogFormat {
    /// Appends what a store holds for a changelog record.
    fn write(self, value: &[u8], of: (Timestamp, &Headers), stored: &mut Vec<u8>) {
        match self {
            ChangelogFormat::Timestamped => begin_timestamped(of.0, stored),
            ChangelogFormat::Headed => write_headers(of.1, stored),
            ChangelogFormat::Plain | ChangelogFormat::Versioned { .. } => {}
        }
        stored.extend_from_slice(value);
    }
}

/// Appends what goes before a value of that time: the value itself is what the changelog gets.
pub(super) fn begin_timestamped(timestamp: Timestamp, stored: &mut Vec<u8>) {
    stored.extend_from_slice(&timestamp.as_millis().to_be_bytes());
}

/// A store as its task sees it.
#[derive(Debug)]
pub(crate) struct TaskStore {
    engine: Engine,
    format: ChangelogFormat,
    /// How keys are divided by time; none in a key-value store.
    segments: Option<Segments>,
    progress: Progress,
    committed_progress: Progress,
    /// Whether values may go to the changelog when the batch closes.
    log_at_close: bool,
    /// How to take back what the record in process wrote, while that is possible.
    undo: Option<Undo>,
    /// Reused for every record of a restore.
    restored: Vec<u8>,
    /// How often not to look ahead: the keys were others.
    ahead_pauses: u32,
}

/// How many turns pass before it is tried again whether the keys of the input are those of a store.
const AHEAD_PAUSES: u32 = 100;

/// Where the entries lie.
#[derive(Debug)]
enum Engine {
    /// In memory, where each slot has room for what is staged.
    Memory(MemoryStore),
    /// In memory, so many entries at most.
    Lru(Box<LruStore>),
    /// In memory, segment by segment.
    Segmented(SegmentedStore),
    /// In a store that knows nothing of batches, which are laid over it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "stores in memory know of batches")
    )]
    Overlaid {
        committed: Box<dyn ByteStore>,
        staged: StagedWrites,
    },
}

/// A key, and the value that it had.
type Overwritten = (Box<[u8]>, Option<Box<[u8]>>);

/// What was there before one record.
#[derive(Debug)]
struct Undo {
    progress: Progress,
    /// How many uses of keys were noted, where uses count.
    uses_noted: usize,
    /// Keys that were written, each with the value before that write.
    writes: Vec<Overwritten>,
    /// What was there could not be read.
    failed: Option<Error>,
}

/// How far a windowed store has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The highest time that was put: what is too far behind it is expired.
    observed_ms: i64,
    /// The last number that told duplicates apart.
    sequence: i32,
}

impl Progress {
    const NONE: Progress = Progress {
        observed_ms: -1,
        sequence: 0,
    };

    fn observe(&mut self, time_ms: i64) {
        self.observed_ms = self.observed_ms.max(time_ms);
    }
}

impl TaskStore {
    pub(crate) fn in_memory(format: ChangelogFormat) -> Self {
        TaskStore::new(Engine::Memory(MemoryStore::new()), format)
    }

    #[cfg(test)]
    pub(crate) fn over(committed: Box<dyn ByteStore>, format: ChangelogFormat) -> Self {
        let staged = StagedWrites::default();
        TaskStore::new(Engine::Overlaid { committed, staged }, format)
    }

    /// A store that forgets what was longest not used, from so many entries on.
    pub(crate) fn least_recently_used(format: ChangelogFormat, entries_max: NonZeroUsize) -> Self {
        let engine = Engine::Lru(Box::new(LruStore::new(entries_max)));
        TaskStore::new(engine, format)
    }

    /// A store whose keys are divided by time.
    pub(crate) fn segmented(format: ChangelogFormat, segments: Segments) -> Self {
        TaskStore {
            segments: Some(segments),
            ..TaskStore::new(Engine::Segmented(SegmentedStore::new(segments)), format)
        }
    }

    fn new(engine: Engine, format: ChangelogFormat) -> Self {
        TaskStore {
            engine,
            format,
            segments: None,
            progress: Progress::NONE,
            committed_progress: Progress::NONE,
            log_at_close: false,
            undo: None,
            restored: Vec::new(),
            ahead_pauses: 0,
        }
    }

    /// Gets ready for keys that records will probably bring soon: those of a table or of counts
    /// are the keys of the input, more often than not. Nothing depends on it but time.
    pub(crate) fn look_ahead<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        let Engine::Memory(store) = &self.engine else {
            return;
        };
        if self.ahead_pauses > 0 || !store.is_large() {
            self.ahead_pauses = self.ahead_pauses.saturating_sub(1);
            return;
        }
        let mut asked = 0;
        let found = store.look_ahead(keys.inspect(|_| asked += 1));
        if found < asked / 2 {
            self.ahead_pauses = AHEAD_PAUSES;
        }
    }

    /// The highest time that was put, -1 before the first.
    pub(crate) fn observed_ms(&self) -> i64 {
        self.progress.observed_ms
    }

    /// Notes the time of a put.
    pub(crate) fn observe(&mut self, time_ms: i64) {
        self.progress.observe(time_ms);
    }

    /// Notes how far the slowest is who reads what is held for those who are behind.
    pub(crate) fn needed_at(&mut self, slowest_ms: i64) {
        if let Engine::Segmented(store) = &mut self.engine {
            store.needed_at(slowest_ms);
        }
    }

    /// The next number that tells duplicates apart, from 1 on; it wraps to 0.
    pub(crate) fn next_sequence(&mut self) -> i32 {
        self.progress.sequence = self.progress.sequence.wrapping_add(1) & i32::MAX;
        self.progress.sequence
    }

    /// Shows the value of a key to `read`.
    pub(crate) fn get<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        match &self.engine {
            Engine::Memory(store) => Ok(read(store.staged_or_committed(key))),
            Engine::Lru(store) => Ok(read(store.get(key))),
            Engine::Segmented(store) => Ok(read(store.staged_or_committed(key))),
            Engine::Overlaid { committed, staged } => {
                Ok(read(staged.get(&**committed, key)?.as_deref()))
            }
        }
    }

    /// Whether a put may have another entry forgotten.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.engine, Engine::Lru(_))
    }

    /// The key that is forgotten when this one is put.
    pub(crate) fn forgotten_for(&self, key: &[u8]) -> Option<Rc<[u8]>> {
        match &self.engine {
            Engine::Lru(store) => store.forgotten_for(key),
            _ => None,
        }
    }

    /// From here on, values with a timestamp may wait for the close of their batch before they are
    /// logged: of many writes to a key within one batch, only the last is of use to a restore.
    pub(crate) fn log_at_close(&mut self) {
        let keeps_account = matches!(self.engine, Engine::Memory(_));
        self.log_at_close = keeps_account && self.format == ChangelogFormat::Timestamped;
    }

    /// Whether [`put_unlogged`](Self::put_unlogged) is open.
    pub(crate) fn logs_at_close(&self) -> bool {
        self.log_at_close
    }

    /// Stages a value that [`log_staged`](Self::log_staged) will show.
    ///
    /// # Panics
    ///
    /// When the store does not log at the close.
    pub(crate) fn put_unlogged(&mut self, key: &[u8], value: &[u8]) {
        assert!(self.log_at_close, "nobody would log it");
        self.note_before(key);
        self.stage_unlogged(key, value);
    }

    /// Shows what is staged and not logged yet to `log`: before the batch is committed.
    pub(crate) fn log_staged(
        &self,
        mut log: impl FnMut(&[u8], &[u8], Timestamp) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Engine::Memory(store) = &self.engine else {
            return Ok(());
        };
        store.log_staged(|key, stored| match stored.split_first_chunk() {
            Some((at, value)) => log(key, value, Timestamp::from_millis(i64::from_be_bytes(*at))),
            None => unreachable!("only values with a timestamp are logged at the close"),
        })
    }

    /// Stages a write; the caller sends the changelog record.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.note_before(key);
        self.stage(key, value);
    }

    fn note_before(&mut self, key: &[u8]) {
        if let Some(mut undo) = self.undo.take() {
            if let Engine::Lru(store) = &self.engine {
                // Noted without a look at them: that would be a use.
                let forgotten = store.forgotten_for(key);
                for key in std::iter::once(key).chain(forgotten.as_deref()) {
                    let before = store.entries().staged_or_committed(key);
                    undo.writes.push((Box::from(key), before.map(Box::from)));
                }
            } else {
                match self.get(key, |before| before.map(Box::from)) {
                    Ok(before) => undo.writes.push((Box::from(key), before)),
                    Err(error) => undo.failed = undo.failed.or(Some(error)),
                }
            }
            self.undo = Some(undo);
        }
    }

    /// Stages a version of a key, unless it is too old; the caller sends the changelog record.
    ///
    /// # Panics
    ///
    /// When the store is not versioned.
    pub(crate) fn put_version(
        &mut self,
        key: &[u8],
        version: Version<'_>,
    ) -> Result<VersionPut, Error> {
        let ChangelogFormat::Versioned { retention_ms } = self.format else {
            panic!("only versioned stores have versions");
        };
        let mut history = Vec::new();
        let put = self.write_history(key, version, retention_ms, &mut history)?;
        if put != VersionPut::Refused {
            self.put(
                key,
                Some(&history[..]).filter(|history| !history.is_empty()),
            );
        }
        Ok(put)
    }

    /// Writes what the history of a key becomes by a version, unless that is too old.
    fn write_history(
        &mut self,
        key: &[u8],
        version: Version<'_>,
        retention_ms: i64,
        out: &mut Vec<u8>,
    ) -> Result<VersionPut, Error> {
        let oldest = |observed_ms: i64| observed_ms.saturating_sub(retention_ms);
        if version.from_ms < oldest(self.progress.observed_ms) {
            return Ok(VersionPut::Refused);
        }
        self.progress.observe(version.from_ms);
        let oldest = oldest(self.progress.observed_ms);
        let next = self.get(key, |before| {
            history::insert(before.unwrap_or_default(), version, oldest, out)
        })?;
        let until = |next| VersionPut::ValidUntil(Timestamp::from_millis(next));
        Ok(next.map_or(VersionPut::Latest, until))
    }

    fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        match &mut self.engine {
            Engine::Memory(store) => store.stage(key, value),
            Engine::Lru(store) => store.stage(key, value),
            Engine::Segmented(store) => store.stage(key, value),
            Engine::Overlaid { staged, .. } => staged.put(key, value),
        }
    }

    fn stage_before(&mut self, key: &[u8], value: Option<&[u8]>) {
        match &mut self.engine {
            Engine::Lru(store) => store.stage_before(key, value),
            _ => self.stage(key, value),
        }
    }

    fn stage_unlogged(&mut self, key: &[u8], value: &[u8]) {
        match &mut self.engine {
            Engine::Memory(store) => store.stage_unlogged(key, value),
            _ => unreachable!("only stores in memory log at the close"),
        }
    }

    /// Shows the first `entries_max` entries of a range to `each`, in a direction: keys as the
    /// changelog has them, without the segment that a stored key begins with.
    pub(crate) fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        entries_max: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        self.scan_as((View::Task, range), direction, entries_max, each)
    }

    /// As [`scan`](Self::scan), with or without the open batch.
    pub(super) fn scan_as(
        &self,
        (view, range): (View, &KeyRange),
        direction: Direction,
        entries_max: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let seen = (view, range);
        match &self.engine {
            Engine::Memory(store) => store.scan_as(seen, direction, entries_max, each),
            Engine::Lru(store) => store.entries().scan_as(seen, direction, entries_max, each),
            Engine::Segmented(store) => store.scan_as(seen, direction, entries_max, each),
            Engine::Overlaid { committed, staged } => {
                let entries = match (view, direction) {
                    (View::Task, _) => staged.scan(&**committed, range, direction, entries_max)?,
                    (View::Committed, Direction::Forward) => committed.scan(range, entries_max)?,
                    (View::Committed, Direction::Reverse) => {
                        committed.scan_reverse(range, entries_max)?
                    }
                };
                let prefix = self.segments.map_or(0, |_| SEGMENT_BYTES);
                for (key, value) in &entries {
                    each(&key[prefix..], value);
                }
            }
        }
        Ok(())
    }

    /// The value of a key without the open batch.
    pub(super) fn get_committed(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match &self.engine {
            Engine::Memory(store) => Ok(store.committed(key).map(Bytes::copy_from_slice)),
            Engine::Lru(store) => Ok(store.entries().committed(key).map(Bytes::copy_from_slice)),
            Engine::Segmented(store) => Ok(store.committed(key).map(Bytes::copy_from_slice)),
            Engine::Overlaid { committed, .. } => committed.get(key),
        }
    }

    /// The highest time that was put, to these eyes.
    pub(super) fn observed_ms_as(&self, view: View) -> i64 {
        match view {
            View::Task => self.progress.observed_ms,
            View::Committed => self.committed_progress.observed_ms,
        }
    }

    pub(super) fn segments(&self) -> Option<Segments> {
        self.segments
    }

    pub(crate) fn approximate_entries(&self) -> u64 {
        match &self.engine {
            Engine::Memory(store) => store.approximate_entries(),
            Engine::Lru(store) => store.entries().approximate_entries(),
            Engine::Segmented(store) => store.approximate_entries(),
            Engine::Overlaid { committed, .. } => committed.approximate_entries(),
        }
    }

    /// From here on, writes can be taken back.
    pub(crate) fn hold(&mut self) {
        let uses_noted = match &self.engine {
            Engine::Lru(store) => store.uses_noted(),
            _ => 0,
        };
        self.undo = Some(Undo {
            progress: self.progress,
            uses_noted,
            writes: Vec::new(),
            failed: None,
        });
    }

    /// The writes since [`hold`](Self::hold) stay.
    pub(crate) fn keep(&mut self) {
        self.undo = None;
    }

    /// Takes back the writes since [`hold`](Self::hold).
    ///
    /// # Errors
    ///
    /// When the store could not be read while they were made: the batch has to be aborted.
    pub(crate) fn undo(&mut self) -> Result<(), Error> {
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        for (key, before) in undo.writes.into_iter().rev() {
            match before {
                // The changelog may not have it yet; twice is no harm.
                Some(before) if self.log_at_close => self.stage_unlogged(&key, &before),
                before => self.stage_before(&key, before.as_deref()),
            }
        }
        if let Engine::Lru(store) = &mut self.engine {
            store.revert_uses(undo.uses_noted);
        }
        self.progress = undo.progress;
        undo.failed.map_or(Ok(()), Err)
    }

    /// Makes the batch durable, after the broker has committed it.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        self.committed_progress = self.progress;
        match &mut self.engine {
            Engine::Memory(store) => store.commit_staged(),
            Engine::Lru(store) => store.commit_staged(),
            Engine::Segmented(store) => store.commit_staged(),
            Engine::Overlaid { staged, .. } if staged.is_empty() => {}
            Engine::Overlaid { committed, staged } => committed.apply(&mut staged.take())?,
        }
        Ok(())
    }

    /// Forgets the batch, after the broker has aborted it.
    pub(crate) fn discard(&mut self) {
        self.undo = None;
        self.progress = self.committed_progress;
        match &mut self.engine {
            Engine::Memory(store) => store.discard_staged(),
            Engine::Lru(store) => store.discard_staged(),
            Engine::Segmented(store) => store.discard_staged(),
            Engine::Overlaid { staged, .. } => staged.discard(),
        }
    }

    /// Takes over changelog records, oldest first: they are committed by definition.
    pub(crate) fn restore<'r>(
        &mut self,
        mut records: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>, Timestamp)>,
    ) -> Result<(), Error> {
        records.try_for_each(|record| self.restore_with(record, &NO_HEADERS))
    }

    /// As [`restore`](Self::restore), of one record with its headers.
    pub(crate) fn restore_with(
        &mut self,
        (key, value, timestamp): (&[u8], Option<&[u8]>, Timestamp),
        headers: &Headers,
    ) -> Result<(), Error> {
        assert!(self.is_clean(), "a store is restored before its task runs");
        if let ChangelogFormat::Versioned { retention_ms } = self.format {
            let from_ms = timestamp.as_millis();
            let version = Version { from_ms, value };
            self.restore_version(key, version, retention_ms)?;
            self.committed_progress = self.progress;
            return Ok(());
        }
        let value = value.map(|value| {
            self.restored.clear();
            let of = (timestamp, headers);
            self.format.write(value, of, &mut self.restored);
            &self.restored[..]
        });
        let Some(segments) = &self.segments else {
            return self.engine.write_committed(key, value);
        };
        let (stored_key, time_ms) = segments.stored_key(key)?;
        let sequence = segments.sequence_of(key);
        self.progress.sequence = self.progress.sequence.max(sequence);
        // The deletion of what was never there did not age the store then, either.
        if value.is_some() || sequence == 0 {
            self.progress.observe(time_ms);
            self.engine.write_committed(&stored_key, value)?;
        }
        self.committed_progress = self.progress;
        Ok(())
    }

    fn restore_version(
        &mut self,
        key: &[u8],
        version: Version<'_>,
        retention_ms: i64,
    ) -> Result<(), Error> {
        let mut history = std::mem::take(&mut self.restored);
        history.clear();
        let put = self.write_history(key, version, retention_ms, &mut history)?;
        if put != VersionPut::Refused {
            let history = Some(&history[..]).filter(|history| !history.is_empty());
            self.engine.write_committed(key, history)?;
        }
        self.restored = history;
        Ok(())
    }

    fn is_clean(&self) -> bool {
        match &self.engine {
            Engine::Memory(store) => store.is_clean(),
            Engine::Lru(store) => store.entries().is_clean(),
            Engine::Segmented(store) => store.is_clean(),
            Engine::Overlaid { staged, .. } => staged.is_empty(),
        }
    }
}

impl Engine {
    fn write_committed(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        match self {
            Engine::Memory(store) => store.write_committed(key, value),
            Engine::Lru(store) => store.write_committed(key, value),
            Engine::Segmented(store) => store.write_committed(key, value),
            Engine::Overlaid { committed, .. } => {
                let value = value.map(Bytes::copy_from_slice);
                let write = (Bytes::copy_from_slice(key), value);
                committed.apply(&mut std::iter::once(write))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(format: ChangelogFormat) -> [TaskStore; 2] {
        let over = TaskStore::over(Box::new(MemoryStore::new()), format);
        [TaskStore::in_memory(format), over]
    }

    fn value(store: &TaskStore, key: &[u8]) -> Option<Vec<u8>> {
        store.get(key, |value| value.map(<[u8]>::to_vec)).unwrap()
    }

    #[test]
    fn what_is_taken_back_is_as_it_was_and_what_is_kept_stays() {
        for mut store in stores(ChangelogFormat::Plain) {
            let log = [(&b"old"[..], Some(&b"0"[..]), Timestamp::NONE)];
            store.restore(log.into_iter()).unwrap();
            store.hold();
            store.put(b"kept", Some(b"1"));
            store.keep();
            store.hold();
            store.put(b"old", None);
            store.put(b"kept", Some(b"2"));
            store.put(b"kept", Some(b"3"));
            store.put(b"new", Some(b"4"));
            store.observe(9);
            store.undo().unwrap();
            let values = [&b"old"[..], b"kept", b"new"].map(|key| value(&store, key));
            let expected = [Some(&b"0"[..]), Some(b"1"), None];
            assert_eq!(values, expected.map(|value| value.map(<[u8]>::to_vec)));
            assert_eq!(store.observed_ms(), -1);
            store.apply().unwrap();
            let values = [&b"old"[..], b"kept", b"new"].map(|key| value(&store, key));
            assert_eq!(values, expected.map(|value| value.map(<[u8]>::to_vec)));
        }
    }

    #[test]
    fn a_restored_timestamped_entry_equals_the_one_that_was_written() {
        for mut store in stores(ChangelogFormat::Timestamped) {
            let records = [(&b"k"[..], Some(&b"v"[..]), Timestamp::from_millis(258))];
            store.restore(records.into_iter()).unwrap();
            let stored = value(&store, b"k").unwrap();
            assert_eq!(&stored[..], b"\0\0\0\0\0\0\x01\x02v");
        }
    }

    #[test]
    fn looking_ahead_stops_where_the_keys_are_others() {
        let mut store = TaskStore::in_memory(ChangelogFormat::Plain);
        let key = |number: u32| number.to_be_bytes();
        (0..5000).for_each(|number| store.put(&key(number), Some(b"v")));
        let look = |store: &mut TaskStore, first: u32| {
            let keys: Vec<_> = (first..first + 10).map(key).collect();
            let mut asked = 0;
            store.look_ahead(keys.iter().map(|key| &key[..]).inspect(|_| asked += 1));
            asked
        };
        assert_eq!(look(&mut store, 100), 10);
        assert_eq!(look(&mut store, 4994), 10, "most are there");
        assert_eq!(look(&mut store, 4998), 10, "few are");
        for _ in 0..AHEAD_PAUSES {
            assert_eq!(look(&mut store, 100), 0);
        }
        assert_eq!(look(&mut store, 100), 10, "tried again");
    }

    #[test]
    fn replaying_a_changelog_twice_converges() {
        type Logged = (&'static [u8], Option<&'static [u8]>, Timestamp);
        let log: [Logged; 3] = [
            (b"a", Some(b"1"), Timestamp::NONE),
            (b"b", Some(b"2"), Timestamp::NONE),
            (b"a", None, Timestamp::NONE),
        ];
        for mut store in stores(ChangelogFormat::Plain) {
            store.restore(log.into_iter()).unwrap();
            store.restore(log.into_iter()).unwrap();
            assert_eq!(value(&store, b"a"), None);
            assert_eq!(value(&store, b"b"), Some(b"2".to_vec()));
        }
    }

    #[test]
    fn an_aborted_batch_leaves_no_trace() {
        for mut store in stores(ChangelogFormat::Plain) {
            store.put(b"a", Some(b"1"));
            store.apply().unwrap();
            store.put(b"a", Some(b"2"));
            store.put(b"b", Some(b"3"));
            store.discard();
            assert_eq!(value(&store, b"a"), Some(b"1".to_vec()));
            assert_eq!(value(&store, b"b"), None);
            assert_eq!(store.approximate_entries(), 1);
        }
    }
}
