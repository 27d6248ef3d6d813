//! The string beside a committed offset: Kafka Streams' own format, carrying which batch it was.
//!
//! base64 of `version = 2 (1 byte) ‖ partition time (8) ‖ [entries (4), each: key length (4) ‖
//! UTF-8 key ‖ i64 (8)]`, big-endian; no entries are no bytes. Java reads it, and we read Java's.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::time::Timestamp;

const VERSION: u8 = 2;

/// Our entries: how many batches the task has committed, and which worker committed the last.
const BATCH_KEY: &str = "onceflow.batch";
const WORKER_KEY: &str = "onceflow.worker";

/// The stream time of a node: this and the node's name.
const NODE_TIME_PREFIX: &str = "onceflow.time.";

/// Brokers refuse a longer string (`offset.metadata.max.bytes`).
const METADATA_BYTES_MAX: usize = 4096;

/// Which batch of a task it was: no two that could both commit have the same stamp.
///
/// The number alone would not do: a zombie and its successor give it to batches of their own, and
/// what the one finds committed may be the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Stamp {
    /// How many batches the task has committed with it, over all its workers.
    pub(crate) batch: i64,
    /// The worker that committed it: a number that no other worker has, now or before.
    pub(crate) worker: i64,
}

impl Stamp {
    /// Of the next batch, which this worker commits.
    pub(crate) fn next(self, worker: i64) -> Stamp {
        Stamp {
            batch: self.batch + 1,
            worker,
        }
    }
}

/// What is committed beside an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetMetadata {
    /// The highest timestamp processed of the partition.
    pub(crate) partition_time: Timestamp,
    /// Numbers by name; of one task's partitions the highest counts.
    pub(crate) entries: BTreeMap<String, i64>,
}

impl OffsetMetadata {
    /// What nothing committed means.
    pub(crate) const fn none() -> Self {
        OffsetMetadata {
            partition_time: Timestamp::NONE,
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn new(partition_time: Timestamp, stamp: Stamp) -> Self {
        let entries = [(BATCH_KEY, stamp.batch), (WORKER_KEY, stamp.worker)];
        let entries = entries.map(|(key, number)| (key.to_owned(), number)).into();
        OffsetMetadata {
            partition_time,
            entries,
        }
    }

    /// With the stream times of nodes, as many as fit: the others begin anew after a restart, as
    /// all do in Kafka Streams.
    pub(crate) fn with_node_times(mut self, times: &[(Arc<str>, Timestamp)]) -> Self {
        let entry_bytes = |key: &str| 4 + key.len() + 8;
        let own: usize = self.entries.keys().map(|key| entry_bytes(key)).sum();
        let mut bytes = 1 + 8 + 4 + own;
        for (node, time) in times {
            let key = format!("{NODE_TIME_PREFIX}{node}");
            bytes += entry_bytes(&key);
            // Four characters for three bytes.
            if bytes.div_ceil(3) * 4 > METADATA_BYTES_MAX {
                tracing::warn!(%node, "no room beside the offsets for the stream time of the node");
                break;
            }
            self.entries.insert(key, time.as_millis());
        }
        self
    }

    /// The stream times of nodes.
    pub(crate) fn node_times(&self) -> impl Iterator<Item = (Arc<str>, Timestamp)> + '_ {
        self.entries.iter().filter_map(|(key, time)| {
            let node = key.strip_prefix(NODE_TIME_PREFIX)?;
            Some((Arc::from(node), Timestamp::from_millis(*time)))
        })
    }

    /// The batch that committed it; number 0 before the first of ours.
    pub(crate) fn stamp(&self) -> Stamp {
        let entry = |key| self.entries.get(key).copied().unwrap_or(0);
        Stamp {
            batch: entry(BATCH_KEY),
            worker: entry(WORKER_KEY),
        }
    }

    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.partition_time.as_millis().to_be_bytes());
        if !self.entries.is_empty() {
            bytes.extend_from_slice(&length(self.entries.len()).to_be_bytes());
        }
        for (key, value) in &self.entries {
            bytes.extend_from_slice(&length(key.len()).to_be_bytes());
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        let text = STANDARD.encode(bytes);
        assert!(text.len() <= METADATA_BYTES_MAX, "entries are ours and few");
        text
    }

