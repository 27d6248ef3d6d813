//! A client: one handle of librdkafka, and the calls made on it.

use std::ffi::{c_char, c_int};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::queue::{Event, Queue};
use super::topic::Topic;
use super::values::{array, c_string, millis, outcome, raw_code, resp, text};
use crate::broker::Wake;
use crate::broker::kafka::failure::{Failure, Severity};
use crate::broker::kafka::logs;
use crate::record::{Offset, TopicPartition};
use rdkafka::types::RDKafkaErrorCode as Code;

/// How often, and how long each time, a closing consumer is served: six seconds, a little more
/// than librdkafka gives a LeaveGroup request.
const CLOSE_SLICES_MAX: usize = 120;
const CLOSE_SLICE: Duration = Duration::from_millis(50);

/// Round trips to librdkafka's main thread after which a stop is done, and one to spare.
const STOP_STEPS: usize = 3;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A consumer with a group id, whether or not it subscribes.
    Consumer,
    Producer,
    /// A consumer without a group, for metadata and offsets.
    Lookup,
}

/// A librdkafka client. Clones are the same client.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Handle>);

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

impl Client {
    /// Makes a client; nothing is connected yet.
    pub(crate) fn new(role: Role, config: &ClientConfig) -> Result<Self, String> {
        let conf = config.create_native_config().map_err(|error| match error {
            // Not the value: it may be a password under a mistyped name.
            KafkaError::ClientConfig(_, reason, name, _value) => format!("{name}: {reason}"),
            other => other.to_string(),
        })?;
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

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.0.0.as_ptr()
    }

    /// The queue of events: the group's for a consumer, else the client's.
    pub(crate) fn events(&self, role: Role) -> Queue {
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
    pub(crate) fn partition(
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

    /// The high watermark that came with the last answer to a fetch; none before the first.
    pub(crate) fn watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        let topic = c_string(&partition.topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: a live client, a terminated name; low and high are written, nothing is asked.
        let error = unsafe {
            let (rk, topic) = (self.ptr(), topic.as_ptr());
            let (low, high) = (&raw mut low, &raw mut high);
            sys::rd_kafka_get_watermark_offsets(rk, topic, partition.partition, low, high)
        };
        resp(error as c_int).ok()?;
        (high >= 0).then(|| Offset::new(high))
    }

    pub(crate) fn subscribe(&self, topics: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: a live client; the list is copied.
        resp(unsafe { sys::rd_kafka_subscribe(self.ptr(), topics.ptr()) } as c_int)
    }

    /// Starts reading these partitions at their offsets and no others; none: stops reading.
    pub(crate) fn assign(&self, partitions: Option<&TopicPartitionList>) -> Result<(), Failure> {
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

    pub(crate) fn assignment_lost(&self) -> bool {
        // SAFETY: a live client.
        unsafe { sys::rd_kafka_assignment_lost(self.ptr()) != 0 }
    }

    /// The membership now; none before joining and after leaving, when the broker would accept
    /// anything.
    pub(crate) fn membership(&self) -> Option<Membership> {
        // SAFETY: a live client; the metadata is ours to destroy.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(self.ptr()) };
        let membership = Membership(Arc::new(Metadata(NonNull::new(metadata)?)));
        // SAFETY: live metadata, whose member id is a terminated string or null.
        let (generation, member) = unsafe {
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
            let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
            (generation, !member.is_null() && *member != 0)
        };
        (generation >= 0 && member).then_some(membership)
    }

    /// Commits offsets in the name of the group's member. Without an answer in time it may still
    /// be committed: librdkafka sends it again while the coordinator is out of reach.
    pub(crate) fn commit(
        &self,
        offsets: &TopicPartitionList,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let queue = self.queue();
        // SAFETY: live client and queue; the list is copied; no callback.
        resp(unsafe {
            let (rk, list) = (self.ptr(), offsets.ptr());
            sys::rd_kafka_commit_queue(rk, list, queue.ptr(), None, ptr::null_mut())
        } as c_int)?;
        match queue.event(timeout) {
            Some(Event::Committed(outcome)) => outcome,
            _ => Err(Failure::plain(Code::OperationTimedOut, "no answer in time")),
        }
    }

    /// A queue that belongs to nobody yet.
    fn queue(&self) -> Queue {
        // SAFETY: a live client; the queue is ours to destroy.
        let queue = unsafe { sys::rd_kafka_queue_new(self.ptr()) };
        let queue = NonNull::new(queue).expect("librdkafka aborts without memory");
        Queue::new(queue, self)
    }

    /// Fills in the offsets that the group has committed, and the metadata beside them.
    pub(crate) fn committed(
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
    pub(crate) fn offsets_for_times(
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
    pub(crate) fn partitions(
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

    /// The names of all topics.
    pub(crate) fn topic_names(&self, timeout: Duration) -> Result<Vec<String>, Failure> {
        let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
        // SAFETY: a live client, all topics; `metadata` is written if the call succeeds.
        resp(unsafe {
            let (rk, all) = (self.ptr(), 1);
            sys::rd_kafka_metadata(rk, all, ptr::null_mut(), &raw mut metadata, millis(timeout))
        } as c_int)?;
        // SAFETY: the call succeeded: the array is as long as its count, names are terminated, and
        // both live until the metadata is destroyed, once, after the last look.
        unsafe {
            let topics = topics_of(&*metadata).iter();
            let name = |topic: &sys::rd_kafka_metadata_topic| text(topic.topic);
            let names = topics.map(name).collect();
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(names)
        }
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Topic, Failure> {
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

    pub(crate) fn init_transactions(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: a live client, here and in the calls below; the error is ours to destroy.
        outcome(unsafe { sys::rd_kafka_init_transactions(self.ptr(), millis(timeout)) })
    }

    pub(crate) fn begin_transaction(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_begin_transaction(self.ptr()) })
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &Membership,
        timeout: Duration,
    ) -> Result<(), Failure> {
        // SAFETY: as above; list and metadata are read.
        outcome(unsafe {
            let (list, group) = (offsets.ptr(), group.0.0.as_ptr());
            sys::rd_kafka_send_offsets_to_transaction(self.ptr(), list, group, millis(timeout))
        })
    }

    pub(crate) fn commit_transaction(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_commit_transaction(self.ptr(), millis(timeout)) })
    }

    pub(crate) fn abort_transaction(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as above.
        outcome(unsafe { sys::rd_kafka_abort_transaction(self.ptr(), millis(timeout)) })
    }

    /// Waits until everything queued was delivered; answers whether it was. Undelivered records
    /// count until their events were polled.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: a live client.
        resp(unsafe { sys::rd_kafka_flush(self.ptr(), millis(timeout)) } as c_int).is_ok()
    }

    /// Records on their way, and events not polled.
    pub(crate) fn outstanding(&self) -> usize {
        // SAFETY: a live client.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.ptr()) }).unwrap_or(0)
    }

    /// Why the client is closed for good, if it is.
    pub(crate) fn fatal(&self) -> Option<Failure> {
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
    pub(crate) fn leave(&self) {
        if let Err(failure) = self.assign(None) {
            tracing::debug!(%failure, "unassign before leaving refused");
        }
        let queue = self.queue();
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

/// A membership in a group at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Membership(Arc<Metadata>);

#[derive(Debug)]
struct Metadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: plain data that nobody changes, independent of the client and of any thread.
unsafe impl Send for Metadata {}
// SAFETY: as above.
unsafe impl Sync for Metadata {}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: owned, and independent of the client.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
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
