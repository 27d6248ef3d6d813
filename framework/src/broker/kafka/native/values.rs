//! What librdkafka hands out, copied into values: text, bytes, lists, errors.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use crate::broker::kafka::failure::{Failure, Severity};
use rdkafka::types::RDKafkaErrorCode as Code;

/// An element of a list that librdkafka has filled in.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Negative: none.
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    pub(crate) failure: Option<Failure>,
}

/// What a list holds, in its order. rdkafka's own accessors panic where metadata is not UTF-8.
pub(crate) fn entries(list: &TopicPartitionList) -> Vec<Entry> {
    // SAFETY: a live list, borrowed; metadata is as long as said, or null.
    let elements = unsafe { elements_of(list.ptr()) };
    let read = |element: &sys::rd_kafka_topic_partition_t| Entry {
        offset: element.offset,
        // SAFETY: as above.
        metadata: unsafe { bytes(element.metadata, element.metadata_size) }
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default(),
        failure: resp(raw_code(&element.err)).err(),
    };
    elements.iter().map(read).collect()
}

/// # Safety
///
/// A live list, or null, for as long as the elements are looked at.
pub(super) unsafe fn elements_of<'l>(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> &'l [sys::rd_kafka_topic_partition_t] {
    // SAFETY: the array is as long as its count.
    unsafe {
        list.as_ref()
            .map_or(&[], |list| array(list.elems, list.cnt))
    }
}

/// # Safety
///
/// `length` live elements, or null.
pub(super) unsafe fn array<'a, T>(elements: *const T, length: c_int) -> &'a [T] {
    match usize::try_from(length) {
        // SAFETY: as promised.
        Ok(length) if !elements.is_null() => unsafe {
            std::slice::from_raw_parts(elements, length)
        },
        _ => &[],
    }
}

/// # Safety
///
/// `length` live bytes, or null.
pub(super) unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// # Safety
///
/// A terminated string, or null.
pub(super) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().trim().to_owned()
}

pub(super) fn c_string(name: &str) -> Result<CString, Failure> {
    CString::new(name)
        .map_err(|_nul| Failure::plain(Code::InvalidArgument, "a name contains a zero byte"))
}

/// Whole milliseconds, rounded up: librdkafka cuts off the rest, and zero means "do not wait".
pub(super) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
}

/// The number in a field of a C struct: brokers may send codes that the enum does not know.
pub(super) fn raw_code(field: &RDKafkaRespErr) -> c_int {
    // SAFETY: the enum is represented as an i32, and an i32 may hold anything.
    unsafe { ptr::from_ref(field).cast::<c_int>().read() }
}

/// Kafka's name of a code.
pub(crate) fn name(code: Code) -> String {
    // SAFETY: a static string.
    unsafe { text(sys::rd_kafka_err2name(known(code as c_int))) }
}

pub(super) fn known(code: c_int) -> RDKafkaRespErr {
    RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN)
}

pub(super) fn resp(code: c_int) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    let known = known(code);
    // SAFETY: static strings.
    let (name, words) = unsafe {
        (
            text(sys::rd_kafka_err2name(known)),
            text(sys::rd_kafka_err2str(known)),
        )
    };
    Err(Failure {
        code: known.into(),
        name,
        text: words,
        severity: Severity::Plain,
    })
}

/// Reads and destroys an error; null is none.
pub(super) fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: an error handed to us, destroyed once, after it was read.
    unsafe {
        let severity = if sys::rd_kafka_error_is_fatal(error) != 0 {
            Severity::Fatal
        } else if sys::rd_kafka_error_txn_requires_abort(error) != 0 {
            Severity::Abortable
        } else if sys::rd_kafka_error_is_retriable(error) != 0 {
            Severity::Retriable
        } else {
            Severity::Plain
        };
        let failure = Failure {
            code: sys::rd_kafka_error_code(error).into(),
            name: text(sys::rd_kafka_error_name(error)),
            text: text(sys::rd_kafka_error_string(error)),
            severity,
        };
        sys::rd_kafka_error_destroy(error);
        Err(failure)
    }
}
