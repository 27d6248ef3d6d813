//! The records of one partition that a worker holds: those of the open batch, kept for replay,
//! and those fetched ahead of it.
//!
//! ```text
//!   entries: [ done, kept for replay | ahead ........ ]
//!                                    ^ head
//!   commit: the kept ones go          rewind: head goes back to the first
//! ```
//!
//! # Invariants
//!
//! - Bytes live in one arena, so a record costs no allocation (its headers do, if it has any).
//! - Nothing fetched is lost before [`commit`](RecordQueue::commit) or [`clear`](RecordQueue::clear).

use std::ops::Range;

use crate::record::{Headers, Offset, RawRecord};
use crate::time::Timestamp;

/// Records of one partition in the order of their offsets.
#[derive(Debug, Default)]
pub(crate) struct RecordQueue {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of the next record to process.
    head: usize,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    timestamp: Timestamp,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Headers,
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
        let last = self.entries.last().map(|entry| entry.offset);
        assert!(
            last.is_none_or(|last| last < offset),
            "offset {offset} after {last:?}"
        );
        let key = key.map(|key| self.append(key));
        let value = value.map(|value| self.append(value));
        self.entries.push(Entry {
            offset,
            timestamp,
            key,
            value,
            headers,
        });
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The next record to process.
    pub(crate) fn head(&self) -> Option<RawRecord<'_>> {
        let entry = self.entries.get(self.head)?;
        Some(RawRecord {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: entry.key.clone().map(|range| &self.bytes[range]),
            value: entry.value.clone().map(|range| &self.bytes[range]),
            headers: &entry.headers,
        })
    }

    /// The head is done: keeps it for a replay and goes on.
    pub(crate) fn advance(&mut self) {
        assert!(
            self.head < self.entries.len(),
            "only a head that exists can be done"
        );
        self.head += 1;
    }

    /// How many records wait.
    pub(crate) fn ahead(&self) -> usize {
        self.entries.len() - self.head
    }

    /// Where consumption goes on after the records that are done, if any is in the batch.
    pub(crate) fn resume_at(&self) -> Option<Offset> {
        let last_done = self.head.checked_sub(1)?;
        Some(self.entries[last_done].offset.next())
    }

    /// Bytes held for replay.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.bytes_before(self.head)
    }

    /// The batch is committed: forgets the records that are done.
    pub(crate) fn commit(&mut self) {
        if self.head == self.entries.len() {
            self.clear();
            return;
        }
        let shift = self.bytes_before(self.head);
        self.entries.drain(..self.head);
        self.bytes.drain(..shift);
        self.head = 0;
        for entry in &mut self.entries {
            for range in [&mut entry.key, &mut entry.value].into_iter().flatten() {
                *range = range.start - shift..range.end - shift;
            }
        }
    }

    /// The batch is aborted: its records are the next to process again.
    pub(crate) fn rewind(&mut self) {
        self.head = 0;
    }

    /// Forgets everything: the partition is gone.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.head = 0;
    }

    /// How many bytes of the arena belong to entries before `index`.
    fn bytes_before(&self, index: usize) -> usize {
        let before = self.entries[..index].iter().rev();
        let mut ends = before.filter_map(|e| e.value.as_ref().or(e.key.as_ref()));
        ends.next().map_or(0, |range| range.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    #[derive(Debug, Clone)]
    enum Step {
        Push(Option<Vec<u8>>, Option<Vec<u8>>),
        Advance,
        Commit,
        Rewind,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
        prop_oneof![
            5 => (bytes(), bytes()).prop_map(|(k, v)| Step::Push(k, v)),
            4 => Just(Step::Advance),
            1 => Just(Step::Commit),
            1 => Just(Step::Rewind),
        ]
    }

    proptest! {
        #[test]
        fn the_queue_equals_two_plain_lists(steps in prop::collection::vec(step(), 0..80)) {
            let mut queue = RecordQueue::default();
            let (mut done, mut ahead) = (VecDeque::<Plain>::new(), VecDeque::<Plain>::new());
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push(key, value) => {
                        next += 2; // offsets have gaps: markers take some
                        let at = (Offset::new(next), Timestamp::from_millis(next));
                        let bytes = (key.as_deref(), value.as_deref());
                        queue.push(at.0, at.1, bytes, Headers::new());
                        ahead.push_back((next, key, value));
                    }
                    Step::Advance => if let Some(record) = ahead.pop_front() {
                        queue.advance();
                        done.push_back(record);
                    },
                    Step::Commit => {
                        queue.commit();
                        done.clear();
                    }
                    Step::Rewind => {
                        queue.rewind();
                        done.extend(ahead.drain(..));
                        std::mem::swap(&mut done, &mut ahead);
                    }
                }
                let head = queue.head().map(|r| {
                    (r.offset.get(), r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec))
                });
                prop_assert_eq!(head.as_ref(), ahead.front());
                prop_assert_eq!(queue.ahead(), ahead.len());
                let resume_at = done.back().map(|(offset, ..)| Offset::new(offset + 1));
                prop_assert_eq!(queue.resume_at(), resume_at);
                if ahead.is_empty() {
                    let held = |(_, k, v): &Plain| k.iter().chain(v).map(Vec::len).sum::<usize>();
                    prop_assert_eq!(queue.retained_bytes(), done.iter().map(held).sum::<usize>());
                }
            }
        }
    }
}
