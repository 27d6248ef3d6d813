//! librdkafka's calls that rdkafka leaves out or wraps at a cost: bulk reads, topic handles, a flush
//! that is not cut into steps of 100 ms.
//!
//! # Invariants
//!
//! - A queue and a topic are destroyed before their client: whoever holds them lists them first.
//! - Messages live as long as their chunk, which lives no longer than its queue.
#![expect(
    unsafe_code,
    reason = "rdkafka does not wrap these calls; a tuned loop cannot do without them"
)]

use std::ffi::{CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use crate::Failure;

/// Messages taken in one call.
const MESSAGES_MAX: usize = 1000;

/// How long a full queue is served before the record is tried again.
const QUEUE_FULL_PAUSE_MS: i32 = 1;

/// A queue of our own, to which partitions are forwarded.
#[derive(Debug)]
pub(super) struct Queue(NonNull<sys::rd_kafka_queue_t>);

/// A record that lives as long as its chunk.
#[derive(Debug)]
pub(super) struct Taken<'m> {
    /// Compares equal for the same topic of the same client.
    pub(super) topic: *const c_void,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: &'m [u8],
    pub(super) value: &'m [u8],
}

/// Where a consumer's callback finds the queue; the queue outlives its use there.
#[derive(Debug, Default)]
pub(super) struct QueueSlot(AtomicPtr<sys::rd_kafka_queue_t>);

impl QueueSlot {
    pub(super) fn set(&self, queue: &Queue) {
        self.0.store(queue.0.as_ptr(), Ordering::Release);
    }

    /// Has these partitions' records go to the queue instead of the consumer's own.
    pub(super) fn forward(&self, client: *mut RDKafka, partitions: &TopicPartitionList) {
        let to = self.0.load(Ordering::Acquire);
        for element in partitions.elements() {
            let Ok(topic) = CString::new(element.topic()) else {
                continue;
            };
            // SAFETY: called from the client's own callback; `to` is alive while events are served.
            unsafe {
                let from =
                    sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), element.partition());
                if !from.is_null() && !to.is_null() {
                    sys::rd_kafka_queue_forward(from, to);
                    sys::rd_kafka_queue_destroy(from);
                }
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

impl Queue {
    /// A queue of a live client, which must outlive it.
    pub(super) fn new(client: *mut RDKafka) -> Self {
        // SAFETY: a live client.
        let queue = unsafe { sys::rd_kafka_queue_new(client) };
        Queue(NonNull::new(queue).expect("librdkafka aborts without memory"))
    }

    /// Waits until there is a record, and says whether there is.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let deadline = crate::os::now() + timeout;
        loop {
            // SAFETY: a live queue.
            if unsafe { sys::rd_kafka_queue_length(self.0.as_ptr()) } > 0 {
                return true;
            }
            if crate::os::now() >= deadline {
                return false;
            }
            crate::os::sleep((timeout / 10).max(Duration::from_millis(1)));
        }
    }

    /// Takes what is there, at most a thousand, without waiting.
    pub(super) fn take(&self) -> Result<Chunk<'_>, Failure> {
        let mut room = [ptr::null_mut(); MESSAGES_MAX];
        // SAFETY: a live queue, room for as many as said.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.0.as_ptr(), 0, room.as_mut_ptr(), room.len())
        };
        let count = usize::try_from(count)?;
        Ok(Chunk {
            room,
            count,
            _queue: PhantomData,
        })
    }
}

/// Records that were taken. Dropping it frees them.
#[derive(Debug)]
pub(super) struct Chunk<'q> {
    room: [*mut sys::rd_kafka_message_t; MESSAGES_MAX],
    count: usize,
    _queue: PhantomData<&'q Queue>,
}

