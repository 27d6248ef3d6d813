//! A task with several inputs processes the head of one while another is empty only if nothing of
//! that is known to be on the broker (`max.task.idle.ms`, KIP-695).
//!
//! The application under test joins orders with the rows of a table; an order that was processed
//! before its row says so in the output.

use std::time::Duration;

use onceflow::prelude::*;
use onceflow_tests::{
    Cluster, Outgoing, Program, Tail, TransactionalProducer,
    ledger::Ledger,
    unique,
    wait::{Deadline, PATIENCE, Stopwatch, holds_for},
};

/// An order that had no row.
const NO_ROW: &str = "none";

/// Orders, rows, and where they meet.
struct Shop<'c> {
    cluster: &'c Cluster,
    ledger: Ledger<'c>,
    orders: String,
    rows: String,
    found: String,
}

impl<'c> Shop<'c> {
    fn new(cluster: &'c Cluster, name: &str) -> Self {
        Shop {
            cluster,
            ledger: Ledger::new(cluster, name, 1),
            orders: cluster.topic("orders", 1),
            rows: cluster.topic("rows", 1),
            found: cluster.topic("found", 1),
        }
    }

    fn start(&self, settings: &[(&str, &str)]) -> Program {
        let builder = StreamsBuilder::new();
        let orders: KStream<String, String> = builder.stream(&*self.orders, Consumed::new());
        let rows: KTable<String, String> = builder.table(&self.rows, Consumed::new());
        let row = |_order: String, row: Option<String>| row.unwrap_or_else(|| NO_ROW.to_owned());
        let found = orders.left_join_table(&rows, row, Joined::new());
        found.to(&self.found, Produced::new());
        let config = self.ledger.config("a").properties(settings.iter().copied());
        Program::start(builder.build().unwrap(), config.build().unwrap()).unwrap()
    }

    /// Waits for so many outputs, and answers their values.
    fn found(&self, count: usize) -> Vec<String> {
        let mut tail = Tail::of(self.cluster, &self.found);
        let all = tail.reach(count, Deadline::after(PATIENCE));
        assert!(all, "{} of {count} came", tail.records.len());
        tail.records
            .iter()
            .map(onceflow_tests::Record::text)
            .collect()
    }

    fn order(&self, at: i64) {
        let order = Outgoing::value("order").key("k").timestamp(at);
        self.cluster.produce(&self.orders, [order]);
    }
}

fn row(key: &str, at: i64) -> Outgoing {
    Outgoing::value("row").key(key).timestamp(at)
}

/// How many orders there are, each for another row.
const COUNT: i64 = 20_000;

fn key(number: i64) -> String {
    format!("k{number}")
}

/// All of them older than the orders. A client takes the time 0 for none.
fn rows() -> impl Iterator<Item = Outgoing> {
    (1..=COUNT).map(|number| row(&key(number), number))
}

fn every_order_finds_its_row(shop: &Shop<'_>, meanwhile: impl FnOnce(&Shop<'_>)) {
    let order = |number| {
        let order = Outgoing::value("order").key(key(number));
        order.timestamp(COUNT + number)
    };
    shop.cluster.produce(&shop.orders, (1..=COUNT).map(order));
    let program = shop.start(&[]);
    meanwhile(shop);
    let found = shop.found(usize::try_from(COUNT).unwrap());
    program.close().unwrap();
    let without = found.iter().filter(|row| *row == NO_ROW).count();
    assert_eq!(
        without, 0,
        "of {COUNT} orders were processed before their row"
    );
}

#[test]
fn every_order_finds_its_row_if_the_rows_were_written_before() {
    let shop = Shop::new(Cluster::shared(), "idle-loaded");
    shop.cluster.produce(&shop.rows, rows());
    every_order_finds_its_row(&shop, |_| {});
}

#[test]
fn every_order_finds_its_row_if_the_rows_were_written_in_transactions() {
    let shop = Shop::new(Cluster::shared(), "idle-transactions");
    let producer = TransactionalProducer::ready(shop.cluster, &unique("rows"));
    let rows: Vec<Outgoing> = rows().collect();
    for rows in rows.chunks(1_000) {
        producer.begin().unwrap();
        for row in rows {
            producer.send(&shop.rows, row).unwrap();
        }
        producer.commit().unwrap();
    }
    every_order_finds_its_row(&shop, |_| {});
}

#[test]
fn a_broker_that_pauses_delays_the_orders_and_loses_no_row() {
    let cluster = Cluster::start();
    let shop = Shop::new(&cluster, "idle-paused");
    cluster.produce(&shop.rows, rows());
    every_order_finds_its_row(&shop, |shop| {
        shop.found(1);
        shop.cluster.pause();
        assert!(holds_for(Duration::from_secs(2), || true), "time passes");
        shop.cluster.resume();
    });
}

#[test]
fn an_input_that_stays_empty_holds_up_no_other_under_any_guarantee() {
    for guarantee in ["exactly_once_v2", "at_least_once", "at_most_once"] {
        let shop = Shop::new(Cluster::shared(), "idle-empty");
        shop.order(1);
        let program = shop.start(&[("processing.guarantee", guarantee)]);
        assert_eq!(shop.found(1), [NO_ROW], "{guarantee}");
        shop.order(2);
        assert_eq!(shop.found(2).len(), 2, "{guarantee}");
        program.close().unwrap();
    }
}

#[test]
fn an_open_transaction_in_one_input_holds_up_no_other() {
    let shop = Shop::new(Cluster::shared(), "idle-open");
    let cluster = shop.cluster;
    cluster.produce(&shop.rows, [row("k", 1)]);
    let producer = TransactionalProducer::ready(cluster, &unique("open"));
    producer.begin().unwrap();
    producer.send(&shop.rows, &row("other", 2)).unwrap();
    producer.flush().unwrap();
    shop.order(3);
    let program = shop.start(&[]);
    assert_eq!(
        shop.found(1),
        ["row"],
        "what stands before it is waited for"
    );
    producer.commit().unwrap();
    shop.order(4);
    assert_eq!(shop.found(2), ["row", "row"]);
    program.close().unwrap();
}

#[test]
fn an_aborted_end_of_one_input_holds_up_no_other() {
    let shop = Shop::new(Cluster::shared(), "idle-aborted");
    let cluster = shop.cluster;
    let producer = TransactionalProducer::ready(cluster, &unique("aborted"));
    producer.begin().unwrap();
    producer.send(&shop.rows, &row("k", 1)).unwrap();
    producer.flush().unwrap();
    producer.abort().unwrap();
    shop.order(2);
    let program = shop.start(&[]);
    assert_eq!(shop.found(1), [NO_ROW]);
    program.close().unwrap();
}

#[test]
fn with_a_longer_idle_time_a_row_that_comes_later_is_waited_for() {
    let shop = Shop::new(Cluster::shared(), "idle-longer");
    let program = shop.start(&[("max.task.idle.ms", "3000")]);
    program.wait_until_running();
    // Its time has begun with its first look; a row begins it anew.
    shop.cluster.produce(&shop.rows, [row("other", 1)]);
    shop.order(1);
    assert_eq!(shop.found(1), [NO_ROW], "nobody wrote the row");
    shop.cluster.produce(&shop.rows, [row("another", 2)]);
    let watch = Stopwatch::start();
    shop.order(4);
    shop.cluster.produce(&shop.rows, [row("k", 3)]);
    assert_eq!(shop.found(2), [NO_ROW, "row"]);
    assert!(watch.elapsed() > Duration::from_secs(1), "it did not wait");
    program.close().unwrap();
}
