//! The records of one partition that a worker holds: those of the open batch, kept for replay,
//! and those fetched ahead of it.
//!
//! ```text
//!   arena: [ done, kept for replay | ahead ........ ]
//!                                  ^ head
//!   commit: the kept ones go         rewind: head goes back to the first
//!
//!   a record: offset (8) ‖ timestamp (8) ‖ key length (4) ‖ value length (4) ‖ key ‖ value
//! ```
//!
//! # Invariants
//!
//! - Records lie one behind the other in one arena, so one costs no allocation (its headers do,
//!   if it has any) and is read where it was just written.
//! - Nothing fetched is lost before [`commit`](RecordQueue::commit).

use std::collections::VecDeque;

use crate::record::{Headers, Offset, RawRecord};
use crate::time::Timestamp;

/// What an arena keeps for the next batch, however little it needed last.
const ARENA_KEPT_BYTES: usize = 1 << 20;

/// Records of one partition in the order of their offsets.
#[derive(Debug, Default)]
pub(crate) struct RecordQueue {
    arena: Vec<u8>,
    /// Where the next record to process begins.
    head: usize,
    /// How many records are before the head, and behind it.
    done: usize,
    ahead: usize,
    /// Of the last record that was pushed, and of the last that is done.
    last_pushed: Option<Offset>,
    last_done: Option<Offset>,
    /// The last record that was pushed when the partition was last told to be at its end.
    ended_after: Option<Option<Offset>>,
    headers: SideTable,
}

impl RecordQueue {
    /// Appends a record that was fetched; its bytes are copied.
    ///
    /// # Panics
    ///
    /// When offsets do not ascend: records would be processed out of order.
    pub(crate) fn push(
        &mut self,
        offset: Offset,
        timestamp: Timestamp,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: Headers,
    ) {
        let last = self.last_pushed.replace(offset);
        assert!(
            last.is_none_or(|last| last < offset),
            "offset {offset} after {last:?}"
        );
        let fixed = Fixed {
            offset,
            timestamp,
            key: Length::of(key),
            value: Length::of(value),
        };
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        self.arena.extend_from_slice(&fixed.encode());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.ahead += 1;
        if !headers.is_empty() {
            self.headers.push(offset, headers);
        }
    }

    /// The next record to process.
    #[inline]
    pub(crate) fn head(&self) -> Option<RawRecord<'_>> {
        let (fixed, bytes) = self.read_head()?;
        let (key, bytes) = fixed.key.split(bytes);
        let (value, _) = fixed.value.split(bytes);
        Some(RawRecord {
            offset: fixed.offset,
            timestamp: fixed.timestamp,
            key,
            value,
            headers: self.headers.of(fixed.offset),
        })
    }

    fn read_head(&self) -> Option<(Fixed, &[u8])> {
        let (fixed, bytes) = self.arena[self.head..].split_first_chunk()?;
        Some((Fixed::decode(fixed), bytes))
    }

    /// The keys of the next records, as far as they have one.
    pub(crate) fn keys_ahead(&self, records_max: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = &self.arena[self.head..];
        let records = std::iter::from_fn(move || {
            let (fixed, bytes) = rest.split_first_chunk()?;
            let fixed = Fixed::decode(fixed);
            let (key, bytes) = fixed.key.split(bytes);
            rest = &bytes[fixed.value.bytes()..];
            Some(key)
        });
        records.take(records_max).flatten()
    }

    /// The head is done: keeps it for a replay and goes on.
    ///
    /// # Panics
    ///
    /// When there is no head.
    #[inline]
    pub(crate) fn advance(&mut self) {
        let (fixed, _) = self
            .read_head()
            .expect("only a head that exists can be done");
        self.head += FIXED_BYTES + fixed.key.bytes() + fixed.value.bytes();
        self.done += 1;
        self.ahead -= 1;
        self.last_done = Some(fixed.offset);
        self.headers.pass(fixed.offset);
    }

    /// How many records of the open batch are kept for a replay.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// How many records wait.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead
    }

    /// Where consumption goes on after the records that are done, if any is in the batch.
    pub(crate) fn resume_at(&self) -> Option<Offset> {
        self.last_done.map(Offset::next)
    }

    /// Where consumption goes on after everything that was fetched, if anything was.
    pub(crate) fn end(&self) -> Option<Offset> {
        self.last_pushed.map(Offset::next)
    }

    /// The partition has, for now, no more than what was pushed.
    pub(crate) fn reach_end(&mut self) {
        self.ended_after = Some(self.last_pushed);
    }

    /// Whether nothing was pushed since the partition was at its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended_after == Some(self.last_pushed)
    }

    /// Bytes held for replay.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.head
    }

    /// The batch is committed: forgets the records that are done.
    pub(crate) fn commit(&mut self) {
        let (used, room) = (self.arena.len(), self.arena.capacity());
        self.arena.drain(..self.head);
        if room > ARENA_KEPT_BYTES && used < room / 8 {
            // After a burst its memory goes back step by step.
            self.arena.shrink_to(room / 2);
        }
        self.head = 0;
        self.done = 0;
        self.last_done = None;
        self.headers.forget_passed();
    }

    /// As [`commit`](Self::commit), but what is done from `offset` on is of the next batch.
    pub(crate) fn commit_below(&mut self, offset: Offset) {
        let (mut end, mut kept) = (0, self.done);
        while end < self.head {
            let (fixed, _) = self.arena[end..]
                .split_first_chunk()
                .expect("a whole record");
            let fixed = Fixed::decode(fixed);
            if fixed.offset >= offset {
                break;
            }
            end += FIXED_BYTES + fixed.key.bytes() + fixed.value.bytes();
            kept -= 1;
        }
        self.arena.drain(..end);
        self.head -= end;
        self.done = kept;
        self.headers.forget_below(offset);
    }

    /// The batch is aborted: its records are the next to process again.
    pub(crate) fn rewind(&mut self) {
        self.head = 0;
        self.ahead += std::mem::take(&mut self.done);
        self.last_done = None;
        self.headers.rewind();
    }
}

