//! What the vectors cannot say: several partitions, restarts, nulls in types, what does not build.

use onceflow::metrics::DropReason;
use onceflow::prelude::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn owned(text: &str) -> String {
    text.to_owned()
}

/// Counts of words, whatever the keys of the lines are.
fn word_count() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream("lines", Consumed::<String, String>::new())
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone(), Grouped::new())
        .count_with(Materialized::as_store("counts"))
        .to_stream()
        .to("word-counts", Produced::new());
    builder.build().expect("a valid topology")
}

#[test]
fn words_of_all_partitions_are_counted_in_one_place() {
    let driver = TestDriver::builder(word_count()).partitions("lines", 3);
    let driver = driver.partitions("word-counts", 2).build().unwrap();
    let lines = driver.input_topic("lines", utf8(), utf8());
    for partition in 0..3 {
        let line = Record::new(owned("k"), owned("to be or not to be"), at(1));
        lines.pipe_to_partition(partition, line).unwrap();
    }
    let counts = driver
        .timestamped_key_value_store::<String, i64>("counts")
        .unwrap();
    let mut counts = counts.all().unwrap();
    counts.sort_by(|left, right| left.0.cmp(&right.0));
    let counts: Vec<(&str, i64)> = counts.iter().map(|(k, row)| (&**k, row.value)).collect();
    assert_eq!(counts, [("be", 6), ("not", 3), ("or", 3), ("to", 6)]);

    let repartitioned = driver.topic_history("app-counts-repartition");
    assert_eq!(repartitioned.len(), 18);
    for record in repartitioned {
        let key = record.key.expect("the null-key filter is before it");
        let hash = onceflow::processor::murmur2(&key) & 0x7fff_ffff;
        assert_eq!(
            record.partition,
            hash % 3,
            "as many partitions as the input"
        );
    }
}

#[test]
fn counts_go_on_after_a_crash() {
    let driver = TestDriver::new(word_count()).unwrap();
    let lines = driver.input_topic("lines", utf8(), utf8());
    lines.pipe("k", "to be", at(9)).unwrap();
    driver.restart().unwrap();
    lines.pipe("k", "be", at(4)).unwrap();
    let counts = driver.output_topic("word-counts", utf8(), i64());
    let counts = counts.read_all().unwrap();
    let last = counts.last().map(|r| (&*r.key, r.value, r.timestamp));
    // The row's time came back too: 9 is later than 4.
    assert_eq!(last, Some(("be", 2, at(9))));
}

/// A bank: transfers become postings, refused ones go another way, balances are kept.
fn bank() -> Topology {
    let builder = StreamsBuilder::new();
    let transfers = builder.stream("transfers", Consumed::<String, i64>::new());
    let mut split = transfers.named("transfer-").split();
    let valid = split.named("valid").branch(|_, cents| *cents > 0);
    let refused = split.named("refused").default_branch();
    refused.to("refused", Produced::new());
    valid
        .flat_map(|route, cents| {
            let (from, to) = route.split_once('>').unwrap_or((&route, "nobody"));
            [(owned(from), -cents), (owned(to), cents)]
        })
        .group_by_key(Grouped::new().with_name("by-account"))
        .aggregate(
            || 0,
            |_, cents, balance| balance + cents,
            Materialized::as_store("balances"),
        )
        .to_stream()
        .to("balances", Produced::new());
    builder.build().expect("a valid topology")
}

#[test]
fn money_is_neither_made_nor_lost_across_partitions_and_crashes() {
    let driver = TestDriver::builder(bank())
        .partitions("transfers", 4)
        .build()
        .unwrap();
    let transfers = driver.input_topic("transfers", utf8(), i64());
    let routes = ["ada>bob", "bob>eve", "eve>ada", "ada>eve"];
    for (round, route) in routes.iter().cycle().take(40).enumerate() {
        let cents = i64::try_from(round).unwrap() - 3;
        transfers.pipe(*route, cents, at(cents.max(0))).unwrap();
        if round % 7 == 0 {
            driver.restart().unwrap();
        }
    }
    let balances = driver
        .timestamped_key_value_store::<String, i64>("balances")
        .unwrap();
    let balances = balances.all().unwrap();
    assert_eq!(balances.len(), 3);
    assert_eq!(balances.iter().map(|(_, row)| row.value).sum::<i64>(), 0);
    let refused = driver
        .output_topic("refused", utf8(), i64())
        .read_all()
        .unwrap();
    assert_eq!(
        refused.iter().map(|r| r.value).collect::<Vec<_>>(),
        [-3, -2, -1, 0]
    );
}

