//! What a buffer holds of a change or a record that waits, in the bytes of Kafka Streams' changelog.
//!
//! ```text
//!   record   timestamp (8) ‖ offset (8) ‖ length (4) ‖ topic ‖ partition (4) ‖ headers
//!   headers  count (4) ‖ each: length (4) ‖ name ‖ length (4) ‖ value
//!   entry    record ‖ prior ‖ old ‖ new ‖ buffer time (8)     values: length (4) ‖ bytes
//! ```
//!
//! A length of -1 is null; an old value of length -2 is the prior one.

use onceflow_framework::{Header, Headers, Offset, Position, Timestamp, TopicPartition};

const NULL: i32 = -1;
const SAME_AS_PRIOR: i32 = -2;

/// A change that is held back, or a record, which has a new value only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: i64,
    pub(crate) topic: Vec<u8>,
    pub(crate) partition: i32,
    pub(crate) headers: Headers,
    /// What was handed on last, as far as it is known.
    pub(crate) prior: Option<Vec<u8>>,
    pub(crate) old: Option<Vec<u8>>,
    pub(crate) new: Option<Vec<u8>>,
    /// When it was first held back.
    pub(crate) time: Timestamp,
}

impl Entry {
    /// Of a change without values yet, from the record at that position.
    pub(crate) fn at(timestamp: Timestamp, position: Option<Position>, headers: Headers) -> Self {
        let (topic, partition, offset) = match position {
            Some(Position {
                topic_partition,
                offset,
            }) => {
                let topic = topic_partition.topic.as_bytes().to_vec();
                (topic, topic_partition.partition, offset.get())
            }
            None => (Vec::new(), -1, -1),
        };
        Entry {
            timestamp,
            offset,
            topic,
            partition,
            headers,
            prior: None,
            old: None,
            new: None,
            time: timestamp,
        }
    }

    /// Where the record was read, if it came of one.
    pub(crate) fn position(&self) -> Option<Position> {
        let topic = std::str::from_utf8(&self.topic).ok()?;
        (self.offset >= 0).then(|| Position {
            topic_partition: TopicPartition::new(topic, self.partition),
            offset: Offset::new(self.offset),
        })
    }

    /// What it counts against the bound on bytes: as in Kafka Streams.
    pub(crate) fn size_bytes(&self, key: &[u8]) -> u64 {
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let old = if self.old == self.prior {
            0
        } else {
            length(&self.old)
        };
        let values = length(&self.prior) + old + length(&self.new);
        let record = 8 + 8 + self.topic.len() + 4 + self.headers.size_bytes();
        (8 + key.len() + values + record) as u64
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.timestamp.as_millis().to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        write_bytes(Some(&self.topic), &mut out);
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&length(self.headers.len()).to_be_bytes());
        for header in &self.headers {
            write_bytes(Some(header.key.as_bytes()), &mut out);
            write_bytes(header.value.as_deref(), &mut out);
        }
        write_bytes(self.prior.as_deref(), &mut out);
        if self.old.is_some() && self.old == self.prior {
            out.extend_from_slice(&SAME_AS_PRIOR.to_be_bytes());
        } else {
            write_bytes(self.old.as_deref(), &mut out);
        }
        write_bytes(self.new.as_deref(), &mut out);
        out.extend_from_slice(&self.time.as_millis().to_be_bytes());
        out
    }

    /// None for bytes that are no entry.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let rest = &mut &*bytes;
        let timestamp = Timestamp::from_millis(read_i64(rest)?);
        let offset = read_i64(rest)?;
        let topic = read_bytes(rest)??.to_vec();
        let partition = read_i32(rest)?;
        let mut headers = Vec::new();
        for _ in 0..read_i32(rest)?.max(0) {
            let key = std::str::from_utf8(read_bytes(rest)??).ok()?;
            let value = read_bytes(rest)?;
            headers.push(Header {
                key: key.into(),
                value: value.map(|value| value.to_vec().into()),
            });
        }
        let prior = read_bytes(rest)?.map(<[u8]>::to_vec);
        let old = match rest.split_first_chunk::<4>()? {
            (length, after) if i32::from_be_bytes(*length) == SAME_AS_PRIOR => {
                *rest = after;
                prior.clone()
            }
            _ => read_bytes(rest)?.map(<[u8]>::to_vec),
        };
        let new = read_bytes(rest)?.map(<[u8]>::to_vec);
        let time = Timestamp::from_millis(read_i64(rest)?);
        rest.is_empty().then(|| Entry {
            timestamp,
            offset,
            topic,
            partition,
            headers: headers.into_iter().collect(),
            prior,
            old,
            new,
            time,
        })
    }
}

fn length(of: usize) -> i32 {
    i32::try_from(of).expect("a record fits into 2 GiB")
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(
        &bytes
            .map_or(NULL, |bytes| length(bytes.len()))
            .to_be_bytes(),
    );
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn read_i64(rest: &mut &[u8]) -> Option<i64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(i64::from_be_bytes(*number))
}

fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*number))
}

/// The bytes behind a length, or null.
fn read_bytes<'b>(rest: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let length = read_i32(rest)?;
    if length == NULL {
        return Some(None);
    }
    let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..4))
    }

    proptest! {
        #[test]
        fn entries_round_trip(
            prior in value(), old in value(), new in value(), name in ".{0,3}", header in value(),
            times in any::<(i64, i64, i64)>(),
        ) {
            let mut headers = Headers::new();
            headers.push(&name, header.as_deref());
            let entry = Entry {
                timestamp: Timestamp::from_millis(times.0),
                offset: times.1,
                topic: b"in".to_vec(),
                partition: 3,
                headers,
                prior,
                old,
                new,
                time: Timestamp::from_millis(times.2),
            };
            prop_assert_eq!(Entry::read(&entry.write()), Some(entry));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            drop(Entry::read(&bytes));
        }
    }
}
