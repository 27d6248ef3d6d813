//! Topics that records are produced to: resolved once, without a name a record.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;

use super::client::Client;
use super::values::outcome;
use crate::broker::kafka::failure::Failure;
use crate::processor::OutgoingRecord;
use crate::record::Headers;
use crate::time::Timestamp;

/// A topic that records are produced to.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(super) topic: NonNull<sys::rd_kafka_topic_t>,
    pub(super) client: Client,
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: a live topic; its client goes after it.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

impl Topic {
    /// Queues a record, copying it.
    pub(crate) fn produce(&self, record: &OutgoingRecord<'_>) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as vtype;
        let field = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let rkt = self.topic.as_ptr();
        // −1, unassigned: the partitioner chooses.
        let i32_ = record.partition.unwrap_or(-1);
        let i64_ = wire_timestamp(record.timestamp);
        let (key, value) = (memory(record.key), memory(record.value));
        let i = sys::RD_KAFKA_MSG_F_COPY;
        let headers = native_headers(record.headers);
        let fields = [
            field(vtype::RD_KAFKA_VTYPE_RKT, Union { rkt }),
            field(vtype::RD_KAFKA_VTYPE_PARTITION, Union { i32_ }),
            field(vtype::RD_KAFKA_VTYPE_MSGFLAGS, Union { i }),
            field(vtype::RD_KAFKA_VTYPE_KEY, key),
            field(vtype::RD_KAFKA_VTYPE_VALUE, value),
            field(vtype::RD_KAFKA_VTYPE_TIMESTAMP, Union { i64_ }),
            field(vtype::RD_KAFKA_VTYPE_HEADERS, Union { headers }),
        ];
        let count = fields.len() - usize::from(headers.is_null());
        // SAFETY: live client and topic; key and value are copied (MSG_F_COPY) before the call
        // returns; headers are taken over if it succeeds, and else still ours.
        unsafe {
            let error = sys::rd_kafka_produceva(self.client.ptr(), fields.as_ptr(), count);
            if !error.is_null() && !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            outcome(error)
        }
    }
}

type Union = sys::rd_kafka_vu_s__bindgen_ty_1;

fn memory(bytes: Option<&[u8]>) -> Union {
    let (ptr, size) = bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
    let ptr = ptr.cast::<c_void>().cast_mut();
    Union {
        mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
    }
}

/// Kafka's number of a timestamp. librdkafka takes 0 for "now": the first millisecond of 1970
/// becomes the second, which is nearer than today.
fn wire_timestamp(timestamp: Timestamp) -> i64 {
    match timestamp.as_millis() {
        0 => 1,
        none if none < 0 => -1,
        millis => millis,
    }
}

/// Null without headers.
fn native_headers(headers: &Headers) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied, with their lengths; a null value is null.
    unsafe {
        let native = sys::rd_kafka_headers_new(headers.len());
        for header in headers {
            let (name, value) = (header.key.as_bytes(), header.value.as_deref());
            let (bytes, size) = value.map_or((ptr::null(), 0), |v| (v.as_ptr(), v.len()));
            let lengths = (name.len().cast_signed(), size.cast_signed());
            let name = name.as_ptr().cast::<c_char>();
            sys::rd_kafka_header_add(native, name, lengths.0, bytes.cast(), lengths.1);
        }
        native
    }
}
