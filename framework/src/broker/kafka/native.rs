//! The unsafe ground: librdkafka's handles as owned values, and the calls made on them.
//!
//! ```text
//!   Client ──┬── Queue       events of the client, or records of one partition; rings the Wake
//!            ├── Topic       resolved once; records are produced to it
//!            └── Membership  a snapshot that outlives the client
//! ```
//!
//! rdkafka's own wrappers fetch one record a call, answer rebalances inside callbacks, flush in
//! steps of 100 ms and hide the generation of a group: what is called here is what they leave out.
//!
//! # Invariants
//!
//! - A queue or a topic keeps its client: librdkafka wants them destroyed first.
//! - What librdkafka hands out is destroyed before the function returns, on panics too; borrowed
//!   bytes are seen by the closure that they are given to and by nobody else.
//! - A callback's pointer is to something that the queue owns, and is withdrawn before that goes.
#![expect(
    unsafe_code,
    reason = "librdkafka is a C library, and rdkafka wraps only part of it"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::failure::{Failure, Severity};
use super::logs;
use crate::broker::Wake;
use crate::processor::OutgoingRecord;
use crate::record::{Headers, Offset, TopicPartition};
use crate::time::Timestamp;

/// Messages taken out of a queue in one call.
const BATCH_MESSAGES_MAX: usize = 256;

/// Calls made to empty a queue: enough for any prefetch, and an end if it is refilled meanwhile.
const DISCARD_CALLS_MAX: usize = 4096;

/// How often, and how long each time, a closing consumer is served: six seconds, a little more
/// than librdkafka gives a LeaveGroup request.
const CLOSE_SLICES_MAX: usize = 120;
const CLOSE_SLICE: Duration = Duration::from_millis(50);

/// Round trips to librdkafka's main thread after which a stop is done, and one to spare.
const STOP_STEPS: usize = 3;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A consumer with a group id, whether or not it subscribes.
    Consumer,
    Producer,
    /// A consumer without a group, for metadata and offsets.
    Lookup,
}

/// A librdkafka client. Clones are the same client.
#[derive(Debug, Clone)]
pub(super) struct Client(Arc<Handle>);

#[derive(Debug)]
struct Handle(NonNull<sys::rd_kafka_t>);

// SAFETY: librdkafka's client handle may be used from any thread, several at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // Closing is done by `leave`; without the flag, destroying would wait for the group.
        let flags = sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE;
        // SAFETY: the last handle to the client; queues and topics hold clones of it.
        unsafe { sys::rd_kafka_destroy_flags(self.0.as_ptr(), flags) };
    }
}

/// What a client has to tell.
#[derive(Debug)]
pub(super) enum Event {
    Assigned(Vec<TopicPartition>),
    Revoked,
    /// Concerns the client, not one call.
    Failed(Failure),
    /// A record that could not be delivered.
    Undelivered(TopicPartition, Failure),
    /// Nothing to act upon.
    Other,
}

/// What comes out of a partition's queue.
#[derive(Debug)]
pub(super) enum Taken<'a> {
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

impl Client {
    /// Makes a client; nothing is connected yet.
    pub(super) fn new(role: Role, config: &ClientConfig) -> Result<Self, String> {
        let conf = config
            .create_native_config()
            .map_err(|error| error.to_string())?;
        let kind = match role {
            Role::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            Role::Consumer | Role::Lookup => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
        };
        let events = match role {
            Role::Producer => sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR,
            Role::Consumer => sys::RD_KAFKA_EVENT_REBALANCE | sys::RD_KAFKA_EVENT_ERROR,
            // Errors go to the log: nobody polls this client.
            Role::Lookup => 0,
        };
        let mut reason = [0 as c_char; 512];
        // SAFETY: `conf` lives until `rd_kafka_new`, which takes it over only when it succeeds;
        // `log_line` has the signature asked for and needs no state; `reason` is as long as said.
        let handle = unsafe {
            sys::rd_kafka_conf_set_events(conf.ptr(), events);
            sys::rd_kafka_conf_set_log_cb(conf.ptr(), Some(log_line));
            sys::rd_kafka_new(kind, conf.ptr(), reason.as_mut_ptr(), reason.len())
        };
        let Some(handle) = NonNull::new(handle) else {
            // SAFETY: librdkafka terminates what it writes, within the length given.
            return Err(unsafe { text(reason.as_ptr()) });
        };
        let _taken_over = ManuallyDrop::new(conf);
        let client = Client(Arc::new(Handle(handle)));
        if role == Role::Consumer {
            // SAFETY: a live client. One queue to poll: errors of the client join the group's.
            resp(unsafe { sys::rd_kafka_poll_set_consumer(client.ptr()) } as c_int)
                .map_err(|failure| failure.text)?;
        }
        Ok(client)
    }

    fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.0.0.as_ptr()
    }

    /// The queue of events: the group's for a consumer, else the client's.
    pub(super) fn events(&self, role: Role) -> Queue {
        // SAFETY: a live client; the queue is ours to destroy.
        let queue = unsafe {
            match role {
                Role::Consumer => sys::rd_kafka_queue_get_consumer(self.ptr()),
                Role::Producer | Role::Lookup => sys::rd_kafka_queue_get_main(self.ptr()),
            }
        };
        let queue = NonNull::new(queue).expect("a consumer has a group, every client a main queue");
        Queue::new(queue, self)
    }

    /// The queue of one partition, cut off from the client's, emptied, ringing `wake`.
    pub(super) fn partition(
        &self,
        partition: &TopicPartition,
        wake: &Arc<Wake>,
    ) -> Result<Queue, Failure> {
        let topic = c_string(&partition.topic)?;
        // SAFETY: a live client, a terminated name; the queue is ours to destroy.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(self.ptr(), topic.as_ptr(), partition.partition)
        };
        let queue = NonNull::new(queue)
            .ok_or_else(|| Failure::plain(Code::UnknownPartition, "no queue"))?;
        // SAFETY: a live queue. Null means that nothing is forwarded, from now on.
        unsafe { sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        let mut queue = Queue::new(queue, self);
        queue.discard();
        queue.ring(wake);
        Ok(queue)
    }

    pub(super) fn subscribe(&self, topics: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: a live client; the list is copied.
        resp(unsafe { sys::rd_kafka_subscribe(self.ptr(), topics.ptr()) } as c_int)
    }

    /// Starts reading these partitions at their offsets and no others; none: stops reading.
    pub(super) fn assign(&self, partitions: Option<&TopicPartitionList>) -> Result<(), Failure> {
        let list = partitions.map_or(ptr::null_mut(), TopicPartitionList::ptr);
        // SAFETY: a live client; the list is copied, null means none.
        resp(unsafe { sys::rd_kafka_assign(self.ptr(), list) } as c_int)?;
        // Stopping a partition that is being stopped already is an assertion failure of
        // librdkafka, and ends the process: let this stop be done before anyone asks again. It is
        // two operations of the main thread (stop, stopped), which takes them in order.
        for _ in 0..STOP_STEPS {
            drop(self.membership());
        }
        Ok(())
    }

    pub(super) fn assignment_lost(&self) -> bool {
        // SAFETY: a live client.
        unsafe { sys::rd_kafka_assignment_lost(self.ptr()) != 0 }
    }

    /// The membership now; none before joining and after leaving, when the broker would accept
    /// anything.
    pub(super) fn membership(&self) -> Option<Membership> {
        // SAFETY: a live client; the metadata is ours to destroy.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(self.ptr()) };
        let membership = Membership(NonNull::new(metadata)?);
        // SAFETY: live metadata, whose member id is a terminated string or null.
        let (generation, member) = unsafe {
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
            let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
            (generation, !member.is_null() && *member != 0)
        };
        (generation >= 0 && member).then_some(membership)
    }

    /// Fills in the offsets that the group has committed, and the metadata beside them.
    pub(super) fn committed(
        &self,
        partitions: &mut TopicPartitionList,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let list = partitions.ptr();
        // SAFETY: a live client; the list is borrowed mutably and changed in place.
        resp(unsafe { sys::rd_kafka_committed(self.ptr(), list, millis(timeout)) } as c_int)
    }

    /// Replaces timestamps, or the logical offsets beginning and end, by offsets. The end is the
    /// one that the client's isolation level lets it see.
    pub(super) fn offsets_for_times(
        &self,
        partitions: &mut TopicPartitionList,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let list = partitions.ptr();
        // SAFETY: as in `committed`.
        let error =
            unsafe { sys::rd_kafka_offsets_for_times(self.ptr(), list, millis(timeout)) } as c_int;
        resp(error)
    }

    /// For each partition of the topic whether it has a leader; none if there is no such topic.
    pub(super) fn partitions(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<Option<Vec<bool>>, Failure> {
        let topic = self.topic(topic)?;
        let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
        // SAFETY: a live client and topic; `metadata` is written if the call succeeds.
        resp(unsafe {
            let (rk, rkt) = (self.ptr(), topic.topic.as_ptr());
            sys::rd_kafka_metadata(rk, 0, rkt, &raw mut metadata, millis(timeout))
        } as c_int)?;
        // SAFETY: the call succeeded: the arrays are as long as their counts, and live until the
        // metadata is destroyed, once, after the last look.
        unsafe {
            let answer = match topics_of(&*metadata) {
                [found] => leaders(found),
                _ => Ok(None),
            };
            sys::rd_kafka_metadata_destroy(metadata);
            answer
        }
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic, Failure> {
        let name = c_string(name)?;
        // SAFETY: a live client, a terminated name; null: the client's default topic settings.
        let topic = unsafe { sys::rd_kafka_topic_new(self.ptr(), name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic)
            .ok_or_else(|| Failure::plain(Code::InvalidTopic, "not a name of a topic"))?;
        Ok(Topic {
            topic,
            client: self.clone(),
        })
    }

    pub(super) fn init_transactions(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: a live client, here and in the calls below; the error is ours to destroy.
        outcome(unsafe { sys::rd_kafka_init_transactions(self.ptr(), millis(timeout)) })
    }

    pub(super) fn begin_transaction(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_begin_transaction(self.ptr()) })
    }

    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &Membership,
        timeout: Duration,
    ) -> Result<(), Failure> {
        // SAFETY: as above; list and metadata are read.
        outcome(unsafe {
            let (list, group) = (offsets.ptr(), group.0.as_ptr());
            sys::rd_kafka_send_offsets_to_transaction(self.ptr(), list, group, millis(timeout))
        })
    }

    pub(super) fn commit_transaction(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_commit_transaction(self.ptr(), millis(timeout)) })
    }

    pub(super) fn abort_transaction(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_abort_transaction(self.ptr(), millis(timeout)) })
    }

    /// Waits until everything queued was delivered; answers whether it was. Undelivered records
    /// count until their events were polled.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: a live client.
        resp(unsafe { sys::rd_kafka_flush(self.ptr(), millis(timeout)) } as c_int).is_ok()
    }

    /// Records on their way, and events not polled.
    pub(super) fn outstanding(&self) -> usize {
        // SAFETY: a live client.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.ptr()) }).unwrap_or(0)
    }

    /// Why the client is closed for good, if it is.
    pub(super) fn fatal(&self) -> Option<Failure> {
        let mut reason = [0 as c_char; 512];
        // SAFETY: a live client, a buffer as long as said, terminated by librdkafka.
        unsafe {
            let code =
                sys::rd_kafka_fatal_error(self.ptr(), reason.as_mut_ptr(), reason.len()) as c_int;
            let mut failure = resp(code).err()?;
            failure.severity = Severity::Fatal;
            failure.text = text(reason.as_ptr());
            Some(failure)
        }
    }

    /// Leaves the group: gives up the assignment, whoever still owes an answer to a rebalance.
    pub(super) fn leave(&self) {
        if let Err(failure) = self.assign(None) {
            tracing::debug!(%failure, "unassign before leaving refused");
        }
        // SAFETY: a live client; the queue is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_new(self.ptr()) };
        let queue = Queue::new(
            NonNull::new(queue).expect("librdkafka aborts without memory"),
            self,
        );
        // SAFETY: live client and queue; the error is ours to destroy.
        let closing =
            outcome(unsafe { sys::rd_kafka_consumer_close_queue(self.ptr(), queue.ptr()) });
        if let Err(failure) = closing {
            tracing::debug!(%failure, "consumer closed without leaving");
            return;
        }
        for _ in 0..CLOSE_SLICES_MAX {
            // SAFETY: a live client.
            if unsafe { sys::rd_kafka_consumer_closed(self.ptr()) } != 0 {
                return;
            }
            if let Some(Event::Assigned(_) | Event::Revoked) = queue.event(CLOSE_SLICE) {
                // Nobody else answers any more, and the group would wait for ever. Nothing is
                // asked of the group after that: it may be gone with the answer, and whoever
                // asks then waits for ever. Nothing is read any more, so nothing stops twice.
                // SAFETY: a live client; null means no partitions.
                let answered =
                    resp(unsafe { sys::rd_kafka_assign(self.ptr(), ptr::null_mut()) } as c_int);
                if let Err(failure) = answered {
                    tracing::debug!(%failure, "unassign while leaving refused");
                }
            }
        }
        tracing::warn!("consumer dropped before the group let it go");
    }
}

