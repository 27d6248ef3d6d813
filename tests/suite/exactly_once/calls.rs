//! Asynchronous calls: their results are in the transaction of the record that made them, whatever
//! happens while they are in flight.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceflow_framework::{
    App, BatchPoint, Config, Error, ErrorKind, Fault, Record, Topology, TopologyBuilder,
    config::ConfigBuilder,
    metrics::DropReason,
    processor::{AsyncCalls, AsyncProcessor, Backoff, OnFailedRecord},
    topology::{Consumed, Produced},
};
use onceflow_tests::{
    Cluster, Delivered, Outgoing, Program,
    ledger::{BALANCES, Entry, Ledger, Service, no_hook, slow_service},
    texts, unique,
    wait::{Stopwatch, wait_until},
    worker::{Application, At, Orders, Worker},
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{WORKER, outlast_transaction};

/// A worker process that asks a slow service about each entry, in batches of few bytes.
fn asking_worker(ledger: &Ledger<'_>, at: Option<At>) -> Worker {
    asking_worker_of(ledger.properties("a"), ledger, at)
}

/// The same, whose batches close for their age.
fn asking_worker_with_old_batches(ledger: &Ledger<'_>, at: Option<At>) -> Worker {
    let mut properties = ledger.properties("a");
    properties.retain(|(name, _)| name != BYTES_MAX);
    asking_worker_of(properties, ledger, at)
}

/// The setting that has a batch with calls in flight wait for them.
const BYTES_MAX: &str = "batch.bytes.max";

fn asking_worker_of(
    mut properties: Vec<(String, String)>,
    ledger: &Ledger<'_>,
    at: Option<At>,
) -> Worker {
    properties.push(("static.membership".to_owned(), "true".to_owned()));
    let topics = ledger.topics.clone();
    let application = Application::Asking;
    Worker::obeying(
        WORKER,
        &Orders {
            properties,
            application,
            topics,
            at,
        },
    )
}

/// The same in this process, with a service of the test's.
fn asking(ledger: &Ledger<'_>, service: Service, calls: AsyncCalls) -> Program {
    let config = ledger.config("a").build().unwrap();
    let topology = ledger.topics.asking(no_hook(), service, calls).unwrap();
    Program::start(topology, config).unwrap()
}

/// Dies at the `occurrence`-th time that a point is reached, with calls in flight where there are
/// any, in the first batch and in a later one.
fn dies_and_goes_on(point: BatchPoint, later: u64) {
    for occurrence in [1, later] {
        let ledger = Ledger::new(Cluster::shared(), "asking", 2);
        ledger.feed(300);
        asking_worker(&ledger, Some(At::abort(point, occurrence))).wait_for_abort();
        ledger.feed(100);
        let successor = asking_worker(&ledger, None);
        ledger.wait_for_all();
        successor.close();
        ledger.audit();
    }
}

#[test]
fn a_crash_before_a_batch_of_calls_begins() {
    dies_and_goes_on(BatchPoint::BeforeBegin, 3);
}

#[test]
fn a_crash_with_calls_in_flight() {
    dies_and_goes_on(BatchPoint::RecordProcessed, 250);
}

#[test]
fn a_crash_with_all_results_there() {
    dies_and_goes_on(BatchPoint::BeforeSendOffsets, 3);
}

#[test]
fn a_crash_with_the_offsets_of_calls_pending() {
    dies_and_goes_on(BatchPoint::AfterSendOffsets, 3);
}

#[test]
fn a_crash_with_the_commit_of_results_not_sent() {
    dies_and_goes_on(BatchPoint::BeforeCommit, 3);
}

#[test]
fn a_crash_with_results_not_applied() {
    dies_and_goes_on(BatchPoint::AfterCommit, 3);
}

#[test]
fn a_crash_with_results_applied() {
    dies_and_goes_on(BatchPoint::AfterApply, 3);
}

/// Batches that close for their age leave calls to the next: those are in flight at each of these.
#[test]
fn a_crash_with_calls_left_to_the_next_batch() {
    let points = [
        (BatchPoint::AfterSendOffsets, 3),
        (BatchPoint::BeforeCommit, 4),
        (BatchPoint::AfterCommit, 3),
        (BatchPoint::BeforeBegin, 4),
        (BatchPoint::RecordProcessed, 900),
    ];
    for (point, occurrence) in points {
        let ledger = Ledger::new(Cluster::shared(), "asking-left", 2);
        ledger.feed(2_000);
        let mut victim =
            asking_worker_with_old_batches(&ledger, Some(At::abort(point, occurrence)));
        victim.wait_for_abort();
        let successor = asking_worker_with_old_batches(&ledger, None);
        ledger.wait_for_all();
        successor.close();
        ledger.audit();
    }
}

/// At moments that nobody chose, most of them while calls are awaited.
#[test]
fn a_kill_under_load() {
    let ledger = Ledger::new(Cluster::shared(), "asking-kill", 2);
    for round in 0..3 {
        ledger.feed(400);
        let victim = asking_worker(&ledger, None);
        ledger.wait_for(400 * round + 1);
        victim.kill();
    }
    let last = asking_worker(&ledger, None);
    ledger.wait_for_all();
    last.close();
    ledger.audit();
}

#[test]
fn closing_waits_for_the_calls_of_the_open_batch() {
    let ledger = Ledger::new(Cluster::shared(), "asking-close", 2);
    for round in 0..3 {
        ledger.feed(200);
        let program = asking(&ledger, slow_service(), AsyncCalls::new());
        ledger.wait_for(200 * round + 1);
        program.close().unwrap();
    }
    let last = asking(&ledger, slow_service(), AsyncCalls::new());
    ledger.wait_for_all();
    last.close().unwrap();
    ledger.audit();
}

/// Partitions are given up and taken over with calls of the open batch in flight.
#[test]
fn instances_that_join_and_leave_finish_their_calls_first() {
    let ledger = Ledger::new(Cluster::shared(), "asking-rebalance", 4);
    let start = |instance: &str, workers: usize| {
        let config = ledger.config(instance).num_stream_threads(workers);
        let topology = ledger
            .topics
            .asking(no_hook(), slow_service(), AsyncCalls::new());
        Program::start(topology.unwrap(), config.build().unwrap()).unwrap()
    };
    let stays = start("stays", 1);
    for round in 0..3 {
        ledger.feed(200);
        let comes = start(&format!("comes-{}", round % 2), 1 + round % 2);
        ledger.feed(200);
        comes.wait_until_running();
        ledger.feed(200);
        comes.close().unwrap();
    }
    ledger.wait_for_all();
    stays.close().unwrap();
    ledger.audit();
}

#[test]
fn calls_are_done_before_the_commit_of_a_weaker_guarantee_too() {
    for guarantee in ["at_least_once", "at_most_once"] {
        let ledger = Ledger::new(Cluster::shared(), "asking-weaker", 2);
        ledger.feed(300);
        let config = ledger
            .config("a")
            .property("processing.guarantee", guarantee);
        let topology = ledger
            .topics
            .asking(no_hook(), slow_service(), AsyncCalls::new());
        let program = Program::start(topology.unwrap(), config.build().unwrap()).unwrap();
        ledger.wait_for_all();
        program.close().unwrap();
        ledger.audit();
    }
}

/// What an aborted attempt asked is asked again, and its answers are nobody's.
#[test]
fn a_batch_that_is_aborted_and_replayed_has_its_own_answers_only() {
    let ledger = Ledger::new(Cluster::shared(), "asking-replay", 1);
    ledger.feed(200);
    let was_slow = Arc::new(AtomicBool::new(false));
    let hook = outlast_transaction(&was_slow);
    let config = ledger
        .config("a")
        .property("transaction.timeout.ms", "1000");
    let calls = AsyncCalls::new().timeout(Duration::from_millis(300));
    let topology = ledger.topics.asking(hook, slow_service(), calls).unwrap();
    let program = Program::start(topology, config.build().unwrap()).unwrap();
    ledger.wait_for_all();
    program.close().unwrap();
    assert!(was_slow.load(Ordering::Relaxed));
    ledger.audit();
}

/// A service that never answers about entries like this one, until it is repaired.
fn hanging_service(entry: &Entry, repaired: &Arc<AtomicBool>) -> Service {
    let (entry, repaired) = (entry.clone(), Arc::clone(repaired));
    Arc::new(move |account, amount| {
        let like = account == entry.account && amount == entry.amount;
        let hangs = like && !repaired.load(Ordering::Relaxed);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    })
}

#[test]
fn a_call_that_never_returns_stops_the_application_in_time_and_loses_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "asking-hang", 1);
    ledger.feed(200);
    let (entry, _) = ledger.nth(100);
    let like = |(found, _): &(Entry, Delivered)| {
        found.account == entry.account && found.amount == entry.amount
    };
    let (_, first) = (0..).map(|nth| ledger.nth(nth)).find(like).unwrap();
    let repaired = Arc::new(AtomicBool::new(false));
    let calls = AsyncCalls::new().timeout(Duration::from_millis(200));
    let watch = Stopwatch::start();
    let error = asking(&ledger, hanging_service(&entry, &repaired), calls.clone()).failure();
    let told = error.to_string();
    assert!(
        watch.elapsed() < Duration::from_secs(8),
        "{:?}",
        watch.elapsed()
    );
    assert_eq!(error.kind(), ErrorKind::Processing);
    let (input, offset) = (&ledger.topics.input, first.offset);
    let position = format!("node ask, {input}-0 at offset {offset}");
    assert!(told.contains(&position), "{told}");
    assert!(told.contains("took longer than 200ms"), "{told}");
    assert!(ledger.consumed_to(0) <= offset, "it is not passed over");

    repaired.store(true, Ordering::Relaxed);
    let program = asking(&ledger, hanging_service(&entry, &repaired), calls);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn a_question_is_answered_while_all_calls_hang() {
    let ledger = Ledger::new(Cluster::shared(), "asking-asked", 1);
    ledger.feed(500);
    let hanging = Arc::new(AtomicUsize::new(0));
    let hangs = Arc::clone(&hanging);
    let service: Service = Arc::new(move |_account, _amount| {
        hangs.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    });
    let calls = AsyncCalls::new().timeout(Duration::from_secs(3));
    let topology = ledger.topics.asking(no_hook(), service, calls).unwrap();
    let config = ledger.config("a").property(BYTES_MAX, "1000000");
    let program = Program::start(topology, config.build().unwrap()).unwrap();
    wait_until("calls hang", || hanging.load(Ordering::Relaxed) > 0);
    let balances = program.app().store::<String, String>(BALANCES).unwrap();
    let watch = Stopwatch::start();
    let nobody = program.answer(balances.get(&"nobody".to_owned()));
    assert_eq!(nobody.unwrap(), None);
    let took = watch.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    program.close().expect_err("a call takes too long");
}