/// The headers of those records that have some, in the order of their offsets.
#[derive(Debug, Default)]
struct SideTable {
    entries: VecDeque<(Offset, Headers)>,
    /// How many of them belong to records that are done.
    passed: usize,
}

static NO_HEADERS: Headers = Headers::new();

impl SideTable {
    fn push(&mut self, offset: Offset, headers: Headers) {
        self.entries.push_back((offset, headers));
    }

    /// The headers of the head.
    fn of(&self, head: Offset) -> &Headers {
        match self.entries.get(self.passed) {
            Some((offset, headers)) if *offset == head => headers,
            _ => &NO_HEADERS,
        }
    }

    fn pass(&mut self, head: Offset) {
        let next = self.entries.get(self.passed);
        self.passed += usize::from(next.is_some_and(|(offset, _)| *offset == head));
    }

    fn forget_passed(&mut self) {
        self.entries.drain(..self.passed);
        self.passed = 0;
    }

    fn forget_below(&mut self, offset: Offset) {
        let passed = self.entries.iter().take(self.passed);
        let below = passed.take_while(|(at, _)| *at < offset).count();
        self.entries.drain(..below);
        self.passed -= below;
    }

    fn rewind(&mut self) {
        self.passed = 0;
    }
}

/// Bytes of a record besides its key and value.
const FIXED_BYTES: usize = 24;

/// What stands before key and value.
struct Fixed {
    offset: Offset,
    timestamp: Timestamp,
    key: Length,
    value: Length,
}

impl Fixed {
    fn encode(&self) -> [u8; FIXED_BYTES] {
        let mut bytes = [0; FIXED_BYTES];
        bytes[..8].copy_from_slice(&self.offset.get().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.timestamp.as_millis().to_le_bytes());
        bytes[16..20].copy_from_slice(&self.key.0.to_le_bytes());
        bytes[20..].copy_from_slice(&self.value.0.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; FIXED_BYTES]) -> Self {
        let long = |at: usize| {
            let bytes = bytes[at..].first_chunk().expect("within the fixed part");
            i64::from_le_bytes(*bytes)
        };
        let length = |at: usize| {
            let bytes = bytes[at..].first_chunk().expect("within the fixed part");
            Length(i32::from_le_bytes(*bytes))
        };
        Fixed {
            offset: Offset::new(long(0)),
            timestamp: Timestamp::from_millis(long(8)),
            key: length(16),
            value: length(20),
        }
    }
}

/// Of a key or a value; −1: null, as in Kafka's own formats.
#[derive(Clone, Copy)]
struct Length(i32);