/// A queue of events or messages.
#[derive(Debug)]
pub(super) struct Queue {
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
    fn new(queue: NonNull<sys::rd_kafka_queue_t>, client: &Client) -> Self {
        Queue {
            queue,
            wake: None,
            _client: client.clone(),
        }
    }

    fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Rings from now on when something arrives in the empty queue. What is in it already, or
    /// was left in it, does not ring.
    pub(super) fn ring(&mut self, wake: &Arc<Wake>) {
        let opaque = Arc::as_ptr(wake).cast::<c_void>().cast_mut();
        // SAFETY: the bell outlives the callback: it is kept here, and `drop` disables first. A
        // bell kept before is replaced after the callback that used it.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.ptr(), Some(ring), opaque) };
        self.wake = Some(Arc::clone(wake));
    }

    /// The next event, waiting at most so long.
    pub(super) fn event(&self, timeout: Duration) -> Option<Event> {
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
    pub(super) fn take(
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
    pub(super) fn discard(&self) {
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

/// A topic that records are produced to.
#[derive(Debug)]
pub(super) struct Topic {
    topic: NonNull<sys::rd_kafka_topic_t>,
    client: Client,
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: a live topic; its client goes after it.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

impl Topic {
    /// Queues a record, copying it.
    pub(super) fn produce(&self, record: &OutgoingRecord<'_>) -> Result<(), Failure> {
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

/// A membership in a group at one moment.
#[derive(Debug)]
pub(crate) struct Membership(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: owned, and independent of the client.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}

/// An element of a list that librdkafka has filled in.
#[derive(Debug)]
pub(super) struct Entry {
    /// Negative: none.
    pub(super) offset: i64,
    pub(super) metadata: String,
    pub(super) failure: Option<Failure>,
}

/// What a list holds, in its order. rdkafka's own accessors panic where metadata is not UTF-8.
pub(super) fn entries(list: &TopicPartitionList) -> Vec<Entry> {
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

// What librdkafka calls.

unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: the pointer given with the callback, alive while it is enabled.
    unsafe { &*wake.cast_const().cast::<Wake>() }.ring();
}

unsafe extern "C" fn log_line(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: terminated strings, alive during the call.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    logs::line(level, &facility, &line);
}

// What librdkafka hands out.

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
            let Err(mut failure) = resp(raw_code(&message.err)) else {
                continue;
            };
            // Purged is what an abort asks for.
            if matches!(failure.code, Code::PurgeQueue | Code::PurgeInflight) {
                continue;
            }
            let broker_words = sys::rd_kafka_message_produce_errstr(message);
            if !broker_words.is_null() {
                failure.text = text(broker_words);
            }
            let topic = text(sys::rd_kafka_topic_name(message.rkt));
            return Event::Undelivered(TopicPartition::new(topic, message.partition), failure);
        }
    }
    Event::Other
}

/// # Safety
///
/// A message that lives at least as long as what is made of it.
unsafe fn read_message<'m>(message: *mut sys::rd_kafka_message_t) -> Taken<'m> {
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
                headers: read_headers(message),
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
unsafe fn read_headers(message: *const sys::rd_kafka_message_t) -> Headers {
    let mut headers = Headers::new();
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

/// # Safety
///
/// Live metadata.
unsafe fn topics_of(metadata: &sys::rd_kafka_metadata) -> &[sys::rd_kafka_metadata_topic] {
    // SAFETY: the array is as long as its count.
    unsafe { array(metadata.topics, metadata.topic_cnt) }
}

/// # Safety
///
/// A topic of live metadata.
unsafe fn leaders(topic: &sys::rd_kafka_metadata_topic) -> Result<Option<Vec<bool>>, Failure> {
    match resp(raw_code(&topic.err)) {
        Err(failure) if failure.code == Code::UnknownTopicOrPartition => return Ok(None),
        outcome => outcome?,
    }
    // SAFETY: the array is as long as its count.
    let partitions = unsafe { array(topic.partitions, topic.partition_cnt) };
    Ok(Some(partitions.iter().map(|p| p.leader >= 0).collect()))
}

/// # Safety
///
/// A live list, or null, for as long as the elements are looked at.
unsafe fn elements_of<'l>(
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
unsafe fn array<'a, T>(elements: *const T, length: c_int) -> &'a [T] {
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
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// # Safety
///
/// A terminated string, or null.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().trim().to_owned()
}

fn c_string(name: &str) -> Result<CString, Failure> {
    CString::new(name)
        .map_err(|_nul| Failure::plain(Code::InvalidArgument, "a name contains a zero byte"))
}

/// Whole milliseconds, rounded up: librdkafka cuts off the rest, and zero means "do not wait".
fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
}

/// The number in a field of a C struct: brokers may send codes that the enum does not know.
fn raw_code(field: &RDKafkaRespErr) -> c_int {
    // SAFETY: the enum is represented as an i32, and an i32 may hold anything.
    unsafe { ptr::from_ref(field).cast::<c_int>().read() }
}

/// Kafka's name of a code.
pub(super) fn name(code: Code) -> String {
    // SAFETY: a static string.
    unsafe { text(sys::rd_kafka_err2name(known(code as c_int))) }
}

fn known(code: c_int) -> RDKafkaRespErr {
    RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN)
}

fn resp(code: c_int) -> Result<(), Failure> {
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
fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
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
