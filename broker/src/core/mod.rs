//! The broker as a state machine: requests and a clock in, replies out; no socket, thread or time inside.
//!
//! ```text
//!   handle(now, request) ──> faults ──> api ──┬─> topics and logs
//!                              │              ├─> transactions ──> markers ──> logs, groups
//!   tick(now) ──> timers ──────┤              └─> groups and offsets
//!                              v
//!                           replies: the request's own, and those of requests that waited
//! ```
//!
//! # Invariants
//!
//! - **Same seed, same requests, same times: same replies.**
//! - **The clock never goes back:** an earlier time than the last is taken for the last.
//! - **Every request is answered exactly once** — with a response, with silence, or by closing —
//!   unless its connection goes first.

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::faults::{After, Coordinator, Decision, Faults};
use crate::fetches::Fetches;
use crate::groups::{GroupLimits, Groups, Step};
use crate::ids::Ids;
use crate::options::Options;
use crate::request::{ConnectionId, Context, Handled, Outcome, Reply, Request, Waiter};
use crate::timers::{Timer, Timers};
use crate::topics::Topics;
use crate::transactions::{Target, Transactions};
use crate::{api, wire};

#[cfg(test)]
mod tests;

/// The state machine of a single-node broker.
///
/// ```
/// use onceflow_broker::{ConnectionId, Core, Options, Outcome, Request};
/// use onceflow_broker::protocol::messages::{MetadataRequest, RequestKind, ResponseKind};
///
/// let mut core = Core::new(Options::default());
/// core.create_topic("orders", 4, &[]).unwrap();
/// let replies = core.handle(1_000, Request {
///     connection: ConnectionId(1),
///     version: 12,
///     client_id: "doc".to_owned(),
///     client_host: "/127.0.0.1".to_owned(),
///     body: RequestKind::Metadata(MetadataRequest::default().with_topics(None)),
/// });
/// let Outcome::Answer(answer) = &replies[0].outcome else { panic!("metadata is answered at once") };
/// let ResponseKind::Metadata(metadata) = answer.as_ref() else { panic!("with metadata") };
/// assert_eq!(metadata.topics[0].partitions.len(), 4);
/// ```
#[derive(Debug)]
pub struct Core {
    pub(crate) options: Options,
    pub(crate) now_ms: i64,
    pub(crate) ids: Ids,
    pub(crate) topics: Topics,
    pub(crate) transactions: Transactions,
    pub(crate) groups: Groups,
    pub(crate) fetches: Fetches,
    pub(crate) timers: Timers,
    faults: Faults,
    received: BTreeMap<i16, u64>,
    held: BTreeMap<u64, Held>,
    held_count: u64,
    /// Requests that arrived while the broker hangs; one a connection at most.
    stuck: Vec<Request>,
    after: BTreeMap<ConnectionId, After>,
    replies: Vec<Reply>,
}

/// What a fault holds back.
#[derive(Debug)]
enum Held {
    Request(Box<Request>),
    Reply(Reply),
}