#[test]
fn nulls_in_the_types_are_dropped_by_the_grouping_and_counted_with_their_reason() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::with(nullable(utf8()), nullable(i64())));
    let sums: KTable<String, i64> = input
        .group_by_key(Grouped::with(utf8(), i64()))
        .reduce(|sum: i64, more: i64| sum + more);
    sums.to_stream().to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", nullable(utf8()), nullable(i64()));
    for (key, value) in [
        (Some("a"), Some(1)),
        (None, Some(2)),
        (Some("a"), None),
        (Some("a"), Some(3)),
    ] {
        input.pipe(key.map(owned), value, at(0)).unwrap();
    }
    let out = driver
        .output_topic("out", utf8(), i64())
        .read_key_values()
        .unwrap();
    assert_eq!(out, [(owned("a"), 1), (owned("a"), 4)]);
    let node = || owned("KSTREAM-REDUCE-0000000002");
    let expected = [
        ((node(), DropReason::NullKey), 1),
        ((node(), DropReason::NullValue), 1),
    ];
    assert_eq!(driver.drops(), expected.into());
}

#[test]
fn a_repartition_carries_null_values_and_drops_null_keys() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::with(utf8(), nullable(utf8())));
    let rows: KTable<String, String> = input
        .select_key(|key, _| (key != "none").then(|| key.clone()))
        .to_table(Materialized::with(utf8(), utf8()));
    rows.to_stream().to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", utf8(), utf8());
    input.pipe("a", "1", at(0)).unwrap();
    input.pipe("none", "2", at(0)).unwrap();
    input.pipe_tombstone("a", at(0)).unwrap();
    let out = driver
        .output_topic("out", utf8(), nullable(utf8()))
        .read_key_values()
        .unwrap();
    assert_eq!(out, [(owned("a"), Some(owned("1"))), (owned("a"), None)]);
    assert_eq!(driver.dropped_total(), 1);
}

#[test]
fn a_reduction_that_answers_none_deletes_the_row_and_begins_anew() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, i64>::new());
    let sums = input.group_by_key(Grouped::new());
    let sums = sums.reduce(|sum: i64, more: i64| Some(sum + more).filter(|sum| *sum != 0));
    sums.to_stream().to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let input = driver.input_topic("in", utf8(), i64());
    for value in [5, -5, 7] {
        input.pipe("a", value, at(0)).unwrap();
    }
    let out = driver
        .output_topic("out", utf8(), nullable(i64()))
        .read_key_values()
        .unwrap();
    let out: Vec<_> = out.into_iter().map(|(_, value)| value).collect();
    assert_eq!(out, [Some(5), None, Some(7)]);
}

#[test]
fn a_new_row_of_an_aggregation_takes_nothing_from_the_group_it_enters() {
    // Java sends the initial value as the old one and subtracts a row that was never added.
    let builder = StreamsBuilder::new();
    let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    clicks
        .group_by_key(Grouped::new())
        .count()
        .group_by(|_, count| (owned("all"), count), Grouped::new())
        .count()
        .to_stream()
        .to("users", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let clicks = driver.input_topic("clicks", utf8(), utf8());
    for user in ["ada", "bob", "ada"] {
        clicks.pipe(user, "page", at(0)).unwrap();
    }
    let users = driver
        .output_topic("users", utf8(), i64())
        .read_key_values()
        .unwrap();
    assert_eq!(users.last(), Some(&(owned("all"), 2)));
}

#[test]
fn timestamps_and_headers_pass_every_stateless_operator() {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<String, i64>::new())
        .filter(|_, _| true)
        .map(|key, value| (value, key))
        .flat_map(|key, value| [(value, key)])
        .map_values(|value| value + 1)
        .flat_map_values(|value| [value, value + 1])
        .select_key(|key, _| key.clone())
        .peek(|_, _| {})
        .repartition(Repartitioned::new())
        .to("out", Produced::new());
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let mut headers = Headers::new();
    headers.push("trace", Some(b"7"));
    let record = Record::new(owned("a"), 1, at(42)).with_headers(headers);
    let expected = [record.clone().with_value(2), record.clone().with_value(3)];
    driver
        .input_topic("in", utf8(), i64())
        .pipe_record(record)
        .unwrap();
    assert_eq!(
        driver
            .output_topic("out", utf8(), i64())
            .read_all()
            .unwrap(),
        expected
    );
}

