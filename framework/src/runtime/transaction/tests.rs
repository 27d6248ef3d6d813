//! Every answer that a broker can give to a commit, and what the transactor makes of it.
//!
//! The script stands for the broker's answers only; that they are what a broker answers is
//! proved against real ones by the exactly-once suite.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::broker::{ChangelogReader, Chunk, ConsumerEvent, NewTopic, RecordQueue};
use crate::record::{Headers, Offset};
use crate::time::Timestamp;
use crate::topology::OffsetReset;

/// What was called, in order, on all producers of the cluster.
type Calls = Arc<Mutex<Vec<String>>>;

/// Answers by call; a call without an answer left succeeds.
type Answers = Arc<Mutex<BTreeMap<&'static str, VecDeque<Option<Verdict>>>>>;

#[derive(Debug, Default, Clone)]
struct Script {
    calls: Calls,
    answers: Answers,
    delivery_error: Arc<Mutex<Option<Verdict>>>,
    fatal: Arc<Mutex<Option<Verdict>>>,
}

impl Script {
    fn answer(self, call: &'static str, answers: &[Option<Verdict>]) -> Self {
        self.answers
            .lock()
            .unwrap()
            .entry(call)
            .or_default()
            .extend(answers);
        self
    }

    fn call(&self, call: &'static str) -> Result<(), BrokerError> {
        self.calls.lock().unwrap().push(call.to_owned());
        let mut answers = self.answers.lock().unwrap();
        match answers
            .get_mut(call)
            .and_then(VecDeque::pop_front)
            .flatten()
        {
            None => Ok(()),
            Some(verdict) => Err(error(verdict)),
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

fn error(verdict: Verdict) -> BrokerError {
    BrokerError {
        verdict,
        code: "SCRIPTED".to_owned(),
        message: format!("{verdict:?}"),
    }
}

impl Cluster for Script {
    type Consumer = Member;
    type Producer = Script;
    type Changelogs = NoChangelogs;
    type Group = ();

    fn consumer(&self, _member: &str, _wake: &Arc<Wake>) -> Result<Member, Error> {
        Ok(Member(true, self.clone()))
    }

    fn producer(&self, _transactional_id: &str) -> Result<Script, Error> {
        self.calls.lock().unwrap().push("new".to_owned());
        Ok(self.clone())
    }

    fn changelogs(&self) -> Result<NoChangelogs, Error> {
        Ok(NoChangelogs)
    }

    fn topics(&self, _timeout: Duration) -> Result<Vec<Arc<str>>, BrokerError> {
        Ok(Vec::new())
    }

    fn partition_counts(
        &self,
        _topics: &[Arc<str>],
        _timeout: Duration,
    ) -> Result<BTreeMap<Arc<str>, i32>, BrokerError> {
        Ok(BTreeMap::new())
    }

    fn are_led(&self, _topics: &[Arc<str>], _timeout: Duration) -> Result<bool, BrokerError> {
        Ok(true)
    }

    fn create_topics(&self, _topics: &[NewTopic], _timeout: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn delete_records(
        &self,
        _below: &[(TopicPartition, Offset)],
        _timeout: Duration,
    ) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Producer for Script {
    type Group = ();

    fn init_transactions(&mut self, _timeout: Duration) -> Result<(), BrokerError> {
        self.call("init")
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.call("begin")
    }

    fn register(&mut self, _index: u32, _topic: &str) -> Result<(), BrokerError> {
        Ok(())
    }

    fn send(&mut self, _record: &OutgoingRecord<'_>) -> Result<(), BrokerError> {
        self.call("send")
    }

    fn send_offsets(
        &mut self,
        _offsets: &[(TopicPartition, Committed)],
        _group: &(),
        _timeout: Duration,
    ) -> Result<(), BrokerError> {
        self.call("offsets")
    }

    fn flush(&mut self, _slice: Duration) -> Result<bool, BrokerError> {
        self.call("flush").map(|()| true)
    }

    fn commit(&mut self, _timeout: Duration) -> Result<(), BrokerError> {
        self.call("commit")
    }

    fn abort(&mut self, _timeout: Duration) -> Result<(), BrokerError> {
        self.call("abort")
    }

    fn poll(&mut self) {}

    fn fatal_error(&self) -> Option<BrokerError> {
        self.fatal.lock().unwrap().take().map(error)
    }

    fn delivery_error(&mut self) -> Option<BrokerError> {
        self.delivery_error.lock().unwrap().take().map(error)
    }
}

/// A consumer that is a member of its group, or is not.
#[derive(Debug)]
struct Member(bool, Script);

impl GroupConsumer for Member {
    type Group = ();

    fn subscribe(&mut self, _topics: &[Arc<str>]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn poll(&mut self) -> Result<Option<ConsumerEvent>, BrokerError> {
        Ok(None)
    }

    fn assign(&mut self, _partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn fetch(
        &mut self,
        _partition: usize,
        _records_max: usize,
        _queue: &mut RecordQueue,
    ) -> Result<usize, BrokerError> {
        Ok(0)
    }

    fn watermark(&self, _partition: usize) -> Option<Offset> {
        None
    }

    fn group(&self) -> Option<()> {
        self.0.then_some(())
    }

    fn assignment_lost(&self) -> bool {
        false
    }

    fn commit(
        &self,
        _offsets: &[(TopicPartition, Committed)],
        _timeout: Duration,
    ) -> Result<(), BrokerError> {
        self.1.call("group")
    }

    fn committed(
        &mut self,
        _partitions: &[TopicPartition],
        _timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        Ok(Vec::new())
    }

    fn reset_offset(
        &mut self,
        _partition: &TopicPartition,
        _reset: OffsetReset,
        _timeout: Duration,
    ) -> Result<Offset, BrokerError> {
        Ok(Offset::ZERO)
    }

    fn close(self) {}
}

struct NoChangelogs;

impl ChangelogReader for NoChangelogs {
    fn watermarks(
        &mut self,
        _partitions: &[TopicPartition],
        _timeout: Duration,
    ) -> Result<Vec<(Offset, Offset)>, BrokerError> {
        Ok(Vec::new())
    }

    fn assign(&mut self, _partitions: &[(TopicPartition, Offset)]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn read(
        &mut self,
        _timeout: Duration,
        _records_max: usize,
        _sink: &mut dyn FnMut(Chunk<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        Ok(0)
    }
}

/// A clock that goes on by a tenth of a second whenever it is asked.
#[derive(Debug, Default)]
struct Ticking(Mutex<Duration>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn elapsed(&self) -> Duration {
        let mut now = self.0.lock().unwrap();
        *now += Duration::from_millis(100);
        *now
    }
}

fn transactor(script: &Script) -> Transactor<Script> {
    promising(Guarantee::ExactlyOnceV2, script)
}

fn promising(guarantee: Guarantee, script: &Script) -> Transactor<Script> {
    let terms = Terms {
        guarantee,
        transaction: Duration::from_secs(3),
        init: Duration::from_secs(3),
    };
    let made = Transactor::new(
        Arc::new(script.clone()),
        "app-0".to_owned(),
        Arc::new(Ticking::default()),
        terms,
        Probe::default(),
    );
    script.calls();
    made.unwrap()
}

/// Begins and commits one batch; answers how it ended and what was called.
fn commit(transactor: &Transactor<Script>, script: &Script, member: bool) -> (Outcome, String) {
    transactor.begin().unwrap();
    let offset = Committed {
        offset: Offset::new(7),
        metadata: String::new(),
    };
    let offsets = [(TopicPartition::new("in", 0), offset)];
    let outcome = transactor.commit(&offsets, &Member(member, script.clone()));
    (outcome, script.calls().join(" "))
}

#[test]
fn a_clean_commit_sends_offsets_flushes_and_commits() {
    let script = Script::default();
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin offsets flush commit");
}

#[test]
fn a_commit_that_timed_out_is_resumed_by_commits_and_its_producer_made_anew() {
    let late = Some(Verdict::Retriable);
    let script = Script::default().answer("commit", &[late, late, None]);
    let transactor = transactor(&script);
    let (outcome, calls) = commit(&transactor, &script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin offsets flush commit commit commit");
    let (_, next) = commit(&transactor, &script, true);
    assert_eq!(
        next, "new init begin offsets flush commit",
        "a delayed EndTxn must find no one"
    );
}

#[test]
fn a_commit_that_is_never_answered_is_unknown_and_never_aborted() {
    let script = Script::default().answer("commit", &[Some(Verdict::Retriable); 99]);
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    assert!(matches!(outcome, Outcome::Unknown(_)));
    assert!(!calls.contains("abort"), "{calls}");
}

#[test]
fn a_refused_commit_is_aborted_and_its_error_is_the_first_delivery_error() {
    let script = Script::default().answer("commit", &[Some(Verdict::Abortable)]);
    *script.delivery_error.lock().unwrap() = Some(Verdict::Refused);
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    let Outcome::NotCommitted(error) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Production, Recovery::Stop)
    );
    assert_eq!(calls, "begin offsets flush commit abort");
}

#[test]
fn without_a_membership_nothing_is_sent_and_the_batch_is_aborted() {
    let script = Script::default();
    let (outcome, calls) = commit(&transactor(&script), &script, false);
    assert!(matches!(outcome, Outcome::NotMember(_)));
    assert_eq!(calls, "begin abort");
}

#[test]
fn offsets_that_time_out_are_sent_again_with_a_fresh_membership() {
    let script = Script::default().answer("offsets", &[Some(Verdict::Retriable), None]);
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin offsets offsets flush commit");
}

#[test]
fn an_old_generation_is_aborted() {
    let script = Script::default().answer("offsets", &[Some(Verdict::Abortable)]);
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    assert!(matches!(outcome, Outcome::NotCommitted(_)));
    assert_eq!(calls, "begin offsets abort");
}

#[test]
fn a_fencing_on_commit_leaves_the_outcome_unknown() {
    let script = Script::default().answer("commit", &[Some(Verdict::Fenced)]);
    let (outcome, calls) = commit(&transactor(&script), &script, true);
    assert!(matches!(outcome, Outcome::Unknown(_)));
    assert_eq!(calls, "begin offsets flush commit");
}

#[test]
fn an_abort_that_fails_replaces_the_producer() {
    let script = Script::default().answer("abort", &[Some(Verdict::Fatal)]);
    let transactor = transactor(&script);
    transactor.begin().unwrap();
    transactor.abort().unwrap();
    assert_eq!(script.calls().join(" "), "begin abort new init");
    assert!(!transactor.is_open());
}

#[test]
fn many_fencings_name_the_transactional_id_and_the_remedy() {
    let script = Script::default().answer("begin", &[Some(Verdict::Fenced); 9]);
    let transactor = transactor(&script);
    let errors = std::iter::repeat_with(|| transactor.begin().unwrap_err());
    let stop = errors
        .take(9)
        .find(|error| error.recovery() == Recovery::Stop)
        .unwrap();
    assert!(stop.to_string().contains("app-0"), "{stop}");
    assert!(stop.to_string().contains("instance.id"), "{stop}");
}

#[test]
fn nothing_is_sent_outside_a_transaction() {
    let script = Script::default();
    let transactor = transactor(&script);
    let topic = transactor.topic("out").unwrap();
    let record = OutgoingRecord {
        topic,
        partition: None,
        key: None,
        value: None,
        timestamp: Timestamp::NONE,
        headers: &Headers::new(),
    };
    assert!(transactor.send(&record).is_err());
    transactor.begin().unwrap();
    assert!(transactor.send(&record).is_ok());
    assert_eq!(script.calls().join(" "), "begin send");
}

#[test]
fn a_full_queue_is_waited_for() {
    let full = Some(Verdict::QueueFull);
    let script = Script::default().answer("send", &[full, full, None]);
    let transactor = transactor(&script);
    let topic = transactor.topic("out").unwrap();
    transactor.begin().unwrap();
    let sent = RefCell::new(0);
    let headers = Headers::new();
    let record = OutgoingRecord {
        topic,
        partition: None,
        key: None,
        value: Some(b"v"),
        timestamp: Timestamp::NONE,
        headers: &headers,
    };
    transactor
        .send(&record)
        .map(|()| *sent.borrow_mut() += 1)
        .unwrap();
    assert_eq!(
        (sent.into_inner(), script.calls().join(" ")),
        (1, "begin send send send".into())
    );
}

#[test]
fn a_refused_commit_without_a_delivery_error_names_the_transactional_id() {
    let script = Script::default().answer("commit", &[Some(Verdict::Abortable)]);
    let (outcome, _) = commit(&transactor(&script), &script, true);
    let Outcome::NotCommitted(error) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(error.recovery(), Recovery::Replay);
    assert!(error.to_string().contains("app-0"), "{error}");
}

#[test]
fn a_producer_that_died_idle_is_replaced_before_the_next_begin() {
    let script = Script::default();
    let transactor = transactor(&script);
    *script.fatal.lock().unwrap() = Some(Verdict::Fenced);
    let (outcome, calls) = commit(&transactor, &script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "new init begin offsets flush commit");
}

/// As [`commit`], at least once.
fn commit_at_least_once(script: &Script, member: bool) -> (Outcome, String) {
    commit(&promising(Guarantee::AtLeastOnce, script), script, member)
}

#[test]
fn at_least_once_the_offsets_follow_what_is_delivered() {
    let script = Script::default();
    let (outcome, calls) = commit_at_least_once(&script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin flush group");
}

#[test]
fn at_least_once_no_offset_follows_a_record_that_was_not_delivered() {
    let rows = [
        (Verdict::Abortable, Recovery::Replay),
        (Verdict::Refused, Recovery::Stop),
    ];
    for (verdict, recovery) in rows {
        let script = Script::default();
        *script.delivery_error.lock().unwrap() = Some(verdict);
        let (outcome, calls) = commit_at_least_once(&script, true);
        let Outcome::NotCommitted(error) = outcome else {
            panic!("{outcome:?}")
        };
        let said = (error.kind(), error.recovery());
        assert_eq!(said, (ErrorKind::Production, recovery));
        assert_eq!(
            calls, "begin flush abort",
            "what is on its way is waited for"
        );
    }
}

#[test]
fn at_least_once_a_refused_commit_is_made_again_and_an_unanswered_one_replays_the_batch() {
    let script = Script::default().answer("group", &[Some(Verdict::Retriable), None]);
    let (outcome, calls) = commit_at_least_once(&script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin flush group group");

    let script = Script::default().answer("group", &[Some(Verdict::Fatal)]);
    let (outcome, calls) = commit_at_least_once(&script, true);
    let Outcome::NotCommitted(error) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(error.recovery(), Recovery::Replay);
    assert_eq!(calls, "begin flush group abort");
}

#[test]
fn at_least_once_a_zombie_is_refused_and_drops_what_it_has_not_sent() {
    let script = Script::default().answer("group", &[Some(Verdict::Fenced)]);
    let transactor = promising(Guarantee::AtLeastOnce, &script);
    let (outcome, calls) = commit(&transactor, &script, true);
    assert!(matches!(outcome, Outcome::NotMember(_)), "{outcome:?}");
    assert_eq!(calls, "begin flush group");
    assert!(!transactor.is_open());
    let (_, next) = commit(&transactor, &script, true);
    assert_eq!(next, "new init begin flush group");

    let script = Script::default();
    let (outcome, calls) = commit_at_least_once(&script, false);
    assert!(matches!(outcome, Outcome::NotMember(_)), "{outcome:?}");
    assert_eq!(
        calls, "begin flush",
        "nothing is committed without a membership"
    );
}

#[test]
fn at_most_once_nothing_follows_the_batch_and_a_failed_delivery_is_no_error() {
    let script = Script::default();
    *script.delivery_error.lock().unwrap() = Some(Verdict::Refused);
    let transactor = promising(Guarantee::AtMostOnce, &script);
    let (outcome, calls) = commit(&transactor, &script, true);
    assert!(matches!(outcome, Outcome::Committed));
    assert_eq!(calls, "begin");
}

#[test]
fn at_most_once_a_reservation_is_asked_for_again_only_if_it_was_refused() {
    let rows = [
        (Some(Verdict::Retriable), "group group", "Committed"),
        (Some(Verdict::Fatal), "group", "Unknown"),
        (Some(Verdict::Fenced), "group", "NotMember"),
        (Some(Verdict::Refused), "group", "NotCommitted"),
    ];
    for (answer, expected, ended) in rows {
        let script = Script::default().answer("group", &[answer, None]);
        let transactor = promising(Guarantee::AtMostOnce, &script);
        let outcome = transactor.reserve(&[], &Member(true, script.clone()));
        assert!(format!("{outcome:?}").starts_with(ended), "{outcome:?}");
        assert_eq!(script.calls().join(" "), expected, "{ended}");
    }
}

#[test]
fn at_most_once_a_batch_that_fails_waits_for_nothing() {
    let script = Script::default();
    let transactor = promising(Guarantee::AtMostOnce, &script);
    transactor.begin().unwrap();
    transactor.abort().unwrap();
    assert!(!transactor.is_open());
    assert_eq!(script.calls().join(" "), "begin");
}
