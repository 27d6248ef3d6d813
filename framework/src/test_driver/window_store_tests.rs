//! Window and session stores against plain maps: retention, order, restarts, duplicates.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::TestDriver;
use super::testing::{Text, TextContext, driver, each, history, pipe};
use crate::metrics::DropReason;
use crate::record::Headers;
use crate::serde::utf8;
use crate::state::StoreBuilder;
use crate::time::Timestamp;
use crate::window::{Window, Windowed};

const RETENTION_MS: i64 = 20;

/// Who, what (none deletes), when; and whether a crash follows.
type Put = (u8, Option<u8>, i64, bool);

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let put = (
        0..3u8,
        prop::option::weighted(0.8, 0..9u8),
        0..60i64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(put, 0..40)
}

fn name(who: u8) -> String {
    "k".repeat(usize::from(who) + 1)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Puts every record at its time, then forwards what it finds in the last ten milliseconds.
fn windows(segment_ms: u64, duplicates: bool) -> TestDriver {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let store = ctx.window_store::<String, String>("windows")?;
        let value = Some(&record.value).filter(|value| *value != "-");
        store.put(&record.key, value, record.timestamp)?;
        let mut found = Vec::new();
        let to = record.timestamp;
        for entry in store.fetch(&record.key, to - Duration::from_millis(10), to)? {
            let (start, value) = entry?;
            found.push(format!("{value}:{start}"));
        }
        ctx.forward(record.with_value(found.join("|")))
    });
    let retention = Duration::from_millis(RETENTION_MS.unsigned_abs());
    let store = StoreBuilder::window(
        "windows",
        retention,
        Duration::from_millis(5),
        utf8(),
        utf8(),
    );
    let store = store.with_segment_interval(Duration::from_millis(segment_ms));
    let store = if duplicates {
        store.with_duplicates()
    } else {
        store
    };
    builder.add_state_store(store, &["each"]);
    driver(builder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_store_is_a_map_that_forgets_what_is_past_its_retention(
        puts in puts(), segment_ms in prop::sample::select(vec![1, 3, 7, 1000]),
    ) {
        let driver = windows(segment_ms, false);
        let mut kept: BTreeMap<(i64, String), String> = BTreeMap::new();
        let mut observed = -1;
        for (who, what, when, crashes) in puts {
            let value = what.map_or_else(|| "-".to_owned(), |what| what.to_string());
            pipe(&driver, "in", &format!("{}={value}@{when}", name(who))).unwrap();
            observed = observed.max(when);
            match what {
                Some(_) => kept.insert((when, name(who)), value),
                None => kept.remove(&(when, name(who))),
            };
            kept.retain(|(start, _), _| *start > observed - RETENTION_MS);
            let found: Vec<String> = kept.iter()
                .filter(|((start, key), _)| *key == name(who) && (when - 10..=when).contains(start))
                .map(|((start, _), value)| format!("{value}:{start}"))
                .collect();
            let out = driver.topic_history("out");
            let last = out.last().and_then(|record| record.value.clone()).unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&last), found.join("|"));
            if crashes {
                driver.restart().unwrap();
            }
        }
        let all = driver.window_store::<String, String>("windows").unwrap().all().unwrap();
        let all: BTreeMap<(i64, String), String> = all
            .into_iter()
            .map(|(key, value)| ((key.window.start.as_millis(), key.key), value))
            .collect();
        prop_assert_eq!(all, kept);
    }

    #[test]
    fn a_session_store_finds_the_sessions_that_touch_a_span(
        puts in puts(), spans in prop::collection::vec((0..60i64, 0..15i64), 40),
        earliest in 0..60i64, length in 0..20i64,
    ) {
        let mut builder = each(move |record: Text, ctx: &mut TextContext| {
            let store = ctx.session_store::<String, String>("sessions")?;
            if record.value == "find" {
                let mut found = Vec::new();
                let latest = record.timestamp + Duration::from_millis(length.unsigned_abs());
                for session in store.find_sessions(&record.key, at(earliest), latest)? {
                    let (Windowed { window, .. }, value) = session?;
                    found.push(format!("{value}:{window}"));
                }
                return ctx.forward(record.with_value(found.join("|")));
            }
            let (value, start) = record.value.split_once(':').expect("value:start");
            let window = Window::new(at(start.parse()?), record.timestamp);
            let value = Some(value.to_owned()).filter(|value| value != "-");
            store.put(&record.key, window, value.as_ref())?;
            Ok(())
        });
        let retention = Duration::from_millis(RETENTION_MS.unsigned_abs());
        let store = StoreBuilder::session("sessions", retention, utf8(), utf8());
        builder.add_state_store(store, &["each"]);
        let driver = driver(builder);

        let mut kept: BTreeMap<(i64, i64, String), String> = BTreeMap::new();
        let mut observed = -1;
        for ((who, what, _, crashes), (start, length)) in puts.into_iter().zip(spans) {
            let (end, key) = (start + length, name(who));
            let value = what.map_or_else(|| "-".to_owned(), |what| what.to_string());
            pipe(&driver, "in", &format!("{key}={value}:{start}@{end}")).unwrap();
            observed = observed.max(end);
            match what {
                Some(_) => kept.insert((end, start, key), value),
                None => kept.remove(&(end, start, key)),
            };
            kept.retain(|(end, ..), _| *end > observed - RETENTION_MS);
            if crashes {
                driver.restart().unwrap();
            }
        }
        pipe(&driver, "in", &format!("kk=find@{earliest}")).unwrap();
        let found: Vec<String> = kept.iter()
            .filter(|((end, start, key), _)| {
                key == "kk" && *end >= earliest && *start <= earliest + length
            })
            .map(|((end, start, _), value)| format!("{value}:{start}/{end}"))
            .collect();
        prop_assert_eq!(history(&driver, "out"), format!("kk={}@{earliest}", found.join("|")));
    }
}

