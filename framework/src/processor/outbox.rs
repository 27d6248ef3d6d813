//! What a record leads to, held back until it is known that the record did not fail.
//!
//! ```text
//!   hold ──> send, send, ... ──┬── release: to the collector behind it, in order
//!                              └── discard: nothing has happened
//! ```
//!
//! # Invariants
//!
//! - Outside of a hold it is not there: records pass at once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::scope::{Collector, OutgoingRecord, TopicId};
use crate::error::Error;
use crate::record::Headers;
use crate::time::Timestamp;

/// How much room for outputs stays with a task between two records.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A collector that can take back what it was given.
pub(crate) struct Outbox {
    behind: Rc<dyn Collector>,
    holds: Cell<bool>,
    /// Reused for every record.
    held: RefCell<Held>,
}

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    letters: Vec<Letter>,
}

struct Letter {
    topic: TopicId,
    partition: Option<i32>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    timestamp: Timestamp,
    headers: Headers,
}

impl Outbox {
    pub(crate) fn before(behind: Rc<dyn Collector>) -> Self {
        Outbox {
            behind,
            holds: Cell::new(false),
            held: RefCell::default(),
        }
    }

    /// Holds back what is sent from now on.
    pub(crate) fn hold(&self) {
        self.holds.set(true);
        self.held.borrow_mut().clear();
    }

    /// Hands over what was held back, in order, with the collector that it was for.
    ///
    /// # Errors
    ///
    /// Those of `send`: some of it may have been sent, and the batch has to be aborted.
    pub(crate) fn release(
        &self,
        mut send: impl FnMut(&OutgoingRecord<'_>, &dyn Collector) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.holds.replace(false) {
            return Ok(());
        }
        // Put back afterwards: what is sent meanwhile is not held.
        let mut held = self.held.take();
        let released = held.each(|record| send(record, &*self.behind));
        held.clear();
        self.held.replace(held);
        released
    }

    /// Forgets what was held back.
    pub(crate) fn discard(&self) {
        self.holds.set(false);
        self.held.borrow_mut().clear();
    }
}

impl Held {
    fn each(
        &self,
        mut send: impl FnMut(&OutgoingRecord<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let bytes = |range: &Option<Range<usize>>| range.clone().map(|range| &self.bytes[range]);
        self.letters.iter().try_for_each(|letter| {
            let record = OutgoingRecord {
                topic: letter.topic,
                partition: letter.partition,
                key: bytes(&letter.key),
                value: bytes(&letter.value),
                timestamp: letter.timestamp,
                headers: &letter.headers,
            };
            send(&record)
        })
    }

    /// Keeps what it has grown to, within a limit.
    fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }

    fn take(&mut self, record: &OutgoingRecord<'_>) {
        let letter = Letter {
            topic: record.topic,
            partition: record.partition,
            key: record.key.map(|key| self.append(key)),
            value: record.value.map(|value| self.append(value)),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
        };
        self.letters.push(letter);
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl Collector for Outbox {
    fn topic(&self, name: &str) -> Result<TopicId, Error> {
        self.behind.topic(name)
    }

    fn partitions(&self, topic: TopicId) -> Result<i32, Error> {
        self.behind.partitions(topic)
    }

    fn takes_letters(&self) -> bool {
        self.behind.takes_letters()
    }

    fn send(&self, record: &OutgoingRecord<'_>) -> Result<(), Error> {
        if !self.holds.get() {
            return self.behind.send(record);
        }
        // Told while it can still be taken back, and laid at the right node's door.
        self.behind.check(record)?;
        self.held.borrow_mut().take(record);
        Ok(())
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({:?})", self.behind)
    }
}
