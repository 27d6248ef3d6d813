//! Global tables at run time: each worker's are whole before it reads a record, are kept up with
//! their topic, hold committed rows only, and are filled anew after a restart.
//!
//! The application under test joins orders with the rows of a global table; an order that found
//! no row says so in the output.

use std::time::Duration;

use onceflow::prelude::*;
use onceflow_framework::{BatchPoint, ErrorKind};
use onceflow_tests::{
    Cluster, Outgoing, Program, Tail, TransactionalProducer,
    ledger::Ledger,
    naming, unique,
    wait::{Deadline, PATIENCE, holds_for, wait_until},
    worker::{Application, At, Orders, Worker},
};

/// The worker process under test.
const WORKER: &str = env!("CARGO_BIN_EXE_crash_worker");

/// An order that had no row.
const NO_ROW: &str = "none";

/// Orders, rows, and what was found: a value for each order, in the order of a partition.
struct Shop<'c> {
    cluster: &'c Cluster,
    ledger: Ledger<'c>,
    orders: String,
    rows: String,
    found: String,
}

impl<'c> Shop<'c> {
    /// With orders on two partitions and rows on three.
    fn new(name: &str) -> Self {
        let cluster = Cluster::shared();
        Shop {
            cluster,
            ledger: Ledger::new(cluster, name, 1),
            orders: cluster.topic("orders", 2),
            rows: cluster.topic("rows", 3),
            found: cluster.topic("found", 1),
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let orders: KStream<String, String> = builder.stream(&*self.orders, Consumed::new());
        let rows: GlobalKTable<String, i64> = builder.global_table(&self.rows, Consumed::new());
        let article = |_: &String, article: &String| article.clone();
        let row = |_: &String, _: String, row: Option<i64>| {
            row.map_or_else(|| NO_ROW.to_owned(), |row| row.to_string())
        };
        let found = orders.left_join_global(&rows, article, row, Joined::new());
        found.to(&self.found, Produced::new());
        builder.build().unwrap()
    }

    fn start(&self, workers: usize) -> Program {
        let workers = workers.to_string();
        let config = self.ledger.config("a");
        let config = config.properties([("num.stream.threads", &*workers)]);
        Program::start(self.topology(), config.build().unwrap()).unwrap()
    }

    fn row(&self, article: &str, row: i64) {
        self.cluster.produce(&self.rows, [price(article, row)]);
    }

    fn order(&self, buyer: &str, article: &str) {
        let order = Outgoing::value(article).key(buyer);
        self.cluster.produce(&self.orders, [order]);
    }

    /// Waits for so many outputs, and answers their values.
    fn found(&self, count: usize) -> Vec<String> {
        let mut tail = Tail::of(self.cluster, &self.found);
        let all = tail.reach(count, Deadline::after(PATIENCE));
        assert!(all, "{} of {count} came", tail.records.len());
        tail.records.iter().map(|record| record.text()).collect()
    }

    /// Orders an article again and again until the last order finds this.
    fn order_until(&self, article: &str, found: &str, orders: &mut usize) {
        wait_until("an order finds it", || {
            self.order("ada", article);
            *orders += 1;
            self.found(*orders).last().is_some_and(|last| last == found)
        });
    }
}

fn price(article: &str, row: i64) -> Outgoing {
    Outgoing::value(row.to_be_bytes()).key(article)
}

#[test]
fn the_first_order_of_each_worker_finds_every_row_that_was_there_before() {
    const COUNT: i64 = 6_000;
    let shop = Shop::new("global-before");
    let article = |number: i64| format!("article {number}");
    let rows = (0..COUNT).map(|number| price(&article(number), number));
    shop.cluster.produce(&shop.rows, rows);
    let orders = (0..COUNT).map(|number| Outgoing::value(article(number)).key(number.to_string()));
    shop.cluster.produce(&shop.orders, orders);
    let program = shop.start(2);
    let found = shop.found(usize::try_from(COUNT).unwrap());
    program.wait_until_running();
    program.close().unwrap();
    let mut found: Vec<i64> = found.iter().map(|row| row.parse().unwrap()).collect();
    found.sort_unstable();
    assert!(found.into_iter().eq(0..COUNT), "an order found another row");
}

#[test]
fn a_row_is_found_changed_and_deleted_while_the_application_runs() {
    let shop = Shop::new("global-while");
    let program = shop.start(2);
    program.wait_until_running();
    let mut orders = 0;
    shop.order_until("pen", NO_ROW, &mut orders);
    shop.row("pen", 120);
    shop.order_until("pen", "120", &mut orders);
    shop.row("pen", 130);
    shop.order_until("pen", "130", &mut orders);
    let deletion = Outgoing::tombstone("pen");
    shop.cluster.produce(&shop.rows, [deletion]);
    shop.order_until("pen", NO_ROW, &mut orders);
    program.close().unwrap();
    let mut found = shop.found(orders);
    found.dedup();
    assert_eq!(found, [NO_ROW, "120", "130", NO_ROW], "no row comes back");
}

#[test]
fn rows_of_an_aborted_transaction_are_never_found() {
    let shop = Shop::new("global-aborted");
    let producer = TransactionalProducer::ready(shop.cluster, &unique("rows"));
    let abort = |row: i64| {
        producer.begin().unwrap();
        producer.send(&shop.rows, &price("pen", row)).unwrap();
        producer.flush().unwrap();
        producer.abort().unwrap();
    };
    abort(1);
    let program = shop.start(1);
    program.wait_until_running();
    abort(2);
    // Behind the aborted ones on the same partition: found only once they were passed.
    shop.row("pen", 3);
    let mut orders = 0;
    shop.order_until("pen", "3", &mut orders);
    program.close().unwrap();
    let found = shop.found(orders);
    assert!(
        found.iter().all(|row| row == NO_ROW || row == "3"),
        "{found:?}"
    );
}

#[test]
fn a_transaction_that_is_open_at_the_start_is_waited_for() {
    let shop = Shop::new("global-open");
    let producer = TransactionalProducer::ready(shop.cluster, &unique("rows"));
    producer.begin().unwrap();
    producer.send(&shop.rows, &price("pen", 120)).unwrap();
    producer.flush().unwrap();
    shop.order("ada", "pen");
    let program = shop.start(1);
    let waits = || program.app().state() == State::Rebalancing;
    assert!(
        holds_for(Duration::from_secs(1), waits),
        "{:?}",
        program.app()
    );
    producer.commit().unwrap();
    assert_eq!(shop.found(1), ["120"]);
    program.close().unwrap();
}

/// For ten seconds, that is: Kafka lets it hang for a quarter of an hour.
#[test]
fn a_transaction_that_hangs_is_not_waited_for_for_ever() {
    let shop = Shop::new("global-hanging");
    let producer = TransactionalProducer::ready(shop.cluster, &unique("rows"));
    producer.begin().unwrap();
    producer.send(&shop.rows, &price("pen", 120)).unwrap();
    producer.flush().unwrap();
    shop.order("ada", "pen");
    let program = shop.start(1);
    assert_eq!(shop.found(1), [NO_ROW]);
    producer.commit().unwrap();
    shop.order_until("pen", "120", &mut 1);
    program.close().unwrap();
}

#[test]
fn a_restart_finds_what_changed_meanwhile() {
    let shop = Shop::new("global-restart");
    shop.row("pen", 1);
    shop.row("pan", 1);
    shop.order("ada", "pen");
    let program = shop.start(1);
    assert_eq!(shop.found(1), ["1"]);
    program.close().unwrap();
    shop.row("pen", 2);
    let deletion = Outgoing::tombstone("pan");
    shop.cluster.produce(&shop.rows, [deletion]);
    shop.order("ada", "pen");
    shop.order("ada", "pan");
    let program = shop.start(1);
    assert_eq!(shop.found(3), ["1", "2", NO_ROW]);
    program.close().unwrap();
}

/// A worker of the application that names owners.
fn naming_worker(ledger: &Ledger<'_>, at: Option<At>) -> Worker {
    let mut properties = ledger.properties("a");
    properties.push(("static.membership".to_owned(), "true".to_owned()));
    let orders = Orders {
        properties,
        application: Application::Naming,
        topics: ledger.topics.clone(),
        at,
    };
    Worker::obeying(WORKER, &orders)
}

/// Dies at each point in turn, mid-batch in the second.
#[test]
fn an_entry_that_is_joined_comes_out_once_across_crashes() {
    let ledger = Ledger::new(Cluster::shared(), "global-crash", 2);
    let points = [
        (BatchPoint::BeforeBegin, 1),
        (BatchPoint::RecordProcessed, 30),
        (BatchPoint::BeforeCommit, 1),
        (BatchPoint::AfterCommit, 1),
    ];
    for (point, occurrence) in points {
        ledger.feed(60);
        naming::name_owners(&ledger);
        naming_worker(&ledger, Some(At::abort(point, occurrence))).wait_for_abort();
    }
    ledger.feed(60);
    let last = naming_worker(&ledger, None);
    ledger.wait_for_all();
    last.close();
    naming::audit(&ledger);
}

#[test]
fn an_application_of_nothing_but_a_global_table_runs() {
    let shop = Shop::new("global-alone");
    let builder = StreamsBuilder::new();
    let rows: GlobalKTable<String, i64> = builder.global_table(&shop.rows, Consumed::new());
    drop(rows);
    let config = shop.ledger.config("a").build().unwrap();
    let program = Program::start(builder.build().unwrap(), config).unwrap();
    program.wait_until_running();
    program.close().unwrap();
}

#[test]
fn a_missing_topic_of_a_global_table_is_named() {
    let mut shop = Shop::new("global-missing");
    shop.rows = "nobody-made-these-rows".to_owned();
    let config = shop.ledger.config("a").build().unwrap();
    let error = Program::start(shop.topology(), config).expect_err("it does not start");
    assert_eq!(error.kind(), ErrorKind::Topics, "{error}");
    assert!(error.to_string().contains(&shop.rows), "{error}");
}

#[test]
fn a_row_that_cannot_be_read_stops_the_application_with_its_position() {
    let shop = Shop::new("global-bad");
    shop.row("pen", 1);
    let program = shop.start(2);
    program.wait_until_running();
    let bad = Outgoing::value("no i64").key("pen").partition(1);
    shop.cluster.produce(&shop.rows, [bad]);
    let error = program.failure();
    assert_eq!(error.kind(), ErrorKind::Deserialization, "{error}");
    let says = |words: &str| error.to_string().contains(words);
    assert!(says("cannot fill the global stores"), "{error}");
    assert!(says(&format!("{}-1", shop.rows)), "{error}");
}