#[test]
fn a_window_changelog_is_keyed_by_key_start_and_sequence() {
    let driver = windows(1000, false);
    pipe(&driver, "in", "k=x@258 k=-@258").unwrap();
    let log = driver.topic_history("app-windows-changelog");
    let keys: Vec<&[u8]> = log.iter().map(|r| r.key.as_deref().unwrap()).collect();
    assert_eq!(keys, [b"k\0\0\0\0\0\0\x01\x02\0\0\0\0"; 2]);
    assert_eq!(
        (log[0].value.as_deref(), log[1].value.as_deref()),
        (Some(&b"x"[..]), None)
    );
}

#[test]
fn duplicates_are_all_kept_in_order_and_numbered_on_after_a_crash() {
    let driver = windows(1000, true);
    pipe(&driver, "in", "k=x@5 k=y@5 k=-@5").unwrap();
    driver.restart().unwrap();
    pipe(&driver, "in", "k=z@5").unwrap();
    assert_eq!(
        history(&driver, "out"),
        "k=x:5@5 k=x:5|y:5@5 k=x:5|y:5@5 k=x:5|y:5|z:5@5"
    );
    let log = driver.topic_history("app-windows-changelog");
    // Nothing is deleted among duplicates, but Kafka Streams logs that, under a number of its own.
    let numbers: Vec<(u8, bool)> = log
        .iter()
        .map(|r| {
            (
                *r.key.as_deref().unwrap().last().unwrap(),
                r.value.is_some(),
            )
        })
        .collect();
    assert_eq!(numbers, [(1, true), (2, true), (3, false), (4, true)]);
}

#[test]
fn a_put_past_the_retention_is_logged_counted_and_not_kept() {
    let driver = windows(1000, false);
    pipe(&driver, "in", "k=x@30 k=y@11 k=z@10").unwrap();
    assert_eq!(history(&driver, "out"), "k=x:30@30 k=y:11@11 k=@10");
    assert_eq!(driver.topic_history("app-windows-changelog").len(), 3);
    let refused = ("windows".to_owned(), DropReason::Expired);
    assert_eq!(driver.drops(), [(refused, 1)].into());
}

#[test]
fn a_failed_step_does_not_move_the_time_of_a_store() {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let store = ctx.window_store::<String, String>("windows")?;
        store.put(&record.key, Some(&record.value), record.timestamp)?;
        if record.value == "fail" {
            return Err(crate::Fault::message("told to fail"));
        }
        Ok(())
    });
    let span = Duration::from_millis(5);
    builder.add_state_store(
        StoreBuilder::window("windows", span, span, utf8(), utf8()),
        &["each"],
    );
    let driver = driver(builder);
    pipe(&driver, "in", "k=x@1").unwrap();
    assert!(pipe(&driver, "in", "k=fail@90").is_err());
    let store = driver.window_store::<String, String>("windows").unwrap();
    assert_eq!(
        store.get(&"k".to_owned(), at(1)).unwrap(),
        Some("x".to_owned())
    );
}

/// Stages each letter of a value in turn, `-` as a deletion, then logs the row once.
fn staging() -> TestDriver {
    let mut builder = each(|record: Text, ctx: &mut TextContext| {
        let windows = ctx.window_store::<String, String>("windows")?;
        let sessions = ctx.session_store::<String, String>("sessions")?;
        let (key, start) = (&record.key, record.timestamp);
        let session = Window::new(at(0), start);
        assert_eq!(windows.keeps(start), sessions.keeps(session));
        if !windows.keeps(start) {
            return Ok(());
        }
        let was_there = windows.get(key, start)?.is_some();
        for letter in record.value.chars().map(String::from) {
            let value = Some(&letter).filter(|letter| *letter != "-");
            let lengths = [
                windows.stage(key, value, start)?,
                sessions.stage(key, session, value)?,
            ];
            assert_eq!(lengths, [value.map_or(0, String::len); 2]);
        }
        let mut headers = Headers::new();
        headers.push("by", None);
        let there_at = (was_there, at(99));
        let row = windows.log(key, start, there_at, &headers)?;
        assert_eq!(row, sessions.log(key, session, there_at, &headers)?);
        ctx.forward(record.with_value(row.unwrap_or_default()))
    });
    let retention = Duration::from_millis(RETENTION_MS.unsigned_abs());
    let span = Duration::from_millis(5);
    let windows = StoreBuilder::window("windows", retention, span, utf8(), utf8());
    builder.add_state_store(windows, &["each"]);
    let sessions = StoreBuilder::session("sessions", retention, utf8(), utf8());
    builder.add_state_store(sessions, &["each"]);
    driver(builder)
}

#[test]
fn what_is_staged_many_times_is_logged_once_and_only_a_deletion_has_headers() {
    let driver = staging();
    // At 2 nothing was there, and nothing is.
    pipe(&driver, "in", "k=ab@1 k=a-@2 k=c-@1 k=d@30 k=e@9").unwrap();
    assert_eq!(history(&driver, "out"), "k=b@1 k=@2 k=@1 k=d@30");
    for topic in ["app-windows-changelog", "app-sessions-changelog"] {
        let log = driver.topic_history(topic).into_iter();
        let log = log.map(|logged| {
            let value = logged.value.map(|value| value.to_vec());
            (value, logged.headers.iter().count(), logged.timestamp)
        });
        let value = |letter: &str| Some(letter.as_bytes().to_vec());
        let expected = [
            (value("b"), 0, at(99)),
            (None, 1, at(99)),
            (value("d"), 0, at(99)),
        ];
        assert_eq!(log.collect::<Vec<_>>(), expected, "{topic}");
    }
}
