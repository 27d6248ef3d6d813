//! Queues: events of a client, or the messages of one partition.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::client::Client;
use super::message::{Taken, read_message};
use super::values::{elements_of, millis, raw_code, resp, text};
use crate::broker::Wake;
use crate::broker::kafka::failure::{Failure, Severity};
use crate::record::TopicPartition;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Messages taken out of a queue in one call.
const BATCH_MESSAGES_MAX: usize = 256;

/// Calls made to empty a queue: enough for any prefetch, and an end if it is refilled meanwhile.
const DISCARD_CALLS_MAX: usize = 4096;

/// What a client has to tell.
#[derive(Debug)]
pub(crate) enum Event {
    Assigned(Vec<TopicPartition>),
    Revoked,
    /// Concerns the client, not one call.
    Failed(Failure),
    /// The answer to a commit of offsets.
    Committed(Result<(), Failure>),
    /// A record that could not be delivered.
    Undelivered(TopicPartition, Failure),
    /// Nothing to act upon.
    Other,
}

/// A queue of events or messages.
#[derive(Debug)]
pub(crate) struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Whom the callback rings, if it is enabled.
    wake: Option<Arc<Wake>>,
    /// Dropped after the queue.
    _client: Client,
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: a live queue. The callback runs under the queue's lock, which disabling it
        // takes: after that nobody uses the pointer to the bell.
        unsafe {
            if self.wake.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.ptr(), None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.ptr());
        }
    }
}

impl Queue {
    pub(super) fn new(queue: NonNull<sys::rd_kafka_queue_t>, client: &Client) -> Self {
        Queue {
            queue,
            wake: None,
            _client: client.clone(),
        }
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Rings from now on when something arrives in the empty queue. What is in it already, or
    /// was left in it, does not ring.
    pub(crate) fn ring(&mut self, wake: &Arc<Wake>) {
        let opaque = Arc::as_ptr(wake).cast::<c_void>().cast_mut();
        // SAFETY: the bell outlives the callback: it is kept here, and `drop` disables first. A
        // bell kept before is replaced after the callback that used it.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.ptr(), Some(ring), opaque) };
        self.wake = Some(Arc::clone(wake));
    }

    /// The next event, waiting at most so long.
    pub(crate) fn event(&self, timeout: Duration) -> Option<Event> {
        // SAFETY: a live queue; the event is ours to destroy, once, after it was read.
        unsafe {
            let event = NonNull::new(sys::rd_kafka_queue_poll(self.ptr(), millis(timeout)))?;
            let read = read_event(event.as_ptr());
            sys::rd_kafka_event_destroy(event.as_ptr());
            Some(read)
        }
    }

    /// Takes messages out, without waiting, until `records_max` were records, the queue is empty
    /// or `each` breaks. Records of an earlier assignment are left out by librdkafka.
    pub(crate) fn take(
        &self,
        records_max: usize,
        mut each: impl FnMut(Taken<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut records = 0;
        while records < records_max {
            let mut batch = [ptr::null_mut(); BATCH_MESSAGES_MAX];
            let wanted = (records_max - records).min(BATCH_MESSAGES_MAX);
            let mut messages = self.messages(&mut batch[..wanted]);
            let last = messages.left() < wanted;
            while let Some(message) = messages.first() {
                // SAFETY: a message that is destroyed after `each` saw it.
                let taken = unsafe { read_message(message) };
                records += usize::from(matches!(taken, Taken::Record { .. }));
                if each(taken).is_break() {
                    return records;
                }
                messages.destroy_first();
            }
            if last {
                break;
            }
        }
        records
    }

    /// Throws away what is in the queue.
    pub(crate) fn discard(&self) {
        for _ in 0..DISCARD_CALLS_MAX {
            let mut batch = [ptr::null_mut(); BATCH_MESSAGES_MAX];
            if self.messages(&mut batch).left() < BATCH_MESSAGES_MAX {
                break;
            }
        }
    }

    fn messages<'b>(&self, batch: &'b mut [*mut sys::rd_kafka_message_t]) -> Messages<'b> {
        let (room, length) = (batch.as_mut_ptr(), batch.len());
        // SAFETY: a live queue, room for as many pointers as said; zero: without waiting.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.ptr(), 0, room, length) };
        let count = usize::try_from(count).unwrap_or(0);
        Messages(&batch[..count])
    }
}

/// Messages taken out of a queue and not yet destroyed.
struct Messages<'b>(&'b [*mut sys::rd_kafka_message_t]);

impl Messages<'_> {
    fn left(&self) -> usize {
        self.0.len()
    }

    fn first(&self) -> Option<*mut sys::rd_kafka_message_t> {
        self.0.first().copied()
    }

    fn destroy_first(&mut self) {
        if let Some((first, rest)) = self.0.split_first() {
            self.0 = rest;
            // SAFETY: handed out by librdkafka, and destroyed once: it just left the list.
            unsafe { sys::rd_kafka_message_destroy(*first) };
        }
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        while self.left() > 0 {
            self.destroy_first();
        }
    }
}

unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: the pointer given with the callback, alive while it is enabled.
    unsafe { &*wake.cast_const().cast::<Wake>() }.ring();
}

/// # Safety
///
/// A live event.
unsafe fn read_event(event: *mut sys::rd_kafka_event_t) -> Event {
    // SAFETY: a live event; what it owns is copied.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_REBALANCE => match sys::rd_kafka_event_error(event) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                    let list = sys::rd_kafka_event_topic_partition_list(event);
                    let named = |element: &sys::rd_kafka_topic_partition_t| {
                        TopicPartition::new(text(element.topic), element.partition)
                    };
                    Event::Assigned(elements_of(list).iter().map(named).collect())
                }
                _ => Event::Revoked,
            },
            sys::RD_KAFKA_EVENT_ERROR => {
                let Err(mut failure) = resp(sys::rd_kafka_event_error(event) as c_int) else {
                    return Event::Other;
                };
                failure.text = text(sys::rd_kafka_event_error_string(event));
                if sys::rd_kafka_event_error_is_fatal(event) != 0 {
                    failure.severity = Severity::Fatal;
                }
                Event::Failed(failure)
            }
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                Event::Committed(resp(sys::rd_kafka_event_error(event) as c_int))
            }
            sys::RD_KAFKA_EVENT_DR => first_undelivered(event),
            // The group's queue would be read past its partition, out of order: stop.
            sys::RD_KAFKA_EVENT_FETCH => Event::Failed(Failure {
                severity: Severity::Fatal,
                ..Failure::plain(
                    Code::Inconsistent,
                    "a record bypassed its partition's queue",
                )
            }),
            _ => Event::Other,
        }
    }
}

/// # Safety
///
/// A live event of delivery reports.
unsafe fn first_undelivered(event: *mut sys::rd_kafka_event_t) -> Event {
    // SAFETY: messages live as long as their event; what is said of them is copied.
    unsafe {
        while let Some(message) = sys::rd_kafka_event_message_next(event).as_ref() {
            // Not `rd_kafka_message_produce_errstr`, the broker's own words: they belong to the
            // response, which librdkafka's thread has freed by now.
            let Err(failure) = resp(raw_code(&message.err)) else {
                continue;
            };
            // Purged is what an abort asks for.
            if matches!(failure.code, Code::PurgeQueue | Code::PurgeInflight) {
                continue;
            }
            let topic = text(sys::rd_kafka_topic_name(message.rkt));
            return Event::Undelivered(TopicPartition::new(topic, message.partition), failure);
        }
    }
    Event::Other
}