/// They are left over from the batches that were closed before, or of the open one.
#[test]
fn closing_while_calls_hang_ends_in_time_and_loses_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "asking-closed", 1);
    ledger.feed(200);
    let hanging = Arc::new(AtomicUsize::new(0));
    let hangs = Arc::clone(&hanging);
    let service: Service = Arc::new(move |_account, _amount| {
        hangs.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    });
    let calls = AsyncCalls::new().timeout(Duration::from_secs(2));
    let program = asking(&ledger, service, calls.clone());
    wait_until("calls hang", || hanging.load(Ordering::Relaxed) > 0);
    let watch = Stopwatch::start();
    let error = program.close().expect_err("a call takes too long");
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    let told = error.to_string();
    assert!(
        told.contains("node ask") && told.contains("took longer than 2s"),
        "{told}"
    );

    let program = asking(&ledger, slow_service(), calls);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn calls_that_fail_now_and_then_are_made_again_and_change_nothing() {
    let ledger = Ledger::new(Cluster::shared(), "asking-flaky", 2);
    ledger.feed(500);
    let asked = AtomicUsize::new(0);
    let flaky: Service = Arc::new(move |_account, _amount| {
        let asked = asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            assert!(asked % 7 != 3, "one in seven panics");
            match asked % 5 {
                2 => Err(Fault::message("one in five fails")),
                _ => Ok(()),
            }
        })
    });
    let calls = AsyncCalls::new().retries(50, Backoff::fixed(Duration::from_millis(1)));
    let calls = calls.timeout(Duration::from_millis(50));
    let program = asking(&ledger, flaky, calls);
    ledger.wait_for_all();
    program.close().unwrap();
    ledger.audit();
}

