//! What an optimised topology keeps of the one that it replaces: its answers, across a crash.

use onceflow::prelude::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A table of amounts as text, whose records are timed by their amount, and kept as `i64`s.
fn amounts(builder: &StreamsBuilder) -> KTable<String, i64> {
    let by_amount = |record: &Record<String, i64>| Timestamp::from_millis(record.value);
    let consumed = Consumed::with(utf8(), json::<i64>()).with_timestamps(by_amount);
    let store = Materialized::with(utf8(), i64()).with_name("amounts");
    builder.table_with("amounts", consumed, store)
}

#[test]
fn a_table_without_a_changelog_comes_back_from_its_topic_as_it_was() {
    let builder = StreamsBuilder::new();
    amounts(&builder)
        .to_stream()
        .to("out", Produced::with(utf8(), nullable(i64())));
    let topology = builder.build_with(&BuildOptions::new().with_optimization());
    let driver = TestDriver::builder(topology.unwrap());
    let driver = driver.on_bad_record(OnBadRecord::Continue).build().unwrap();
    assert!(
        driver
            .topics()
            .iter()
            .all(|topic| !topic.contains("changelog"))
    );

    let input = driver.input_topic("amounts", nullable(utf8()), nullable(utf8()));
    let inputs = [
        (Some("a"), Some("30")),
        (Some("b"), Some("20")),
        (Some("c"), Some("no number")),
        (None, Some("7")),
        (Some("b"), None),
        (Some("a"), Some("10")),
        (Some("d"), Some("-5")),
    ];
    for (key, value) in inputs {
        let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
        input.pipe(key, value, at(99)).unwrap();
    }
    let rows = || {
        driver
            .timestamped_key_value_store::<String, i64>("amounts")
            .unwrap()
            .all()
    };
    let before = rows().unwrap();
    let told: Vec<_> = before
        .iter()
        .map(|(key, row)| (&**key, row.value, row.timestamp))
        .collect();
    assert_eq!(told, [("a", 10, at(10))]);
    driver.restart().unwrap();
    assert_eq!(rows().unwrap(), before);
}

#[test]
fn merged_repartition_topics_carry_each_record_once() {
    let builder = StreamsBuilder::new();
    let words = builder.stream("words", Consumed::<String, String>::new());
    let by_length = words.map(|_, word| (i64::try_from(word.len()).unwrap(), word));
    let same = by_length.filter(|_, word| !word.is_empty());
    same.group_by_key(Grouped::new())
        .count()
        .to_stream()
        .to("counts", Produced::new());
    same.group_by_key(Grouped::new())
        .reduce(|one, two| one + &two)
        .to_stream()
        .to("joined", Produced::new());
    let topology = builder
        .build_with(&BuildOptions::new().with_optimization())
        .unwrap();
    let repartitions = topology.internal_topics("app");
    let repartitions: Vec<_> = repartitions
        .iter()
        .filter(|t| t.ends_with("-repartition"))
        .collect();
    let [repartition] = repartitions[..] else {
        panic!("{repartitions:?}")
    };

    let driver = TestDriver::new(topology).unwrap();
    let input = driver.input_topic("words", utf8(), utf8());
    for word in ["to", "be", "or", "not", ""] {
        input.pipe("k", word, at(0)).unwrap();
    }
    assert_eq!(driver.topic_history(repartition).len(), 5);
    let counts = driver.output_topic("counts", i64(), nullable(i64()));
    let counts = counts.read_key_values().unwrap();
    assert_eq!(
        counts,
        [(2, Some(1)), (2, Some(2)), (2, Some(3)), (3, Some(1))]
    );
    let joined = driver.output_topic("joined", i64(), nullable(utf8()));
    let joined = joined.read_key_values().unwrap();
    assert_eq!(joined[2], (2, Some("tobeor".to_owned())));
}
