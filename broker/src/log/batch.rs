//! The record batch as bytes: its 61-byte header, its checksum, and the control batch.
//!
//! # Invariants
//!
//! - **Nobody's records are re-encoded.** A stored batch is the producer's bytes with the base
//!   offset and the leader epoch overwritten, which the checksum does not cover.
//! - **A parsed header means a whole batch:** its length field equals the bytes at hand.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ErrorCode;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes that the length field does not count: the base offset and the field itself.
const UNCOUNTED_BYTES: usize = 12;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// The fixed part of a record batch of format version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records: i32,
}

impl BatchHeader {
    /// Reads the header of `bytes`, which must be exactly one batch.
    ///
    /// # Errors
    ///
    /// As Apache Kafka: `INVALID_RECORD` for another format version or not exactly one batch,
    /// `CORRUPT_MESSAGE` for a length that cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ErrorCode> {
        let length = i32_at(bytes, 8).ok_or(ErrorCode::InvalidRecord)?;
        let magic = *bytes.get(16).ok_or(ErrorCode::InvalidRecord)?;
        match magic {
            2 => {}
            0 | 1 => return Err(ErrorCode::InvalidRecord),
            _ => return Err(ErrorCode::CorruptMessage),
        }
        let total = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(UNCOUNTED_BYTES))
            .filter(|total| *total >= HEADER_BYTES)
            .ok_or(ErrorCode::CorruptMessage)?;
        if total != bytes.len() {
            return Err(ErrorCode::InvalidRecord);
        }
        Self::fields(bytes).ok_or(ErrorCode::CorruptMessage)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            base_offset: i64_at(bytes, 0)?,
            attributes: i16_at(bytes, ATTRIBUTES_AT)?,
            last_offset_delta: i32_at(bytes, 23)?,
            base_timestamp: i64_at(bytes, 27)?,
            max_timestamp: i64_at(bytes, MAX_TIMESTAMP_AT)?,
            producer_id: i64_at(bytes, 43)?,
            producer_epoch: i16_at(bytes, 51)?,
            base_sequence: i32_at(bytes, 53)?,
            records: i32_at(bytes, 57)?,
        })
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub(crate) fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record: they wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(0)
    }
}

/// Whether the checksum in the header is the one of the bytes that it covers.
pub(crate) fn checksum_holds(batch: &[u8]) -> bool {
    match (i32_at(batch, CRC_AT), batch.get(ATTRIBUTES_AT..)) {
        (Some(stored), Some(covered)) => {
            stored.to_be_bytes() == crc32c::crc32c(covered).to_be_bytes()
        }
        _ => false,
    }
}

/// Copies a producer's batch, placed at `base_offset` under `leader_epoch`.
pub(crate) fn placed(batch: &[u8], base_offset: i64, leader_epoch: i32) -> BytesMut {
    assert!(batch.len() >= HEADER_BYTES, "only a parsed batch is placed");
    let mut bytes = BytesMut::from(batch);
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    bytes
}

/// Stamps a placed batch with the broker's time: `message.timestamp.type=LogAppendTime`.
pub(crate) fn stamp_append_time(batch: &mut BytesMut, header: &BatchHeader, now_ms: i64) {
    let attributes = header.attributes | LOG_APPEND_TIME;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now_ms.to_be_bytes());
    seal(batch);
}

/// Writes the checksum over everything that it covers.
fn seal(batch: &mut BytesMut) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The end of a transaction in a partition: commit or abort, one record, one offset.
pub(crate) fn control_batch(at: ControlAt, producer_id: i64, epoch: i16, commit: bool) -> Bytes {
    let mut record = BytesMut::with_capacity(17);
    record.put_slice(&[0x20, 0, 0, 0, 0x08]); // length 16, attributes, both deltas, key length 4
    record.put_i16(0);
    record.put_i16(i16::from(commit));
    record.put_u8(0x0c); // value length 6
    record.put_i16(0);
    record.put_i32(0);
    record.put_u8(0); // no headers
    assemble(
        &BatchHeader {
            base_offset: at.offset,
            attributes: TRANSACTIONAL | CONTROL,
            last_offset_delta: 0,
            base_timestamp: at.now_ms,
            max_timestamp: at.now_ms,
            producer_id,
            producer_epoch: epoch,
            base_sequence: -1,
            records: 1,
        },
        at.leader_epoch,
        &record,
    )
}

/// Where and when a control batch is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ControlAt {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) now_ms: i64,
}

/// A batch from its header and its encoded records.
pub(crate) fn assemble(header: &BatchHeader, leader_epoch: i32, records: &[u8]) -> Bytes {
    let total = HEADER_BYTES + records.len();
    let length = i32::try_from(total - UNCOUNTED_BYTES).expect("a batch is smaller than a request");
    let mut batch = BytesMut::with_capacity(total);
    batch.put_i64(header.base_offset);
    batch.put_i32(length);
    batch.put_i32(leader_epoch);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(header.attributes);
    batch.put_i32(header.last_offset_delta);
    batch.put_i64(header.base_timestamp);
    batch.put_i64(header.max_timestamp);
    batch.put_i64(header.producer_id);
    batch.put_i16(header.producer_epoch);
    batch.put_i32(header.base_sequence);
    batch.put_i32(header.records);
    batch.put_slice(records);
    seal(&mut batch);
    batch.freeze()
}

/// The header of the same records uncompressed: what a rewritten batch carries.
pub(crate) fn uncompressed(header: &BatchHeader, records: i32) -> BatchHeader {
    BatchHeader {
        attributes: header.attributes & !COMPRESSION_MASK,
        records,
        ..*header
    }
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