#[test]
fn a_call_that_may_outlast_a_transaction_is_refused_with_the_remedy() {
    let ledger = Ledger::new(Cluster::shared(), "asking-long", 1);
    let calls = AsyncCalls::new().retries(1, Backoff::fixed(Duration::ZERO));
    let error: Error = asking(&ledger, slow_service(), calls).failure();
    assert_eq!(error.kind(), ErrorKind::Config);
    let told = error.to_string();
    assert!(
        told.contains("node ask") && told.contains("transaction.timeout.ms"),
        "{told}"
    );
}

/// Answers about numbers after ten milliseconds; every so many fail, half of them by hanging.
struct Far {
    fails_every: usize,
}

impl AsyncProcessor for Far {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;
    type Results = [Record<String, String>; 1];

    async fn call(&self, record: Record<String, String>) -> Result<Self::Results, Fault> {
        let number: usize = record.value.parse()?;
        match number % self.fails_every {
            0 if number.is_multiple_of(2 * self.fails_every) => std::future::pending().await,
            0 => return Err(Fault::message("not this one")),
            _ => {}
        }
        far_away().await;
        Ok([record])
    }
}

/// Numbers on one partition, each a key of its own.
struct Numbers<'c> {
    cluster: &'c Cluster,
    application: String,
    input: String,
    output: String,
    dead: String,
    count: usize,
}

