//! Interactive queries: what a store answers from outside its worker is committed, is there while
//! the worker is busy, and where there is no answer the error says why.
//!
//! The application under test counts words: word → how often, in a table, in windows and in sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceflow::prelude::*;
use onceflow_framework::{BatchPoint, query::QueryError, state::ValueAndTimestamp};
use onceflow_tests::{
    Cluster, Outgoing, Program, TransactionalProducer,
    ledger::Ledger,
    unique,
    wait::{Stopwatch, eventually, wait_until},
};

/// The stores of the application.
const COUNTS: &str = "counts";
const WINDOWS: &str = "windows";
const SESSIONS: &str = "sessions";

/// Words, and what is known of them.
struct Words<'c> {
    cluster: &'c Cluster,
    ledger: Ledger<'c>,
    words: String,
    known: String,
    partitions: i32,
}

impl<'c> Words<'c> {
    fn new(name: &str, partitions: i32) -> Self {
        let cluster = Cluster::shared();
        Words {
            cluster,
            ledger: Ledger::new(cluster, name, 1),
            words: cluster.topic("words", partitions),
            known: cluster.topic("known", 2),
            partitions,
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let words: KStream<String, String> = builder.stream(&*self.words, Consumed::new());
        let words = words.group_by_key(Grouped::new());
        let ms = Duration::from_millis;
        words.count_with(Materialized::as_store(COUNTS));
        let windows = TimeWindows::of_size_and_grace(ms(10), ms(1_000));
        let windows = words.windowed_by(windows);
        windows.count_with(Materialized::as_store(WINDOWS));
        let sessions = SessionWindows::of_inactivity_gap_and_grace(ms(10), ms(1_000));
        let sessions = words.windowed_by(sessions);
        sessions.count_with(Materialized::as_store(SESSIONS));
        let known: GlobalKTable<String, i64> = builder.global_table_with(
            &self.known,
            Consumed::new(),
            Materialized::as_store("known"),
        );
        drop(known);
        builder.build().unwrap()
    }

    fn start(&self, instance: &str, settings: &[(&str, &str)]) -> Program {
        let config = self.ledger.config(instance);
        let config = config.properties(settings.iter().copied()).build().unwrap();
        Program::start(self.topology(), config).unwrap()
    }

    fn say(&self, word: &str, at: i64) {
        let word = Outgoing::value(word).key(word).timestamp(at);
        self.cluster.produce(&self.words, [word]);
    }

    /// Waits until a word was counted so often.
    fn wait_for(&self, program: &Program, word: &str, count: i64) {
        let counts = program.app().store::<String, i64>(COUNTS).unwrap();
        let word = word.to_owned();
        wait_until("it is counted", || {
            let found = program.answer(counts.get(&word));
            found.is_ok_and(|found| found == Some(count))
        });
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn a_table_of_several_workers_answers_for_every_key() {
    let words = Words::new("query-table", 5);
    let all: Vec<String> = (0..1_500).map(|number| format!("{number:04}")).collect();
    let said = all
        .iter()
        .map(|word| Outgoing::value("").key(word).timestamp(7));
    words.cluster.produce(&words.words, said);
    words.say("0003", 9);
    let program = words.start("a", &[("num.stream.threads", "2")]);
    words.wait_for(&program, "0003", 2);
    let counts = program.app().store::<String, i64>(COUNTS).unwrap();
    wait_until("all are counted", || {
        let entries = program.answer(counts.approximate_entries());
        entries.is_ok_and(|entries| entries == 1_500)
    });
    let get = |word: &str| program.answer(counts.get(&word.to_owned())).unwrap();
    assert_eq!(
        (get("0000"), get("0003"), get("never")),
        (Some(1), Some(2), None)
    );
    let row = program.answer(counts.get_with_timestamp(&"0003".to_owned()));
    let (value, timestamp) = (2, at(9));
    assert_eq!(row.unwrap(), Some(ValueAndTimestamp { value, timestamp }));
    let mut found = program.answer(counts.all().collect()).unwrap();
    found.sort_unstable();
    assert!(found.iter().map(|(word, _)| word).eq(&all), "{found:?}");
    let range = counts
        .range(&"0100".to_owned(), &"0109".to_owned())
        .unwrap();
    assert_eq!(program.answer(range.collect()).unwrap().len(), 10);
    assert_eq!(counts.partition_count(), Some(words.partitions));
    assert_eq!(counts.partitions_here(), [0, 1, 2, 3, 4]);
    let partition = counts.partition_of(&"0003".to_owned()).unwrap().unwrap();
    let there = counts.clone().with_partition(partition);
    let elsewhere = counts.with_partition((partition + 1) % words.partitions);
    let get = |store: &onceflow::query::ReadOnlyKeyValueStore<String, i64>| {
        program.answer(store.get(&"0003".to_owned())).unwrap()
    };
    assert_eq!((get(&there), get(&elsewhere)), (Some(2), None));
    program.close().unwrap();
}

#[test]
fn windows_and_sessions_of_a_key_are_answered() {
    let words = Words::new("query-windows", 2);
    for time in [3, 4, 15, 40] {
        words.say("be", time);
        words.say("not", time);
    }
    let program = words.start("a", &[]);
    words.wait_for(&program, "be", 4);
    let be = "be".to_owned();
    let windows = program.app().window_store::<String, i64>(WINDOWS).unwrap();
    let fetch = |from, to| {
        program
            .answer(windows.fetch(&be, at(from), at(to)))
            .unwrap()
    };
    assert_eq!(fetch(0, 100), [(at(0), 2), (at(10), 1), (at(40), 1)]);
    assert_eq!(fetch(10, 39), [(at(10), 1)]);
    let sessions = program
        .app()
        .session_store::<String, i64>(SESSIONS)
        .unwrap();
    let found = program.answer(sessions.fetch(&be)).unwrap();
    let merged = [
        (Window::new(at(3), at(4)), 2),
        (Window::new(at(15), at(15)), 1),
    ];
    let apart = (Window::new(at(40), at(40)), 1);
    assert_eq!(found, [merged[0], merged[1], apart]);
    program.close().unwrap();
}

#[test]
fn a_count_that_is_not_committed_is_not_answered() {
    let words = Words::new("query-open", 1);
    let reached = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let counters = Arc::clone(&reached);
    let observer = move |point| {
        let counter = match point {
            BatchPoint::RecordProcessed => &counters[0],
            BatchPoint::AfterCommit => &counters[1],
            _ => return,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let lingering = [("commit.interval.ms", "9000"), ("commit.linger.ms", "3000")];
    let config = words.ledger.config("a").properties(lingering);
    let config = config.build().unwrap();
    let program = Program::observed(words.topology(), config, observer).unwrap();
    words.say("be", 1);
    words.wait_for(&program, "be", 1);
    let of = |counter: usize| reached[counter].load(Ordering::SeqCst);
    words.say("be", 2);
    wait_until("it is processed", || of(0) == 2);
    let counts = program.app().store::<String, i64>(COUNTS).unwrap();
    let found = program.answer(counts.get(&"be".to_owned())).unwrap();
    let scanned = program.answer(counts.all().collect()).unwrap();
    assert_eq!(of(1), 1, "the second batch is open yet");
    assert_eq!((found, scanned), (Some(1), vec![("be".to_owned(), 1)]));
    words.wait_for(&program, "be", 2);
    assert_eq!(of(1), 2);
    program.close().unwrap();
}

#[test]
fn what_is_in_another_process_is_said_to_be_and_both_have_all_of_it() {
    let words = Words::new("query-elsewhere", 4);
    let all: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    for word in &all {
        words.say(word, 1);
    }
    let programs = [words.start("a", &[]), words.start("b", &[])];
    let stores = programs
        .each_ref()
        .map(|program| program.app().store::<String, i64>(COUNTS).unwrap());
    wait_until("each has its half", || {
        stores
            .iter()
            .all(|store| store.partitions_here().len() == 2)
    });
    let counted = || {
        let entries = |of: usize| programs[of].answer(stores[of].approximate_entries());
        Some(entries(0).ok()? + entries(1).ok()?)
    };
    wait_until("all are counted", || counted() == Some(40));
    for word in &all {
        let answers = [0, 1].map(|of| programs[of].answer(stores[of].get(word)));
        let partition = stores[0].partition_of(word).unwrap();
        let here = stores.each_ref().map(|store| store.partitions_here());
        match answers {
            [Ok(Some(1)), Err(error)] | [Err(error), Ok(Some(1))] => {
                let QueryError::PartitionElsewhere {
                    partition: of,
                    here: had,
                    ..
                } = error
                else {
                    panic!("{error}");
                };
                assert_eq!(of, partition);
                assert!(here.contains(&had), "{had:?}");
            }
            other => panic!("{word}: {other:?}"),
        }
    }
    programs
        .into_iter()
        .for_each(|program| program.close().unwrap());
}

#[test]
fn what_cannot_be_asked_is_told_apart() {
    let words = Words::new("query-errors", 1);
    let config = words.ledger.config("a").build().unwrap();
    let created = App::new(words.topology(), config).unwrap();
    let error = created.store::<String, i64>(COUNTS).map(drop).unwrap_err();
    let is_created = matches!(
        error,
        QueryError::NotRunning {
            state: State::Created
        }
    );
    assert!(is_created, "{error}");
    let program = words.start("a", &[]);
    let error = program
        .app()
        .store::<String, i64>("sums")
        .map(drop)
        .unwrap_err();
    let QueryError::UnknownStore { store, known } = error else {
        panic!("{error}");
    };
    assert_eq!(store, "sums");
    assert!(known.iter().any(|name| name == COUNTS), "{known:?}");
    for wrong in [
        program.app().store::<String, String>(COUNTS).map(drop),
        program.app().store::<String, i64>(WINDOWS).map(drop),
        program.app().window_store::<String, i64>(COUNTS).map(drop),
        program.app().session_store::<i64, i64>(SESSIONS).map(drop),
    ] {
        let error = wrong.unwrap_err();
        assert!(matches!(error, QueryError::WrongStore { .. }), "{error}");
    }
    program.wait_until_running();
    let counts = program.app().store::<String, i64>(COUNTS).unwrap();
    assert_eq!(program.answer(counts.get(&"be".to_owned())).unwrap(), None);
    program.close().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = runtime.block_on(counts.get(&"be".to_owned())).unwrap_err();
    let is_closed = matches!(
        error,
        QueryError::NotRunning {
            state: State::NotRunning
        }
    );
    assert!(is_closed, "{error}");
}

#[test]
fn a_global_store_answers_once_it_is_filled_and_follows_its_topic() {
    let words = Words::new("query-global", 2);
    let producer = TransactionalProducer::ready(words.cluster, &unique("known"));
    let known = |value: i64| Outgoing::value(value.to_be_bytes()).key("be");
    producer.begin().unwrap();
    producer.send(&words.known, &known(1)).unwrap();
    producer.flush().unwrap();
    let program = words.start("a", &[("num.stream.threads", "2")]);
    let store = program.app().store::<String, i64>("known").unwrap();
    let be = "be".to_owned();
    let error = program.answer(store.get(&be)).unwrap_err();
    assert!(matches!(error, QueryError::Rebalancing { .. }), "{error}");
    assert!(error.is_passing());
    producer.commit().unwrap();
    let first = eventually("it is filled", || program.answer(store.get(&be)).ok());
    assert_eq!(first, Some(1));
    words.cluster.produce(&words.known, [known(2)]);
    wait_until("it has followed", || {
        program.answer(store.get(&be)).unwrap() == Some(2)
    });
    assert_eq!(program.answer(store.all().collect()).unwrap(), [(be, 2)]);
    assert_eq!(store.partition_count(), None);
    program.close().unwrap();
}

#[test]
fn a_worker_that_does_not_come_to_it_is_not_waited_for_for_ever() {
    let words = Words::new("query-late", 1);
    let observer = |point| {
        if point == BatchPoint::BeforeCommit {
            // The stand-in of a processor that takes its time.
            assert!(onceflow_tests::wait::holds_for(
                Duration::from_secs(1),
                || true
            ));
        }
    };
    let config = words.ledger.config("a").build().unwrap();
    let program = Program::observed(words.topology(), config, observer).unwrap();
    program.wait_until_running();
    words.say("be", 1);
    let counts = program.app().store::<String, i64>(COUNTS).unwrap();
    let hasty = counts.clone().with_timeout(Duration::from_millis(100));
    let late = eventually("it is busy", || {
        program.answer(hasty.get(&"be".to_owned())).err()
    });
    assert!(matches!(late, QueryError::TimedOut { .. }), "{late}");
    assert_eq!(
        program.answer(counts.get(&"be".to_owned())).unwrap(),
        Some(1)
    );
    program.close().unwrap();
}

/// Tells how long the answers took; answers how long all but one in a hundred did at most.
#[expect(
    clippy::print_stdout,
    reason = "a measurement, for those who run the test with --nocapture"
)]
fn told(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let (count, last) = (took.len(), took[took.len() - 1]);
    let (half, most) = (took[count / 2], took[count * 99 / 100]);
    println!("{what}: {count} answers, 50 % {half:?}, 99 % {most:?}, all {last:?}");
    most
}

/// The records are there before the application starts: it is busy from its first turn on.
#[test]
fn a_busy_worker_answers_between_its_turns_and_counts_never_fall() {
    const COUNT: i64 = 40_000;
    let words = Words::new("query-busy", 2);
    let said = (0..COUNT).map(|number| {
        let word = (number % 40).to_string();
        Outgoing::value("").key(word).timestamp(1 + number / 1_000)
    });
    words.cluster.produce(&words.words, said);
    let large = [
        ("batch.bytes.max", "16000000"),
        ("commit.interval.ms", "100"),
    ];
    let program = words.start("a", &large);
    program.wait_until_running();
    let counts = program.app().store::<String, i64>(COUNTS).unwrap();
    let word = "7".to_owned();
    let get = || {
        let watch = Stopwatch::start();
        let found = program.answer(counts.get(&word)).unwrap().unwrap_or(0);
        (found, watch.elapsed())
    };
    let (mut last, mut seen, mut took) = (0, 0, Vec::new());
    while last < COUNT / 40 {
        let (found, time) = get();
        assert!(found >= last, "{found} after {last}");
        seen += usize::from(found > last);
        last = found;
        took.push(time);
    }
    assert!(seen > 1, "it was not asked while it was busy");
    let most = told("busy", took);
    assert!(most < Duration::from_secs(1), "{most:?}");
    told("idle", (0..500).map(|_| get().1).collect());
    program.close().unwrap();
}