#[test]
fn two_streams_of_one_topic_share_its_source() {
    let builder = StreamsBuilder::new();
    for out in ["one", "two"] {
        let stream = builder.stream("in", Consumed::<String, i64>::new());
        stream.to(out, Produced::new());
    }
    let driver = TestDriver::new(builder.build().unwrap()).unwrap();
    driver
        .input_topic("in", utf8(), i64())
        .pipe("a", 1, at(0))
        .unwrap();
    for out in ["one", "two"] {
        assert_eq!(
            driver
                .output_topic(out, utf8(), i64())
                .read_all()
                .unwrap()
                .len(),
            1
        );
    }
}

/// Fails to build, with all of these in the message.
fn refused(builder: StreamsBuilder, because: &[&str]) {
    let error = builder.build().expect_err("refused");
    assert_eq!(error.kind(), onceflow::ErrorKind::Topology);
    for reason in because {
        assert!(
            error.to_string().contains(reason),
            "{reason:?} is not in: {error}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_nodes_named() {
    let builder = StreamsBuilder::new();
    let input = builder.stream("in", Consumed::<String, i64>::new());
    let _other_type = builder.stream("in", Consumed::<String, String>::new());
    input.named("a b").filter(|_, _| true);
    input.named("twice").filter(|_, _| true);
    input.named("twice").peek(|_, _| {});
    let grouped = input.group_by_key(Grouped::new());
    grouped.count_with(Materialized::as_store("counts"));
    grouped.count_with(Materialized::as_store("counts"));
    refused(
        builder,
        &[
            "sources KSTREAM-SOURCE-0000000000 and KSTREAM-SOURCE-0000000001 read in as different",
            "the name \"a b\" has characters",
            "two nodes are named twice",
            "two stores are named counts",
        ],
    );
}

#[test]
fn a_topology_without_a_source_is_refused() {
    refused(StreamsBuilder::new(), &["there is no source"]);
}

#[test]
fn a_stream_and_a_table_of_one_topic_are_refused() {
    let builder = StreamsBuilder::new();
    let _stream = builder.stream("in", Consumed::<String, i64>::new());
    let _table = builder.table("in", Consumed::<String, i64>::new());
    refused(builder, &["both read topic in"]);
}

#[test]
fn streams_of_two_builders_do_not_merge() {
    let (one, two) = (StreamsBuilder::new(), StreamsBuilder::new());
    let here = one.stream("here", Consumed::<String, i64>::new());
    let there = two.stream("there", Consumed::<String, i64>::new());
    here.merge(&there.filter(|_, _| true));
    refused(
        one,
        &["node KSTREAM-FILTER-0000000001 belongs to another builder"],
    );
}

/// Forwards before there is a batch that it could belong to.
struct Early;

impl Processor for Early {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
        let text = String::from("early");
        ctx.forward(Record::new(text.clone(), text, Timestamp::from_millis(0)))
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, String>,
    ) -> Result<(), Fault> {
        ctx.forward(record)
    }
}

#[test]
fn forwarding_in_init_is_refused_and_names_the_node_that_does_it() {
    let builder = StreamsBuilder::new();
    builder
        .stream("in", Consumed::<String, String>::new())
        .named("eager")
        .process(|| Early, &[])
        .to("out", Produced::new());
    let error = TestDriver::new(builder.build().unwrap()).unwrap_err();
    assert_eq!(error.node(), Some("eager"));
    assert!(error.to_string().contains("not in init"), "{error}");
}

#[test]
fn a_branch_after_the_default_branch_is_refused() {
    let builder = StreamsBuilder::new();
    let mut split = builder
        .stream("in", Consumed::<String, String>::new())
        .named("choice-")
        .split();
    split.default_branch().to("rest", Produced::new());
    split
        .branch(|_, value| value.is_empty())
        .to("never", Produced::new());
    let error = builder.build().unwrap_err();
    assert!(error.to_string().contains("choice-"), "{error}");
}