impl<'c> Numbers<'c> {
    fn new(name: &str, count: usize) -> Self {
        let cluster = Cluster::shared();
        let [input, output, dead] = ["in", "out", "dead"].map(|what| cluster.topic(what, 1));
        let numbers = Numbers {
            cluster,
            application: unique(name),
            input,
            output,
            dead,
            count,
        };
        let records =
            (0..count).map(|number| Outgoing::value(number.to_string()).key(number.to_string()));
        cluster.produce(&numbers.input, records);
        numbers
    }

    fn topology<P>(&self, far: P, calls: AsyncCalls) -> Topology
    where
        P: AsyncProcessor<KeyIn = String, ValueIn = String, KeyOut = String, ValueOut = String>,
    {
        let mut builder = TopologyBuilder::new();
        let source = Consumed::<String, String>::new();
        let source = builder.add_source("in", [self.input.as_str()], source);
        let far = builder.add_async_processor("far", far, calls, &[&source]);
        builder.add_sink("out", self.output.as_str(), Produced::new(), &[&far]);
        builder.build().unwrap()
    }

    fn config(&self) -> ConfigBuilder {
        Config::builder(&self.application, self.cluster.bootstrap_servers())
            .instance_id(&self.application)
            .property("broker.address.family", "v4")
    }

    fn wait_until_consumed(&self) {
        let end = i64::try_from(self.count).unwrap();
        wait_until("all is consumed", || {
            let committed = self.cluster.committed(&self.application, &self.input);
            committed.get(&0).is_some_and(|at| at.offset == end)
        });
    }

    fn outputs(&self) -> Vec<usize> {
        let outputs = texts(&self.cluster.settled(&self.output));
        outputs.iter().map(|text| text.parse().unwrap()).collect()
    }
}

/// Many in flight at a time: a failure is that of its own record, and costs no other's answer.
#[test]
fn failed_calls_that_are_passed_over_are_buried_and_their_neighbours_answered_once() {
    let numbers = Numbers::new("far-fails", 1_000);
    let far = Far { fails_every: 50 };
    let calls = AsyncCalls::new().timeout(Duration::from_millis(100));
    let config = numbers
        .config()
        .on_failed_record(OnFailedRecord::Continue)
        .dead_letter_topic(&numbers.dead);
    let topology = numbers.topology(far, calls);
    let program = Program::start(topology, config.build().unwrap()).unwrap();
    numbers.wait_until_consumed();
    let app: &App = program.app();
    let drops = app.metrics().drops();
    program.close().unwrap();
    let (failed, answered): (Vec<usize>, Vec<usize>) =
        (0..numbers.count).partition(|number| number % 50 == 0);
    assert_eq!(numbers.outputs(), answered);
    let letters = numbers.cluster.settled(&numbers.dead);
    let buried = texts(&letters);
    let buried: Vec<usize> = buried.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(buried, failed);
    for letter in &letters {
        let named = |name: &str| {
            let mut headers = letter.headers.iter();
            let found = headers.find(|(header, _)| header.ends_with(name)).unwrap();
            String::from_utf8(found.1.clone().unwrap()).unwrap()
        };
        assert_eq!(named("offset"), letter.text(), "the record's own position");
        assert!(named("message").contains("node far"));
    }
    let failed = u64::try_from(failed.len()).unwrap();
    assert_eq!(drops[&("far".to_owned(), DropReason::Processing)], failed);
}

