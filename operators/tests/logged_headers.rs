//! Deletions are logged with the headers of the record that deleted, where that is asked for.

use std::time::Duration;

use onceflow::prelude::*;

/// The step's records of a changelog: whether each is a deletion, and its headers.
fn logged(driver: &TestDriver, topic: &str) -> Vec<(bool, Vec<String>)> {
    let history = driver.topic_history(topic);
    let record = |record: &onceflow::test_driver::CapturedRecord| {
        let headers = record.headers.iter().map(|header| header.key.to_string());
        (record.value.is_none(), headers.collect())
    };
    history.iter().map(record).collect()
}

fn by(who: &str, key: &str, value: Option<&str>, at: i64) -> Record<String, Option<String>> {
    let mut headers = Headers::new();
    headers.push(who, None);
    let value = value.map(str::to_owned);
    Record::new(key.to_owned(), value, Timestamp::from_millis(at)).with_headers(headers)
}

fn play(builder: StreamsBuilder, options: &BuildOptions) -> Result<TestDriver, Error> {
    let driver = TestDriver::new(builder.build_with(options)?)?;
    let input = driver.input_topic("in", utf8(), nullable(utf8()));
    for record in [by("ada", "k", Some("v"), 1), by("bob", "k", None, 3)] {
        input.pipe_record(record)?;
    }
    Ok(driver)
}

fn table() -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    let kept = Materialized::as_store("rows");
    let _rows: KTable<String, String> = builder.table_with("in", Consumed::new(), kept);
    builder
}

#[test]
fn a_row_is_logged_without_headers_and_its_deletion_with_them() {
    for options in with_headers() {
        let driver = play(table(), &options).unwrap();
        let expected = [(false, vec![]), (true, vec!["bob".to_owned()])];
        assert_eq!(
            logged(&driver, "app-rows-changelog"),
            expected,
            "{options:?}"
        );
    }
}

#[test]
fn deletions_have_no_headers_unless_that_is_asked_for() {
    let driver = play(table(), &BuildOptions::new()).unwrap();
    let expected = [(false, vec![]), (true, vec![])];
    assert_eq!(logged(&driver, "app-rows-changelog"), expected);
}

/// With headers, without and with a cache.
fn with_headers() -> [BuildOptions; 2] {
    let options = BuildOptions::new().with_headers_of_deletions();
    [options.clone(), options.with_cache_bytes(1 << 20)]
}

fn grouped(builder: &StreamsBuilder) -> KGroupedStream<String, String> {
    let stream: KStream<String, Option<String>> = builder.stream("in", Consumed::new());
    let values = stream.map_values(|value| value.unwrap_or_default());
    values.group_by_key(Grouped::new())
}

#[test]
fn a_session_that_is_merged_goes_with_the_headers_of_the_record_that_merges() {
    for options in with_headers() {
        let builder = StreamsBuilder::new();
        let gap = Duration::from_millis(10);
        let windows = SessionWindows::of_inactivity_gap_with_no_grace(gap);
        grouped(&builder)
            .windowed_by(windows)
            .count_with(Materialized::as_store("sessions"));
        let driver = play(builder, &options).unwrap();
        let expected = [
            (false, vec![]),
            (true, vec!["bob".to_owned()]),
            (false, vec![]),
        ];
        let topic = "app-sessions-changelog";
        assert_eq!(logged(&driver, topic), expected, "{options:?}");
    }
}

#[test]
fn a_window_that_a_record_empties_goes_with_its_headers() {
    for options in with_headers() {
        let builder = StreamsBuilder::new();
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
        grouped(&builder)
            .windowed_by(windows)
            .reduce_with(|_, _| None::<String>, Materialized::as_store("windows"));
        let driver = play(builder, &options).unwrap();
        let expected = [(false, vec![]), (true, vec!["bob".to_owned()])];
        let topic = "app-windows-changelog";
        assert_eq!(logged(&driver, topic), expected, "{options:?}");
    }
}