    /// Reads what is committed; anything else, such as a tool's note, is as if there were nothing.
    pub(crate) fn decode(text: &str) -> Self {
        let bytes = STANDARD.decode(text).unwrap_or_default();
        read(&bytes).unwrap_or_else(OffsetMetadata::none)
    }
}

fn length(of: usize) -> u32 {
    u32::try_from(of).expect("entries are ours and short")
}

fn read(bytes: &[u8]) -> Option<OffsetMetadata> {
    let (&version, rest) = bytes.split_first()?;
    // Version 1, of older Java applications, has no entries.
    if version != 1 && version != VERSION {
        return None;
    }
    let (time, mut rest) = rest.split_first_chunk::<8>()?;
    let mut entries = BTreeMap::new();
    if version == VERSION && !rest.is_empty() {
        let count;
        (count, rest) = read_u32(rest)?;
        for _ in 0..count {
            let key_length;
            (key_length, rest) = read_u32(rest)?;
            let (key, after) = rest.split_at_checked(usize::try_from(key_length).ok()?)?;
            let (value, after) = after.split_first_chunk::<8>()?;
            entries.insert(
                std::str::from_utf8(key).ok()?.to_owned(),
                i64::from_be_bytes(*value),
            );
            rest = after;
        }
    }
    let partition_time = Timestamp::from_millis(i64::from_be_bytes(*time));
    rest.is_empty().then_some(OffsetMetadata {
        partition_time,
        entries,
    })
}

fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stream_times_of_nodes_travel_with_the_offsets_as_far_as_there_is_room() {
        let named = |index: i64| {
            let node = format!("KSTREAM-AGGREGATE-{index:010}");
            (Arc::from(node), Timestamp::from_millis(index))
        };
        let times: Vec<(Arc<str>, Timestamp)> = (0..100).map(named).collect();
        let metadata = OffsetMetadata::new(Timestamp::NONE, Stamp::default());
        let text = metadata.with_node_times(&times).encode();
        assert!(text.len() <= METADATA_BYTES_MAX);
        let read: Vec<_> = OffsetMetadata::decode(&text).node_times().collect();
        assert!(read.len() > 40, "{}", read.len());
        assert_eq!(read[..], times[..read.len()]);
    }

    #[test]
    fn the_bytes_are_those_of_kafka_streams() {
        let metadata = OffsetMetadata {
            partition_time: Timestamp::from_millis(258),
            entries: BTreeMap::from([("a".to_owned(), 3)]),
        };
        let bytes = STANDARD.decode(metadata.encode()).unwrap();
        let expected = [
            &[2u8, 0, 0, 0, 0, 0, 0, 1, 2][..], // version, partition time
            &[0, 0, 0, 1, 0, 0, 0, 1, b'a'],    // one entry, its key
            &[0, 0, 0, 0, 0, 0, 0, 3],          // its value
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_version_without_entries_is_read() {
        let text = STANDARD.encode([&[1u8][..], &7i64.to_be_bytes()].concat());
        assert_eq!(
            OffsetMetadata::decode(&text).partition_time,
            Timestamp::from_millis(7)
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(time in any::<i64>(), batch in any::<i64>(), worker in any::<i64>()) {
            let stamp = Stamp { batch, worker };
            let metadata = OffsetMetadata::new(Timestamp::from_millis(time), stamp);
            prop_assert_eq!(metadata.stamp(), stamp);
            prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()), metadata);
        }

        #[test]
        fn foreign_strings_are_nothing_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let decoded = OffsetMetadata::decode(&STANDARD.encode(&bytes));
            if bytes.first().is_none_or(|version| !(1..=2).contains(version)) {
                prop_assert_eq!(decoded, OffsetMetadata::none());
            }
        }
    }
}
