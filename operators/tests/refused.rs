//! Programs that compile and cannot work: refused when they are built, with the nodes named, or, for
//! what only the topics tell, when they start.

use std::time::Duration;

use onceflow::prelude::*;
use onceflow::serde::{Encoded, SerdeError};

type Orders = KStream<String, i64>;

fn orders(builder: &StreamsBuilder, topic: &str) -> Orders {
    builder.stream(topic, Consumed::new())
}

/// Beside what it adds, every program reads `in`.
fn check(add: impl FnOnce(&StreamsBuilder, &Orders), expect: &[&str]) {
    let builder = StreamsBuilder::new();
    let input = orders(&builder, "in");
    add(&builder, &input);
    let error = builder.build().expect_err(expect[0]);
    assert_eq!(error.kind(), ErrorKind::Topology);
    let told = format!("{error} {:?}", error);
    for part in expect {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

/// Numbers as text.
struct Decimal;

impl Serde for Decimal {
    type Item = i64;

    fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        out.extend(value.to_string().bytes());
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i64, SerdeError> {
        let text = std::str::from_utf8(bytes.unwrap_or_default());
        let text = text.map_err(|error| SerdeError::because("no text", error))?;
        let number = text.parse();
        number.map_err(|error| SerdeError::because("no number", error))
    }
}

#[test]
fn a_topic_that_two_streams_read_by_different_serdes_is_refused() {
    let sources = "sources KSTREAM-SOURCE-0000000000 and KSTREAM-SOURCE-0000000001 read in";
    check(
        |builder, _| {
            let _other = builder.stream("in", Consumed::with(utf8(), Decimal));
        },
        &[sources, "by different serdes", "I64Serde", "Decimal"],
    );
    check(
        |builder, _| {
            let _other = builder.stream("in", Consumed::with(utf8(), utf8()));
        },
        &[sources, "as different types"],
    );
    check(
        |builder, _| {
            let latest = Consumed::<String, i64>::new().with_offset_reset(OffsetReset::Latest);
            let _other = builder.stream("in", latest);
        },
        &[sources, "with different offset resets"],
    );
}

#[test]
fn a_topic_that_two_streams_read_alike_has_one_source() {
    let builder = StreamsBuilder::new();
    let (named, default) = (utf8(), Consumed::<String, Option<i64>>::new());
    let one = builder.stream("in", default);
    let two = builder.stream("in", Consumed::with(named, nullable(i64())));
    one.merge(&two).to("out", Produced::new());
    let described = builder.build().expect("one source").describe();
    assert_eq!(described.matches("Source:").count(), 1);
}

#[test]
fn a_topic_that_a_stream_and_a_global_table_read_is_refused() {
    check(
        |builder, _| {
            let _table: GlobalKTable<String, i64> = builder.global_table("in", Consumed::new());
        },
        &[
            "sources KSTREAM-SOURCE-0000000000 and",
            "both read topic in",
        ],
    );
    check(
        |builder, _| {
            let _several = builder.stream(["in", "more"], Consumed::<String, i64>::new());
        },
        &["both read topic in"],
    );
}

/// Uses a store.
struct Uses;

impl Processor for Uses {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &mut self,
        r: Record<String, i64>,
        ctx: &mut Context<String, i64>,
    ) -> Result<(), Fault> {
        ctx.forward(r)
    }
}

#[test]
fn a_store_that_does_not_exist_is_refused() {
    check(
        |_, input| {
            let _used = input.named("uses").process(|| Uses, &["totals"]);
        },
        &["node uses uses store totals, which does not exist"],
    );
    check(
        |builder, _| builder.add_state_store(StoreBuilder::key_value("totals", utf8(), i64())),
        &["store totals is connected to no processor"],
    );
}

#[test]
fn a_name_that_is_given_twice_is_refused() {
    check(
        |_, input| {
            let (one, two) = (input.named("same").filter(|_, _| true), input.named("same"));
            one.merge(&two.map_values(|cents| cents))
                .to("out", Produced::new());
        },
        &["two nodes are named same"],
    );
    check(
        |_, input| {
            input.to("out", Produced::new().with_name("same"));
            input.to("more", Produced::new().with_name("same"));
        },
        &["two nodes are named same"],
    );
    check(
        |_, input| {
            let grouped = |_: &String, cents: &i64| cents.to_string();
            input
                .group_by(grouped, Grouped::new().with_name("same"))
                .count();
            input
                .group_by(grouped, Grouped::new().with_name("same"))
                .count();
        },
        &["two repartition topics are named same-repartition"],
    );
    check(
        |builder, _| {
            let store = || Materialized::as_store("same");
            let _one: KTable<String, i64> = builder.table_with("one", Consumed::new(), store());
            let _two: KTable<String, i64> = builder.table_with("two", Consumed::new(), store());
        },
        &["two stores are named same"],
    );
}

#[test]
fn a_join_of_repartition_topics_with_different_counts_is_refused() {
    check(
        |builder, input| {
            let by =
                |name: &str, count| Repartitioned::new().with_name(name).with_partitions(count);
            let left = input.repartition(by("left", 2));
            let right = orders(builder, "other").repartition(by("right", 3));
            let soon = JoinWindows::of(Duration::from_secs(1));
            left.join(&right, |l: i64, r: i64| l + r, soon, StreamJoined::new())
                .to("out", Produced::new());
        },
        &[
            "need the same number of partitions: left-repartition (2, read by left-repartition-source)",
            "right-repartition (3, read by right-repartition-source)",
        ],
    );
}

#[test]
fn a_join_of_topics_with_different_counts_is_refused_when_it_starts() {
    let builder = StreamsBuilder::new();
    let table: KTable<String, i64> = builder.table("prices", Consumed::new());
    orders(&builder, "orders")
        .join_table(&table, |n: i64, price: i64| n * price, Joined::new())
        .to("out", Produced::new());
    let driver = TestDriver::builder(builder.build().expect("topics are not known yet"))
        .partitions("orders", 2)
        .partitions("prices", 3);
    let error = driver.build().expect_err("2 are not 3");
    assert_eq!(error.kind(), ErrorKind::Topics);
    let told = error.to_string();
    let orders = "orders (2, read by KSTREAM-SOURCE-0000000003)";
    let prices = "prices (3, read by KSTREAM-SOURCE-0000000001)";
    assert!(told.contains(orders) && told.contains(prices), "{told}");
}
