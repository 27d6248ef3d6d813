//! Looking inside a batch: only for timestamps, for keys of compacted topics, and for compaction.
//!
//! # Invariants
//!
//! - **A record that cannot be read ends the batch:** bytes from a client never panic here.
//! - **Raw bytes are kept beside the parsed fields**, so compaction copies a record, headers and all.

use bytes::{Buf, Bytes};

use super::batch::{BatchHeader, HEADER_BYTES};
use super::{StoredBatch, TimedOffset};

/// A record of a batch.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    /// The whole encoded record, its length in front.
    pub(crate) raw: Bytes,
}

/// The records of a batch, or `None` where they cannot be read.
pub(crate) fn records(header: &BatchHeader, batch: &Bytes) -> Option<Vec<RawRecord>> {
    let mut block = decompressed(header.compression(), batch.slice(HEADER_BYTES..))?;
    let mut records = Vec::new();
    for _ in 0..header.records {
        records.push(next_record(header, &mut block)?);
    }
    Some(records)
}

/// Whether a record has no key, which a compacted topic refuses.
pub(crate) fn some_key_is_missing(header: &BatchHeader, batch: &Bytes) -> bool {
    records(header, batch).is_none_or(|records| records.iter().any(|record| record.key.is_none()))
}

/// The first record at or after `timestamp`, no earlier than the offset `start`.
pub(crate) fn first_at_or_after(
    batch: &StoredBatch,
    timestamp: i64,
    start: i64,
) -> Option<TimedOffset> {
    let found = match records(&batch.header, &batch.bytes) {
        Some(records) => records
            .into_iter()
            .map(|record| TimedOffset {
                timestamp: record.timestamp,
                offset: record.offset,
            })
            .find(|at| at.timestamp >= timestamp && at.offset >= start),
        // Unreadable (a codec that this build lacks): a reader that starts too early skips,
        // one that starts too late has lost records.
        None => Some(TimedOffset {
            timestamp: batch.header.max_timestamp,
            offset: batch.header.base_offset.max(start),
        }),
    };
    found.filter(|_| batch.header.last_offset() >= start)
}

fn next_record(header: &BatchHeader, block: &mut Bytes) -> Option<RawRecord> {
    let whole = block.clone();
    let length = usize::try_from(varint(block)?).ok()?;
    if length > block.remaining() {
        return None;
    }
    let prefix = whole.len() - block.len();
    let raw = whole.slice(..prefix + length);
    let mut body = block.split_to(length);
    body.try_get_i8().ok()?;
    let timestamp_delta = varint(&mut body)?;
    let offset_delta = varint(&mut body)?;
    let key = sized(&mut body)?;
    let value = sized(&mut body)?;
    let timestamp = if header.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp.checked_add(timestamp_delta)?
    };
    let offset = header.base_offset.checked_add(offset_delta)?;
    Some(RawRecord {
        offset,
        timestamp,
        key,
        value,
        raw,
    })
}

/// A nullable byte string; the outer `None` is an unreadable one.
fn sized(body: &mut Bytes) -> Option<Option<Bytes>> {
    match varint(body)? {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= body.remaining())?;
            Some(Some(body.split_to(length)))
        }
    }
}

fn varint(body: &mut Bytes) -> Option<i64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = body.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

#[cfg(feature = "codecs")]
fn decompressed(compression: i16, block: Bytes) -> Option<Bytes> {
    use kafka_protocol::compression::{Decompressor, Gzip, Lz4, Snappy, Zstd};

    let mut block = block;
    let whole = |plain: &mut Bytes| Ok(std::mem::take(plain));
    match compression {
        0 => Some(block),
        1 => Gzip::decompress(&mut block, whole).ok(),
        2 => Snappy::decompress(&mut block, whole).ok(),
        3 => Lz4::decompress(&mut block, whole).ok(),
        4 => Zstd::decompress(&mut block, whole).ok(),
        _ => None,
    }
}

#[cfg(not(feature = "codecs"))]
fn decompressed(compression: i16, block: Bytes) -> Option<Bytes> {
    (compression == 0).then_some(block)
}