impl Core {
    /// An empty broker.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let limits = GroupLimits {
            session_timeout_min_ms: options.session_timeout_min_ms,
            session_timeout_max_ms: options.session_timeout_max_ms,
            initial_rebalance_delay_ms: options.initial_rebalance_delay_ms,
            members_max: options.group_members_max,
        };
        Self {
            now_ms: 0,
            ids: Ids::new(options.seed),
            topics: Topics::new(options.partitions_max),
            transactions: Transactions::new(options.transaction_timeout_max_ms),
            groups: Groups::new(limits),
            fetches: Fetches::default(),
            timers: Timers::default(),
            faults: Faults::default(),
            received: BTreeMap::new(),
            held: BTreeMap::new(),
            held_count: 0,
            stuck: Vec::new(),
            after: BTreeMap::new(),
            replies: Vec::new(),
            options,
        }
    }

    /// Takes a request at a time, and answers whatever can be answered by then.
    ///
    /// The request's own reply may be among the replies or come from a later call.
    pub fn handle(&mut self, now_ms: i64, request: Request) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(now_ms);
        *self
            .received
            .entry(wire::api_key(&request.body))
            .or_default() += 1;
        if self.faults.hung_until(self.now_ms).is_some() {
            self.stuck.push(request);
        } else {
            self.accept(request);
        }
        self.run_due();
        std::mem::take(&mut self.replies)
    }

    /// Does what is due by `now_ms`, and answers requests that have waited for it.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(now_ms);
        self.run_due();
        std::mem::take(&mut self.replies)
    }

    /// When [`Core::tick`] has something to do next.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.faults
            .hung_until(self.now_ms)
            .or_else(|| self.timers.next())
    }

    /// Forgets a connection: what it waits for is not answered. What it has asked for still happens,
    /// as it does on a broker whose client hangs up.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.after.remove(&connection);
        if let Some(fetch) = self.fetches.remove_of(connection) {
            self.timers.cancel(Timer::Fetch(fetch));
        }
    }

    /// The faults to be injected.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    pub(crate) fn faults_ref(&self) -> &Faults {
        &self.faults
    }

    /// How many requests of this API have arrived.
    #[must_use]
    pub fn requests_received(&self, api: ApiKey) -> u64 {
        self.received.get(&(api as i16)).copied().unwrap_or(0)
    }

    /// Goes on after a restart that kept its memory: waiting requests are gone with their connections,
    /// and every member has a whole session to come back.
    pub fn restarted(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.stuck.clear();
        self.held.clear();
        self.after.clear();
        self.fetches = Fetches::default();
        let timers = std::mem::take(&mut self.timers);
        timers.keep_coordinators(&mut self.timers);
        self.with_groups(Groups::restarted);
    }

    /// Aborts an open transaction as if its time were over. `false`: none is open under this id.
    ///
    /// Readers that this wakes are answered by the next [`Core::tick`].
    pub fn expire_transaction(&mut self, id: &str) -> bool {
        let open = self.transactions.is_open(id);
        open && self.fence_producer(id)
    }

    /// Runs a step of the group coordinator and sends its answers.
    pub(crate) fn with_groups<T>(
        &mut self,
        run: impl FnOnce(&mut Groups, &mut Step<'_>) -> T,
    ) -> T {
        let mut answers = Vec::new();
        let mut step = Step {
            now_ms: self.now_ms,
            timers: &mut self.timers,
            answers: &mut answers,
        };
        let result = run(&mut self.groups, &mut step);
        for (connection, response) in answers {
            self.reply(connection, Outcome::Answer(Box::new(response)));
        }
        result
    }

    /// Writes the markers that are due for a transactional id: all, or the next one.
    pub(crate) fn write_markers(&mut self, id: &str) {
        let delay_ms = i64::from(self.options.marker_delay_ms);
        while let Some(marker) = self.transactions.next_marker(id) {
            match &marker.target {
                Target::Group(group) => {
                    if let Some(group) = self.groups.get_mut(group) {
                        group.offsets.mark(marker.producer.id, marker.commit);
                    }
                }
                Target::Partition(topic, index) => self.mark_partition(topic, *index, &marker),
            }
            if delay_ms > 0 {
                self.timers
                    .set(Timer::Markers(id.to_owned()), self.now_ms + delay_ms);
                return;
            }
        }
    }

    /// Starts the end of a transaction: at once, or after the delay that was asked for.
    pub(crate) fn start_markers(&mut self, id: &str) {
        match i64::from(self.options.marker_delay_ms) {
            0 => self.write_markers(id),
            delay_ms => self
                .timers
                .set(Timer::Markers(id.to_owned()), self.now_ms + delay_ms),
        }
    }

    /// Whether this coordinator answers at present.
    pub(crate) fn coordinator_error(&self, which: Coordinator) -> Option<crate::ErrorCode> {
        self.faults.coordinator_error(which, self.now_ms)
    }

    /// Looks for expired transactions from now on, as long as there is one that could expire.
    pub(crate) fn schedule_sweep(&mut self) {
        let at_ms = self.now_ms + i64::from(self.options.transaction_sweep_interval_ms.max(1));
        self.timers.set_if_absent(Timer::Sweep, at_ms);
    }

    /// Fences a transactional id and aborts what it has open. `false`: there is no such id.
    ///
    /// Readers that this wakes are answered by the next [`Core::tick`].
    pub fn fence_producer(&mut self, id: &str) -> bool {
        let fenced = self.transactions.fence(id).is_some();
        self.start_markers(id);
        self.complete_fetches();
        fenced
    }

    /// The error of a coordinator that this request needs and that does not answer at present.
    fn absent_coordinator(&self, request: &RequestKind) -> Option<crate::ErrorCode> {
        let which = match request {
            RequestKind::JoinGroup(_)
            | RequestKind::SyncGroup(_)
            | RequestKind::Heartbeat(_)
            | RequestKind::LeaveGroup(_)
            | RequestKind::OffsetCommit(_)
            | RequestKind::OffsetFetch(_)
            | RequestKind::TxnOffsetCommit(_)
            | RequestKind::DescribeGroups(_)
            | RequestKind::DeleteGroups(_) => Coordinator::Group,
            RequestKind::InitProducerId(request) if request.transactional_id.is_none() => {
                return None;
            }
            RequestKind::InitProducerId(_)
            | RequestKind::AddPartitionsToTxn(_)
            | RequestKind::AddOffsetsToTxn(_)
            | RequestKind::EndTxn(_) => Coordinator::Transaction,
            _ => return None,
        };
        self.coordinator_error(which)
    }

    fn mark_partition(&mut self, topic: &str, index: i32, marker: &crate::transactions::Marker) {
        let now_ms = self.now_ms;
        let Some(topic) = self.topics.get_mut(topic) else {
            return;
        };
        let id = topic.id;
        let log = usize::try_from(index)
            .ok()
            .and_then(|index| topic.partitions.get_mut(index));
        if let Some(log) = log {
            log.mark(
                marker.producer.id,
                marker.producer.epoch,
                marker.commit,
                now_ms,
            );
            self.fetches.touch(id, index);
        }
    }

    fn accept(&mut self, request: Request) {
        let connection = request.connection;
        match self.faults.decide(&request) {
            Decision::Proceed => self.execute(request),
            Decision::Close => self.reply(connection, Outcome::Close),
            Decision::Hold(ms) => self.hold(Held::Request(Box::new(request)), ms),
            Decision::Refuse(code) => self.reply(connection, api::refusal::outcome(&request, code)),
            Decision::Then(after) => {
                self.after.insert(connection, after);
                self.execute(request);
            }
            Decision::ThenRefuse(code) => {
                let refusal = api::refusal::outcome(&request, code);
                self.after.insert(connection, After::Replace(refusal));
                self.execute(request);
            }
        }
    }

    fn execute(&mut self, request: Request) {
        let connection = request.connection;
        let context = Context {
            now_ms: self.now_ms,
            waiter: Waiter {
                connection,
                version: request.version,
            },
            client_id: request.client_id,
            client_host: request.client_host,
        };
        let handled = match self.absent_coordinator(&request.body) {
            Some(code) => match api::refusal::response(&request.body, request.version, code) {
                Some(response) => Handled::answer(response),
                None => Handled::Close,
            },
            None => self.dispatch(&context, request.body),
        };
        match handled {
            Handled::Answer(response) => self.reply(connection, Outcome::Answer(response)),
            Handled::Silence => self.reply(connection, Outcome::Silence),
            Handled::Close => self.reply(connection, Outcome::Close),
            Handled::Parked => {}
        }
        self.complete_fetches();
    }

    /// Answers the fetches that this step has given something to read.
    pub(crate) fn complete_fetches(&mut self) {
        for id in self.fetches.take_woken() {
            let ready = self
                .fetches
                .get(id)
                .is_some_and(|parked| self.fetch_is_ready(&parked.request, parked.waiter));
            if ready {
                self.answer_fetch(id);
            }
        }
    }

    fn answer_fetch(&mut self, id: u64) {
        self.timers.cancel(Timer::Fetch(id));
        if let Some(parked) = self.fetches.remove(id) {
            let response = self.fetch_response(&parked.request, parked.waiter.version);
            self.reply(
                parked.waiter.connection,
                Outcome::Answer(Box::new(ResponseKind::Fetch(response))),
            );
        }
    }

    fn reply(&mut self, connection: ConnectionId, outcome: Outcome) {
        let outcome = match self.after.remove(&connection) {
            None => outcome,
            Some(After::Lose) => Outcome::Close,
            Some(After::Replace(other)) => other,
            Some(After::Hold(ms)) => {
                return self.hold(
                    Held::Reply(Reply {
                        connection,
                        outcome,
                    }),
                    ms,
                );
            }
        };
        self.replies.push(Reply {
            connection,
            outcome,
        });
    }

    fn hold(&mut self, held: Held, ms: i64) {
        self.held_count += 1;
        self.held.insert(self.held_count, held);
        self.timers
            .set(Timer::Delayed(self.held_count), self.now_ms + ms);
    }

    fn run_due(&mut self) {
        if self.faults.hung_until(self.now_ms).is_some() {
            return;
        }
        // What arrived while the broker hung comes before what expired: a heartbeat in the
        // socket buffer keeps its member alive.
        for request in std::mem::take(&mut self.stuck) {
            self.accept(request);
        }
        while let Some(timer) = self.timers.expire(self.now_ms) {
            self.run(timer);
            self.complete_fetches();
        }
    }

    fn run(&mut self, timer: Timer) {
        match timer {
            Timer::Delayed(id) => match self.held.remove(&id) {
                Some(Held::Request(request)) => self.execute(*request),
                Some(Held::Reply(reply)) => self.replies.push(reply),
                None => {}
            },
            Timer::Fetch(id) => self.answer_fetch(id),
            Timer::Join(group) => {
                self.with_groups(|groups, step| groups.join_time_is_over(&group, step))
            }
            Timer::Sync(group) => {
                self.with_groups(|groups, step| groups.sync_time_is_over(&group, step))
            }
            Timer::Session(group, member) => {
                self.with_groups(|groups, step| groups.session_is_over(&group, &member, step));
            }
            Timer::Markers(id) => self.write_markers(&id),
            Timer::Sweep => self.sweep(),
        }
    }

    fn sweep(&mut self) {
        for id in self.transactions.expired(self.now_ms) {
            tracing::info!(transactional_id = %id, "transaction timed out, aborting it");
            self.fence_producer(&id);
        }
        if self.transactions.any_open() {
            self.schedule_sweep();
        }
    }
}
