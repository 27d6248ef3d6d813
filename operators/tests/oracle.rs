//! Aggregations against naive re-implementations: the same updates, one obvious data structure.

use std::collections::BTreeMap;

use onceflow::prelude::*;
use proptest::prelude::*;

/// A row's change: who, what it is now (none: deleted), when; and whether a crash follows.
type Update = (u8, Option<i64>, i64, bool);

fn updates() -> impl Strategy<Value = Vec<Update>> {
    let update = (
        0..4u8,
        prop::option::weighted(0.8, -9..9i64),
        0..50i64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(update, 0..30)
}

/// By key: the value and its time.
type Rows = BTreeMap<String, (i64, i64)>;

/// Plays the updates on three partitions; answers the rows of a store at the end.
fn rows(topology: Topology, store: &str, updates: &[Update]) -> Result<Rows, Error> {
    let driver = TestDriver::builder(topology).partitions("in", 3).build()?;
    let input = driver.input_topic("in", utf8(), nullable(i64()));
    for (who, what, when, crashes) in updates {
        input.pipe(who.to_string(), *what, Timestamp::from_millis(*when))?;
        if *crashes {
            driver.restart()?;
        }
    }
    let store = driver.timestamped_key_value_store::<String, i64>(store)?;
    let rows = store.all()?.into_iter();
    Ok(rows
        .map(|(key, row)| (key, (row.value, row.timestamp.as_millis())))
        .collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sum_by_key_is_the_sum_of_the_values_at_the_latest_time(updates in updates()) {
        let builder = StreamsBuilder::new();
        let input = builder.stream("in", Consumed::<String, Option<i64>>::new());
        let grouped = input.group_by_key(Grouped::<String, i64>::new());
        grouped.reduce_with(|sum: i64, more: i64| sum + more, Materialized::as_store("sums"));
        let sums = rows(builder.build().unwrap(), "sums", &updates).unwrap();

        let mut expected: Rows = BTreeMap::new();
        for (who, what, when, _) in &updates {
            let Some(what) = what else { continue };
            let (sum, time) = expected.entry(who.to_string()).or_insert((0, *when));
            (*sum, *time) = (*sum + what, (*time).max(*when));
        }
        prop_assert_eq!(sums, expected);
    }

    #[test]
    fn a_sum_of_a_regrouped_table_is_the_sum_of_its_rows(updates in updates()) {
        let group = |value: i64| if value < 0 { "below" } else { "above" };
        let builder = StreamsBuilder::new();
        let table: KTable<String, i64> = builder.table("in", Consumed::new());
        let grouped = table.group_by(move |_, value| (group(value).to_owned(), value), Grouped::new());
        let (add, subtract) = (|sum: i64, value: i64| sum + value, |sum: i64, value: i64| sum - value);
        grouped.reduce_with(add, subtract, Materialized::as_store("sums"));
        let sums = rows(builder.build().unwrap(), "sums", &updates).unwrap();

        let mut table: BTreeMap<u8, i64> = BTreeMap::new();
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for (who, what, _, _) in &updates {
            match what {
                Some(what) => table.insert(*who, *what),
                None => table.remove(who),
            };
            // A group that loses its last row sums to 0; it stays.
            if let Some(what) = what {
                expected.entry(group(*what).to_owned()).or_default();
            }
        }
        for value in table.values() {
            *expected.entry(group(*value).to_owned()).or_default() += value;
        }
        let sums: BTreeMap<String, i64> = sums.into_iter().map(|(k, (sum, _))| (k, sum)).collect();
        prop_assert_eq!(sums, expected);
    }
}
