use std::time::Duration;

use super::testing::{Text, TextContext, counting, driver, each, history, pipe};
use crate::serde::utf8;
use crate::state::StoreBuilder;
use crate::time::Timestamp;

#[test]
fn a_changelog_holds_every_write_at_the_time_of_its_record() {
    let driver = driver(counting(true));
    pipe(&driver, "in", "a=x@1 b=x@7 a=x@3").unwrap();
    assert_eq!(
        history(&driver, "app-counts-changelog"),
        "a=1@1 b=1@7 a=2@3"
    );
    let counts = driver.key_value_store::<String, i64>("counts").unwrap();
    assert_eq!(counts.get(&"a".to_owned()).unwrap(), Some(2));
    assert_eq!(
        counts.all().unwrap(),
        [("a".to_owned(), 2), ("b".to_owned(), 1)]
    );
}

#[test]
fn a_timestamped_value_comes_back_from_the_changelog_with_its_time() {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let latest = ctx.timestamped_key_value_store::<String, String>("latest")?;
        let at = record.timestamp;
        latest.put(
            &record.key,
            Some(&record.value).filter(|v| *v != "gone"),
            at,
        )?;
        Ok(())
    });
    let store = StoreBuilder::timestamped_key_value("latest", utf8(), utf8());
    builder.add_state_store(store, &["each"]);
    let driver = driver(builder);
    pipe(&driver, "in", "a=x@5 b=y@6 b=gone@7 a=z@4").unwrap();
    assert_eq!(
        history(&driver, "app-latest-changelog"),
        "a=x@5 b=y@6 b=-@7 a=z@4"
    );
    driver.restart().unwrap();
    let latest = driver
        .timestamped_key_value_store::<String, String>("latest")
        .unwrap();
    let found = latest.get(&"a".to_owned()).unwrap().unwrap();
    assert_eq!(
        (found.value.as_str(), found.timestamp.as_millis()),
        ("z", 4)
    );
    assert_eq!(latest.all().unwrap().len(), 1);
}

#[test]
fn versions_come_back_from_the_changelog_and_what_was_refused_does_not() {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let prices = ctx.versioned_key_value_store::<String, String>("prices")?;
        let value = Some(&record.value).filter(|v| *v != "gone");
        prices.put(&record.key, value, record.timestamp)?;
        Ok(())
    });
    let hour = Duration::from_secs(3600);
    let store = StoreBuilder::versioned_key_value("prices", hour, utf8(), utf8());
    builder.add_state_store(store, &["each"]);
    let driver = driver(builder);
    let late = 3_600_010;
    pipe(&driver, "in", "a=x@30 a=w@10 a=gone@20 b=y@3600010 a=v@9").unwrap();
    // What is refused is logged, as in Kafka Streams.
    assert_eq!(
        history(&driver, "app-prices-changelog"),
        "a=x@30 a=w@10 a=-@20 b=y@3600010 a=v@9"
    );
    let prices = driver
        .versioned_key_value_store::<String, String>("prices")
        .unwrap();
    let read = || {
        [9, 10, 19, 20, 30, late].map(|time| {
            let version = prices.get_as_of(&"a".to_owned(), Timestamp::from_millis(time));
            version.unwrap().map(|version| version.value)
        })
    };
    let expected = [None, Some("w"), Some("w"), None, Some("x"), Some("x")];
    let expected = expected.map(|value| value.map(str::to_owned));
    assert_eq!(read(), expected);
    driver.restart().unwrap();
    assert_eq!(read(), expected);
    assert_eq!(prices.all().unwrap().len(), 3);
}

#[test]
fn a_store_of_other_types_or_name_is_an_error_that_says_so() {
    let driver = driver(counting(true));
    let told = |error: crate::Error| error.to_string();
    let store = driver
        .key_value_store::<String, String>("counts")
        .map_err(told);
    let string = "alloc::string::String";
    assert_eq!(
        store.unwrap_err(),
        format!(
            "store counts was built for key {string} and value i64, not for key {string} and \
             value {string}"
        )
    );
    let store = driver
        .timestamped_key_value_store::<String, i64>("counts")
        .map_err(told);
    assert!(store.unwrap_err().contains("built as KeyValue"));
    let store = driver.key_value_store::<String, i64>("count").map_err(told);
    assert_eq!(
        store.unwrap_err(),
        "the topology has no store count; it has: counts"
    );
}

/// Reads the entry of each record's key, and puts its value unless it is "read".
fn recent(kind: fn() -> StoreBuilder<String, String>) -> crate::topology::TopologyBuilder {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let recent = ctx.key_value_store::<String, String>("recent")?;
        let before = recent.get(&record.key)?;
        if before.is_none() || record.value != "read" {
            recent.put(&record.key, &record.value)?;
        }
        Ok(())
    });
    builder.add_state_store(kind(), &["each"]);
    builder
}

#[test]
fn what_was_longest_not_used_is_forgotten_and_deleted_in_the_changelog() {
    let store = || StoreBuilder::key_value("recent", utf8(), utf8()).with_lru_entries_max(2);
    let driver = driver(recent(store));
    pipe(&driver, "in", "a=x@1 b=y@2 a=read@3 c=z@4").unwrap();
    assert_eq!(
        history(&driver, "app-recent-changelog"),
        "a=x@1 b=y@2 b=-@4 c=z@4"
    );
    let listed = || {
        let recent = driver.key_value_store::<String, String>("recent").unwrap();
        let entries = recent.all().unwrap().into_iter();
        entries.map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(listed(), ["a", "c"]);
    driver.restart().unwrap();
    assert_eq!(listed(), ["a", "c"]);
}

#[test]
#[should_panic(expected = "only key-value stores")]
fn a_store_of_versions_forgets_nothing_for_lack_of_use() {
    let history = Duration::from_millis(10);
    let store = StoreBuilder::versioned_key_value("prices", history, utf8(), utf8());
    drop(store.with_lru_entries_max(2));
}