impl Chunk<'_> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The records, or why one cannot be read.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Taken<'_>, Failure>> {
        // SAFETY: ours until destroyed, when nobody borrows the chunk any more.
        self.room[..self.count]
            .iter()
            .map(|message| unsafe { read(*message) })
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        for &message in &self.room[..self.count] {
            // SAFETY: ours, and destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// # Safety
///
/// A live message that outlives what is made of it.
unsafe fn read<'m>(message: *mut sys::rd_kafka_message_t) -> Result<Taken<'m>, Failure> {
    // SAFETY: key and payload are as long as said, or null.
    unsafe {
        let read = &*message;
        if read.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(format!("reading failed: {:?}", read.err).into());
        }
        Ok(Taken {
            topic: read.rkt.cast_const().cast(),
            partition: read.partition,
            offset: read.offset,
            timestamp: sys::rd_kafka_message_timestamp(message, ptr::null_mut()),
            key: bytes(read.key, read.key_len),
            value: bytes(read.payload, read.len),
        })
    }
}

/// # Safety
///
/// So many live bytes, or null.
unsafe fn bytes<'m>(start: *const c_void, length: usize) -> &'m [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: as promised.
    unsafe { std::slice::from_raw_parts(start.cast(), length) }
}

/// A topic that is produced to, resolved once.
#[derive(Debug)]
pub(super) struct Topic {
    topic: NonNull<sys::rd_kafka_topic_t>,
    client: *mut RDKafka,
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

impl Topic {
    /// A topic of a live client, which must outlive it.
    pub(super) fn new(client: *mut RDKafka, name: &str) -> Result<Self, Failure> {
        let name = CString::new(name)?;
        // SAFETY: a live client, a terminated name.
        let topic = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).ok_or("not a name of a topic")?;
        Ok(Topic { topic, client })
    }

    /// The name of a topic that a record came from.
    pub(super) fn name_of(record: &Taken<'_>) -> String {
        let topic = record.topic.cast::<sys::rd_kafka_topic_t>();
        // SAFETY: the record's own topic, alive as long as the record.
        let name: *const c_char = unsafe { sys::rd_kafka_topic_name(topic) };
        // SAFETY: terminated, as every name that librdkafka gives.
        unsafe { std::ffi::CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned()
    }

    /// Queues a record, copying it; none: the partitioner chooses.
    pub(super) fn produce(
        &self,
        partition: Option<i32>,
        key: &[u8],
        value: &[u8],
        timestamp: i64,
    ) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as vtype;
        let field = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let rkt = self.topic.as_ptr();
        let (i32_, i64_, i) = (partition.unwrap_or(-1), timestamp, sys::RD_KAFKA_MSG_F_COPY);
        let fields = [
            field(vtype::RD_KAFKA_VTYPE_RKT, Union { rkt }),
            field(vtype::RD_KAFKA_VTYPE_PARTITION, Union { i32_ }),
            field(vtype::RD_KAFKA_VTYPE_MSGFLAGS, Union { i }),
            field(vtype::RD_KAFKA_VTYPE_KEY, memory(key)),
            field(vtype::RD_KAFKA_VTYPE_VALUE, memory(value)),
            field(vtype::RD_KAFKA_VTYPE_TIMESTAMP, Union { i64_ }),
        ];
        // SAFETY: live client and topic; key and value are copied before the call returns.
        unsafe {
            loop {
                let error = sys::rd_kafka_produceva(self.client, fields.as_ptr(), fields.len());
                if error.is_null() {
                    return Ok(());
                }
                let code = sys::rd_kafka_error_code(error);
                sys::rd_kafka_error_destroy(error);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL {
                    return Err(format!("a record was not queued: {code:?}").into());
                }
                // The broker lags behind.
                sys::rd_kafka_poll(self.client, QUEUE_FULL_PAUSE_MS);
            }
        }
    }
}

type Union = sys::rd_kafka_vu_s__bindgen_ty_1;

fn memory(bytes: &[u8]) -> Union {
    let ptr = bytes.as_ptr().cast::<c_void>().cast_mut();
    Union {
        mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr,
            size: bytes.len(),
        },
    }
}

/// Waits until everything was delivered; answers whether it was.
pub(super) fn flush(client: *mut RDKafka, slice: Duration) -> bool {
    let millis = i32::try_from(slice.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: a live client.
    unsafe { sys::rd_kafka_flush(client, millis) == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR }
}