impl Length {
    fn of(bytes: Option<&[u8]>) -> Self {
        let length = bytes.map_or(Ok(-1), |bytes| i32::try_from(bytes.len()));
        Length(length.expect("Kafka's lengths have 31 bits"))
    }

    fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// What is of this length, and what follows it.
    fn split(self, bytes: &[u8]) -> (Option<&[u8]>, &[u8]) {
        let (own, rest) = bytes.split_at(self.bytes());
        ((self.0 >= 0).then_some(own), rest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, bool);

    #[test]
    fn the_end_is_reached_until_another_record_comes() {
        let mut queue = RecordQueue::default();
        assert!(!queue.is_at_end(), "nothing was told");
        queue.reach_end();
        assert!(queue.is_at_end(), "nothing was ever there");
        let at = (Offset::new(3), Timestamp::from_millis(0));
        queue.push(at.0, at.1, (None, None), Headers::new());
        assert!(!queue.is_at_end());
        queue.reach_end();
        queue.advance();
        queue.commit();
        assert!(queue.is_at_end(), "what is done changes nothing");
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A record with or without headers.
        Push(Option<Vec<u8>>, Option<Vec<u8>>, bool),
        Advance,
        Commit,
        /// But for so many of the last that are done.
        CommitBut(usize),
        Rewind,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
        prop_oneof![
            5 => (bytes(), bytes(), any::<bool>()).prop_map(|(k, v, h)| Step::Push(k, v, h)),
            4 => Just(Step::Advance),
            1 => Just(Step::Commit),
            1 => (1..4usize).prop_map(Step::CommitBut),
            1 => Just(Step::Rewind),
        ]
    }

    proptest! {
        #[test]
        fn the_queue_equals_two_plain_lists(steps in prop::collection::vec(step(), 0..80)) {
            let mut queue = RecordQueue::default();
            let (mut done, mut ahead) = (VecDeque::<Plain>::new(), VecDeque::<Plain>::new());
            let mut next = 0i64;
            for step in steps {
                match step {
                    Step::Push(key, value, headed) => {
                        next += 2; // offsets have gaps: markers take some
                        let mut headers = Headers::new();
                        if headed {
                            headers.push("at", Some(&next.to_be_bytes()));
                        }
                        let at = (Offset::new(next), Timestamp::from_millis(next));
                        let bytes = (key.as_deref(), value.as_deref());
                        queue.push(at.0, at.1, bytes, headers);
                        ahead.push_back((next, key, value, headed));
                    }
                    Step::Advance => if let Some(record) = ahead.pop_front() {
                        queue.advance();
                        done.push_back(record);
                    },
                    Step::Commit => {
                        queue.commit();
                        done.clear();
                    }
                    Step::CommitBut(kept) => {
                        let below = done.len().saturating_sub(kept);
                        if let Some((first, ..)) = done.get(below) {
                            queue.commit_below(Offset::new(*first));
                            done.drain(..below);
                        }
                    }
                    Step::Rewind => {
                        queue.rewind();
                        done.extend(ahead.drain(..));
                        std::mem::swap(&mut done, &mut ahead);
                    }
                }
                let head = queue.head().map(|r| {
                    let at = r.headers.last("at").and_then(|header| header.value.clone());
                    let own = at.as_deref() == Some(&r.offset.get().to_be_bytes()[..]);
                    assert_eq!(own, at.is_some(), "headers of another record");
                    assert_eq!(r.timestamp.as_millis(), r.offset.get());
                    (r.offset.get(), r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), own)
                });
                prop_assert_eq!(head.as_ref(), ahead.front());
                prop_assert_eq!(queue.ahead(), ahead.len());
                let keys = ahead.iter().take(3).filter_map(|(_, key, ..)| key.as_deref());
                prop_assert!(queue.keys_ahead(3).eq(keys));
                let resume_at = done.back().map(|(offset, ..)| Offset::new(offset + 1));
                prop_assert_eq!(queue.resume_at(), resume_at);
                let held = |(_, k, v, _): &Plain| {
                    FIXED_BYTES + k.iter().chain(v).map(Vec::len).sum::<usize>()
                };
                prop_assert_eq!(queue.retained_bytes(), done.iter().map(held).sum::<usize>());
            }
        }
    }
}
