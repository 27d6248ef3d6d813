//! Sources that describe their topics: what matches is read, what appears later too, and state is
//! kept over it.

use onceflow::prelude::*;
use onceflow_framework::ErrorKind;
use onceflow_tests::{
    Cluster, Outgoing, Program, Tail,
    ledger::Ledger,
    unique,
    wait::{Deadline, PATIENCE, wait_until},
};

/// Topics `<name>-a`, `<name>-b` and so on, of which records are counted by key.
struct Shops<'c> {
    cluster: &'c Cluster,
    ledger: Ledger<'c>,
    name: String,
    counts: String,
}

impl<'c> Shops<'c> {
    fn new(name: &str) -> Self {
        let cluster = Cluster::shared();
        Shops {
            cluster,
            ledger: Ledger::new(cluster, name, 1),
            name: unique(name),
            counts: cluster.topic("counts", 1),
        }
    }

    fn pattern(&self) -> String {
        format!("{}-[a-z]", self.name)
    }

    fn open(&self, shop: &str, partitions: i32) {
        let topic = self.topic(shop);
        self.cluster.create_topic(&topic, partitions, &[]);
    }

    fn topic(&self, shop: &str) -> String {
        format!("{}-{shop}", self.name)
    }

    /// Counts records by key, in a store.
    fn counting(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let orders: KStream<String, String> =
            builder.stream_pattern(&self.pattern(), Consumed::new());
        let counts = orders.group_by_key(Grouped::new());
        let counts = counts.count_with(Materialized::as_store("counts"));
        counts.to_stream().to(&self.counts, Produced::new());
        builder.build().unwrap()
    }

    /// Passes the length of each record on, without a store.
    fn measuring(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let orders: KStream<String, String> =
            builder.stream_pattern(&self.pattern(), Consumed::new());
        let lengths = orders.map_values(|order| i64::try_from(order.len()).unwrap());
        lengths.to(&self.counts, Produced::new());
        builder.build().unwrap()
    }

    fn config(&self, instance: &str, workers: usize) -> Config {
        let workers = workers.to_string();
        let settings = [
            ("num.stream.threads", &*workers),
            ("metadata.max.age.ms", "300"),
        ];
        let config = self.ledger.config(instance).properties(settings);
        config.build().unwrap()
    }

    fn start(&self, topology: Topology, workers: usize) -> Program {
        Program::start(topology, self.config("a", workers)).unwrap()
    }

    /// An order of each of these buyers.
    fn order(&self, shop: &str, buyers: &[&str]) {
        let orders = buyers
            .iter()
            .map(|buyer| Outgoing::value("one").key(*buyer));
        self.cluster.produce(&self.topic(shop), orders);
    }

    /// Waits for so many counts; answers the last of each buyer.
    fn counts(&self, records: usize) -> Vec<(String, i64)> {
        let mut tail = Tail::of(self.cluster, &self.counts);
        let all = tail.reach(records, Deadline::after(PATIENCE));
        assert!(all, "{} of {records} came", tail.records.len());
        assert_eq!(tail.records.len(), records, "more came than were ordered");
        let count = |record: &onceflow_tests::Record| {
            let bytes = record.value.clone().unwrap();
            let count = i64::from_be_bytes(bytes[..].try_into().unwrap());
            (record.key_text(), count)
        };
        let last: std::collections::BTreeMap<_, _> = tail.records.iter().map(count).collect();
        last.into_iter().collect()
    }
}

fn of(buyers: &[&str], count: i64) -> Vec<(String, i64)> {
    let of = |buyer: &&str| ((*buyer).to_owned(), count);
    buyers.iter().map(of).collect()
}

/// They are spread over both partitions.
const BUYERS: [&str; 6] = ["ada", "bob", "cy", "dee", "eve", "fay"];

#[test]
fn a_topic_that_appears_is_counted_with_the_others_and_over_a_restart() {
    let shops = Shops::new("pattern-count");
    ["a", "b"].iter().for_each(|shop| shops.open(shop, 2));
    let program = shops.start(shops.counting(), 2);
    program.wait_until_running();
    ["a", "b"]
        .iter()
        .for_each(|shop| shops.order(shop, &BUYERS));
    assert_eq!(shops.counts(12), of(&BUYERS, 2));
    shops.open("c", 2);
    shops.order("c", &BUYERS);
    assert_eq!(shops.counts(18), of(&BUYERS, 3));
    shops.order("a", &BUYERS);
    assert_eq!(shops.counts(24), of(&BUYERS, 4));
    program.close().unwrap();
    shops.open("d", 2);
    ["c", "d"]
        .iter()
        .for_each(|shop| shops.order(shop, &BUYERS));
    let program = shops.start(shops.counting(), 1);
    assert_eq!(shops.counts(36), of(&BUYERS, 6));
    program.close().unwrap();
}

#[test]
fn two_instances_share_a_topic_that_appears() {
    let shops = Shops::new("pattern-shared");
    shops.open("a", 4);
    let first = Program::start(shops.counting(), shops.config("a", 1)).unwrap();
    let second = Program::start(shops.counting(), shops.config("b", 1)).unwrap();
    first.wait_until_running();
    second.wait_until_running();
    shops.order("a", &BUYERS);
    assert_eq!(shops.counts(6), of(&BUYERS, 1));
    shops.open("b", 4);
    for round in 2..5 {
        shops.order("b", &BUYERS);
        let records = usize::try_from(round).unwrap() * BUYERS.len();
        assert_eq!(shops.counts(records), of(&BUYERS, round));
    }
    first.close().unwrap();
    shops.order("b", &BUYERS);
    assert_eq!(shops.counts(30), of(&BUYERS, 5));
    second.close().unwrap();
}

#[test]
fn the_first_topic_may_appear_while_the_application_runs() {
    let shops = Shops::new("pattern-first");
    let program = shops.start(shops.measuring(), 1);
    program.wait_until_running();
    shops.open("a", 1);
    shops.order("a", &["ada"]);
    assert_eq!(shops.counts(1), of(&["ada"], 3));
    // Without a store topics may differ.
    shops.open("b", 3);
    shops.order("b", &BUYERS);
    assert_eq!(shops.counts(7), of(&BUYERS, 3));
    program.close().unwrap();
}

#[test]
fn a_topic_that_does_not_fit_the_state_stops_the_application() {
    let shops = Shops::new("pattern-wide");
    shops.open("a", 2);
    let program = shops.start(shops.counting(), 1);
    program.wait_until_running();
    shops.open("b", 3);
    wait_until("it stops", || program.app().state().is_final());
    let failure = program.failure();
    assert_eq!(failure.kind(), ErrorKind::Topics);
    let claim = "feed the same stores and must have equally many partitions";
    assert!(failure.to_string().contains(claim), "{failure}");
}
