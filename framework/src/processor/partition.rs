//! Which partition a record goes to: Kafka's murmur2 of the key, or a partitioner.

use crate::record::Record;

/// What a partitioner answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// By Kafka's default: murmur2 of the key, a null key anywhere.
    Default,
    /// This one.
    One(i32),
    /// A copy to each of these (KIP-873); to none drops the record and counts it.
    Many(Vec<i32>),
}

/// Chooses the partition of a record that is being written.
pub trait Partitioner<K, V>: Send + Sync {
    /// The partitions for `record` in a topic that has `count` of them.
    fn partitions(&self, record: &Record<K, V>, count: i32) -> Partitions;
}

impl<K, V, F> Partitioner<K, V> for F
where
    F: Fn(&Record<K, V>, i32) -> Partitions + Send + Sync,
{
    fn partitions(&self, record: &Record<K, V>, count: i32) -> Partitions {
        self(record, count)
    }
}

/// Kafka's hash of keys: 32-bit murmur2 with Kafka's seed.
///
/// A key's partition is `(murmur2(key) & 0x7fff_ffff) % partitions`, as for Java producers.
///
/// ```
/// use onceflow_framework::processor::murmur2;
///
/// assert_eq!(murmur2(b"foobar"), -790_332_482);
/// ```
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    // Java hashes an `int` length too; a key is never that long.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        word = word.wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition of a key, as every Kafka producer with the default partitioner chooses it.
pub(crate) fn partition_of_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_answers_as_java_does() {
        for (key, hash) in [
            ("", 275_646_681),
            ("a", -1_563_381_124),
            ("k", -1_567_496_736),
            ("21", -973_932_308),
            ("abc", 479_470_107),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn a_key_with_a_negative_hash_has_a_partition_too() {
        assert!((0..7).contains(&partition_of_key(b"foobar", 7)));
    }
}
