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

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::scope::{Collector, OutgoingRecord, TopicId};
use crate::error::Error;
use crate::record::Headers;
use crate::time::Timestamp;

/// A collector that can take back what it was given.
pub(crate) struct Outbox {
    behind: Rc<dyn Collector>,
    held: RefCell<Option<Held>>,
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
            held: RefCell::new(None),
        }
    }

    /// Holds back what is sent from now on.
    pub(crate) fn hold(&self) {
        *self.held.borrow_mut() = Some(Held::default());
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
        let Some(held) = self.held.borrow_mut().take() else {
            return Ok(());
        };
        let bytes = |range: &Option<Range<usize>>| range.clone().map(|range| &held.bytes[range]);
        held.letters.iter().try_for_each(|letter| {
            let record = OutgoingRecord {
                topic: letter.topic,
                partition: letter.partition,
                key: bytes(&letter.key),
                value: bytes(&letter.value),
                timestamp: letter.timestamp,
                headers: &letter.headers,
            };
            send(&record, &*self.behind)
        })
    }

    /// Forgets what was held back.
    pub(crate) fn discard(&self) {
        *self.held.borrow_mut() = None;
    }
}

impl Held {
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
        match self.held.borrow_mut().as_mut() {
            Some(held) => {
                // Told while it can still be taken back, and laid at the right node's door.
                self.behind.check(record)?;
                held.take(record);
                Ok(())
            }
            None => self.behind.send(record),
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({:?})", self.behind)
    }
}
