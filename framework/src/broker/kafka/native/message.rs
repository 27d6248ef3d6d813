//! One message of a partition's queue, read where librdkafka keeps it.

use std::ptr;
use std::sync::LazyLock;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::values::{bytes, raw_code, resp, text};
use crate::broker::kafka::failure::Failure;
use crate::record::{Headers, Offset};
use crate::time::Timestamp;
use rdkafka::types::RDKafkaErrorCode as Code;

/// What comes out of a partition's queue.
#[derive(Debug)]
pub(crate) enum Taken<'a> {
    Record {
        offset: Offset,
        timestamp: Timestamp,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: Headers,
    },
    /// The end was reached, at this offset.
    End(Offset),
    Failed(Offset, Failure),
}

/// # Safety
///
/// A message that lives at least as long as what is made of it.
pub(super) unsafe fn read_message<'m>(message: *mut sys::rd_kafka_message_t) -> Taken<'m> {
    // SAFETY: a live message; key and payload are as long as said, or null.
    unsafe {
        let read = &*message;
        let offset = Offset::new(read.offset);
        match resp(raw_code(&read.err)) {
            Ok(()) => Taken::Record {
                offset,
                timestamp: Timestamp::from_millis(sys::rd_kafka_message_timestamp(
                    message,
                    ptr::null_mut(), // whoever set it
                )),
                key: bytes(read.key, read.key_len),
                value: bytes(read.payload, read.len),
                headers: read_headers(read),
            },
            Err(failure) if failure.code == Code::PartitionEOF => Taken::End(offset),
            Err(mut failure) => {
                failure.text = text(sys::rd_kafka_message_errstr(message));
                Taken::Failed(offset, failure)
            }
        }
    }
}

/// # Safety
///
/// A live message.
unsafe fn read_headers(message: &sys::rd_kafka_message_t) -> Headers {
    let mut headers = Headers::new();
    // SAFETY: a live message.
    if unsafe { is_plain(message) } {
        return headers;
    }
    let mut native = ptr::null_mut();
    // SAFETY: a live message, which keeps its headers; names and values are copied.
    unsafe {
        let found = sys::rd_kafka_message_headers(message, &raw mut native);
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let (to_name, to_value) = (&raw mut name, &raw mut value);
            let got = sys::rd_kafka_header_get_all(native, index, to_name, to_value, &raw mut size);
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            headers.push(&text(name), bytes(value, size));
        }
    }
    headers
}

/// The newest librdkafka whose receive buffer was looked at: 2.12.
const BUFFER_KNOWN_UP_TO: i32 = 0x020c_ffff;

static BUFFER_IS_KNOWN: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: asks for a constant.
    (0x0201_0000..=BUFFER_KNOWN_UP_TO).contains(&unsafe { sys::rd_kafka_version() })
});

/// Whether a message surely has no headers; if not, librdkafka must be asked.
///
/// Asking costs it an allocation and a parser for each message, a tenth of all that a record costs.
/// But a record of the format that has headers (KIP-98) says how many there are in the byte after
/// its value, and librdkafka hands out the value where it was received. An unknown leader epoch
/// means the older format, or one that cannot be told from it.
///
/// # Safety
///
/// A live message.
unsafe fn is_plain(message: &sys::rd_kafka_message_t) -> bool {
    if message.payload.is_null() || message.len == 0 || !*BUFFER_IS_KNOWN {
        return false;
    }
    // SAFETY: with a leader epoch the value of at least a byte lies within a record of the newer
    // format, in which a byte follows; records are contiguous in the buffer.
    unsafe {
        sys::rd_kafka_message_leader_epoch(message) >= 0
            && *message.payload.cast::<u8>().add(message.len) == 0
    }
}