/// How long a call takes where speed is measured, and how many there are at a time.
const FAR: Duration = Duration::from_millis(10);
const AT_A_TIME: usize = 64;

async fn far_away() {
    #[expect(
        clippy::disallowed_methods,
        reason = "it stands for something far away"
    )]
    tokio::time::sleep(FAR).await;
}

/// Answers after its time; tells when the first was asked.
struct Timed(Arc<Mutex<Option<Stopwatch>>>);

impl AsyncProcessor for Timed {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;
    type Results = [Record<String, String>; 1];

    async fn call(&self, record: Record<String, String>) -> Result<Self::Results, Fault> {
        self.0.lock().unwrap().get_or_insert_with(Stopwatch::start);
        far_away().await;
        Ok([record])
    }
}

/// Records a second, from the first call to the last commit.
fn rate(count: usize) -> f64 {
    let numbers = Numbers::new("timed", count);
    let first = Arc::new(Mutex::new(None));
    let calls = AsyncCalls::new().max_in_flight(AT_A_TIME);
    let topology = numbers.topology(Timed(Arc::clone(&first)), calls);
    let last = Arc::new(Mutex::new(Duration::ZERO));
    let committed = Arc::clone(&last);
    let config = numbers.config().build().unwrap();
    let program = Program::observed(topology, config, move |point| {
        if point == BatchPoint::AfterCommit {
            let first = first.lock().unwrap();
            *committed.lock().unwrap() = first.as_ref().map_or(Duration::ZERO, Stopwatch::elapsed);
        }
    })
    .unwrap();
    numbers.wait_until_consumed();
    program.close().unwrap();
    let all: Vec<usize> = (0..count).collect();
    assert_eq!(numbers.outputs(), all, "each once, in order");
    let took = *last.lock().unwrap();
    per_second(count, took)
}

/// What tokio alone makes of as many such calls at a time.
fn rate_of_tokio(count: usize) -> f64 {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let watch = Stopwatch::start();
    runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(AT_A_TIME));
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
            calls.spawn(async move {
                far_away().await;
                drop(permit);
            });
        }
        while calls.join_next().await.is_some() {}
    });
    per_second(count, watch.elapsed())
}

fn per_second(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
}

/// With 64 calls of 10 ms in flight there can be 6400 a second at most; a machine that does other
/// things beside may not get tokio itself to 5000.
#[test]
fn sixty_four_calls_of_ten_milliseconds_at_a_time_are_five_thousand_records_a_second() {
    const RECORDS: usize = 6_000;
    let mut told = String::new();
    let reached = (0..4).any(|_| {
        let (rate, tokio) = (rate(RECORDS), rate_of_tokio(RECORDS));
        told += &format!(" {rate:.0} (tokio alone: {tokio:.0})");
        rate >= 5_000.0_f64.min(0.9 * tokio)
    });
    assert!(reached, "records a second:{told}");
    tracing::info!("records a second:{told}");
}

/// Tells how many calls are in flight.
#[derive(Default)]
struct Counted(Arc<AtomicUsize>);

impl AsyncProcessor for Counted {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;
    type Results = [Record<String, String>; 1];

    async fn call(&self, record: Record<String, String>) -> Result<Self::Results, Fault> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Longer than a commit takes on a machine that has other things to do.
        for _ in 0..5 {
            far_away().await;
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        Ok([record])
    }
}

#[test]
fn calls_go_on_while_a_batch_is_committed_and_their_results_are_the_next_ones() {
    let numbers = Numbers::new("counted", 1_000);
    let in_flight = Arc::new(AtomicUsize::new(0));
    let counted = Counted(Arc::clone(&in_flight));
    let topology = numbers.topology(counted, AsyncCalls::new());
    let commits = Arc::new(Mutex::new(Vec::new()));
    let at_commits = Arc::clone(&commits);
    let config = numbers.config().build().unwrap();
    let program = Program::observed(topology, config, move |point| {
        if point == BatchPoint::AfterSendOffsets {
            let calls = in_flight.load(Ordering::Relaxed);
            at_commits.lock().unwrap().push(calls);
        }
    })
    .unwrap();
    numbers.wait_until_consumed();
    program.close().unwrap();
    let all: Vec<usize> = (0..numbers.count).collect();
    assert_eq!(numbers.outputs(), all, "each once, in order");
    let commits = commits.lock().unwrap();
    assert!(commits.iter().any(|calls| *calls > 0), "{commits:?}");
}
